"""Intervals of positive quantities: Student's t on logarithms, one number per process.

Steps inside one process are no independent repeats, so a run enters as a single number, its own median. Times and
rates vary by factors rather than by amounts, hence the logarithms: the interval is that of the geometric mean, stays
positive, and a rate's is the reciprocal of its time's. It is widened to hold the median where a skewed sample's lies
outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
MIN_RUNS = 5
"""Below this many runs no interval is given: with three, one stray run decides all of it."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The median of n runs with its interval; ``reason`` says why there is none."""

    estimate: float | None
    low: float | None
    high: float | None
    n: int
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """The same for many groups at once: arrays of one length, NaN where there is nothing."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray
    n: NDArray[np.int64]


def interval(values: FloatArray | list[float]) -> Interval:
    """Median and interval of one group's runs.

    Args:
        values: one positive number per run; NaN is no run.
    """
    array = np.asarray(values, dtype=np.float64)
    many = intervals(array, np.zeros(len(array), dtype=np.int64), groups=1)
    n = int(many.n[0])
    estimate, low, high = (None if np.isnan(a[0]) else float(a[0]) for a in (many.estimate, many.low, many.high))
    return Interval(estimate=estimate, low=low, high=high, n=n, reason=why_no_interval(n))


def why_no_interval(n: int) -> str | None:
    """The reason beside a missing interval; None where there are runs enough."""
    if n >= MIN_RUNS:
        return None
    return f"{n} {'run' if n == 1 else 'runs'}: an interval takes {MIN_RUNS}"


def intervals(values: FloatArray, group: NDArray[np.int64], groups: int) -> Intervals:
    """Median and interval for every group.

    Args:
        values: one positive number per run, shape (runs,), float64; NaN is no run.
        group: each run's group, 0 to ``groups`` - 1, shape (runs,), int64.
        groups: how many there are, empty ones included.
    """
    known = ~np.isnan(values)
    values, group = values[known], group[known]
    n = np.bincount(group, minlength=groups)
    estimate = medians(values, group, groups)
    mean, error = mean_and_error(np.log(values), group, groups)
    half = _t_quantile(n) * error
    low, high = np.exp(mean - half), np.exp(mean + half)
    enough = n >= MIN_RUNS
    return Intervals(
        estimate=estimate,
        low=np.where(enough, np.fmin(low, estimate), np.nan),
        high=np.where(enough, np.fmax(high, estimate), np.nan),
        n=n,
    )


def medians(values: FloatArray, group: NDArray[np.int64], groups: int) -> FloatArray:
    """Each group's median, NaN for an empty one; an infinite value counts as the largest.

    Where the middle falls between a number and infinity, the median is infinite.
    """
    order = np.lexsort((values, group))
    ordered = values[order]
    n = np.bincount(group, minlength=groups)
    first = np.concatenate([[0], np.cumsum(n)[:-1]])
    some = n > 0
    result = np.full(groups, np.nan)
    lower, upper = first[some] + (n[some] - 1) // 2, first[some] + n[some] // 2
    result[some] = (ordered[lower] + ordered[upper]) / 2
    return result


def mean_and_error(values: FloatArray, group: NDArray[np.int64], groups: int) -> tuple[FloatArray, FloatArray]:
    """Mean of each group and its standard error, NaN below one and two values; no value may be NaN."""
    n = np.bincount(group, minlength=groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(group, values, minlength=groups) / n
        squares = np.bincount(group, (values - mean[group]) ** 2, minlength=groups)
        error = np.sqrt(squares / (n - 1) / n)
    return mean, np.where(n >= 2, error, np.nan)


def _t_quantile(n: NDArray[np.int64]) -> FloatArray:
    quantiles: FloatArray = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(n - 1, 1))
    return quantiles
