"""The bars of ``make bench-statistics`` on fewer simulated runs, each bar widened by three standard errors."""

from __future__ import annotations

import math

import pytest

from tests.benchmarks import statistics as bars
from tests.simulated import CV, EVERYTHING, KINDS, Noise

PAIRS = 10_000
FAMILIES = 60

every_noise = pytest.mark.parametrize("noise", KINDS, ids=lambda noise: noise.name)
every_size = pytest.mark.parametrize("rounds", bars.ROUNDS)


def at_most(share: float, n: int) -> float:
    return share + 3 * math.sqrt(share * (1 - share) / n)


@every_noise
@every_size
def test_equals_are_rarely_called_different(noise: Noise, rounds: int) -> None:
    assert bars.alarms(noise, rounds, PAIRS) <= at_most(bars.MOST_ALARMS, PAIRS)


@every_noise
@every_size
def test_cells_a_margin_apart_are_rarely_called_tied(noise: Noise, rounds: int) -> None:
    assert bars.false_ties(noise, rounds, PAIRS) <= at_most(bars.MOST_ALARMS, PAIRS)


@every_noise
@every_size
def test_the_interval_holds_the_median_as_often_as_promised(noise: Noise, rounds: int) -> None:
    covered = bars.coverage(noise, rounds, PAIRS)
    assert 1 - covered <= at_most(1 - bars.LEAST_COVERED, PAIRS)
    assert covered <= at_most(bars.MOST_COVERED, PAIRS)


@every_size
def test_equal_sweeps_and_families_raise_few_alarms(rounds: int) -> None:
    assert bars.alarms_of_two_sweeps(rounds, FAMILIES) <= at_most(bars.MOST_ALARMS, FAMILIES * bars.FAMILY)
    assert bars.alarms_in_families(rounds, FAMILIES) <= at_most(bars.MOST_ALARMS, FAMILIES)


@every_size
@pytest.mark.parametrize("step", [0.0, CV / 2], ids=["equal", "unequal"])
def test_the_luckiest_of_many_is_rarely_called_faster(rounds: int, step: float) -> None:
    assert bars.alarms_of_the_best(20, rounds, step, FAMILIES) <= at_most(bars.MOST_ALARMS, FAMILIES)


def test_holm_alone_would_be_fooled_by_luck() -> None:
    sweeps = 5 * FAMILIES
    fooled = bars.alarms_of_the_best(40, 30, sweeps=sweeps, chosen=False)
    assert fooled > at_most(bars.MOST_ALARMS, sweeps)


def test_a_small_change_is_found() -> None:
    found, formula = bars.smallest_found(KINDS[0], 30, PAIRS), bars.detectable_by_formula(30)
    assert formula == pytest.approx(0.00996, abs=1e-5)
    assert formula < found < bars.MOST_OVER_FORMULA * formula


def test_trimming_finds_what_slow_runs_would_hide() -> None:
    trimmed, plain = (bars.smallest_found(EVERYTHING, 30, PAIRS, trimmed=t) for t in (True, False))
    assert trimmed < plain / 2


def test_the_rounds_asked_for_mostly_settle_it() -> None:
    assert bars.settled(5, sweeps=150) > 0.7


def test_a_missed_bar_is_told_and_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    met, missed = bars.Row("a", [0.01, 0.02, 0.03]), bars.Row("b", [0.5, 0.5, 0.5], "at most 1.2", met=False)
    monkeypatch.setattr(bars, "rows", lambda: iter([met, missed]))
    assert bars.main() == 1
    assert "at most 1.2: MISSED" in capsys.readouterr().out
    monkeypatch.setattr(bars, "rows", lambda: iter([met]))
    assert bars.main() == 0
