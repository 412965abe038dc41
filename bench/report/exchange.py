"""Sweeps in other tools' files, out and in: what the verbs ``export`` and ``import`` do, and what they say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.analysis.benchmarks import benchmarks_of, left_out
from bench.analysis.tables import build_tables
from bench.errors import UsageError
from bench.report import format as fmt
from bench.store.benchmarks import import_benchmarks, read_benchmarks
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from bench.store.writer import write_json
from bench.text import one_line

RESULTS = Path("results")


def export_benchmarks(folder: SweepFolder, path: Path) -> Iterator[str]:
    """Writes a sweep as a file of pytest-benchmark; yields what to tell of it.

    Raises:
        UsageError: the folder holds no sweep, or none of its runs was timed.
        StorageError: the plan is damaged, a file cannot be read, or ``path`` not be written.
    """
    sweep, tables = read_sweep(folder), build_tables(folder)
    written = benchmarks_of(tables, sweep)
    if not written["benchmarks"]:
        raise UsageError(
            f"{folder.path} holds no run that was timed",
            "a benchmark is a cell with at least one step time",
            "run the sweep first: bench sweep --resume DIR goes on with one that was interrupted",
        )
    write_json(path, written)
    yield f"{path}: {fmt.plural(len(written['benchmarks']), 'cell')}, a number per run: seconds per step"
    if absent := left_out(tables):
        yield f"Left out, because no run of them was timed: {one_line(', '.join(absent))}"


def import_files(paths: Sequence[Path], output: Path | None) -> Iterator[str]:
    """Makes one sweep of files of pytest-benchmark that this harness wrote; yields what to tell of it.

    Args:
        paths: at least one; the rounds of each come after those of the one before.
        output: the sweep's folder, which must be new; None chooses one under ``results``.

    Raises:
        UsageError: a file is not of this harness, or they do not belong together, or the folder is taken.
        StorageError: the folder cannot be written.
    """
    files = [read_benchmarks(path) for path in paths]
    folder = SweepFolder((output or RESULTS / f"imported-{files[0].bench.name}").resolve())
    import_benchmarks(files, folder)
    sweep = read_sweep(folder)
    runs = sum(map(len, sweep.rounds))
    yield f"{folder.path}: {fmt.plural(runs, 'run')} of {fmt.plural(len(sweep.cells), 'cell')}"
    yield f"Report on it with: bench report {folder.path}"
