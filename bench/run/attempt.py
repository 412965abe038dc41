"""One worker process from start to end: started as its cell asks, watched, judged."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.cell import Cell
from bench.errors import Unavailable
from bench.plan.host import clean_environment
from bench.records import NoiseRecord, RunRequest, Status, WorkerOutcome, to_plain
from bench.run.keeping import UNSEEN, Exit
from bench.run.noise import Look, look, noise_between
from bench.run.oom import says_out_of_memory
from bench.run.outcome import Ending, judge, oom_kills, read_outcome
from bench.run.processes import SpawnedWorker, TemplateEnded, WorkerProcess
from bench.run.templates import templates
from bench.run.watch import see_to_its_end
from bench.run.worker import HEARTBEAT, OUTCOME, TRACE
from bench.store.writer import write_json


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One worker process, from start to end, and what it left."""

    isolation: str
    status: Status
    reason: str | None
    exit: Exit = UNSEEN
    outcome: WorkerOutcome | None = None
    import_s: float | None = None
    wall_s: float = 0.0
    noise: NoiseRecord | None = None


def attempt(request: RunRequest, request_file: Path, log: Path) -> Attempt:
    """Starts a worker for the request and sees it to its end."""
    folder = Path(request.folder)
    for stale in (OUTCOME, TRACE, HEARTBEAT):
        (folder / stale).unlink(missing_ok=True)
    cell = Cell.from_plain(request.cell)
    isolation = isolation_of(cell)
    kills_before = oom_kills()
    try:
        started = _start(request, cell, isolation, request_file, log)
    except Unavailable as error:
        return Attempt(isolation=isolation, status=Status.UNAVAILABLE, reason=str(error))
    except TemplateEnded as error:
        status = Status.OOM if says_out_of_memory(str(error)) else Status.CRASHED
        return Attempt(isolation=isolation, status=status, reason=str(error))
    end, overdue = see_to_its_end(started.process, cell.protocol, folder / HEARTBEAT)
    wall_s = time.monotonic() - started.at_s
    ended = look()
    outcome = read_outcome(folder)
    if outcome is not None:
        status, reason = outcome.status, outcome.reason
    else:
        killed = None if kills_before is None else (oom_kills() or 0) - kills_before
        status, reason = judge(Ending(exit=end, overdue=overdue, oom_kills=killed, log=log))
    return Attempt(
        isolation=isolation,
        status=status,
        reason=reason,
        exit=end,
        outcome=outcome,
        import_s=started.import_s,
        wall_s=wall_s,
        noise=noise_between(started.look, ended, end.usage),
    )


def isolation_of(cell: Cell) -> str:
    """``fork`` where a template may be forked: on Linux, for the CPU; else ``spawn``."""
    can_fork = sys.platform == "linux" and cell.device == "cpu"
    return "fork" if can_fork and cell.protocol.isolation != "spawn" else "spawn"


@dataclass(frozen=True)
class _Started:
    """A worker on its way: since when (monotonic seconds), the machine before, and what its template's import took."""

    process: WorkerProcess
    at_s: float
    look: Look
    import_s: float | None


def _start(request: RunRequest, cell: Cell, isolation: str, request_file: Path, log: Path) -> _Started:
    """Starts the cell's worker; a template that ended since its last run is replaced, once.

    Raises:
        Unavailable: the framework cannot be imported, or its interpreter not started.
        TemplateEnded: the new template ended as well.
    """
    try:
        return _start_once(request, cell, isolation, request_file, log)
    except TemplateEnded:
        return _start_once(request, cell, isolation, request_file, log)


def _start_once(request: RunRequest, cell: Cell, isolation: str, request_file: Path, log: Path) -> _Started:
    start, import_s = _starter(cell, isolation, request.environment)
    before = look()
    write_json(request_file, to_plain(replace(request, requested_ns=time.perf_counter_ns())))
    at_s = time.monotonic()
    return _Started(start(request_file, log), at_s, before, import_s)


Starter = Callable[[Path, Path], WorkerProcess]


def _starter(cell: Cell, isolation: str, variables: dict[str, str]) -> tuple[Starter, float | None]:
    """What starts the cell's worker, ready to do so, and what its template's import took."""
    environment = clean_environment(os.environ, variables)
    if isolation == "spawn":
        return lambda request, log: SpawnedWorker(cell.python, request, log, environment), None
    template = templates.get(cell, environment, variables)
    return template.start, template.import_s
