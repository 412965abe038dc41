"""Files of pytest-benchmark that this harness wrote, checked as they are read, and the sweep they become again.

pytest-benchmark knows a benchmark by its name and a list of seconds. That is enough for its own tables and too little
to compare by: a step's time means nothing without what was trained. So the files of ``bench export`` and ``make bench``
carry the cell and its runs in ``extra_info``, and where they come from in one more key at the top. pytest-benchmark
keeps the former and passes over the latter; files without them are refused.

An imported sweep holds timing and nothing else: its runs have a first step and steady epochs, and neither losses nor
memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from bench.cell import Cell
from bench.errors import UsageError
from bench.records import (
    SCHEMA_VERSION,
    CompileCache,
    MemoryRecord,
    PhaseTimes,
    PlannedCell,
    RunResult,
    Status,
    SweepRecord,
)
from bench.store import journal
from bench.store.content import content_of
from bench.store.layout import RunFolder, SweepFolder
from bench.store.reader import first_error
from bench.store.trace import EPOCH_COLUMNS, STEP_COLUMNS, trace_table
from bench.store.writer import write_result, write_sweep

FORMAT = 1
PYTEST_BENCHMARK = "pytest-benchmark"
RUNS, BLOCKS = "runs", "blocks"

_LARGEST = 2**63 - 1
_MOST_ROUNDS = 100_000
_SAME = 1e-9
"""Seconds and the microseconds beside them are one number in two units, but for rounding."""
_NOT_KEPT = f"imported: a file of {PYTEST_BENCHMARK} holds timing only"

# Ids and names become folders.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
Count = Annotated[int, Field(ge=1, le=_LARGEST)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the numbers come from: the parts of ``sweep.json`` that a cell does not hold.

    Attributes:
        format: version of what this module adds to a file; ``FORMAT``.
        schema_version: of the records exported.
    """

    format: int
    schema_version: int
    name: Name
    created_at: str
    bench_version: str
    command: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    seed: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    software: dict[str, Any] = field(default_factory=dict)
    git: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class FiledRun:
    """One run: a process of its own.

    Attributes:
        step_us: its step time as its own tables have it.
        first_step_s: trace and compile, or load.
        samples: trained on in each window.
        updates: made in each window.
        windows_ns: the steady windows in their order.
    """

    round: Annotated[int, Field(ge=0, lt=_MOST_ROUNDS)]
    step_us: Positive
    first_step_s: Positive
    samples: Count
    updates: Count
    windows_ns: Annotated[list[Count], Field(min_length=1)]
    order_in_round: Annotated[int, Field(ge=0, le=_LARGEST)] | None = None
    started_at: str = ""
    status: Literal[Status.OK, Status.TARGET_NOT_REACHED] = Status.OK
    reason: str | None = None
    device_name: str | None = None
    isolation: str | None = None
    compile_cache: CompileCache | None = None


@dataclass(frozen=True, kw_only=True)
class FiledCell:
    """``extra_info`` of one benchmark.

    Attributes:
        repeats: what one number of the benchmark's data is: one of the ``runs``, or one of the ``blocks`` of the only
            run, which are no repeats.
    """

    cell_id: Name
    cell: Cell
    repeats: Literal["runs", "blocks"]
    runs: Annotated[list[FiledRun], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Stats:
    """Of what pytest-benchmark derives from the data, nothing is read."""

    data: list[Positive]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One cell, as an entry of the file."""

    fullname: str
    extra_info: FiledCell
    stats: Stats


@dataclass(frozen=True, kw_only=True)
class BenchmarkFile:
    """What is read of a file; the rest is pytest-benchmark's own."""

    bench: Source
    benchmarks: Annotated[list[Benchmark], Field(min_length=1)]


_FILE = TypeAdapter(BenchmarkFile)


def read_benchmarks(path: Path) -> BenchmarkFile:
    """A file of ``bench export`` or ``make bench``.

    Raises:
        UsageError: it cannot be read, is no such file, or contradicts itself.
    """
    try:
        content = content_of(path)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}",
            f"import takes a file of {PYTEST_BENCHMARK}",
            "write one with: bench export, or make bench",
        ) from error
    try:
        file = _FILE.validate_json(content, strict=True)
    except ValidationError as error:
        raise _refused(path, _why_not_ours(content) or first_error(error)) from error
    objection = next(_objections(file), None)
    if objection is not None:
        raise _refused(path, objection)
    return file


def _refused(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} cannot be imported: {why}",
        "beside a step's time the file must say what was trained and in which runs",
        "take a file that bench export or make bench of this version wrote, as it was written",
    )


def _why_not_ours(content: bytes) -> str | None:
    """What is wrong with a file that is not of this harness at all; None where it claims to be."""
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        return "it is no JSON"
    if not isinstance(plain, dict) or "benchmarks" not in plain:
        return f"it is no file of {PYTEST_BENCHMARK}"
    return None if "bench" in plain else f"{PYTEST_BENCHMARK} wrote it without this harness"


def _objections(file: BenchmarkFile) -> Iterator[str]:
    source = file.bench
    if source.format != FORMAT:
        yield f"its format is {source.format}, this bench reads {FORMAT}"
    if not 1 <= source.schema_version <= SCHEMA_VERSION:
        yield f"its schema_version is {source.schema_version}, this bench reads 1 to {SCHEMA_VERSION}"
    seen = set[tuple[str, int]]()
    for benchmark in file.benchmarks:
        filed = benchmark.extra_info
        for run in filed.runs:
            if (filed.cell_id, run.round) in seen:
                yield f"round {run.round} of {filed.cell_id} is there twice"
            seen.add((filed.cell_id, run.round))
        if not _agrees(benchmark):
            yield f"the data of {filed.cell_id} are not the times of its {filed.repeats}"


def _agrees(benchmark: Benchmark) -> bool:
    """Whether the data are what the runs say: a file altered in one place only is refused."""
    runs, repeats = benchmark.extra_info.runs, benchmark.extra_info.repeats
    if repeats == BLOCKS and len(runs) != 1:
        return False
    said = (
        [run.step_us / 1e6 for run in runs]
        if repeats == RUNS
        else [window_ns / runs[0].updates / 1e9 for window_ns in runs[0].windows_ns]
    )
    data = benchmark.stats.data
    return len(said) == len(data) and all(math.isclose(a, b, rel_tol=_SAME) for a, b in zip(said, data, strict=True))


# --- the sweep it becomes ---------------------------------------------------------------------------------------------


class _Placed(NamedTuple):
    """A run, and the round it takes in the imported sweep."""

    round: int
    cell_id: str
    cell: Cell
    run: FiledRun


def import_benchmarks(files: Sequence[BenchmarkFile], folder: SweepFolder) -> None:
    """Writes one sweep folder of files from one machine; the rounds of each come after those of the file before.

    Raises:
        UsageError: the folder holds something, or the files are not of one machine and its software.
        StorageError: it cannot be written.
    """
    _refuse_strangers(files)
    if folder.path.is_symlink() or (folder.path.exists() and not _is_empty(folder.path)):
        raise UsageError(
            f"{folder.path} holds something already",
            "what was measured is never overwritten",
            "choose another folder with --output DIR",
        )
    placed = list(_placed(files))
    write_sweep(folder, _sweep(files[0].bench, folder.name, placed))
    for one in placed:
        _write_run(folder.run(one.cell_id, one.round), one, files[0].bench.schema_version)
    journal.append(folder, "sweep_imported", format=PYTEST_BENCHMARK, runs=len(placed))


def _refuse_strangers(files: Sequence[BenchmarkFile]) -> None:
    first = files[0].bench
    for source in (file.bench for file in files[1:]):
        for what in ("schema_version", "bench_version", "software", "processor"):
            ours, theirs = (_circumstance(of, what) for of in (first, source))
            if ours != theirs:
                raise UsageError(
                    f"the files cannot become one sweep: {what} of {first.name} and {source.name} differ",
                    "the rounds of a sweep are of one machine and its software",
                    "import them apart, and compare the two sweeps",
                )


def _circumstance(source: Source, what: str) -> Any:
    return source.machine.get(what) if what == "processor" else getattr(source, what)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _placed(files: Sequence[BenchmarkFile]) -> Iterator[_Placed]:
    first = 0
    for file in files:
        last = first
        for filed in (benchmark.extra_info for benchmark in file.benchmarks):
            for run in filed.runs:
                last = max(last, first + run.round)
                yield _Placed(first + run.round, filed.cell_id, filed.cell, run)
        first = last + 1


def _sweep(source: Source, name: str, placed: Sequence[_Placed]) -> SweepRecord:
    cells = {one.cell_id: one.cell for one in placed}
    rounds: list[list[_Placed]] = [[] for _ in range(1 + max(one.round for one in placed))]
    for one in placed:
        rounds[one.round].append(one)
    return SweepRecord(
        schema_version=source.schema_version,
        name=name,
        created_at=source.created_at,
        bench_version=source.bench_version,
        command=source.command,
        overrides=source.overrides,
        seed=source.seed,
        rounds=[[one.cell_id for one in sorted(round_, key=_order)] for round_ in rounds],
        cells=[PlannedCell(id=id_, cell=cell.to_plain()) for id_, cell in cells.items()],
        config=source.config | {"imported_from": {"format": PYTEST_BENCHMARK, "sweep": source.name}},
        machine=source.machine,
        software=source.software,
        git=source.git,
    )


def _order(one: _Placed) -> int:
    order = one.run.order_in_round
    return _LARGEST if order is None else order


def _write_run(folder: RunFolder, one: _Placed, schema_version: int) -> None:
    run = one.run
    result = RunResult(
        schema_version=schema_version,
        cell_id=one.cell_id,
        round=one.round,
        order_in_round=run.order_in_round,
        status=run.status,
        reason=run.reason,
        started_at=run.started_at,
        isolation=run.isolation,
        device_name=run.device_name,
        phases=PhaseTimes(first_step_s=run.first_step_s, steady_s=sum(run.windows_ns) / 1e9),
        compile_cache=run.compile_cache,
        memory=MemoryRecord(rss_reason=_NOT_KEPT, device_peak_reason=_NOT_KEPT),
        parity_reason=_NOT_KEPT,
    )
    n, first = len(run.windows_ns), one.cell.budget.epochs
    known = {
        "phase": np.full(n, "steady"),
        "epoch": np.arange(first, first + n),
        "samples": np.full(n, run.samples),
        "updates": np.full(n, run.updates),
        "window_ns": np.array(run.windows_ns, np.int64),
    }
    epochs = {f"epoch_{name}": known.get(name, np.full(n, np.nan)) for name in EPOCH_COLUMNS}
    steps = {f"step_{name}": np.empty(0) for name in STEP_COLUMNS}
    write_result(folder, result, trace_table(epochs | steps))
