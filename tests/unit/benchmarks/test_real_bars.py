"""What the bars on real runs make of their numbers, and that a plant slows a real engine by what it says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks import planted, real_aa
from tests.benchmarks.planted import DEMANDS, Outcome, outcome
from tests.benchmarks.real_aa import FalseAlarms, StepTimes, false_alarms, judged
from tests.benchmarks.real_runs import real_runs, short
from tests.benchmarks.slowed import LEAST_WAIT_NS, Slowed


def alike(comparisons: int, rounds: int, spread: float = 0.01) -> StepTimes:
    rng = np.random.default_rng(7)
    drift = np.exp(np.linspace(0, 0.5, rounds))
    return 200.0 * drift * rng.lognormal(0.0, spread, (comparisons, 2, rounds))


@dataclass
class ScriptedRuns:
    """Runs that take 200 us, and their plant more."""

    asked: list[tuple[int, float]] = field(default_factory=list)

    def step_us(self, round_: int, *, planted: float = 0.0) -> float:
        self.asked.append((round_, planted))
        return 200.0 * (1 + planted)


@dataclass
class ScriptedClock:
    """A clock that moves when it is read and when something is said to have been done."""

    reading_ns: int
    now_ns: int = 0

    def __call__(self) -> int:
        self.now_ns += self.reading_ns
        return self.now_ns

    def work(self, took_ns: int, result: int = 0) -> int:
        self.now_ns += took_ns
        return result


# --- A/A --------------------------------------------------------------------------------------------------------------


def test_the_limit_is_the_binomials() -> None:
    bar = FalseAlarms(rate=0.05, n=200, seen=18)
    assert bar.limit == 18
    assert stats.binom.cdf(18, 200, 0.05) >= 0.99 > stats.binom.cdf(17, 200, 0.05)
    assert bar.met
    assert not bar._replace(seen=19).met
    assert bar._replace(seen=0).p == 1
    assert FalseAlarms(rate=0.01, n=200, seen=6).met
    assert str(bar).startswith("met     false alarms at a nominal 5%: 18 of 200 (9.0%); the limit is 18")
    assert str(bar._replace(seen=19)).startswith("MISSED")


def test_cells_that_are_alike_raise_as_many_alarms_as_the_rate_allows() -> None:
    seen = judged(alike(2000, 5))
    for rate in real_aa.RATES:
        bar = false_alarms(seen, rate)
        assert bar.n == 2000
        assert bar.met
        assert bar.seen > stats.binom.ppf(0.001, 2000, rate)


def test_a_name_that_matters_is_an_alarm_in_every_comparison() -> None:
    step_us = alike(40, 5)
    step_us[:, 0] *= 1.2
    bar = false_alarms(judged(step_us), 0.01)
    assert bar.seen == 40
    assert not bar.met


def test_both_names_run_in_every_round_of_every_comparison() -> None:
    runs = ScriptedRuns()
    step_us = real_aa.measure(runs, 3, 4, np.random.default_rng(0))  # type: ignore[arg-type]
    assert step_us.shape == (3, 2, 4)
    assert (step_us == 200.0).all()
    assert sorted(round_ for round_, _ in runs.asked) == sorted([*range(12), *range(12)])


# --- planted slowdowns ------------------------------------------------------------------------------------------------


def test_slowdowns_are_counted_in_their_own_direction() -> None:
    demand = DEMANDS[0]
    step_us = alike(10, 12)
    step_us[:9, 0] *= 1.05
    step_us[9, 0] *= 0.9
    seen = outcome(demand, judged(step_us))
    assert (seen.trials, seen.found, seen.reversed) == (10, 9, 1)
    assert seen.ratio == pytest.approx(1.05, rel=0.01)


def test_a_bar_takes_enough_finds_and_no_speed_up_called_a_slowdown() -> None:
    met = Outcome(demand=DEMANDS[0], trials=100, found=99, reversed=0, ratio=1.05)
    assert met.met
    assert not met._replace(found=98).met
    assert not met._replace(reversed=1).met


@pytest.mark.parametrize(("slowed", "code"), [((1.05, 1.02), 0), ((1.05, 1.0), 1)])
def test_what_was_kept_is_judged_without_measuring(
    slowed: tuple[float, float], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step_us = np.random.default_rng(0).lognormal(math.log(200), 0.002, (10, 3, 12))
    step_us *= np.array([1.0, *slowed])[None, :, None]
    np.save(tmp_path / "kept.npy", step_us)
    assert planted.main(["--judge", str(tmp_path / "kept.npy")]) == code
    assert "5% slower: found in 10 of 10" in capsys.readouterr().out


def test_a_round_is_one_pass_over_all_trials() -> None:
    runs = ScriptedRuns()
    step_us = planted.measure(runs, 2, 5, np.random.default_rng(0))  # type: ignore[arg-type]
    assert step_us.shape == (2, 3, 5)
    assert [round_ for round_, _ in runs.asked] == [round_ for round_ in range(5) for _ in range(2 * 3)]
    for slowed, ratio in ((1, 1.05), (2, 1.02)):
        assert judged(step_us[:, [slowed, 0]]).ratio == pytest.approx([ratio, ratio])


# --- the plant --------------------------------------------------------------------------------------------------------


def test_a_slowed_step_keeps_the_processor_busy_for_a_share_of_its_own_time() -> None:
    clock = ScriptedClock(reading_ns=10)
    slowed = Slowed(lambda x, y: clock.work(20_000, x + y), 0.5, clock)
    seen = list[int]()
    for _ in range(2):
        slowed.begin_epoch()
        clock.work(1_000_000)  # between epochs, and nobody's step
        began_ns = clock.now_ns
        for _ in range(10):
            assert slowed(1, 2) == 3
            clock.work(2_000)  # the loop's own, which is slowed as well
        seen.append(clock.now_ns - began_ns)
    # Ten steps of 20 us, nine gaps of 2 us and ten waits of the least, all half as long again; then the last gap.
    assert seen == [pytest.approx(1.5 * (200_000 + 18_000 + 10 * LEAST_WAIT_NS) + 2_000, rel=0.01)] * 2


@pytest.mark.slow
def test_a_real_worker_waits_in_the_real_engine() -> None:
    """Ten times its own step time cannot be missed on any machine."""
    with planted.slowed_workers(), real_runs(short("pytorch", None, "eager", 250)) as runs:
        plain, slowed = (min(runs.step_us(0, planted=fraction) for _ in range(3)) for fraction in (0.0, 10.0))
    assert slowed > 3 * plain
