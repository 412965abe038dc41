"""Intervals: pinned by hand for few runs, their laws for any, their coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.intervals import interval, intervals, mean_and_error, medians

positive = st.floats(1e-6, 1e6)
samples = st.lists(positive, min_size=5, max_size=12)


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([3.0], 3.0),
        ([1.0, 2.0], 1.5),
        ([9.0, 1.0, 2.0], 2.0),
        ([4.0, 1.0, 3.0, 2.0], 2.5),
        ([5.0, 1.0, 4.0, 2.0, 3.0], 3.0),
        ([1.0, 1.0, 1.0, 7.0, 7.0, 7.0], 4.0),
        ([7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 4.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 800.0], 4.5),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 900.0], 5.0),
    ],
)
def test_the_estimate_is_the_median(values: list[float], median: float) -> None:
    assert interval(values).estimate == median
    assert interval(values).n == len(values)


# Logarithms 0, 1, ..., n - 1 (base e): mean (n-1)/2, standard error sqrt((n+1)/12), t quantiles from printed tables.
@pytest.mark.parametrize(("n", "t"), [(5, 2.776), (6, 2.571), (7, 2.447), (8, 2.365), (9, 2.306)])
def test_the_interval_is_students_t_on_the_logarithms(n: int, t: float) -> None:
    seen = interval([math.exp(k) for k in range(n)])
    half = t * math.sqrt((n + 1) / 12)
    assert seen.low == pytest.approx(math.exp((n - 1) / 2 - half), rel=1e-3)
    assert seen.high == pytest.approx(math.exp((n - 1) / 2 + half), rel=1e-3)
    assert seen.reason is None


@pytest.mark.parametrize(
    ("n", "reason"),
    [
        (0, "0 runs: an interval takes 5"),
        (1, "1 run: an interval takes 5"),
        (2, "2 runs: an interval takes 5"),
        (4, "4 runs: an interval takes 5"),
    ],
)
def test_too_few_runs_have_a_reason_instead_of_an_interval(n: int, reason: str) -> None:
    seen = interval([2.0] * n)
    assert (seen.low, seen.high, seen.reason) == (None, None, reason)
    assert seen.estimate == (2.0 if n else None)


def test_runs_that_agree_have_an_interval_of_no_width() -> None:
    seen = interval([2.0] * 5)
    assert seen.low == pytest.approx(2.0) == seen.high


def test_a_missing_value_is_no_run() -> None:
    assert interval([1.0, math.nan, 3.0]) == interval([1.0, 3.0])


@given(samples)
def test_the_interval_holds_its_estimate(values: list[float]) -> None:
    seen = interval(values)
    assert seen.low is not None
    assert seen.high is not None
    assert seen.estimate is not None
    assert seen.low <= seen.estimate <= seen.high


@given(samples, st.sampled_from([2.0**-20, 0.5, 3.0, 1e9]))
def test_another_unit_scales_estimate_and_interval_alike(values: list[float], factor: float) -> None:
    one, other = interval(values), interval([factor * value for value in values])
    for name in ("estimate", "low", "high"):
        assert getattr(other, name) == pytest.approx(factor * getattr(one, name), rel=1e-9)


@given(samples)
def test_the_interval_of_the_reciprocals_is_the_reciprocal(values: list[float]) -> None:
    mean, error = mean_and_error(np.log(values), np.zeros(len(values), np.int64), 1)
    mean_below, error_below = mean_and_error(-np.log(values), np.zeros(len(values), np.int64), 1)
    assert mean_below[0] == pytest.approx(-mean[0], abs=1e-12)
    assert error_below[0] == pytest.approx(error[0], abs=1e-12)


@given(samples, st.randoms(use_true_random=False))
def test_the_order_of_the_rounds_does_not_matter(values: list[float], random: object) -> None:
    shuffled = sorted(values, key=lambda _: random.random())  # type: ignore[attr-defined]
    one, other = interval(values), interval(shuffled)
    assert other.estimate == one.estimate
    assert other.low == pytest.approx(one.low, rel=1e-9)
    assert other.high == pytest.approx(one.high, rel=1e-9)


@given(st.lists(st.tuples(positive, st.integers(0, 3)), max_size=30))
def test_groups_together_are_groups_apart(values: list[tuple[float, int]]) -> None:
    numbers = np.array([value for value, _ in values], dtype=np.float64)
    group = np.array([group for _, group in values], dtype=np.int64)
    together = intervals(numbers, group, groups=4)
    for index in range(4):
        apart = interval(numbers[group == index])
        assert together.n[index] == apart.n
        for name in ("estimate", "low", "high"):
            alone = getattr(apart, name)
            assert getattr(together, name)[index] == pytest.approx(math.nan if alone is None else alone, nan_ok=True)


def test_a_censored_run_is_later_than_any_other() -> None:
    group = np.zeros(5, np.int64)
    assert medians(np.array([1.0, 2.0, 3.0, np.inf, np.inf]), group, 1)[0] == 3.0
    assert medians(np.array([1.0, 2.0, np.inf, np.inf, np.inf]), group, 1)[0] == np.inf
    assert medians(np.array([1.0, np.inf]), group[:2], 1)[0] == np.inf
    assert np.isnan(medians(np.array([]), group[:0], 1)[0])


def test_five_runs_cover_the_truth_as_often_as_promised() -> None:
    sweeps = 4_000
    values = np.random.default_rng(7).lognormal(mean=0.0, sigma=0.05, size=(sweeps, 5))
    seen = intervals(values.ravel(), np.repeat(np.arange(sweeps), 5), groups=sweeps)
    covered = np.mean((seen.low <= 1.0) & (seen.high >= 1.0))
    # Three standard errors of a share of 0.95 among 4,000 are 0.010.
    assert covered == pytest.approx(0.95, abs=0.011)
