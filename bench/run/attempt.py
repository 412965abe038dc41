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
from bench.records import RunRequest, Status, WorkerOutcome, to_plain
from bench.run.outcome import Ending, judge, oom_kills, read_outcome
from bench.run.processes import UNSEEN, Exit, SpawnedWorker, WorkerProcess
from bench.run.templates import templates
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


def attempt(request: RunRequest, request_file: Path, log: Path) -> Attempt:
    """Starts a worker for the request and sees it to its end."""
    folder = Path(request.folder)
    for stale in (OUTCOME, TRACE, HEARTBEAT):
        (folder / stale).unlink(missing_ok=True)
    cell = Cell.from_plain(request.cell)
    isolation = isolation_of(cell)
    try:
        start, import_s = _starter(cell, isolation, request.environment)
        request = replace(request, requested_ns=time.perf_counter_ns())
        write_json(request_file, to_plain(request))
        kills_before, began_s = oom_kills(), time.monotonic()
        process = start(request_file, log)
    except Unavailable as error:
        return Attempt(isolation=isolation, status=Status.UNAVAILABLE, reason=str(error))
    end, overdue = see_to_its_end(process, cell, folder / HEARTBEAT)
    outcome = read_outcome(folder)
    wall_s = time.monotonic() - began_s
    if outcome is not None:
        status, reason = outcome.status, outcome.reason
    else:
        killed = None if kills_before is None else (oom_kills() or 0) - kills_before
        status, reason = judge(Ending(exit=end, overdue=overdue, oom_kills=killed, log=log))
    return Attempt(
        isolation=isolation, status=status, reason=reason, exit=end, outcome=outcome, import_s=import_s, wall_s=wall_s
    )


def isolation_of(cell: Cell) -> str:
    """``fork`` where a template may be forked: on Linux, for the CPU; else ``spawn``."""
    can_fork = sys.platform == "linux" and cell.device == "cpu"
    return "fork" if can_fork and cell.protocol.isolation != "spawn" else "spawn"


def see_to_its_end(process: WorkerProcess, cell: Cell, heartbeat: Path) -> tuple[Exit, str | None]:
    """Waits for a worker; ends it where it takes too long, or shows no sign of life for too long.

    Returns:
        How it ended, and why it had to be ended (None where it ended by itself).
    """
    protocol = cell.protocol
    deadline_s = time.time() + protocol.timeout_s
    sign_of_life_s = time.time()
    try:
        while True:
            now_s = time.time()
            if now_s >= deadline_s:
                return _end(process), f"still running after protocol.timeout_s = {protocol.timeout_s:g} s"
            sign_of_life_s = max(sign_of_life_s, _changed_s(heartbeat))
            if now_s >= sign_of_life_s + protocol.stall_s:
                return _end(process), f"no sign of progress for protocol.stall_s = {protocol.stall_s:g} s"
            end = process.wait(max(0.01, min(deadline_s, sign_of_life_s + protocol.stall_s) - now_s))
            if end is not None:
                return end, None
    except BaseException:
        process.kill()
        raise


def _end(process: WorkerProcess) -> Exit:
    process.kill()
    return process.wait(30.0) or UNSEEN


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


Starter = Callable[[Path, Path], WorkerProcess]


def _starter(cell: Cell, isolation: str, variables: dict[str, str]) -> tuple[Starter, float | None]:
    """What starts the cell's worker, ready to do so, and what its template's import took."""
    environment = clean_environment(os.environ, variables)
    if isolation == "spawn":
        return lambda request, log: SpawnedWorker(cell.python, request, log, environment), None
    template = templates.get(cell, environment, variables)
    return template.start, template.import_s
