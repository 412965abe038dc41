"""One run of a sweep, from the sweep's folder alone: any launcher can call it, in any process."""

from __future__ import annotations

from functools import lru_cache

from bench.cell import Cell
from bench.errors import StorageError
from bench.plan.space import bytes_of_run
from bench.records import PlannedCell, RunResult
from bench.run.supervisor import record_skipped, run_cell
from bench.store.data import data_file
from bench.store.layout import SweepFolder
from bench.store.reader import read_result, read_sweep
from bench.store.sessions import last_resumed
from bench.store.space import require_space
from bench.sweep.leaving import one_run
from bench.sweep.resuming import with_patience
from bench.sweep.skipping import skipped_after_oom


def run_job(folder: SweepFolder, cell_id: str, *, round_: int, order: int) -> RunResult:
    """One run of a sweep; a run that has its record already is not repeated.

    Raises:
        StorageError: the record cannot be written, or will not fit on the disk.
        Left: the sweep is to be left.
    """
    run_folder = folder.run(cell_id, round_)
    done = read_result(run_folder)
    if done is not None:
        return done
    with one_run():
        _check_there(folder)
        planned, cells = planned_cells(folder)
        cell = cells[cell_id]
        require_space(folder.path, bytes_of_run(cell))
        if reason := skipped_after_oom(folder, cell, cells):
            return record_skipped(folder, planned[cell_id], round_, order, reason)
        return run_cell(
            folder,
            cell,
            round_=round_,
            order_in_round=order,
            target_loss=planned[cell_id].target_loss,
            data_file=data_file(folder, cell.data),
        )


def _check_there(folder: SweepFolder) -> None:
    """A folder that somebody has removed meanwhile is not made anew by its next run."""
    if not folder.sweep_json.exists():
        raise StorageError(
            f"{folder.sweep_json} is gone",
            "a sweep's folder is left alone while it is written",
            "run the sweep again; what was measured went with the folder",
        )


@lru_cache(maxsize=2)
def planned_cells(folder: SweepFolder) -> tuple[dict[str, PlannedCell], dict[str, Cell]]:
    """The cells of a sweep by id, as planned and as they are waited for; whoever resumes it clears the cache."""
    planned, waits = {planned.id: planned for planned in read_sweep(folder).cells}, last_resumed(folder)
    return planned, {id_: with_patience(Cell.from_plain(one.cell), waits) for id_, one in planned.items()}
