"""What the journal tells of a sweep under way: what is done, what runs, what failed, and how long the rest may take."""

from __future__ import annotations

import functools
import json
import math
import statistics
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.plan.estimate import RunCost, run_cost
from bench.records import Status
from bench.run.durations import Durations, RunKey
from bench.store.journal import ROUND_ADDED
from bench.store.layout import SweepFolder

Event = dict[str, Any]
_LAST_PAUSES = 99


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
    except (OSError, ValueError, KeyError):
        return Counter()
    return Counter(cell_id for order in rounds for cell_id in order)


def expected_runs(folder: SweepFolder, slowness: Callable[[], float] = lambda: 1.0) -> dict[str, RunCost]:
    """What the runs of each cell of ``sweep.json`` are expected to take; empty where it does not say.

    Args:
        folder: the sweep's.
        slowness: asked for this machine's, see ``bench.plan.estimate``, where there is anything to expect.
    """
    try:
        planned = json.loads(folder.sweep_json.read_text())["cells"]
        cells = {cell["id"]: Cell.from_plain(cell["cell"]) for cell in planned if cell["unavailable_reason"] is None}
        factor = slowness() if cells else 1.0
        return {cell_id: run_cost(cell, factor) for cell_id, cell in cells.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError):  # not written yet, or not by us
        return {}


@dataclass
class Tally:
    """The state of a sweep, event by event.

    Attributes:
        total: runs of the whole sweep, those of an earlier call and of added rounds included.
        planned: how often each cell is to run; empty where that is not known.
        added: how often each cell is to run on top of that, in rounds that were added.
        finished: the last status of every run that ended.
        skipped: those of them that were not started.
        running: runs that have started and not ended.
        unavailable: cells that cannot run here, by device and reason, since they were last taken.
        durations: what is known of how long runs take.
    """

    total: int
    planned: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    finished: dict[RunKey, Status] = field(default_factory=dict)
    skipped: set[RunKey] = field(default_factory=set)
    running: dict[RunKey, CellName] = field(default_factory=dict)
    unavailable: Counter[tuple[str, str]] = field(default_factory=Counter)
    durations: Durations = field(default_factory=Durations)
    _rounds_added: set[Any] = field(default_factory=set)
    _most_at_once: int = 1
    _pauses_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LAST_PAUSES))
    _ended_at: datetime | None = None

    def take(self, event: Event) -> bool:
        """Takes an event in; says whether it was one that ends a run. Unknown and incomplete events change nothing."""
        kind, cell_id, round_ = event.get("event"), event.get("cell_id"), event.get("round", 0)
        self._learn_pause(event)
        if kind == ROUND_ADDED:
            self._add_round(round_, event.get("cells"))
        if not isinstance(cell_id, str) or type(round_) is not int:
            return False
        key, name = (cell_id, round_), CellName.of(cell_id)
        if kind == "run_unavailable" and event.get("skipped") is True:
            self._finish(key, Status.UNAVAILABLE)
            self.skipped.add(key)
            self.durations.skip(cell_id)
            return True
        if kind == "run_unavailable":
            self.unavailable[name.device, event.get("reason") or "no reason given"] += 1
        elif kind == "record_set_aside":
            self._repeat(key)
        elif kind == "run_started":
            self._repeat(key)
            self.running[key] = name
            self._most_at_once = max(self._most_at_once, len(self.running))
        elif kind == "run_finished" and event.get("status") in tuple(Status):
            self._finish(key, Status(event["status"]))
            self._learn(key, event)
            return True
        return False

    def _add_round(self, round_: Any, cell_ids: Any) -> None:
        """A round that is announced again, by whoever goes on with the sweep, is the same round."""
        if isinstance(cell_ids, list) and not (isinstance(round_, int) and round_ in self._rounds_added):
            self._rounds_added.add(round_ if isinstance(round_, int) else None)
            self.added.update(cell_id for cell_id in cell_ids if isinstance(cell_id, str))
            self.total += len(cell_ids)

    def _repeat(self, key: RunKey) -> None:
        """A run that was interrupted, or whose record was set aside, is done again."""
        self.finished.pop(key, None)
        self.skipped.discard(key)
        self.durations.forget(*key)

    def _finish(self, key: RunKey, status: Status) -> None:
        self.running.pop(key, None)
        self.skipped.discard(key)
        self.finished[key] = status

    def _learn(self, key: RunKey, event: Event) -> None:
        wall_s, once_s = _seconds(event.get("wall_s")), _seconds(event.get("once_s"))
        if wall_s is not None:
            measured = Status(event["status"]).measured
            self.durations.take(key[0], _family(key[0]), key[1], wall_s, once_s=once_s, measured=measured)

    def _learn_pause(self, event: Event) -> None:
        """What passes between two runs is not theirs; where jobs run side by side it costs nothing."""
        kind, at = event.get("event"), _time(event.get("at"))
        if kind == "run_started" and at and self._ended_at and not self.running:
            self._pauses_s.append(max(0.0, (at - self._ended_at).total_seconds()))
        self._ended_at = at if kind == "run_finished" else None

    def forget_running(self) -> None:
        """Drops runs without an end: they belong to an earlier call that was ended from outside."""
        self.running.clear()
        self._most_at_once = 1
        self._ended_at = None

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
        """Estimated seconds until the last run ends; None where neither a plan nor a run says anything of it."""
        if not self.durations.knows_anything:
            return None
        remaining = self.planned + self.added - Counter(cell_id for cell_id, _ in self.finished)
        known_s = sum(
            self.durations.remaining_s(cell_id, _family(cell_id), count, first=(cell_id, 0) not in self.finished)
            for cell_id, count in remaining.items()
        )
        unknown = max(0, self.total - self.done - remaining.total())
        pause_s = statistics.median(self._pauses_s) if self._pauses_s else 0.0
        runs_s = known_s + unknown * self.durations.mean_s
        return (runs_s + (remaining.total() + unknown) * pause_s) / self._most_at_once


def _family(cell_id: str) -> str:
    """The family by whose runs a cell's are judged: a control trains what its twin does."""
    return CellName.of(cell_id).family.removesuffix("-control")


def _seconds(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    return float(value) if usable else None


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
