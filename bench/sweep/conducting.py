"""One sweep from its first folder to its report, whoever launches its runs.

``conduct`` claims the folder, writes ``sweep.json``, data and the rows of what cannot run here, has every round
launched, and builds the report. ``run_job`` is one of its runs: it needs the folder alone, so any launcher can call it.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import FrameType

from rich.console import Console

from bench.cell import Cell
from bench.errors import RequiredMissing
from bench.plan.plan import Plan, names_of
from bench.records import PlannedCell, RunResult, Status, SweepRecord
from bench.run.progress import Progress
from bench.run.supervisor import close_templates, record_unavailable, run_cell
from bench.store import journal
from bench.store.claim import link_latest, locked, new_folder
from bench.store.data import data_file
from bench.store.layout import SweepFolder
from bench.store.reader import read_result, read_sweep
from bench.store.writer import write_sweep
from bench.sweep.record import store_data, sweep_record
from bench.sweep.rounds import Rounds
from bench.sweep.show import make_console

RUNS_FAILED = 3
TERMINATED = 143

Launch = Callable[[SweepFolder, int, Sequence[str]], list[Status]]
"""Runs the given cells of a round, in their order, and returns how each ended."""

Show = Callable[[SweepFolder, Console], None]


def conduct(plan: Plan, launch: Launch, *, overrides: Sequence[str], show: Show | None = None) -> int:
    """Runs a whole sweep and returns its exit code.

    Args:
        plan: what to run.
        launch: runs one round.
        overrides: the Hydra overrides in force.
        show: prints the end; the summary of a sweep unless given.

    Raises:
        RequiredMissing: something required turned out not to be there while running.
        StorageError: results cannot be written.
        FolderInUse: somebody else writes to the folder.
    """
    config = plan.config.sweep
    folder = new_folder(Path(config.dir).resolve(), config.name)
    console = make_console()
    with locked(folder), _terminable():
        record = _prepare(plan, folder, overrides, console)
        try:
            statuses = _run_rounds(plan, folder, record, launch)
            # Of no use to a sweep that has finished. One that was interrupted keeps them, to go on from.
            shutil.rmtree(folder.cache, ignore_errors=True)
        finally:
            # Also after Ctrl-C: what was measured is kept, and its report is what the user gets for it.
            close_templates()
            if _anything_ran(folder):
                _report(folder, console, show or _summary)
    _check_required_ran(plan, statuses)
    return RUNS_FAILED if any(status.failed for ended in statuses for status in ended.values()) else 0


def run_job(folder: SweepFolder, cell_id: str, *, round_: int, order: int) -> RunResult:
    """One run of a sweep; a run that has its record already is not repeated.

    Raises:
        StorageError: the record cannot be written.
    """
    done = read_result(folder.run(cell_id, round_))
    if done is not None:
        return done
    planned = _planned_cells(folder)[cell_id]
    cell = Cell.from_plain(planned.cell)
    return run_cell(
        folder,
        cell,
        round_=round_,
        order_in_round=order,
        target_loss=planned.target_loss,
        data_file=data_file(folder, cell.data),
    )


@lru_cache(maxsize=2)
def _planned_cells(folder: SweepFolder) -> dict[str, PlannedCell]:
    return {planned.id: planned for planned in read_sweep(folder).cells}


def _prepare(plan: Plan, folder: SweepFolder, overrides: Sequence[str], console: Console) -> SweepRecord:
    store_data(plan, folder)
    record = sweep_record(plan, folder, overrides)
    write_sweep(folder, record)
    journal.append(folder, "sweep_started", total_runs=plan.total_runs, cells=len(plan.runs))
    if reason := link_latest(folder):
        console.print(reason, style="yellow", highlight=False)
    return record


def _run_rounds(plan: Plan, folder: SweepFolder, record: SweepRecord, launch: Launch) -> list[dict[str, Status]]:
    """For every round how each of its cells ended."""
    statuses: list[dict[str, Status]] = []
    with Progress(folder, plan.total_runs):
        for planned in record.cells:
            if planned.unavailable_reason is not None:
                record_unavailable(folder, planned)
        rounds = Rounds(plan, folder, record.cells)
        for round_, cell_ids in rounds:
            statuses.append(dict(zip(cell_ids, launch(folder, round_, cell_ids), strict=True)))
    journal.append(folder, journal.SWEEP_FINISHED, stopped=rounds.stopped)
    return statuses


def _anything_ran(folder: SweepFolder) -> bool:
    return next(folder.runs.glob("*/r*/result.json"), None) is not None


def _report(folder: SweepFolder, console: Console, show: Show) -> None:
    # Late: figures and tables take a second to import, which `plan` and every job of a launcher would pay.
    from bench.report.build import build_report

    build_report(folder)
    show(folder, console)


def _summary(folder: SweepFolder, console: Console) -> None:
    from bench.report.terminal import print_summary

    print_summary(folder, console)


def _check_required_ran(plan: Plan, statuses: Sequence[dict[str, Status]]) -> None:
    """A device can turn out to be missing only when an engine opens it."""
    for name in plan.config.sweep.require:
        asked = {run.cell.id for run in plan.runs if name in names_of(run.cell)}
        ended = [status for round_ in statuses for cell_id, status in round_.items() if cell_id in asked]
        if all(status is Status.UNAVAILABLE for status in ended):
            raise RequiredMissing(
                f"{name} is required but could not be used: see the runs' reasons in the report",
                "sweep.require lists what must be there",
            )


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM leaves like Ctrl-C does: through every ``finally``, with an exit code of its own."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
