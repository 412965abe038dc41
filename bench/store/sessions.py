"""The calls that a sweep was run in, as its journal tells: one, or as many as it was resumed and a last one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bench.records import SweepRecord
from bench.store import journal
from bench.store.layout import SweepFolder

_BEGIN = (journal.SWEEP_STARTED, journal.SWEEP_RESUMED)
_ENDS = (journal.SWEEP_STOPPED, journal.SWEEP_FINISHED)


def last_resumed(folder: SweepFolder) -> dict[str, Any]:
    """The event by which a sweep was last resumed; empty where it never was.

    Raises:
        StorageError: the journal cannot be read.
    """
    return next(iter(reversed(list(journal.events(folder, journal.SWEEP_RESUMED)))), {})


def planned_rounds(folder: SweepFolder, record: SweepRecord) -> list[list[str]]:
    """The rounds of a sweep without those that were added to it.

    Raises:
        StorageError: the journal cannot be read.
    """
    return record.rounds[: min(journal.added_rounds(folder), default=len(record.rounds))]


def is_finished(folder: SweepFolder) -> bool:
    """Whether the last call ran the sweep to its end.

    Raises:
        StorageError: the journal cannot be read.
    """
    turns = [event["event"] for event in journal.events(folder, *_BEGIN, *_ENDS)]
    return turns[-1:] == [journal.SWEEP_FINISHED]


def calls_s(folder: SweepFolder) -> list[float]:
    """Seconds of every call that the sweep was run in, by the clock: from its first event to its last.

    Raises:
        StorageError: the journal cannot be read.
    """
    calls: list[tuple[datetime, datetime]] = []
    for event in journal.events(folder):
        at = _at(event)
        if at is None:
            continue
        if event["event"] in _BEGIN or not calls:
            calls.append((at, at))
        else:
            calls[-1] = (calls[-1][0], at)
    # A clock may have been put back meanwhile: never less than nothing.
    return [max(0.0, (ended - began).total_seconds()) for began, ended in calls]


def _at(event: dict[str, Any]) -> datetime | None:
    try:
        at = datetime.fromisoformat(event["at"])
    except (KeyError, TypeError, ValueError):
        return None
    return None if at.tzinfo is None else at
