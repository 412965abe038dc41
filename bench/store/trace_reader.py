"""Reads traces back: one of them, or all of a sweep at once in bounded memory.

A trace is of its run only where its bytes are those that the run's record knows by their hash. Records of versions
before ``FIRST_WITH_CHECKSUM`` know none; their traces have Parquet's checksums of pages alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import StorageError
from bench.records import RunResult
from bench.store.content import content_of
from bench.store.layout import RunFolder, SweepFolder
from bench.store.migration import FIRST_WITH_CHECKSUM
from bench.store.reader import DamagedRecordError, read_result, trusted_result
from bench.store.trace import EPOCH_COLUMNS, STEP_COLUMNS
from bench.store.writer import TRACE_SCHEMA

_FILES_AT_ONCE = 256
# Reading small files is half Python: more threads than this only wait for each other.
_THREADS = 2


_TEXT = pa.dictionary(pa.int32(), pa.string())
_READ_SCHEMA = pa.schema(
    [pa.field(f.name, _TEXT, f.nullable) if pa.types.is_string(f.type) else f for f in TRACE_SCHEMA]
)


class DamagedTraceError(ValueError):
    """What is wrong with one trace, in one line."""


@dataclass(frozen=True, kw_only=True)
class Traces:
    """All traces of a sweep as two long tables.

    Attributes:
        steps: columns ``run`` (index into the results asked for), epoch, step, batch_samples, loss.
        epochs: columns ``run``, phase, epoch, samples, updates, window_ns and the four evaluations.
        problems: for runs whose trace is missing though they were measured, or cannot be trusted: why. None of
            their rows are in the tables.
    """

    steps: pa.Table
    epochs: pa.Table
    problems: dict[int, str]


def read_trace(run: RunFolder) -> pa.Table:
    """One run's trace, in the columns of ``TRACE_SCHEMA``, its checksums checked.

    Raises:
        StorageError: there is none, or it is damaged.
    """
    result = read_result(run)
    try:
        return _read(_Wanted(run, _NO_HASH if result is None else _hash(result)))
    except DamagedTraceError as error:
        raise StorageError(
            f"{run.trace}: {error}",
            "a trace is written once and never altered",
            "set the run aside and run its cell again: bench sweep --resume DIR",
        ) from error


def why_damaged(run: RunFolder) -> str | None:
    """Why a run's record or its trace cannot be trusted; None where both can, and where there is no record yet.

    Raises:
        UsageError: the record was written by a newer version.
        StorageError: it cannot be read.
    """
    try:
        result = trusted_result(run)
    except DamagedRecordError as error:
        return f"result.json {error}"
    if result is None:
        return None
    return _problem(result, _read_or_why_not(_Wanted(run, _hash(result)), stride=1))


def read_traces(folder: SweepFolder, results: Sequence[RunResult], *, step_stride: int = 1) -> Traces:
    """The traces of many runs.

    Args:
        folder: the sweep.
        results: its runs, in the order that ``run`` shall count.
        step_stride: keep every k-th step's row, so that a sweep of any size fits into memory.
    """
    steps, epochs, problems = [_empty(STEP_COLUMNS)], [_empty(EPOCH_COLUMNS)], dict[int, str]()
    with ThreadPoolExecutor(_THREADS) as pool:
        for batch in _read_in_batches(folder, results, step_stride, problems, pool):
            epochs.append(_together(batch, 0))
            steps.append(_together(batch, 1))
    return _trustworthy(Traces(steps=pa.concat_tables(steps), epochs=pa.concat_tables(epochs), problems=problems))


def _read_in_batches(
    folder: SweepFolder, results: Sequence[RunResult], stride: int, problems: dict[int, str], pool: ThreadPoolExecutor
) -> Iterator[dict[int, tuple[pa.Table, pa.Table]]]:
    """Batches of traces by run, each as its epochs and its steps; of those not readable, ``problems`` tells."""
    for first in range(0, len(results), _FILES_AT_ONCE):
        batch = results[first : first + _FILES_AT_ONCE]
        wanted = [_Wanted(folder.run(result.cell_id, result.round), _hash(result)) for result in batch]
        read = pool.map(partial(_read_or_why_not, stride=stride), wanted)
        readable = {}
        for run, (result, trace) in enumerate(zip(batch, read, strict=True), start=first):
            if isinstance(trace, tuple):
                readable[run] = trace
            elif (problem := _problem(result, trace)) is not None:
                problems[run] = problem
        if readable:
            yield readable


_MISSING = DamagedTraceError("there is none")
_NO_HASH = "no hash"

_Split = tuple[pa.Table, pa.Table]


class _Wanted(NamedTuple):
    """A run whose trace is asked for, and the hash of its bytes: None where there should be none."""

    run: RunFolder
    sha256: str | None


def _hash(result: RunResult) -> str | None:
    if result.trace_sha256 is None and result.schema_version < FIRST_WITH_CHECKSUM:
        return _NO_HASH
    return result.trace_sha256


def _problem(result: RunResult, trace: _Split | DamagedTraceError) -> str | None:
    """What is wrong with a run's trace, if anything: a run that was not measured may lack it."""
    if isinstance(trace, tuple):
        return None
    may_lack_it = not result.status.measured and result.trace_sha256 is None
    return None if trace is _MISSING and may_lack_it else f"trace.parquet: {trace}"


def _read_or_why_not(wanted: _Wanted, stride: int) -> _Split | DamagedTraceError:
    try:
        return _split(_read(wanted), stride)
    except DamagedTraceError as error:
        return error


def _read(wanted: _Wanted) -> pa.Table:
    content = pa.BufferReader(_content(wanted))
    unknown = wanted.sha256 == _NO_HASH  # else these are the bytes that were written
    try:
        with pq.ParquetFile(content, page_checksum_verification=unknown, read_dictionary=["kind", "phase"]) as file:
            table = file.read(use_threads=False)
            if unknown:
                table.validate(full=True)
    # A damaged footer shows as an unknown column name (KeyError) or as bytes that are no text (ValueError).
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DamagedTraceError(f"damaged: {str(error).splitlines()[0]}") from error
    if not table.schema.equals(_READ_SCHEMA):
        raise DamagedTraceError(f"damaged: its columns are {', '.join(map(str, table.schema))}")
    return table


def _content(wanted: _Wanted) -> bytes:
    try:
        content = content_of(wanted.run.trace)
    except (FileNotFoundError, NotADirectoryError):
        raise _MISSING from None
    except OSError as error:
        raise DamagedTraceError(f"cannot be read: {error.strerror or error}") from error
    if wanted.sha256 is None:
        raise DamagedTraceError("not of this run: its record knows of none")
    if wanted.sha256 not in (_NO_HASH, hashlib.sha256(content).hexdigest()):
        raise DamagedTraceError("damaged: its bytes are not those that its run's record has the hash of")
    return content


def _split(trace: pa.Table, stride: int) -> tuple[pa.Table, pa.Table]:
    """The epochs and every k-th step of one trace. Done here, in the reading threads, while the trace is small."""
    is_step = trace["kind"].to_numpy() == "step"
    steps = np.flatnonzero(is_step)
    if stride > 1:
        steps = steps[trace["step"].fill_null(0).to_numpy()[steps] % stride == 0]
    return trace.select(EPOCH_COLUMNS).take(np.flatnonzero(~is_step)), trace.select(STEP_COLUMNS).take(steps)


def _together(batch: dict[int, tuple[pa.Table, pa.Table]], kind: int) -> pa.Table:
    tables = [trace[kind] for trace in batch.values()]
    run = np.repeat(np.fromiter(batch, np.int32), [len(table) for table in tables])
    # Without combining, what is kept of a trace would hold all of it in memory.
    together = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    return together.add_column(0, "run", pa.array(run)).cast(_schema(tables[0].column_names))


def _trustworthy(traces: Traces) -> Traces:
    """Without the runs whose numbers no sum or division could rely on; ``problems`` names them."""
    damaged = {
        run: f"trace.parquet: damaged: a row whose {name} is not positive"
        for table, names in ((traces.epochs, ("samples", "updates", "window_ns")), (traces.steps, ("batch_samples",)))
        for name in names
        for run in _runs_where(table, pc.less(pc.fill_null(table[name], 0), 1))
    }
    if not damaged:
        return traces
    steps, epochs = (
        table.filter(pc.invert(pc.is_in(table["run"], pa.array(list(damaged), pa.int32()))))
        for table in (traces.steps, traces.epochs)
    )
    return Traces(steps=steps, epochs=epochs, problems=traces.problems | damaged)


def _runs_where(table: pa.Table, wrong: pa.ChunkedArray) -> list[int]:
    found: list[int] = pc.unique(table["run"].filter(wrong)).to_pylist()
    return found


def _schema(columns: Iterable[str]) -> pa.Schema:
    return pa.schema([pa.field("run", pa.int32()), *(_READ_SCHEMA.field(name).with_nullable(True) for name in columns)])


def _empty(columns: Iterable[str]) -> pa.Table:
    return _schema(columns).empty_table()
