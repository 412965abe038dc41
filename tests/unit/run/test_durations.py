"""The time left over the course of scripted sweeps, against what they really took."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bench.plan.estimate import RunCost
from bench.run.durations import Durations
from bench.run.tally import Tally

START = datetime(2026, 11, 24, tzinfo=UTC)
PAUSE_S = 0.1
# once_s, each_s at batch 1, each_s of the largest batch: a loop that compiles for long, one that does not, and so on.
FAMILIES = {
    "pytorch-fused-cpu": (30.0, 1.2, 0.7),
    "pytorch-eager-cpu": (1.0, 6.0, 0.6),
    "keras-tensorflow-idiomatic-cpu": (4.0, 15.0, 2.0),
    "keras-tensorflow-idiomatic-cpu-control": (0.0, 8.0, 8.0),
}
SIZES = (1, 8, 64, 512)


@dataclass
class Script:
    """A sweep: what its runs really take, what the plan says they take, and its journal so far.

    Attributes:
        off: by how much the plan is off in each family.
        noise: deviation of the logarithm of a run's time.
        only: the sizes of a family; all unless given.
    """

    rounds: int = 5
    seed: int = 0
    off: Callable[[str], float] = lambda family: 1.0
    noise: float = 0.1
    skipped: frozenset[str] = frozenset()
    told: bool = True
    true: dict[str, RunCost] = field(init=False)
    orders: list[list[str]] = field(init=False)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._now = START
        self.true = {
            f"{family}-b{size}-0123456789": RunCost(once_s, low + (high - low) * (1 - place / (len(sizes) - 1 or 1)))
            for family, (once_s, high, low) in FAMILIES.items()
            for sizes in [(32,) if family.endswith("control") else SIZES]
            for place, size in enumerate(sizes)
        }
        self.orders = [self._random.sample(sorted(self.true), len(self.true)) for _ in range(self.rounds)]
        for round_, order in enumerate(self.orders):
            for cell_id in order:
                self._run(cell_id, round_)

    def _run(self, cell_id: str, round_: int) -> None:
        key = {"cell_id": cell_id, "round": round_}
        self._now += timedelta(seconds=PAUSE_S)
        if cell_id in self.skipped:
            self.events.append({"event": "run_unavailable", **key, "skipped": True, "at": self._now.isoformat()})
            return
        self.events.append({"event": "run_started", **key, "at": self._now.isoformat()})
        true = self.true[cell_id]
        once_s, each_s = (value * self._random.lognormvariate(0, self.noise) for value in true)
        once_s = once_s if round_ == 0 else 0.0
        self._now += timedelta(seconds=once_s + each_s)
        ended = {"event": "run_finished", **key, "at": self._now.isoformat(), "status": "ok"}
        apart = {"once_s": once_s} if self.told else {}
        self.events.append(ended | {"wall_s": once_s + each_s} | apart)

    def expected(self) -> dict[str, RunCost]:
        offs = {cell_id: self.off(cell_id.rsplit("-", 2)[0].removesuffix("-control")) for cell_id in self.true}
        return {cell_id: RunCost(*(off * value for value in self.true[cell_id])) for cell_id, off in offs.items()}

    def tally(self, *, with_plan: bool = True) -> Tally:
        planned = Counter(cell_id for order in self.orders for cell_id in order)
        return Tally(planned.total(), planned, durations=Durations(self.expected() if with_plan else {}))

    def course(self, *, with_plan: bool = True) -> list[tuple[float, float, float]]:
        """After every run: the share of the time that is over, what is left, and what was said to be left."""
        tally = self.tally(with_plan=with_plan)
        whole_s = (self._now - START).total_seconds()
        seen = [(0.0, whole_s, tally.remaining_s() or 0.0)]
        for event in self.events:
            if tally.take(event):
                left_s = (self._now - datetime.fromisoformat(event["at"])).total_seconds()
                said_s = tally.remaining_s()
                assert said_s is not None
                seen.append((1 - left_s / whole_s, left_s, said_s))
        return seen


def worst_factor(course: list[tuple[float, float, float]], low: float, high: float = 0.9) -> float:
    """By what factor at most the time left was wrong, either way, in a stretch of the course."""
    factors = [max(said / left, left / said) for share, left, said in course if low <= share <= high]
    assert len(factors) > 5
    return max(factors)


@pytest.mark.parametrize("seed", range(5))
def test_an_estimate_that_was_right_stays_right_through_cold_compiles_and_memory_passes(seed: int) -> None:
    course = Script(seed=seed).course()
    assert worst_factor(course, 0.0) < 1.35
    assert worst_factor(course, 0.5) < 1.2


@pytest.mark.parametrize("factor", [1 / 3, 1 / 2, 2.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_an_estimate_off_by_a_factor_is_put_right_within_the_first_round(seed: int, factor: float) -> None:
    course = Script(seed=seed, off=lambda family: factor).course()
    assert worst_factor(course, 0.2) < 1.6
    assert worst_factor(course, 0.5) < 1.25


@pytest.mark.parametrize("seed", range(3))
def test_families_that_are_off_each_its_own_way_are_told_apart(seed: int) -> None:
    course = Script(seed=seed, off=lambda family: 0.4 if "fused" in family else 2.0).course()
    assert worst_factor(course, 0.3) < 1.6
    assert worst_factor(course, 0.5) < 1.25


@pytest.mark.parametrize("seed", range(3))
def test_without_a_plan_first_runs_say_what_later_ones_take(seed: int) -> None:
    course = Script(seed=seed).course(with_plan=False)
    assert worst_factor(course, 0.5) < 1.3


def test_a_journal_that_does_not_tell_the_parts_apart_is_split_as_the_plan_has_them() -> None:
    course = Script(told=False, noise=0.05).course()
    assert worst_factor(course, 0.0) < 1.35


@pytest.mark.parametrize("seed", range(3))
def test_the_time_left_goes_down_but_for_small_steps(seed: int) -> None:
    said = [said for _, _, said in Script(seed=seed).course()]
    rises = [later - sooner for sooner, later in itertools.pairwise(said)]
    assert max(rises) < 0.1 * said[0]
    assert sum(rise > 0 for rise in rises) < 0.25 * len(rises)
    assert said[-1] == 0


@pytest.mark.parametrize("seed", range(3))
def test_batch_sizes_that_are_skipped_take_no_time_once_that_is_seen(seed: int) -> None:
    skipped = frozenset(f"keras-tensorflow-idiomatic-cpu-b{size}-0123456789" for size in (8, 64, 512))
    course = Script(seed=seed, skipped=skipped).course()
    assert worst_factor(course, 0.6) < 1.25


@pytest.mark.parametrize("cut", [10, 44, 80])
def test_a_sweep_that_goes_on_knows_what_it_knew(cut: int) -> None:
    script = Script()
    before, after = script.tally(), script.tally()
    for event in script.events[:cut]:
        before.take(event)
    assert script.events[cut]["event"] == "run_started"  # the run that was cut
    for event in script.events[: cut + 1]:
        after.take(event)
    after.forget_running()
    assert (after.done, after.total) == (before.done, before.total)
    assert after.remaining_s() == pytest.approx(before.remaining_s(), rel=0.05)


def test_a_run_whose_record_was_set_aside_is_to_be_run_again() -> None:
    script = Script()
    tally = script.tally()
    for event in script.events:
        tally.take(event)
    cell_id = script.orders[0][0]
    assert tally.remaining_s() == 0
    tally.take({"event": "record_set_aside", "cell_id": cell_id, "round": 0, "reason": "damaged"})
    assert tally.done == tally.total - 1
    assert (tally.remaining_s() or 0) > script.true[cell_id].each_s


def test_rounds_that_are_added_are_added_to_the_time_left_once() -> None:
    script = Script()
    tally = script.tally()
    for event in script.events:
        tally.take(event)
    cells = script.orders[0][:3]
    for _ in range(2):  # announced again by whoever goes on
        tally.take({"event": "round_added", "round": script.rounds, "cells": cells})
    assert tally.total == tally.done + 3
    each_s = sum(script.true[cell_id].each_s for cell_id in cells)
    assert tally.remaining_s() == pytest.approx(each_s + 3 * PAUSE_S, rel=0.3)


def test_failures_tell_of_their_own_cell_alone() -> None:
    script = Script()
    tally = script.tally()
    left_s = tally.remaining_s() or 0
    cell_id = script.orders[0][0]
    tally.take({"event": "run_finished", "cell_id": cell_id, "round": 0, "status": "timeout", "wall_s": 600.0})
    whole = script.true[cell_id]
    expected = left_s - whole.once_s - script.rounds * whole.each_s + (script.rounds - 1) * 600.0
    # Where the proportion of the parts is not told, it is the plan's.
    assert tally.remaining_s() == pytest.approx(
        expected - (script.rounds - 1) * 600.0 * whole.once_s / (whole.once_s + whole.each_s)
    )


def test_before_anything_has_ended_the_plan_speaks() -> None:
    script = Script()
    expected = sum(cost.once_s + script.rounds * cost.each_s for cost in script.true.values())
    assert script.tally().remaining_s() == pytest.approx(expected)
    assert script.tally(with_plan=False).remaining_s() is None
