"""The journal: one line of JSON per event, appended and synced, never rewritten.

It is also the record of what was decided under way: the rounds that were added (``round_added``: which cells, in which
order, and why), each announced before its first run, and why there was no further one (``sweep_finished``). A sweep
that was cut in the middle of an added round has announced runs without a record: interrupted runs like any other.

Readers pass over what they cannot read: a line that a crash has cut or a disk has damaged costs that one event.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bench.store.content import content_of
from bench.store.layout import SweepFolder
from bench.store.writer import storage_error, sync_folder, unreadable

SWEEP_STARTED = "sweep_started"
SWEEP_RESUMED = "sweep_resumed"
SWEEP_STOPPED = "sweep_stopped"
RECORD_SET_ASIDE = "record_set_aside"
SWEEP_FINISHED = "sweep_finished"
ROUND_ADDED = "round_added"


def append(folder: SweepFolder, event: str, **details: Any) -> None:
    """Appends one event and waits until it is on the disk; the first one makes the journal's name last as well.

    Raises:
        StorageError: the journal cannot be written.
    """
    line = json.dumps({"event": event, "at": now(), **details}, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        is_first = not folder.journal.exists()
        _append(folder, line.encode(errors="replace"))
        if is_first:
            sync_folder(folder.path)
    except OSError as error:
        raise storage_error(folder.journal, error) from error


def mend(folder: SweepFolder) -> None:
    """Ends a last line that was cut by a crash, so that it can be passed over and swallows no later event.

    To be called once by whoever holds the folder and goes on with its journal. Nothing of the journal is taken away.

    Raises:
        StorageError: the journal cannot be read or written.
    """
    try:
        if folder.journal.exists():
            _append(folder, b"")
    except OSError as error:
        raise storage_error(folder.journal, error) from error


def _append(folder: SweepFolder, line: bytes) -> None:
    # O_APPEND: lines of launchers that run jobs side by side never interleave.
    descriptor = os.open(folder.journal, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        _write_whole(descriptor, b"\n" + line if _is_cut(descriptor) else line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_cut(descriptor: int) -> bool:
    """Whether the last line has no end: a crash, a disk that was full, or a machine that lost its power cut it."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _write_whole(descriptor: int, line: bytes) -> None:
    """In one write, so that lines never interleave; a disk that fills up in the middle of one is full."""
    if os.write(descriptor, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def added_rounds(folder: SweepFolder) -> dict[int, list[str]]:
    """The rounds that were added to the plan: by their number the ids of their cells, in their order.

    A round that was announced twice is what it was first; a line that was cut by a crash announced nothing.

    Raises:
        StorageError: the journal cannot be read.
    """
    rounds: dict[int, list[str]] = {}
    for event in events(folder, ROUND_ADDED):
        round_, cells = event.get("round"), event.get("cells")
        if type(round_) is int and isinstance(cells, list) and all(isinstance(cell, str) for cell in cells):
            rounds.setdefault(round_, cells)
    return rounds


def why_finished(folder: SweepFolder) -> str | None:
    """Why a sweep had no further round (``bench.plan.rounds.Stopped``); None where it did not finish or says nothing.

    Raises:
        StorageError: the journal cannot be read.
    """
    stopped = [event.get("stopped") for event in events(folder, SWEEP_FINISHED)]
    return stopped[-1] if stopped and isinstance(stopped[-1], str) else None


def events(folder: SweepFolder, *kinds: str) -> Iterator[dict[str, Any]]:
    """The events of some kinds, or of all, in their order; what cannot be read of the journal is passed over.

    Raises:
        StorageError: the journal cannot be read.
    """
    try:
        lines = content_of(folder.journal).split(b"\n")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise unreadable(folder.journal, error) from error
    wanted = [kind.encode() for kind in kinds]
    for line in lines:
        # Most lines are of other kinds, and are not parsed.
        if not wanted or any(kind in line for kind in wanted):
            event = _event(line)
            if event is not None and (not kinds or event["event"] in kinds):
                yield event


def _event(line: bytes) -> dict[str, Any] | None:
    """A line's event; None for a line that is damaged, or of a version that writes others."""
    try:
        event = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def now() -> str:
    """The time of day in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
