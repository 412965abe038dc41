"""How a run ended: the worker's own word where it left one, else what the process, its log and the kernel tell."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.records import Status, WorkerOutcome
from bench.run.keeping import Exit
from bench.run.oom import says_out_of_memory
from bench.run.worker import OUTCOME

_OUTCOME = TypeAdapter(WorkerOutcome)
_LOG_TAIL_BYTES = 8_192


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Everything the supervisor knows of a process that has ended.

    Attributes:
        exit: code or signal.
        overdue: why the supervisor ended it; None where it did not.
        oom_kills: processes the kernel killed for memory in our control group meanwhile; None where unknown.
        log: the worker's log.
    """

    exit: Exit
    overdue: str | None = None
    oom_kills: int | None = None
    log: Path


def read_outcome(folder: Path) -> WorkerOutcome | None:
    """What the worker wrote of itself, or None where it wrote nothing readable."""
    try:
        return _OUTCOME.validate_json((folder / OUTCOME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def judge(ending: Ending) -> tuple[Status, str]:
    """Status and reason of a worker that ended without an outcome."""
    if ending.overdue is not None:
        return Status.TIMEOUT, ending.overdue
    how = _in_words(ending.exit)
    tail = log_tail(ending.log)
    if ending.exit.code is None and ending.exit.signal in (None, "SIGKILL") and (ending.oom_kills or 0) > 0:
        return Status.OOM, f"{how}; the kernel's out-of-memory killer was at work meanwhile"
    if says_out_of_memory(tail):
        return Status.OOM, f"{how}; its log ends with: {_last_line(tail)}"
    said = f"; its log ends with: {_last_line(tail)}" if tail.strip() else ""
    return Status.CRASHED, f"{how} and left no record{said}"


def oom_kills(control_group_root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self")) -> int | None:
    """Processes killed for memory so far in our control group (version 2); None where nothing counts them."""
    try:
        ours = (proc / "cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        events = (control_group_root / ours / "memory.events").read_text()
    except OSError:
        return None
    counts = dict(line.split() for line in events.splitlines())
    return int(counts["oom_kill"]) if "oom_kill" in counts else None


def log_tail(log: Path) -> str:
    """The end of a log, or nothing where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def _in_words(end: Exit) -> str:
    if end.signal is not None:
        return f"the worker was ended by {end.signal}"
    if end.code is not None:
        return f"the worker exited with code {end.code}"
    return "the worker vanished with its template"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
