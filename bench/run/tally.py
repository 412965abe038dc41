"""What the journal tells of a sweep under way: what is done, what runs, what failed, and how long the rest may take."""

from __future__ import annotations

import functools
import json
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.records import Status
from bench.store.journal import ROUND_ADDED
from bench.store.layout import SweepFolder

Event = dict[str, Any]
RunKey = tuple[str, int]


class Tail:
    """Reads what was appended to a file of JSON lines since the last look; half a line is left for later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_events(self) -> list[Event]:
        """The events appended since the last call; lines that are no JSON object are skipped."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                appended = file.read()
        except FileNotFoundError:
            return []
        complete = appended[: appended.rfind(b"\n") + 1]
        self._offset += len(complete)
        events = (_parse(line) for line in complete.splitlines())
        return [event for event in events if event is not None]


def _parse(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:  # cut by a crash, or not ours
        return None
    return event if isinstance(event, dict) else None


@dataclass(frozen=True)
class CellName:
    """A cell's id taken apart, for people and for the estimate of time.

    Attributes:
        family: framework, backend, loop and device.
        batch: such as ``b32``.
    """

    family: str
    batch: str

    @classmethod
    @functools.cache  # the estimate asks for the same ids after every run
    def of(cls, cell_id: str) -> CellName:
        """From ``<family>-b<batch>-<hash>``, a control's family ending so; any other text is all family."""
        family, *rest = cell_id.rsplit("-", 2)
        return cls(family, rest[0]) if len(rest) == 2 else cls(cell_id, "")

    @property
    def device(self) -> str:
        """The last part of the family."""
        return self.family.removesuffix("-control").rpartition("-")[2]

    def __str__(self) -> str:
        return f"{self.family.replace('-', ' ')} {self.batch}".strip()


def planned_runs(folder: SweepFolder) -> Counter[str]:
    """How often each cell is to run, as ``sweep.json`` says; empty where it cannot be read yet."""
    try:
        rounds = json.loads(folder.sweep_json.read_text())["rounds"]
    except (FileNotFoundError, ValueError, KeyError):
        return Counter()
    return Counter(cell_id for order in rounds for cell_id in order)


@dataclass
class Tally:
    """The state of a sweep, event by event.

    Attributes:
        total: runs of the whole sweep, those of an earlier call and of added rounds included.
        planned: how often each cell is to run; empty where that is not known.
        added: how often each cell is to run on top of that, in rounds that were added.
        finished: the last status of every run that ended.
        running: runs that have started and not ended.
        unavailable: cells that cannot run here, by device and reason, since they were last taken.
    """

    total: int
    planned: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    finished: dict[RunKey, Status] = field(default_factory=dict)
    running: dict[RunKey, CellName] = field(default_factory=dict)
    unavailable: Counter[tuple[str, str]] = field(default_factory=Counter)
    _walls_s: dict[RunKey, float] = field(default_factory=dict)
    _most_at_once: int = 1

    def take(self, event: Event) -> bool:
        """Takes an event in; says whether it was one that ends a run. Unknown and incomplete events change nothing."""
        if event.get("event") == ROUND_ADDED:
            self._add_round(event.get("cells"))
        kind, cell_id, round_ = event.get("event"), event.get("cell_id"), event.get("round", 0)
        if not isinstance(cell_id, str) or not isinstance(round_, int):
            return False
        key, name = (cell_id, round_), CellName.of(cell_id)
        if kind == "run_unavailable" and event.get("skipped") is True:
            self._finish(key, Status.UNAVAILABLE, None)
            return True
        if kind == "run_unavailable":
            self.unavailable[name.device, event.get("reason") or "no reason given"] += 1
        elif kind == "run_started":
            self.finished.pop(key, None)  # a run that was interrupted is done again
            self.running[key] = name
            self._most_at_once = max(self._most_at_once, len(self.running))
        elif kind == "run_finished" and event.get("status") in tuple(Status):
            self._finish(key, Status(event["status"]), event.get("wall_s"))
            return True
        return False

    def _add_round(self, cell_ids: Any) -> None:
        if isinstance(cell_ids, list):
            self.added.update(cell_id for cell_id in cell_ids if isinstance(cell_id, str))
            self.total += len(cell_ids)

    def _finish(self, key: RunKey, status: Status, wall_s: Any) -> None:
        self.running.pop(key, None)
        self.finished[key] = status
        if isinstance(wall_s, (int, float)):
            self._walls_s[key] = float(wall_s)

    def forget_running(self) -> None:
        """Drops runs without an end: they belong to an earlier call that was ended from outside."""
        self.running.clear()
        self._most_at_once = 1

    @property
    def done(self) -> int:
        """Runs that have ended."""
        return len(self.finished)

    @property
    def failures(self) -> Counter[Status]:
        """How many runs ended in each status that is a failure."""
        return Counter(status for status in self.finished.values() if status.failed)

    @property
    def longest_name(self) -> int:
        """Length of the longest name of a planned cell; 0 where the plan is not known."""
        return max((len(str(CellName.of(cell_id))) for cell_id in self.planned), default=0)

    def take_unavailable(self) -> Counter[tuple[str, str]]:
        """The cells that cannot run here, once."""
        taken, self.unavailable = self.unavailable, Counter()
        return taken

    def remaining_s(self) -> float | None:
        """Estimated seconds until the last run ends; None before the first one has."""
        if not self._walls_s:
            return None
        learned = _Learned(self._walls_s)
        remaining = self.planned + self.added - Counter(cell_id for cell_id, _ in self.finished)
        known_s = sum(count * learned.expected_s(cell_id) for cell_id, count in remaining.items())
        unknown = max(0, self.total - self.done - remaining.total())
        return (known_s + unknown * learned.mean_s) / self._most_at_once


class _Learned:
    """Durations of runs, learned from those that ended.

    A cell's first round carries the memory pass and the template's start, so a cell seen in its first round only is
    scaled by what later rounds took of their first ones elsewhere.
    """

    def __init__(self, walls_s: dict[RunKey, float]) -> None:
        self.mean_s = statistics.fmean(walls_s.values())
        self._first_s = {cell_id: wall_s for (cell_id, round_), wall_s in walls_s.items() if round_ == 0}
        self._later_s = _means((cell_id, wall_s) for (cell_id, round_), wall_s in walls_s.items() if round_ > 0)
        self._family_s = _means((CellName.of(cell_id).family, wall_s) for (cell_id, _), wall_s in walls_s.items())
        both = self._first_s.keys() & self._later_s.keys()
        first_s, later_s = (sum(durations[cell_id] for cell_id in both) for durations in (self._first_s, self._later_s))
        self._later_share = later_s / first_s if first_s else 1.0

    def expected_s(self, cell_id: str) -> float:
        """Expected duration of a cell's next run."""
        if cell_id in self._later_s:
            return self._later_s[cell_id]
        if cell_id in self._first_s:
            return self._first_s[cell_id] * self._later_share
        return self._family_s.get(CellName.of(cell_id).family, self.mean_s)


def _means(durations_s: Iterable[tuple[str, float]]) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for name, duration_s in durations_s:
        grouped.setdefault(name, []).append(duration_s)
    return {name: statistics.fmean(values) for name, values in grouped.items()}
