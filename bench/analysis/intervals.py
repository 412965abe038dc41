"""Intervals of medians, one number per process, and the means that ratios are judged by.

Steps inside one process are no independent repeats, so a run enters as a single number, its own median. A cell's
estimate is the median over its runs, and what its interval covers is the median of the distribution those runs were
drawn from: half of all such runs on this machine would be slower, half faster. A few runs that a neighbour slowed by a
third move it by a hair, where they would drag a mean along.

The interval runs between two order statistics. How many of n runs lie below the true median is binomial whatever the
noise, so its coverage needs no assumption but that the runs are alike; between two ranks it is interpolated
(Hettmansperger and Sheather 1986), on logarithms, so that a rate's interval is the reciprocal of its time's. Five runs
cannot do better than their whole range, which holds the median in 15 of 16 sweeps: 93.75 %.

The alternatives fail where it matters. Student's t on the logarithms is the interval of a geometric mean, which slow
runs pull away from the median the more surely the more runs there are: where one in ten is slow it covers the median
too often at n = 5 and far too rarely at n = 30. A bootstrap of the runs is too narrow at n = 5 and 10; one that
resamples the epochs inside them too counts their noise twice and is too wide, and studentised it is too wide or too
narrow as the noise will have it.
``make bench-statistics`` prints what each covers under every kind of noise. A drift over the sweep makes any of them
wider than it need be, as it counts as spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
MIN_RUNS = 5
"""Below this many runs no interval is given: even the whole range of four holds the median only 7 times in 8."""

# Of fewer values none is left out; of more, a third of those beyond so many, at either end.
_FEWEST_TRIMMED, _NEVER_TRIMMED = 10, 5
# So many values left out at either end cost a degree of freedom besides.
_TRIMMED_PER_DEGREE = 4

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


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
    n: IntArray


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


def intervals(values: FloatArray, group: IntArray, groups: int) -> Intervals:
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
    low, high = _between_order_statistics(np.log(values), group, n)
    return Intervals(
        # Beyond the last digit the ends always hold the median; exp(log(x)) may not return that digit.
        estimate=estimate,
        low=np.fmin(np.exp(low), np.where(n >= MIN_RUNS, estimate, np.nan)),
        high=np.fmax(np.exp(high), np.where(n >= MIN_RUNS, estimate, np.nan)),
        n=n,
    )


def _between_order_statistics(values: FloatArray, group: IntArray, n: IntArray) -> tuple[FloatArray, FloatArray]:
    """The ends of each group's interval, NaN where its runs are too few."""
    ordered = values[np.lexsort((values, group))]
    enough = n >= MIN_RUNS
    first, last = (np.cumsum(n) - n)[enough], np.cumsum(n)[enough] - 1
    ranks = [_ranks(int(count)) for count in n[enough]]
    outer = np.array([rank - 1 for rank, _ in ranks], dtype=np.int64)
    inward = np.array([share for _, share in ranks], dtype=np.float64)
    ends = np.full((2, len(n)), np.nan)
    ends[0, enough] = _mixed(ordered[first + outer], ordered[first + outer + 1], inward)
    ends[1, enough] = _mixed(ordered[last - outer], ordered[last - outer - 1], inward)
    return ends[0], ends[1]


def _mixed(outer: FloatArray, inner: FloatArray, inward: FloatArray) -> FloatArray:
    return (1 - inward) * outer + inward * inner


@cache
def _ranks(n: int) -> tuple[int, float]:
    """Where n runs' interval begins: the rank counted from the outside, and how far on to the next one.

    The ends at rank d, counted from either side, miss the median with probability 2 P(Binomial(n, 1/2) < d). Between
    the last rank that misses rarely enough and the next, the share is Hettmansperger and Sheather's (Statistics &
    Probability Letters 4, 1986, eq. 2).
    """
    misses = 2 * stats.binom.cdf(np.arange(n // 2), n, 0.5)
    allowed = 1 - CONFIDENCE
    rank = int(np.sum(misses <= allowed))
    if rank == 0:
        return 1, 0.0
    share = (allowed - misses[rank - 1]) / (misses[rank] - misses[rank - 1])
    return rank, float((n - rank) * share / (rank + (n - 2 * rank) * share))


def medians(values: FloatArray, group: IntArray, groups: int) -> FloatArray:
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
    result[some] = ordered[lower] / 2 + ordered[upper] / 2  # halved first: their sum may be beyond all numbers
    return result


def trimmed_of(n: IntArray) -> IntArray:
    """How many of n values ``trimmed_mean_and_error`` leaves out at either end."""
    return np.where(n < _FEWEST_TRIMMED, 0, (n - _NEVER_TRIMMED) // 3)


def trimmed_degrees(n: IntArray) -> IntArray:
    """Degrees of freedom of the error of ``trimmed_mean_and_error``, at least 1."""
    cut = trimmed_of(n)
    degrees: IntArray = np.maximum(n - 2 * cut - 1 - cut // _TRIMMED_PER_DEGREE, 1)
    return degrees


def trimmed_mean_and_error(values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Trimmed mean of each row, its standard error, the error's degrees of freedom, and the row's number of values.

    From ten values on a third of those beyond the fifth is left out at either end: 1 of 10, 5 of 20, 8 of 30. So few
    values have their plain mean and Student's t, and of many a quarter may be slow runs that decide nothing: on a
    shared machine a pair of runs in three was off by more than 3 % (``make bench-planted``). On normal noise 30 values
    trimmed so are worth 25.

    The error is that of the values with the outermost ones drawn in to the last that stay (winsorised), with as many
    degrees of freedom as values stay, less one (Tukey and McLaughlin 1963), and less another for every four left out at
    an end: without that, equals differ 1.3 times in 100 for once that is promised (``make bench-statistics``).

    Args:
        values: shape (rows, values), float64, NaN being none.

    Returns:
        Four arrays of shape (rows,); the mean is NaN of no value, the error of fewer than two; degrees are at least 1.
    """
    n = np.sum(~np.isnan(values), axis=1)
    cut = trimmed_of(n)
    # NaN stands last; one more column of it, so that there is one.
    ordered = np.sort(np.pad(values, ((0, 0), (0, 1)), constant_values=np.nan), axis=1)
    place = np.arange(ordered.shape[1])
    stays = (place >= cut[:, None]) & (place < (n - cut)[:, None])
    kept = n - 2 * cut
    rows = np.arange(len(values))
    lowest, highest = ordered[rows, cut], ordered[rows, np.maximum(n - cut - 1, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.sum(ordered, axis=1, where=stays) / kept
        drawn_in = np.clip(ordered, lowest[:, None], highest[:, None])
        there = place < n[:, None]
        centre = np.sum(drawn_in, axis=1, where=there) / n
        squares = np.sum((drawn_in - centre[:, None]) ** 2, axis=1, where=there)
        error = np.sqrt(squares / (kept * (kept - 1)))
    return mean, np.where(n >= 2, error, np.nan), trimmed_degrees(n).astype(np.float64), n
