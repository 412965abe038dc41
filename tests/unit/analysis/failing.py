"""Runs of a synthetic sweep that fail after the fact."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bench.cell import Cell
from bench.records import SKIPPED_AFTER_OOM, Status
from bench.store.layout import SweepFolder
from bench.store.reader import read_result, read_sweep
from bench.store.writer import write_result


def fail(
    folder: SweepFolder,
    framework: str,
    batch_size: int,
    status: Status,
    *,
    reason: str = "planted by the test",
    rounds: Iterable[int] = range(5),
) -> SweepFolder:
    """Ends the runs of a framework's cells of one batch size in another way, in these rounds."""
    for planned in read_sweep(folder).cells:
        cell = Cell.from_plain(planned.cell)
        if (cell.framework, cell.batch_size) != (framework, batch_size):
            continue
        for round_ in rounds:
            run = folder.run(planned.id, round_)
            before = read_result(run)
            assert before is not None
            run.trace.unlink(missing_ok=True)
            run.result.unlink()
            write_result(run, replace(before, status=status, reason=reason))
    return folder


def run_out_of_memory(folder: SweepFolder, framework: str, batch_size: int, skipped: int) -> SweepFolder:
    """Every run at one batch size ends for want of memory, and a larger one is skipped."""
    fail(folder, framework, batch_size, Status.OOM)
    return fail(folder, framework, skipped, Status.UNAVAILABLE, reason=f"{SKIPPED_AFTER_OOM}{batch_size}")
