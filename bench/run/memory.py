"""The memory pass: what training itself needs, measured in a process that is never timed.

A compiler needs far more memory than training does. So the pass comes after the timing run, loads what that one
compiled, and is taken again where it had to compile itself (see ``supervisor``).

Two figures: how far the resident set rises above its baseline while the first steps and one epoch train, and the
framework's own allocator figure for another epoch. The baseline is the process with model and data in place, in which
the framework has met its first step already, at batch size 1 with an engine of its own: what it makes once (thread
pools, kernels loaded) is no part of a batch size. The baseline lies before the first step at the batch size asked for,
because an allocator that keeps what it once held would show no rise after it.

The resident set answers only where glibc is told to hand freed memory back at once (``mallopt``), which roughly
doubles the time of a step: hence a pass of its own. Linux resets its
peak (``VmHWM``) when 5 is written to ``/proc/self/clear_refs`` (proc_pid_clear_refs(5)); ``ru_maxrss`` cannot be reset
and survives exec, so it is never used.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.engines.base import Engine, FloatArray, MemoryPeak, Order
from bench.records import CompileCache, MemoryRecord
from bench.run.measure import Conditions, Recorder, first_step, set_up, start_engine
from bench.workload.data import Split
from bench.workload.schedule import epoch_order

# mallopt(3): parameters of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRESHOLD_BYTES = 65_536

ONE_ROW_CACHE = "one-row"
"""Beside the cells' folders of compiled programs: the step of one row is the same for all cells of a loop."""


@dataclass(frozen=True)
class ResidentSet:
    """The resident set of a process, as Linux tells it in ``/proc``."""

    proc: Path = Path("/proc/self")

    def why_not(self) -> str | None:
        """Why there is no resident set to read here; None where there is."""
        if not (self.proc / "clear_refs").exists():
            return f"peak resident set can only be reset on Linux, this is {sys.platform}"
        return None

    def current_bytes(self) -> int:
        """Resident now."""
        return self._status_bytes("VmRSS")

    def peak_bytes(self) -> int:
        """Most resident since the last reset."""
        return self._status_bytes("VmHWM")

    def reset_peak(self) -> None:
        """Makes the peak what is resident now."""
        (self.proc / "clear_refs").write_text("5")

    def _status_bytes(self, key: str) -> int:
        for line in (self.proc / "status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(f"{self.proc / 'status'} has no {key}")


def return_freed_memory_at_once() -> str | None:
    """Tells glibc to give freed blocks back to the system; returns why that cannot be had, or None."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return "this C library has no mallopt"
    settings = ((_M_MMAP_THRESHOLD, _THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, _THRESHOLD_BYTES), (_M_ARENA_MAX, 1))
    refused = [parameter for parameter, value in settings if not mallopt(parameter, value)]
    return f"mallopt refused parameters {refused}" if refused else None


class OneEpoch:
    """A single epoch as ``Engine.train`` sees it; its losses are not kept and nothing is timed."""

    def __init__(self, engine: Engine, conditions: Conditions) -> None:
        self.engine = engine
        self.conditions = conditions
        self.done = False

    def start(self) -> Order | None:
        """The order of epoch 0, once."""
        self.conditions.alive()
        cell = self.conditions.cell
        if self.done:
            return None
        return epoch_order(cell.seed, self.conditions.round_, 0, cell.data.n_train, cell.data.shuffle)

    def finish(self, losses: Callable[[], FloatArray]) -> None:
        """Waits for the device, so that everything the epoch needs has been allocated."""
        self.engine.synchronize()
        self.done = True


def measure_memory(
    engine: Engine, split: Split, conditions: Conditions, recorder: Recorder, *, isolation: str
) -> MemoryRecord:
    """Trains one epoch for the resident set and another for the framework's allocator.

    ``recorder.compile_cache`` is ``cold`` where anything was compiled that a later pass would load.
    """
    rss = ResidentSet()
    reason = rss.why_not() or return_freed_memory_at_once()
    met = meet_first_step(engine, split, conditions)
    set_up(engine, split, conditions, recorder)
    if reason is None:
        rss.reset_peak()
    baseline_bytes = rss.current_bytes() if reason is None else None
    first_step(engine, conditions, recorder)
    if met is CompileCache.COLD:
        recorder.compile_cache = met
    conditions.entered("memory")
    engine.train(OneEpoch(engine, conditions))
    peak_bytes = rss.peak_bytes() if reason is None else None
    allocator = _allocator_peak(engine, conditions)
    over_bytes, over_reason = _rise(baseline_bytes, peak_bytes, reason)
    return MemoryRecord(
        baseline_rss_bytes=baseline_bytes,
        peak_rss_bytes=peak_bytes,
        rss_over_baseline_bytes=over_bytes,
        rss_reason=over_reason,
        device_peak_bytes=allocator.peak_bytes,
        device_peak_source=allocator.source,
        device_peak_reason=allocator.reason,
        isolation=isolation,
        steps=conditions.cell.steps_per_epoch,
    )


def meet_first_step(engine: Engine, split: Split, conditions: Conditions) -> CompileCache | None:
    """Takes one step at batch size 1 with a second engine of the same kind, and forgets it.

    Returns:
        Where that engine's programs came from.
    """
    one_row = replace(conditions.cell.data, n_train=1)
    cache = _one_row_cache(engine.setup.cache_folder)
    setup = replace(engine.setup, cell=replace(conditions.cell, data=one_row, batch_size=1), cache_folder=cache)
    scout, recorder = type(engine)(setup), Recorder()
    one = Conditions(cell=setup.cell, round_=conditions.round_, clock=conditions.clock, alive=conditions.alive)
    start_engine(scout, split._replace(x_train=split.x_train[:1], y_train=split.y_train[:1]), one, recorder)
    return recorder.compile_cache


def _one_row_cache(cells_own: Path | None) -> Path | None:
    if cells_own is None:
        return None
    folder = cells_own.with_name(ONE_ROW_CACHE)
    folder.mkdir(exist_ok=True)
    return folder


def _rise(baseline: int | None, peak: int | None, reason: str | None) -> tuple[int | None, str | None]:
    """Peak over baseline; None where the kernel, which counts pages in per-processor batches, saw no rise at all."""
    if baseline is None or peak is None:
        return None, reason
    if peak <= baseline:
        return None, "training needed less memory than the kernel's page counters resolve"
    return peak - baseline, None


def _allocator_peak(engine: Engine, conditions: Conditions) -> MemoryPeak:
    with engine.track_memory() as gauge:
        engine.train(OneEpoch(engine, conditions))
    return gauge.peak
