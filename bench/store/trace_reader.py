"""Reads traces back: one of them, or all of a sweep at once in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import StorageError
from bench.records import RunResult
from bench.store.layout import RunFolder, SweepFolder
from bench.store.writer import TRACE_SCHEMA

STEP_COLUMNS = ("epoch", "step", "batch_samples", "loss")
EPOCH_COLUMNS = (
    "phase", "epoch", "samples", "updates", "window_ns", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
)  # fmt: skip
_FILES_AT_ONCE = 256
# Reading small files is half Python, so more threads than this only wait for each other.
_THREADS = 4


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
        for runs, tables in _read_in_batches(folder, results, problems, pool):
            together = _one_table(runs, tables)
            steps.append(_rows("step", together, STEP_COLUMNS, step_stride))
            epochs.append(_rows("epoch", together, EPOCH_COLUMNS))
    return _trustworthy(Traces(steps=pa.concat_tables(steps), epochs=pa.concat_tables(epochs), problems=problems))


def _read_in_batches(
    folder: SweepFolder, results: Sequence[RunResult], problems: dict[int, str], pool: ThreadPoolExecutor
) -> Iterator[tuple[list[int], list[pa.Table]]]:
    """Batches of readable traces and their runs; of the others, ``problems`` tells."""
    for first in range(0, len(results), _FILES_AT_ONCE):
        batch = results[first : first + _FILES_AT_ONCE]
        read = pool.map(_read_or_why_not, [folder.run(result.cell_id, result.round).trace for result in batch])
        runs, tables = [], []
        for run, (result, table) in enumerate(zip(batch, read, strict=True), start=first):
            if isinstance(table, pa.Table):
                runs.append(run)
                tables.append(table)
            elif result.status.measured or table is not _MISSING:
                problems[run] = f"trace.parquet: {table}"
        if tables:
            yield runs, tables


_MISSING = DamagedTraceError("there is none")


def _read_or_why_not(path: Path) -> pa.Table | DamagedTraceError:
    try:
        return _read(path)
    except DamagedTraceError as error:
        return error


def _read(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(
            path, page_checksum_verification=True, read_dictionary=["kind", "phase"], memory_map=False
        ) as file:
            table = file.read(use_threads=False)
    except FileNotFoundError:
        raise _MISSING from None
    except (OSError, pa.ArrowException) as error:
        raise DamagedTraceError(f"damaged: {str(error).splitlines()[0]}") from error
    if not table.schema.equals(_READ_SCHEMA):
        raise DamagedTraceError(f"damaged: its columns are {', '.join(map(str, table.schema))}")
    return table


def _one_table(runs: Iterable[int], tables: Sequence[pa.Table]) -> pa.Table:
    run = np.repeat(np.fromiter(runs, np.int32), [len(table) for table in tables])
    return pa.concat_tables(tables).unify_dictionaries().append_column("run", pa.array(run))


def _rows(kind: str, together: pa.Table, columns: Sequence[str], stride: int = 1) -> pa.Table:
    wanted = pc.equal(together["kind"], kind)
    if stride > 1:
        step = pc.fill_null(together["step"], 0)
        wanted = pc.and_(wanted, pc.equal(step, pc.multiply(pc.divide(step, stride), stride)))
    return together.select(["run", *columns]).filter(wanted).cast(_schema(columns))


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
