"""One sweep from its first folder to its report, whoever launches its runs.

``conduct`` claims the folder, writes ``sweep.json``, data and the rows of what cannot run here, has every round
launched, and builds the report; ``resume`` does the same for a sweep that has its folder, and launches only what has no
record. What a launcher calls for each run is ``bench.sweep.job``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench.errors import RequiredMissing, StorageError
from bench.plan.plan import Plan, names_of
from bench.plan.space import bytes_needed
from bench.records import Status, SweepRecord
from bench.run.progress import Progress
from bench.run.supervisor import close_templates, record_unavailable
from bench.store import journal
from bench.store.claim import link_latest, locked, new_folder
from bench.store.layout import SweepFolder
from bench.store.leftovers import remove_leftovers
from bench.store.reader import read_result, read_sweep
from bench.store.sessions import is_finished, planned_rounds
from bench.store.space import require_space
from bench.store.writer import write_sweep
from bench.sweep.job import planned_cells
from bench.sweep.leaving import Leaving, Left
from bench.sweep.record import store_data, sweep_record
from bench.sweep.resuming import code_of, plan_of, reopen, unfinished_like
from bench.sweep.rounds import Rounds
from bench.sweep.show import make_console

RUNS_FAILED = 3

Launch = Callable[[SweepFolder, int, Mapping[int, str]], list[Status]]
"""Runs the given cells of a round, by their places in its order, and returns how each ended."""

Show = Callable[[SweepFolder, Console], None]


@dataclass(frozen=True)
class Resumption:
    """A sweep that has a folder, to be gone on with.

    Attributes:
        folder: the sweep's.
        retry: how runs ended that are to be done again.
        asked: a plan that must be the sweep's own; None asks for whatever was planned.
        budget_s: seconds after which this call begins no further run; None is no bound.
    """

    folder: SweepFolder
    retry: Collection[str] = ()
    asked: Plan | None = None
    budget_s: float | None = None


def conduct(plan: Plan, launch: Launch, *, overrides: Sequence[str], show: Show | None = None) -> int:
    """Runs a whole sweep and returns its exit code; one that has the name already, or was cut short, is gone on with.

    Args:
        plan: what to run.
        launch: runs one round.
        overrides: the Hydra overrides in force.
        show: prints the end; the summary of a sweep unless given.

    Raises:
        UsageError: the name belongs to a sweep with another plan, or from another machine.
        RequiredMissing: something required turned out not to be there while running.
        StorageError: results cannot be written.
        FolderInUse: somebody else writes to the folder.
        Left: the sweep was left before its end.
    """
    config = plan.config.sweep
    results = Path(config.dir).resolve()
    folder = _folder_of(plan, results)
    console = make_console()
    with _held(folder, config.budget_s):
        if folder.sweep_json.exists():
            resumption = Resumption(folder, config.retry, plan, config.budget_s)
            plan, record = _reopen(resumption, overrides, console)
        else:
            record = _prepare(plan, folder, overrides)
        return _conduct(plan, folder, record, launch, show or _summary, console)


def _folder_of(plan: Plan, results: Path) -> SweepFolder:
    """The sweep's folder: that of its name, else of the same sweep where it was cut short, else a new one."""
    name = plan.config.sweep.name
    begun = unfinished_like(results, plan) if name is None else SweepFolder(results / name)
    if begun is not None and begun.sweep_json.exists():
        return begun
    require_space(results, bytes_needed(plan))
    return new_folder(results, name)


def resume(resumption: Resumption, launch: Launch, *, overrides: Sequence[str]) -> int:
    """Runs what a sweep has no record of, and returns the exit code of the whole.

    Raises:
        UsageError: there is no such sweep, or it would not be the one that was begun.
        RequiredMissing: as ``conduct``.
        StorageError: as ``conduct``.
        FolderInUse: as ``conduct``.
        Left: as ``conduct``.
    """
    read_sweep(resumption.folder)  # that there is one, before a lock is written
    console = make_console()
    with _held(resumption.folder, resumption.budget_s):
        plan, record = _reopen(resumption, overrides, console)
        return _conduct(plan, resumption.folder, record, launch, _summary, console)


def _reopen(resumption: Resumption, overrides: Sequence[str], console: Console) -> tuple[Plan, SweepRecord]:
    """The plan and the record of a sweep that has its folder, ready to go on."""
    folder = resumption.folder
    record = read_sweep(folder)
    plan = plan_of(record)
    aside = reopen(folder, record, asked=resumption.asked, retry=resumption.retry, overrides=overrides)
    planned_cells.cache_clear()
    finished = _finished(folder, record)
    require_space(folder.path, bytes_needed(plan, finished))
    again = ", ".join(f"{count} {word}" for word, count in sorted(aside.items()))
    told = f"resuming {folder.name}: {len(finished)} of {plan.total_runs} runs have their record"
    console.print(Text(f"{told}; set aside, to be run again: {again}" if again else told))
    if code := code_of(record):
        console.print(Text(f"Not surely the same code: {code}", style="yellow"))
    return plan, record


def _conduct(plan: Plan, folder: SweepFolder, record: SweepRecord, launch: Launch, show: Show, console: Console) -> int:
    """Every round, then the report; the lock is held and the signals are watched."""
    if reason := link_latest(folder):
        console.print(reason, style="yellow", highlight=False)
    with _reported(folder, console, show):
        statuses = _run_rounds(plan, folder, record, launch)
        # Of no use to a sweep that has finished. One that was left early keeps them, to go on from.
        shutil.rmtree(folder.cache, ignore_errors=True)
    _check_required_ran(plan, statuses)
    return RUNS_FAILED if any(status.failed for ended in statuses for status in ended.values()) else 0


@contextmanager
def _held(folder: SweepFolder, budget_s: float | None) -> Iterator[None]:
    """The folder is ours and the signals are watched; whoever leaves it is told how to go on."""
    with locked(folder), Leaving(budget_s):
        try:
            yield
        except Left as left:
            if left.resume is None and folder.sweep_json.exists():
                _tell_of(left, folder)
            raise


def _tell_of(left: Left, folder: SweepFolder) -> None:
    """Tells the journal that the sweep is left, and the user how to go on; a signal may come when all has been run."""
    left.resume = folder.resume_command()
    if not is_finished(folder):
        journal.append(folder, journal.SWEEP_STOPPED, why=left.why.label)


@contextmanager
def _reported(folder: SweepFolder, console: Console, show: Show) -> Iterator[None]:
    """However the rounds end, templates do, and what was measured has its report: it is what the user gets for it."""
    try:
        try:
            yield
        finally:
            close_templates()
    except Left as left:
        _tell_of(left, folder)
        if not left.at_once:
            _report(folder, console, show)
        raise
    except StorageError:
        raise  # a report could not be written either
    except BaseException:
        _report(folder, console, show)
        raise
    _report(folder, console, show)


def _prepare(plan: Plan, folder: SweepFolder, overrides: Sequence[str]) -> SweepRecord:
    remove_leftovers(folder)  # of a call that died before the plan was written
    store_data(plan, folder)
    record = sweep_record(plan, folder, overrides)
    write_sweep(folder, record)
    journal.append(folder, journal.SWEEP_STARTED, total_runs=plan.total_runs, cells=len(plan.runs))
    return record


def _finished(folder: SweepFolder, record: SweepRecord) -> set[tuple[str, int]]:
    """The planned runs that have their record, by cell id and round."""
    return {
        (cell_id, round_)
        for round_, cell_ids in enumerate(record.rounds)
        for cell_id in cell_ids
        if folder.run(cell_id, round_).result.exists()
    }


def _run_rounds(plan: Plan, folder: SweepFolder, record: SweepRecord, launch: Launch) -> list[dict[str, Status]]:
    """For every round how each of its cells ended."""
    statuses: list[dict[str, Status]] = []
    with Progress(folder, sum(map(len, planned_rounds(folder, record)))):
        for planned in record.cells:
            if planned.unavailable_reason is not None and read_result(folder.run(planned.id, 0)) is None:
                record_unavailable(folder, planned)
        rounds = Rounds(plan, folder, record.cells)
        for round_, cell_ids in rounds:
            statuses.append(_run_round(folder, round_, cell_ids, launch))
    journal.append(folder, journal.SWEEP_FINISHED, stopped=rounds.stopped)
    return statuses


def _run_round(folder: SweepFolder, round_: int, cell_ids: Sequence[str], launch: Launch) -> dict[str, Status]:
    """How each cell of a round ended, those that have their record already as it says."""
    done = {cell_id: read_result(folder.run(cell_id, round_)) for cell_id in cell_ids}
    ended = {cell_id: result.status for cell_id, result in done.items() if result is not None}
    places = {order: cell_id for order, cell_id in enumerate(cell_ids) if cell_id not in ended}
    launched = launch(folder, round_, places) if places else []
    return ended | dict(zip(places.values(), launched, strict=True))


def _anything_ran(folder: SweepFolder) -> bool:
    return next(folder.runs.glob("*/r*/result.json"), None) is not None


def _report(folder: SweepFolder, console: Console, show: Show) -> None:
    """Builds and shows it, where there is anything to report."""
    if not _anything_ran(folder):
        return
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
