"""The calls that a sweep was run in, as its journal tells: one, or as many as it was resumed and a last one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.records import SweepRecord
from bench.store import journal
from bench.store.layout import SweepFolder

_BEGIN = (journal.SWEEP_STARTED, journal.SWEEP_RESUMED)
FINISHED = "finished"


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


@dataclass(frozen=True)
class Call:
    """One call of a sweep.

    Attributes:
        seconds: from its first event to its last, by the clock.
        end: ``finished``, or why it was left (``bench.sweep.leaving.Why``); None where it is under way, or was ended
            from outside.
    """

    seconds: float
    end: str | None


def calls_of(folder: SweepFolder) -> list[Call]:
    """The calls of a sweep in their order.

    Raises:
        StorageError: the journal cannot be read.
    """
    calls: list[list[dict[str, Any]]] = []
    for event in journal.events(folder):
        if event["event"] in _BEGIN or not calls:
            calls.append([])
        calls[-1].append(event)
    return [Call(_seconds(events), _end(events[-1])) for events in calls]


def is_finished(folder: SweepFolder) -> bool:
    """Whether the last call ran the sweep to its end.

    Raises:
        StorageError: the journal cannot be read.
    """
    return [call.end for call in calls_of(folder)][-1:] == [FINISHED]


def _end(event: dict[str, Any]) -> str | None:
    if event["event"] == journal.SWEEP_FINISHED:
        return FINISHED
    why = event.get("why") if event["event"] == journal.SWEEP_STOPPED else None
    return why if isinstance(why, str) else None


def _seconds(events: list[dict[str, Any]]) -> float:
    """A clock may have been put back meanwhile: never less than nothing."""
    times = [at for at in map(_at, events) if at is not None]
    return max(0.0, (times[-1] - times[0]).total_seconds()) if times else 0.0


def _at(event: dict[str, Any]) -> datetime | None:
    try:
        at = datetime.fromisoformat(event["at"])
    except (KeyError, TypeError, ValueError):
        return None
    return None if at.tzinfo is None else at
