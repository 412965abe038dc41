"""How a run ended: the worker's own word where it left one, else what the process, its log and the kernel tell."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.records import Status, WorkerOutcome
from bench.run.keeping import Exit, signal_name
from bench.run.oom import says_out_of_memory
from bench.run.room import Room
from bench.run.worker import OUTCOME
from bench.store.writer import unreadable
from bench.text import size_text

_OUTCOME = TypeAdapter(WorkerOutcome)
_LOG_TAIL_BYTES = 8_192
# How a program ends that does not look whether it was given the memory that it asked for.
_AFTER_FAILED_ALLOCATION = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGTRAP")
_KERNEL_AT_WORK = "the kernel's out-of-memory killer was at work meanwhile"
# How an exception says that a program it waited for was killed (g++, subprocess, a shell).
_CHILD_KILLED = re.compile(r"\bkilled\b|sigkill|signal 9\b|status (?:-9|137)\b", re.IGNORECASE)
_KILLED_AT_SHARE = 0.8
"""Of a control group's limit: what one process held when it was killed, where nobody counts the kernel's kills."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Everything the supervisor knows of a process that has ended.

    Attributes:
        exit: code or signal.
        overdue: why the supervisor ended it; None where it did not.
        oom_kills: processes the kernel killed for memory in our control group meanwhile; None where unknown.
        group_limit_bytes: memory the control group allows; None where it allows all there is.
        room: the worker's own limits.
        importing: the framework that it was still importing; None where it had, or was forked from what had.
        log: the worker's log.
    """

    exit: Exit
    overdue: str | None = None
    oom_kills: int | None = None
    group_limit_bytes: int | None = None
    room: Room = field(default_factory=Room)
    importing: str | None = None
    log: Path

    @property
    def peak_bytes(self) -> int | None:
        """The kernel's word on the highest resident set."""
        return self.exit.usage.peak_rss_bytes if self.exit.usage is not None else None

    @property
    def signal(self) -> str | None:
        """The signal that ended it, also where a shell around the interpreter passed it on as 128 + its number."""
        if self.exit.code is not None and 128 < self.exit.code <= 128 + max(signal.Signals):
            return signal_name(self.exit.code - 128)
        return self.exit.signal

    @property
    def was_killed(self) -> bool:
        """Whether it was killed as the kernel kills, or vanished with what watched over it."""
        return self.signal == "SIGKILL" or (self.exit.code, self.exit.signal) == (None, None)


def read_outcome(folder: Path) -> WorkerOutcome | None:
    """What the worker wrote of itself, or None where it wrote nothing readable.

    Raises:
        StorageError: the file is there and may not be read.
    """
    try:
        return _OUTCOME.validate_json((folder / OUTCOME).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    except OSError as error:
        raise unreadable(folder / OUTCOME, error) from error


def as_it_says(outcome: WorkerOutcome, ending: Ending) -> tuple[Status, str | None]:
    """The worker's own word; what it cannot know is that it was the kernel that killed its compiler."""
    status, reason = outcome.status, outcome.reason
    if status is Status.ERROR and (ending.oom_kills or 0) > 0 and _CHILD_KILLED.search(reason or ""):
        status, reason = Status.OOM, f"{reason}; {_KERNEL_AT_WORK}"
    if status is not Status.OOM:
        return status, reason
    peak = peak_in_words(peak_of(outcome, ending), ending.room, ending.group_limit_bytes)
    return status, "; ".join(part for part in (reason, peak) if part)


def peak_of(outcome: WorkerOutcome | None, ending: Ending) -> int | None:
    """The worker's highest resident set: by its own word, which leaves its children out, else by the kernel's."""
    return ending.peak_bytes if outcome is None or outcome.process_peak_bytes is None else outcome.process_peak_bytes


def judge(ending: Ending) -> tuple[Status, str]:
    """Status and reason of a worker that ended without an outcome."""
    if ending.overdue is not None:
        still = f", while {ending.importing} was being imported" if ending.importing else ""
        return Status.TIMEOUT, ending.overdue + still
    how, tail = _in_words(ending.exit), log_tail(ending.log)
    said = f"; its log ends with: {_last_line(tail)}" if tail.strip() else ""
    if memory := _why_memory(ending, tail):
        peak = peak_in_words(ending.peak_bytes, ending.room, ending.group_limit_bytes)
        return Status.OOM, "; ".join(part for part in (how, memory, peak) if part)
    if ending.importing is not None and not ending.was_killed and ending.signal != "SIGTERM":
        return Status.UNAVAILABLE, f"{ending.importing} cannot be imported: {how}{said}"
    return Status.CRASHED, f"{how} and left no record{said}"


def _why_memory(ending: Ending, tail: str) -> str | None:
    """What points to memory that ran out; None where nothing does."""
    if ending.was_killed and (ending.oom_kills or 0) > 0:
        return _KERNEL_AT_WORK
    if says_out_of_memory(tail):
        return f"its log ends with: {_last_line(tail)}"
    if ending.signal in _AFTER_FAILED_ALLOCATION and (bound := ending.room.tight(ending.peak_bytes)):
        return f"so ends what gets no more memory, and {bound.name} allows it {size_text(bound.limit_bytes)}"
    if ending.was_killed and ending.oom_kills is None and _near(ending.peak_bytes, ending.group_limit_bytes):
        return "it was killed near the limit of its control group, where nobody counts the kernel's kills"
    return None


def _near(peak_bytes: int | None, limit_bytes: int | None) -> bool:
    return bool(peak_bytes and limit_bytes) and (peak_bytes or 0) >= _KILLED_AT_SHARE * (limit_bytes or 0)


def peak_in_words(peak_bytes: int | None, room: Room, group_limit_bytes: int | None) -> str:
    """The highest resident set and the limits it ran up against; nothing where it is not known."""
    if peak_bytes is None:
        return ""
    grown = peak_bytes - room.rss_bytes
    limits = [
        f"about {size_text(bound.used_bytes(grown))} of the {size_text(bound.limit_bytes)} of {bound.name}"
        for bound in room.bounds
    ]
    if group_limit_bytes is not None:
        limits.append(f"a limit of {size_text(group_limit_bytes)} (control group)")
    if not limits:
        return f"peak {size_text(peak_bytes)}"
    if room.bounds:
        return f"peak {size_text(peak_bytes)} resident, {', '.join(limits)}"
    return f"peak {size_text(peak_bytes)} of {limits[0]}"


def log_tail(log: Path) -> str:
    """The end of a log, or nothing where there is none.

    Raises:
        StorageError: it is there and may not be read.
    """
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise unreadable(log, error) from error


def _in_words(end: Exit) -> str:
    if end.signal is not None:
        return f"the worker was ended by {end.signal}"
    if end.code is not None:
        return f"the worker exited with code {end.code}"
    return "the worker vanished with the process that watched over it"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
