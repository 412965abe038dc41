"""Goes on with a sweep that has a folder: the same plan on the same machine, every record checked, the rest run.

What was planned is read from ``sweep.json`` and the journal, not composed anew: defaults that have changed since change
nothing. A plan that is given as well must be the same. A record that cannot be trusted is set aside with its reason and
its run is done again; so are runs that ended in a way the user wants to see retried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

import bench
from bench.cell import PATIENCE, Cell
from bench.config import read_config
from bench.config.schema import FAILED
from bench.errors import BenchError, UsageError
from bench.plan.changes import changes
from bench.plan.machine import git_state, machine, software
from bench.plan.place import moved, other_code
from bench.plan.plan import Plan, PlannedRun
from bench.plan.rounds import stopping_of
from bench.records import RunResult, Status, SweepRecord
from bench.store import journal
from bench.store.aside import set_aside
from bench.store.claim import LATEST
from bench.store.holder import read_holder
from bench.store.layout import SweepFolder
from bench.store.leftovers import remove_leftovers
from bench.store.reader import read_cell, read_results, read_sweep
from bench.store.sessions import is_finished
from bench.store.trace_reader import why_damaged
from bench.sweep.skipping import is_skipped_after_oom

DAMAGED = "damaged"


def plan_of(record: SweepRecord) -> Plan:
    """The plan of a sweep that was begun, with the rounds that were added to it.

    Raises:
        UsageError: it cannot be gone on with by this version.
    """
    try:
        config = read_config({name: value for name, value in record.config.items() if name != "job"})
    except UsageError as error:
        raise _of_another_version(record, str(error).splitlines()[0]) from error
    runs = []
    for planned in record.cells:
        cell = read_cell(planned)
        if cell.id != planned.id:
            raise _of_another_version(record, f"what it calls {planned.id} is measured differently by now")
        runs.append(PlannedRun(cell, config.data, planned.unavailable_reason))
    return Plan(config, runs, record.rounds, stopping_of(config.protocol))


def _of_another_version(record: SweepRecord, why: str) -> UsageError:
    return UsageError(
        f"{record.name} cannot be resumed: {why}",
        f"a sweep is finished by the version that began it, here {record.bench_version}",
        "install that version, or run a new sweep; `bench report` reads what is there",
    )


def check_unchanged(folder: SweepFolder, record: SweepRecord, asked: Plan | None) -> None:
    """Refuses another plan and another machine.

    Raises:
        UsageError: the sweep would not be the one that was begun.
    """
    if asked is not None and (lines := changes(record, asked)):
        raise UsageError(
            f"{folder.path} holds a sweep with another plan:",
            "\n".join([*lines, "a sweep is finished as it was planned: what was measured is never overwritten"]),
            f"go on with it by: {folder.resume_command()}, or choose another name for a new one",
        )
    if lines := _moved(record):
        raise UsageError(
            f"{folder.path} was begun on another machine or with other software:",
            "\n".join([*lines, "the rounds of a sweep are of one machine and its software"]),
            "go on there, or run a new sweep here and compare the two with: bench compare",
        )


def unfinished_like(results: Path, plan: Plan) -> SweepFolder | None:
    """The latest sweep, where it is the same and was cut short: what the same command, typed again, is to finish.

    The same plan, machine, software and code of the harness, all of it committed; else a new sweep is begun.
    """
    folder = SweepFolder((results / LATEST).resolve())
    holder = read_holder(folder.holder)
    if holder is not None and (not holder.is_here or psutil.pid_exists(holder.pid)):
        return None
    try:
        if not folder.sweep_json.exists() or is_finished(folder):
            return None
        record = read_sweep(folder)
        same = not changes(record, plan) and code_of(record) is None
        return folder if same and not _moved(record) else None
    except BenchError:  # of another version, or damaged: nothing that this command could finish
        return None


def code_of(record: SweepRecord) -> str | None:
    """How the harness differs from the one that the sweep began with; None where it is surely the same."""
    return other_code(record, bench.__version__, git_state(Path(bench.__file__).parent))


def _moved(record: SweepRecord) -> list[str]:
    pythons = sorted({str(planned.cell["python"]) for planned in record.cells if planned.cell.get("python")})
    return moved(record, machine(), software(pythons))


def patience(record: SweepRecord, asked: Plan | None) -> dict[str, float]:
    """How long runs are to be waited for from now on, where that is asked for and is not as planned."""
    if asked is None or not asked.runs or not record.cells:
        return {}
    now, was = asked.runs[0].cell.protocol, record.cells[0].cell["protocol"]
    return {name: getattr(now, name) for name in PATIENCE if getattr(now, name) != was.get(name)}


def with_patience(cell: Cell, waits: Mapping[str, Any]) -> Cell:
    """The cell as it is to be waited for."""
    known: dict[str, Any] = {name: float(waits[name]) for name in PATIENCE if isinstance(waits.get(name), (int, float))}
    return replace(cell, protocol=replace(cell.protocol, **known))


def reopen(
    folder: SweepFolder,
    record: SweepRecord,
    *,
    asked: Plan | None,
    retry: Collection[str],
    overrides: Sequence[str],
) -> dict[str, int]:
    """Makes the folder of a sweep ready to go on; its lock is held.

    Args:
        folder: the sweep's.
        record: its record.
        asked: a plan that must be the sweep's own; None asks for whatever was planned.
        retry: how runs ended that are to be done again; see ``bench.config.schema.RETRIABLE``.
        overrides: what the user typed, for the journal.

    Returns:
        How many records were set aside, by their status; ``damaged`` counts those that cannot be trusted.

    Raises:
        UsageError: the sweep would not be the one that was begun.
        StorageError: the folder cannot be written.
    """
    check_unchanged(folder, record, asked)
    journal.mend(folder)
    remove_leftovers(folder)
    results = read_results(folder)
    counts = Counter(_set_aside(folder, result, retry) for result in results)
    del counts[None]
    journal.append(
        folder,
        journal.SWEEP_RESUMED,
        overrides=list(overrides),
        finished=len(results) - counts.total(),
        set_aside=counts,
        **patience(record, asked),
    )
    return {str(word): count for word, count in counts.items()}


def _set_aside(folder: SweepFolder, result: RunResult, retry: Collection[str]) -> str | None:
    """Sets aside the record of a run that is to be done again and says how it had ended; None where it stands."""
    harm = why_damaged(folder.run(result.cell_id, result.round))
    if harm is not None:
        set_aside(folder, result.cell_id, result.round, harm)
        return DAMAGED
    if not _is_retried(result, retry):
        return None
    set_aside(folder, result.cell_id, result.round, f"to be retried: it ended {result.status.value}: {result.reason}")
    return result.status.value


def _is_retried(result: RunResult, retry: Collection[str]) -> bool:
    if result.status.value in retry or (FAILED in retry and result.status.failed):
        return True
    # What was never tried because of a failure that is retried.
    return (FAILED in retry or Status.OOM.value in retry) and is_skipped_after_oom(result)
