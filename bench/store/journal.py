"""The journal: one line of JSON per event, appended and synced, never rewritten."""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from typing import Any

from bench.store.layout import SweepFolder
from bench.store.writer import storage_error


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


def elapsed_s(folder: SweepFolder) -> float | None:
    """Seconds from the sweep's start to its end, by the journal; None for a sweep that did not get there."""
    try:
        lines = folder.journal.read_text(encoding="utf-8", errors="replace").splitlines()
        events = [json.loads(line) for line in (lines[0], lines[-1])]
        if [event["event"] for event in events] != ["sweep_started", "sweep_finished"]:
            return None
        began, ended = (datetime.fromisoformat(event["at"]) for event in events)
    except (OSError, IndexError, ValueError, KeyError, TypeError):
        return None
    return (ended - began).total_seconds()


def now() -> str:
    """The time of day in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
