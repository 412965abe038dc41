"""One worker process from start to end: started as its cell asks, watched, judged."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.cell import Cell
from bench.errors import NotInTime, StorageError, Unavailable
from bench.plan.gpus import held_by_others, nvidia
from bench.plan.host import clean_environment
from bench.plan.system import SystemFiles
from bench.records import NoiseRecord, RunRequest, Status, WorkerOutcome, to_plain
from bench.run.files import remove
from bench.run.keeping import UNSEEN, Exit
from bench.run.noise import Look, look, noise_between
from bench.run.oom import says_out_of_memory
from bench.run.outcome import Ending, as_it_says, judge, log_tail, peak_of, read_outcome
from bench.run.processes import SpawnedWorker, TemplateEnded, WorkerProcess
from bench.run.room import read_room
from bench.run.templates import templates
from bench.run.watch import see_to_its_end
from bench.run.worker import CANNOT_WRITE, CANNOT_WRITE_MARK, HEARTBEAT, OUTCOME, TRACE
from bench.store.writer import way_on, write_json


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
    peak_bytes: int | None = None
    peak_reason: str | None = "no worker was started"


def attempt(request: RunRequest, request_file: Path, log: Path) -> Attempt:
    """Starts a worker for the request and sees it to its end.

    Raises:
        StorageError: the worker, or we, could not write or read what lies in the run's folder.
    """
    folder = Path(request.folder)
    remove(*(folder / stale for stale in (OUTCOME, TRACE, HEARTBEAT)))
    cell = Cell.from_plain(request.cell)
    isolation = isolation_of(cell)
    kills = _Kills()
    try:
        started = _start(request, cell, isolation, request_file, log)
    except NotInTime as error:
        return Attempt(isolation=isolation, status=Status.TIMEOUT, reason=f"{error.thing}: {error.next_step}")
    except Unavailable as error:
        status = Status.OOM if says_out_of_memory(str(error)) else Status.UNAVAILABLE
        return Attempt(isolation=isolation, status=status, reason=str(error))
    except TemplateEnded as error:
        status = Status.OOM if kills.meanwhile() or says_out_of_memory(str(error)) else Status.CRASHED
        return Attempt(isolation=isolation, status=status, reason=str(error))
    end, overdue = see_to_its_end(started.process, cell.protocol, folder / HEARTBEAT)
    wall_s = time.monotonic() - started.at_s
    ended = look(gpu=cell.device == "gpu")
    outcome = read_outcome(folder)
    if outcome is None and end.code == CANNOT_WRITE:
        raise _worker_cannot_write(folder, log)
    ending = Ending(
        exit=end,
        overdue=overdue,
        oom_kills=kills.meanwhile(),
        group_limit_bytes=SystemFiles().cgroup_memory_bytes().value,
        room=read_room(folder / HEARTBEAT),
        importing=None if isolation == "fork" or (folder / HEARTBEAT).exists() else _framework(cell),
        log=log,
    )
    status, reason = judge(ending) if outcome is None else as_it_says(outcome, ending)
    if status is Status.OOM and cell.device == "gpu":
        reason = "; ".join(part for part in (reason, held_by_others(nvidia())) if part)
    peak_bytes = peak_of(outcome, ending)
    return Attempt(
        isolation=isolation,
        status=status,
        reason=reason,
        exit=end,
        outcome=outcome,
        import_s=started.import_s,
        wall_s=wall_s,
        noise=noise_between(started.look, ended, end.usage),
        peak_bytes=peak_bytes,
        peak_reason=None if peak_bytes is not None else _why_no_peak(end),
    )


class _Kills:
    """How many processes the kernel kills for memory in our control group from here on."""

    def __init__(self) -> None:
        self._before = SystemFiles().oom_kills().value

    def meanwhile(self) -> int | None:
        """So many; None where nothing counts them."""
        now = SystemFiles().oom_kills().value
        return None if self._before is None or now is None else now - self._before


def _why_no_peak(end: Exit) -> str:
    if end.usage is None:
        return "the worker vanished with the process that watched over it, and nobody counted what it used"
    return "this system does not count the resident set of a process"


def _framework(cell: Cell) -> str:
    return cell.framework if cell.backend is None else f"{cell.framework} on {cell.backend}"


def _worker_cannot_write(folder: Path, log: Path) -> StorageError:
    said = [line for line in log_tail(log).splitlines() if line.startswith(CANNOT_WRITE_MARK)]
    what = said[-1].removeprefix(CANNOT_WRITE_MARK) if said else f"what it measured in {folder}"
    return StorageError(
        f"the worker could not write {what}",
        "every record must reach the disk before the sweep goes on",
        way_on(folder, "free some space and make it writable"),
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
    before = look(gpu=cell.device == "gpu")
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
