"""How long the runs still to come may take: expected by the plan's estimate, corrected by every run that ends.

A run's time has two parts: what each run of the cell takes, and what one of them pays for all (compiling, the memory
pass, a template's import). The journal tells the two apart, so the first run of a cell says what its later ones will
take. What a cell has not shown yet is the estimate's figure times how far off that was for the cells of its family,
else for all; before anything has ended it is the estimate's alone.

Only runs that were measured correct it. One that failed says how long the same cell takes to fail again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.plan.estimate import RunCost

RunKey = tuple[str, int]


@dataclass
class _Ratio:
    """How far off the estimate is: seen over expected, summed, so that long runs weigh as they do in the time left."""

    seen_s: float = 0.0
    expected_s: float = 0.0
    runs: int = 0

    def take(self, seen_s: float, expected_s: float) -> None:
        self.seen_s += seen_s
        self.expected_s += expected_s
        self.runs += 1

    @property
    def mean_s(self) -> float:
        """Seen, per run; 0 before the first."""
        return self.seen_s / self.runs if self.runs else 0.0

    def corrected(self, prior: float) -> float:
        """The ratio, with one run more that is off by ``prior``."""
        if not self.expected_s:
            return prior
        weight_s = self.expected_s / self.runs
        return (self.seen_s + prior * weight_s) / (self.expected_s + weight_s)


@dataclass
class _Part:
    """One part of the runs' time, of all families."""

    everywhere: _Ratio = field(default_factory=_Ratio)
    families: defaultdict[str, _Ratio] = field(default_factory=lambda: defaultdict(_Ratio))

    def take(self, family: str, seen_s: float, expected_s: float) -> None:
        self.everywhere.take(seen_s, expected_s)
        self.families[family].take(seen_s, expected_s)

    def ratio(self, family: str) -> float:
        everywhere = self.everywhere.corrected(1.0)
        return self.families[family].corrected(everywhere) if family in self.families else everywhere


@dataclass
class _Seen:
    """What one run took, in both parts; None where it did not tell them apart."""

    wall_s: float
    once_s: float | None


@dataclass
class Durations:
    """Learns how long runs take.

    Attributes:
        expected: by cell what the plan's estimate says; cells may be missing.
    """

    expected: Mapping[str, RunCost] = field(default_factory=dict)
    _cells: defaultdict[str, dict[int, _Seen]] = field(default_factory=lambda: defaultdict(dict))
    _each: _Part = field(default_factory=_Part)
    _once: _Part = field(default_factory=_Part)
    _skipped: set[str] = field(default_factory=set)
    _walls: _Part = field(default_factory=_Part)

    @property
    def knows_anything(self) -> bool:
        """Whether there is an estimate to begin with, or a run has ended."""
        return bool(self.expected) or self._walls.everywhere.runs > 0

    def take(
        self, cell_id: str, family: str, round_: int, wall_s: float, *, once_s: float | None, measured: bool
    ) -> None:
        """A run that has ended.

        Args:
            cell_id: its cell.
            family: whose estimate is off by the same.
            round_: its round.
            wall_s: how long it took.
            once_s: the part of that which later runs of the cell do not pay, where it is known.
            measured: whether it did all that it was to do.
        """
        self._skipped.discard(cell_id)
        self._cells[cell_id][round_] = seen = _Seen(wall_s, once_s)
        self._walls.take(family, wall_s, 1.0)
        cost = self.expected.get(cell_id)
        if measured and cost is not None:
            each_s = self._each_s(seen, round_, cost)
            self._each.take(family, each_s, cost.each_s)
            if round_ == 0 and cost.once_s:
                self._once.take(family, wall_s - each_s, cost.once_s)

    def skip(self, cell_id: str) -> None:
        """A run that was skipped: so, it seems, will be the cell's later ones."""
        self._skipped.add(cell_id)

    def forget(self, cell_id: str, round_: int) -> None:
        """A run that is done again; what it taught of other cells stays."""
        self._skipped.discard(cell_id)
        self._cells[cell_id].pop(round_, None)

    def remaining_s(self, cell_id: str, family: str, runs: int, *, first: bool) -> float:
        """Seconds that ``runs`` more runs of a cell will take; ``first`` says that its round 0 is among them."""
        if cell_id in self._skipped:
            return 0.0
        cost, seen = self.expected.get(cell_id), self._cells.get(cell_id)
        if seen:
            later = [self._each_s(one, round_, cost) for round_, one in seen.items() if round_ > 0]
            each = later or [self._each_s(one, round_, cost) for round_, one in seen.items()]
            each_s = sum(each) / len(each)
        elif cost is not None:
            each_s = cost.each_s * self._each.ratio(family)
        else:
            each_s = self._walls.families[family].mean_s or self.mean_s
        once_s = cost.once_s * self._once.ratio(family) if first and cost is not None else 0.0
        return runs * each_s + once_s

    @property
    def mean_s(self) -> float:
        """The mean of all runs that have ended."""
        return self._walls.everywhere.mean_s

    @staticmethod
    def _each_s(seen: _Seen, round_: int, cost: RunCost | None) -> float:
        """The part that every run takes; a run that did not tell has it in the proportion of the estimate."""
        if seen.once_s is not None:
            return max(0.0, seen.wall_s - seen.once_s)
        if round_ == 0 and cost is not None and cost.each_s > 0:
            return seen.wall_s * cost.each_s / (cost.each_s + cost.once_s)
        return seen.wall_s
