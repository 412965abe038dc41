"""The journal: one line of JSON per event, appended and synced, never rewritten.

It is also the record of what was decided under way: the rounds that were added (``round_added``: which cells, in which
order, and why), each announced before its first run, and why there was no further one (``sweep_finished``). A sweep
that was cut in the middle of an added round has announced runs without a record: interrupted runs like any other.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bench.store.layout import SweepFolder
from bench.store.writer import storage_error, unreadable

SWEEP_STARTED = "sweep_started"
SWEEP_RESUMED = "sweep_resumed"
SWEEP_STOPPED = "sweep_stopped"
SWEEP_FINISHED = "sweep_finished"
ROUND_ADDED = "round_added"


def append(folder: SweepFolder, event: str, **details: Any) -> None:
    """Appends one event and waits until it is on the disk.

    Raises:
        StorageError: the journal cannot be written.
    """
    line = json.dumps({"event": event, "at": now(), **details}, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        # O_APPEND: lines of launchers that run jobs side by side never interleave.
        descriptor = os.open(folder.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            _write_whole(descriptor, line.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise storage_error(folder.journal, error) from error


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


def events(folder: SweepFolder, kind: str | None = None) -> Iterator[dict[str, Any]]:
    """The events of one kind, or all; most lines are of others, and are not parsed. A damaged line tells nothing.

    Raises:
        StorageError: the journal cannot be read.
    """
    try:
        lines = folder.journal.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise unreadable(folder.journal, error) from error
    for line in lines:
        if kind is not None and kind.encode() not in line:
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and kind in (None, event.get("event")):
            yield event


def now() -> str:
    """The time of day in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
