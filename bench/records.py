"""What was seen: plain records, units in their names, read back by other programs.

History of the format (``SCHEMA_VERSION``):

1. First version.
2. The compile cache: ``RunRequest.cache_folder``, ``RunResult.compile_cache``. The parity gate: ``RunResult.parity``
   is a ``ParityRecord`` (it was always null), ``PhaseTimes.parity_s``.
3. The machine's noise: ``RunResult.noise`` and ``noise_reason``. Cells may be controls (``Cell.control``).
4. Checksums: ``checksum`` in ``sweep.json`` and ``result.json`` (``bench.store.sealing``), ``RunResult.trace_sha256``.
   The worker's own peak: ``RunResult.process_peak_bytes`` and ``process_peak_reason``.
   Added since, null in records from before: ``NoiseRecord.others_processors`` and ``steal_processors`` (a run without
   them is judged by ``others_share`` and ``steal_share``, as it was), and what it says of the GPU (``gpu_...``).

Records of every version are read: ``bench.store.migration`` lifts them to this one, and ``schema_version`` goes on
telling which wrote them. Later versions are refused. Whoever adds one keeps the rule of the checksum.

Everything here is the standard library alone, because workers run in interpreters that may hold nothing but a
framework and NumPy. Records hold raw times; medians, intervals and ratios are derived by ``bench.analysis``.
A value that does not exist is None and its reason stands beside it: never 0, never a guess.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 4
MOST_ROUNDS = 10_000
"""No sweep has more: what claims to be a later round is a damaged line."""
SKIPPED_AFTER_OOM = "skipped after oom at batch "
"""How the reason begins of a run that was not started because a smaller batch size of its family ran out of memory."""


class Status(StrEnum):
    """How a run ended; always a row, never a gap."""

    OK = "ok"
    TARGET_NOT_REACHED = "target_not_reached"
    DIVERGED = "diverged"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    ERROR = "error"
    UNAVAILABLE = "unavailable"
    INTERRUPTED = "interrupted"
    INVALID = "invalid"

    @property
    def measured(self) -> bool:
        """Whether the run's timing counts. A run that missed its target is timed all the same."""
        return self in (Status.OK, Status.TARGET_NOT_REACHED)

    @property
    def failed(self) -> bool:
        """Whether the sweep's exit code must tell of it. What is absent here is said, but is no failure."""
        return not self.measured and self is not Status.UNAVAILABLE


class CompileCache(StrEnum):
    """Where the programs came from that a run's first step needed.

    ``cold`` and ``warm`` are seen from the sweep's cache folder alone: whether the first step added a file to it.
    """

    COLD = "cold"
    """Compiled, all of them or some, and kept for later runs of the cell."""
    WARM = "warm"
    """Loaded: an earlier run of the cell had kept every one."""
    ANEW = "anew"
    """Compiled and not kept: every process pays for it again."""
    NOTHING = "nothing"
    """There is nothing to compile."""


@dataclass(frozen=True, kw_only=True)
class PhaseTimes:
    """Seconds of each phase of a run, in order; a phase never reached is None.

    Attributes:
        start_s: from the request until the worker was ready: process and imports (a fork from a template
            has only the fork here).
        build_s: opening the device, model and optimizer.
        data_to_device_s: moving the data set.
        first_step_s: one step of every batch shape: trace, and compile or load what was compiled.
        parity_s: the parity gate, the reference's own steps included.
        training_s: sum of the training windows.
        evaluation_s: evaluation between the training windows.
        steady_s: sum of the steady windows.
    """

    start_s: float | None = None
    build_s: float | None = None
    data_to_device_s: float | None = None
    first_step_s: float | None = None
    parity_s: float | None = None
    training_s: float | None = None
    evaluation_s: float | None = None
    steady_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch of a phase (``training`` or ``steady``).

    ``window_ns`` is the timed window; losses and accuracies are those of the weights after the epoch, over the
    whole split, and exist in the training phase only.
    """

    phase: str
    epoch: int
    samples: int
    updates: int
    window_ns: int
    train_loss: float | None = None
    train_accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class MemoryRecord:
    """The memory pass: three different things, never one column.

    Attributes:
        baseline_rss_bytes: resident set with model and data in place, before the first step at this batch size.
        peak_rss_bytes: the highest resident set from there through one epoch.
        rss_over_baseline_bytes: the difference.
        rss_reason: why those are None.
        device_peak_bytes: the framework's allocator or compiler figure for training, above what was held before.
        device_peak_source: where that figure comes from.
        device_peak_reason: why it is None.
        isolation: ``fork`` or ``spawn``: resident sets of the two are not comparable.
        steps: training steps of the pass.
    """

    baseline_rss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    rss_over_baseline_bytes: int | None = None
    rss_reason: str | None = None
    device_peak_bytes: int | None = None
    device_peak_source: str | None = None
    device_peak_reason: str | None = None
    isolation: str | None = None
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class ParityRecord:
    """The parity gate: steps that the engine trained beside the float64 reference before anything was timed.

    All distances are the largest |loss - reference's loss| / max(1, |reference's loss|) over the steps compared.

    Attributes:
        difference: of the engine.
        step: where it was largest, from 0.
        steps: steps compared: those in which the reference's losses were numbers.
        bar: what the difference may not exceed; None where nothing was asked (``defaults=framework``).
        control: of the reference itself in the engine's number format: what rounding alone does.
        flips: of the reference with every undecided ReLU gate on its other side; None where its loss was no number.
        undecided: ReLU gates whose side rounding decided.
        reason: why ``difference`` is None.
    """

    difference: float | None = None
    step: int | None = None
    steps: int = 0
    bar: float | None = None
    control: float | None = None
    flips: float | None = None
    undecided: int = 0
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class NoiseRecord:
    """What else the machine did from just before a worker was asked until just after it had ended.

    Shares of processor time are of all processors of the machine together. What is None has its reason in ``reasons``,
    by its name; what was not recorded yet has none.

    Attributes:
        period_s: time between the two looks at the machine.
        processors: number of those that the harness may use, and so its worker.
        load_before: load average over the last minute, at the start; the run before counts in it.
        load_after: the same at the end; this run counts in it.
        steal_share: share of processor time that a virtual machine's host gave to others.
        others_share: share of processor time that neither the worker nor the harness used.
        steal_processors: processors' worth of time that the host took of the processors that the worker may use.
        others_processors: processors' worth of time that neither the worker nor the harness used of those.
        frequency_min_mhz: lowest frequency of the processors looked at, start and end together.
        frequency_mean_mhz: their mean.
        frequency_max_mhz: the highest.
        thermal_throttles: times that heat or power slowed a core.
        limit_throttles: times that the control group's CPU limit stopped it.
        cpu_pressure_share: share of the time in which somebody who wanted to run had to wait.
        involuntary_switches: of the worker.
        major_faults: of the worker.
        gpu_clock_mhz: clock of the GPU's processors just after the worker had ended.
        gpu_slowed_by: what held the GPU's clock down, of ``temperature``, ``power`` and ``hardware``, joined with
            commas; or ``nothing``.
        gpu_others: other processes that could compute on the GPU at one of the looks.
        reasons: why what is None is so.
    """

    period_s: float | None = None
    processors: int | None = None
    load_before: float | None = None
    load_after: float | None = None
    steal_share: float | None = None
    others_share: float | None = None
    steal_processors: float | None = None
    others_processors: float | None = None
    frequency_min_mhz: float | None = None
    frequency_mean_mhz: float | None = None
    frequency_max_mhz: float | None = None
    thermal_throttles: int | None = None
    limit_throttles: int | None = None
    cpu_pressure_share: float | None = None
    involuntary_switches: int | None = None
    major_faults: int | None = None
    gpu_clock_mhz: int | None = None
    gpu_slowed_by: str | None = None
    gpu_others: int | None = None
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WorkerOutcome:
    """What a worker writes of itself (``outcome.json``), next to ``trace.npz`` with its steps and epochs.

    ``environment`` holds versions, flags in force, threads and the like: plain JSON values.
    ``step_stride`` is 1 where every step's loss is stored, k where every k-th is.
    ``process_peak_bytes`` is its highest resident set, None where the kernel does not count it.
    """

    status: Status
    reason: str | None = None
    device_name: str | None = None
    phases: PhaseTimes = PhaseTimes()
    compile_cache: CompileCache | None = None
    initial_train_loss: float | None = None
    initial_val_loss: float | None = None
    step_stride: int = 1
    environment: dict[str, Any] = field(default_factory=dict)
    memory: MemoryRecord | None = None
    parity: ParityRecord | None = None
    process_peak_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run, final (``result.json``): the worker's outcome and what the supervisor saw of the process.

    Attributes:
        cell_id: the cell run.
        round: the pass over all cells it belongs to, from 0.
        order_in_round: its place in that pass, from 0; None for a cell that was never started.
        status: how it ended.
        reason: why, for every status but ``ok``.
        started_at: UTC, ISO 8601.
        wall_s: from the supervisor's first act to the record, memory pass included.
        isolation: ``fork``, ``spawn`` or None where nothing was started.
        exit_code: the worker's exit code, None where a signal ended it.
        exit_signal: that signal's name.
        target_loss: the training loss to reach; None where the sweep has none.
        import_s: the framework's import, paid once by the template; None for ``spawn`` (it is in ``start_s``).
        compile_cache: where the programs of the first step came from; None where it was not taken, and in records of
            version 1, which knew no cache.
        memory_wall_s: wall time of the memory pass.
        parity: what the parity gate found; None where none ran to its end.
        parity_reason: why that is None.
        noise: what else the machine did meanwhile; None where nobody looked.
        noise_reason: why that is None.
        process_peak_bytes: highest resident set of the worker process, whatever came of the run. Of one that left
            no outcome it is the kernel's word, in which a larger child that it waited for, such as a compiler, counts.
            What a forked worker shares with its template counts as its own.
        process_peak_reason: why that is None.
        trace_sha256: of the bytes of ``trace.parquet``; None where the run left no trace.
    """

    schema_version: int = SCHEMA_VERSION
    cell_id: str
    round: int
    order_in_round: int | None
    status: Status
    reason: str | None = None
    started_at: str
    wall_s: float | None = None
    isolation: str | None = None
    exit_code: int | None = None
    exit_signal: str | None = None
    device_name: str | None = None
    target_loss: float | None = None
    import_s: float | None = None
    phases: PhaseTimes = PhaseTimes()
    compile_cache: CompileCache | None = None
    initial_train_loss: float | None = None
    initial_val_loss: float | None = None
    step_stride: int = 1
    memory: MemoryRecord = MemoryRecord()
    memory_wall_s: float | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    parity: ParityRecord | None = None
    parity_reason: str | None = "no parity gate ran"
    noise: NoiseRecord | None = None
    noise_reason: str | None = "the machine was not looked at"
    process_peak_bytes: int | None = None
    process_peak_reason: str | None = "the process was not looked at"
    trace_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell of a sweep: its plain form, its target, and why it cannot run here (None: it can)."""

    id: str
    cell: dict[str, Any]
    target_loss: float | None = None
    unavailable_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """A sweep (``sweep.json``), written before its first run.

    Attributes:
        name: the folder's name.
        created_at: UTC, ISO 8601.
        bench_version: version of the harness.
        command: what the user typed.
        overrides: the Hydra overrides in force.
        seed: seeds the order of the rounds.
        rounds: for every round the ids of the cells that can run, in their order. Rounds that were added for precision
            stand in the journal, because this record is never rewritten; read back, it has them all.
        cells: every cell of the grid, those that cannot run included.
        config: the resolved config that the grid varies.
        targets: for every workload the losses its target was computed from.
        machine: processor, cores, memory, devices, governor, load, operating system.
        software: versions of Python and of every package that matters.
        git: commit and whether the tree was dirty; None outside a checkout.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    created_at: str
    bench_version: str
    command: list[str]
    overrides: list[str]
    seed: int
    rounds: list[list[str]]
    cells: list[PlannedCell]
    config: dict[str, Any]
    targets: list[dict[str, Any]] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    software: dict[str, Any] = field(default_factory=dict)
    git: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What a worker is asked to do (``request.json``).

    Attributes:
        cell: the cell, plain.
        round: seeds weights and orders.
        kind: ``timing`` or ``memory``.
        folder: where the outcome goes; absolute.
        data_file: ``.npz`` with the arrays, for data that is stored rather than generated; absolute.
        target_loss: the training loss to reach.
        cache_folder: where compiled programs are kept for later runs of the cell; absolute, None keeps none.
        requested_ns: ``perf_counter_ns`` of the supervisor when it asked (one clock per machine).
        environment: variables to set before the framework starts.
    """

    schema_version: int = SCHEMA_VERSION
    cell_id: str
    cell: dict[str, Any]
    round: int
    order_in_round: int
    kind: str = "timing"
    folder: str
    data_file: str | None = None
    target_loss: float | None = None
    cache_folder: str | None = None
    requested_ns: int = 0
    environment: dict[str, str] = field(default_factory=dict)


def to_plain(record: Any) -> dict[str, Any]:
    """A record as JSON-ready values."""
    return dataclasses.asdict(record)
