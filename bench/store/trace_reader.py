"""Reads traces back: one of them, or all of a sweep at once in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import StorageError
from bench.records import RunResult
from bench.store.layout import RunFolder, SweepFolder
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
    try:
        return _read(run.trace)
    except DamagedTraceError as error:
        raise StorageError(
            f"{run.trace}: {error}",
            "a trace is written once and never altered",
            "delete the run's folder and run its cell again",
        ) from error


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
        paths = [folder.run(result.cell_id, result.round).trace for result in batch]
        read = pool.map(partial(_read_or_why_not, stride=stride), paths)
        readable = {}
        for run, (result, trace) in enumerate(zip(batch, read, strict=True), start=first):
            if isinstance(trace, tuple):
                readable[run] = trace
            elif result.status.measured or trace is not _MISSING:
                problems[run] = f"trace.parquet: {trace}"
        if readable:
            yield readable


_MISSING = DamagedTraceError("there is none")


def _read_or_why_not(path: Path, stride: int) -> tuple[pa.Table, pa.Table] | DamagedTraceError:
    try:
        return _split(_read(path), stride)
    except DamagedTraceError as error:
        return error


def _read(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(
            path, page_checksum_verification=True, read_dictionary=["kind", "phase"], memory_map=False
        ) as file:
            table = file.read(use_threads=False)
            table.validate(full=True)
    except FileNotFoundError:
        raise _MISSING from None
    # A damaged footer shows as an unknown column name (KeyError) or as bytes that are no text (ValueError).
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DamagedTraceError(f"damaged: {str(error).splitlines()[0]}") from error
    if not table.schema.equals(_READ_SCHEMA):
        raise DamagedTraceError(f"damaged: its columns are {', '.join(map(str, table.schema))}")
    return table


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
