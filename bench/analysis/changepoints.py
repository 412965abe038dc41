"""Where the level of a noisy series changes: exact optimal partitioning of many short series at once.

The sum of squares around each segment's mean plus a penalty per change is minimised over all partitions by dynamic
programming (Jackson et al. 2005, "An algorithm for optimal partitioning of data on an interval"). PELT (Killick,
Fearnhead and Eckley 2012) finds the same optimum and prunes; over at most ``MOST_BLOCKS`` values nothing is gained by
it, and without it all series of a sweep advance together, one NumPy operation per position.

Squares need two things of their noise that step times do not grant. Outliers: a value further than three deviations
from the median of its neighbours is pulled in to there (Hampel 1974), which leaves steps where they are. Independence:
neighbours resemble each other, and whoever takes them for independent finds changes everywhere. So the unit of squares
is the long-run deviation of an AR(1) process, from medians of differences at lags 1 and 2, which changes of the level
hardly touch (Chakar, Lebarbier, Lévy-Leduc and Robin 2017, "A robust approach for estimating change-points in the mean
of an AR(1) process").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_BLOCKS = 128
"""A longer series is seen as so many medians of neighbours at most: resolution nobody needs is traded for calm."""

PENALTY = 6.0
"""Of one change, in units of the squared deviation times the logarithm of the length; see ``make bench-steadiness``."""

LEAST_NOISE = 1e-3
"""Smaller deviations are taken for this one: below it lie clock ticks."""

_LEAST_SEGMENT = 2
_NEIGHBOURS = 2
_OUTLIER = 3.0
_MOST_CORRELATION = 0.6
_AT_ONCE = 512
# The median of |x| of a standard normal variable; Hampel's and Chakar's medians are divided by it.
_MEDIAN_OF_NORMAL = 0.6744897501960817

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Where the levels of many series change.

    Attributes:
        starts: True at the first value of every segment, shape (series, longest).
        deviation: long-run deviation of each series around its level, shape (series,).
    """

    starts: BoolArray
    deviation: FloatArray


def changes(values: FloatArray, n: IntArray) -> Changes:
    """The segments of constant level of many series.

    Args:
        values: one series per row from the left, shape (series, longest), float64; NaN beyond its length.
        n: lengths, at least 5, shape (series,), int64.
    """
    starts, deviation = np.zeros(values.shape, dtype=bool), np.zeros(len(n))
    order = np.argsort(n, kind="stable")
    for first in range(0, len(order), _AT_ONCE):
        rows = order[first : first + _AT_ONCE]
        width = int(n[rows[-1]])
        calm = _without_outliers(values[rows, :width], n[rows])
        deviation[rows] = long_run_deviation(calm)
        starts[rows, :width] = best_partition(calm / deviation[rows, None], n[rows])
    return Changes(starts=starts, deviation=deviation)


def best_partition(values: FloatArray, n: IntArray) -> BoolArray:
    """The partition of least squares plus penalties, segments of two values at the least.

    Args:
        values: one series per row in units of its deviation, NaN beyond its length, shape (series, longest), float64.
        n: lengths, shape (series,), int64.

    Returns:
        True at the first value of every segment, shape as ``values``.
    """
    sums = np.concatenate([np.zeros((len(n), 1)), np.nancumsum(values, axis=1)], axis=1)
    penalty = PENALTY * np.log(n)
    best = np.full(sums.shape, np.inf)
    best[:, 0] = 0.0
    came_from = np.zeros(sums.shape, dtype=np.int64)
    for end in range(_LEAST_SEGMENT, sums.shape[1]):
        begins = np.arange(end - _LEAST_SEGMENT + 1)
        # Squares of the values are the same in every partition: only those of the means are left.
        gain = (sums[:, [end]] - sums[:, begins]) ** 2 / (end - begins)
        cost = best[:, begins] - gain + penalty[:, None]
        came_from[:, end] = np.argmin(cost, axis=1)
        best[:, end] = np.take_along_axis(cost, came_from[:, [end]], axis=1)[:, 0]
    return _walked_back(came_from, n)


def _walked_back(came_from: IntArray, n: IntArray) -> BoolArray:
    starts = np.zeros((len(n), came_from.shape[1] - 1), dtype=bool)
    at, rows = n.copy(), np.arange(len(n))
    while (at > 0).any():
        at = came_from[rows, at]
        starts[rows, at] = True
    return starts


def _without_outliers(values: FloatArray, n: IntArray) -> FloatArray:
    """Hampel's filter, windows mirrored at the ends so that a slow start of two values is no outlier."""
    around = _mirrored(values, n)
    windows = np.lib.stride_tricks.sliding_window_view(around, 2 * _NEIGHBOURS + 1, axis=1)
    middle = np.median(windows, axis=2)
    off = values - middle
    # Of differences from neighbours, so that a step of the level is not taken for spread.
    reach = _OUTLIER * np.fmax(_deviation(np.diff(values, axis=1)) / np.sqrt(2), LEAST_NOISE)[:, None]
    return middle + np.clip(off, -reach, reach)


def _mirrored(values: FloatArray, n: IntArray) -> FloatArray:
    width = values.shape[1]
    places = np.arange(-_NEIGHBOURS, width + _NEIGHBOURS)[None, :]
    last = n[:, None] - 1
    inside = last - np.abs(last - np.abs(places))
    beyond = places > last + _NEIGHBOURS
    mirrored = np.take_along_axis(values, np.clip(inside, 0, width - 1), axis=1)
    whole: FloatArray = np.where(beyond, np.nan, mirrored)
    return whole


def long_run_deviation(values: FloatArray) -> FloatArray:
    """What the mean of a long stretch varies by, times the root of its length; for independent values the deviation.

    Args:
        values: one series per row, NaN beyond its length, shape (series, longest).

    Returns:
        One number per series, at least ``LEAST_NOISE``.
    """
    near = np.fmax(_deviation(values[:, 1:] - values[:, :-1]), LEAST_NOISE)
    far = _deviation(values[:, 2:] - values[:, :-2])
    correlation = np.clip(far**2 / near**2 - 1, 0.0, _MOST_CORRELATION)
    # Of AR(1): var(x[t+1] - x[t]) = 2 v (1 - r), and the long-run variance is v (1 + r) / (1 - r).
    deviation: FloatArray = near / np.sqrt(2) * np.sqrt(1 + correlation) / (1 - correlation)
    return deviation


def _deviation(differences: FloatArray) -> FloatArray:
    middle: FloatArray = np.nanmedian(np.abs(differences), axis=1)
    return middle / _MEDIAN_OF_NORMAL
