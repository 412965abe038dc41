"""Intervals: pinned by hand for few runs, their laws for any; their coverage is in ``test_simulated``."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.intervals import interval, intervals, medians, trimmed_mean_and_error

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


# Runs whose logarithms are 0, 1, ..., n - 1: the ends are where the interval begins and stops among the ranks.
@pytest.mark.parametrize(
    ("n", "begins"),
    [
        (5, 0.0),  # the whole range, which misses the median in 2 / 32: more than 5 %, and the best there is
        (6, 0.3571),  # ranks 1 and 2 miss it in 2 / 64 and 14 / 64: share 0.1, 5 * 0.1 / (1 + 4 * 0.1)
        (10, 1.6577),  # ranks 2 and 3 miss it in 22 / 1024 and 112 / 1024: share 0.3245, 8 * 0.3245 / (2 + 6 * 0.3245)
    ],
)
def test_the_interval_lies_between_order_statistics(n: int, begins: float) -> None:
    seen = interval([math.exp(k) for k in range(n)])
    assert seen.low == pytest.approx(math.exp(begins), rel=1e-4)
    assert seen.high == pytest.approx(math.exp(n - 1 - begins), rel=1e-4)
    assert seen.reason is None


def test_of_thirty_runs_it_lies_where_tables_of_the_sign_test_have_it() -> None:
    seen = interval([math.exp(k) for k in range(30)])
    assert seen.low is not None
    assert 9 <= math.log(seen.low) <= 10  # the 10th smallest and the 10th largest hold the median in 95.7 %


def test_slow_runs_move_neither_median_nor_interval() -> None:
    calm = [1.0 + k / 100 for k in range(20)]
    slowed = [*calm[:17], *(10 * value for value in calm[17:])]
    assert interval(slowed) == interval(calm)


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
    times, rates = interval(values), interval([1 / value for value in values])
    assert times.low is not None
    assert times.high is not None
    assert rates.low == pytest.approx(1 / times.high, rel=1e-9)
    assert rates.high == pytest.approx(1 / times.low, rel=1e-9)


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


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=9))
def test_few_values_are_not_trimmed(values: list[float]) -> None:
    mean, error, degrees, n = trimmed_mean_and_error(np.array([values]))
    assert mean[0] == pytest.approx(np.mean(values))
    assert error[0] == pytest.approx(stats.sem(values), abs=1e-12)
    assert (degrees[0], n[0]) == (len(values) - 1, len(values))


@pytest.mark.parametrize(("n", "cut"), [(9, 0), (10, 1), (13, 2), (14, 3), (17, 4), (30, 8)])
def test_of_many_values_the_outermost_are_left_out(n: int, cut: int) -> None:
    values = np.square(np.arange(n, dtype=np.float64))
    mean, error, degrees, _ = trimmed_mean_and_error(values[None, :])
    kept, drawn_in = values[cut : n - cut], np.clip(values, values[cut], values[n - cut - 1])
    assert mean[0] == pytest.approx(kept.mean())
    assert error[0] == pytest.approx(math.sqrt(np.sum((drawn_in - drawn_in.mean()) ** 2) / len(kept) / (len(kept) - 1)))
    assert degrees[0] == len(kept) - 1 - cut // 4


def test_rows_of_any_number_of_values_are_summed_up_together() -> None:
    nan = math.nan
    rows = np.array([[nan] * 12, [3.0, *[nan] * 11], [nan, 1.0, 2.0, 6.0, *[nan] * 8], [*range(11), 500.0]])
    mean, error, degrees, n = trimmed_mean_and_error(rows)
    assert n.tolist() == [0, 1, 3, 12]
    assert mean == pytest.approx(np.array([nan, 3.0, 3.0, 5.5]), nan_ok=True)
    assert np.isnan(error).tolist() == [True, True, False, False]
    assert (degrees >= 1).all()
    assert trimmed_mean_and_error(np.empty((2, 0)))[3].tolist() == [0, 0]


def test_five_hundred_cells_take_no_loop_over_cells() -> None:
    """As one call for all of them: the same numbers as one by one."""
    values = np.random.default_rng(1).lognormal(0, 0.1, (500, 7))
    seen = intervals(values.ravel(), np.repeat(np.arange(500), 7), groups=500)
    assert seen.low[499] == interval(values[499]).low
    assert (seen.n == 7).all()
