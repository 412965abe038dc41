"""The step-time model t(B) = t0 + B / r of every curve: what a step costs however small, and how fast rows go through.

A curve is a framework, backend, loop and device on one workload and setting, over its batch sizes. ``t0`` is the
dispatch cost that every step pays, ``r`` the rate that throughput approaches, and ``t0 r`` the half-throughput batch
(Hockney's n-half, 1983): below it more than half of a step is dispatch, above it more than half is arithmetic. B is the
mean number of rows per step, n_train / updates, because the last batch of an epoch is short and a step time is a mean.

Noise comes as factors, so the model is fitted to logarithms, every batch size with the same weight: to the medians over
runs for what is shown, to the means for the intervals. Runs of one round share the machine's drift, and no number of
batch sizes makes up for few rounds. A round therefore enters an interval as one number, its pull on the fit: the
leave-one-round-out jackknife in its linear form, with Student's t of as many degrees as there are rounds less one. A
bootstrap over five rounds would be far too narrow. The interval tells what noise does to the best line over these batch
sizes; how well a line describes the curve is another question, which ``deviation`` answers.

With runs enough any model is rejected, so a test cannot decide whether this one is of use. It ``fits`` where no median
lies further from it than ``TOLERANCE``; where it does not, there is no t0 and no r. The F test of lack of fit (against
the scatter that is left once rounds are allowed a level of their own) is told beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.columns import MODELS, empty, frame
from bench.analysis.curves import CURVE, Curves
from bench.analysis.intervals import CONFIDENCE, MIN_RUNS

TOLERANCE = 0.15
"""The model fits where no batch size's median is more than this far above or below it."""

MIN_BATCH_SIZES = 4
"""Two numbers are fitted: two batch sizes always agree with them, and three hardly object."""

FloatArray = NDArray[np.float64]
# The dispatch share at the middle batch size is looked for between a millionth and all but a millionth, and at 0 and 1.
_GRID = np.linspace(-14.0, 14.0, 57)
_SHRINKS = 45
_GOLDEN = (np.sqrt(5.0) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Lines:
    """t0 + s B of many curves, arrays of shape (curves,), in microseconds and microseconds per sample."""

    t0: FloatArray
    slope: FloatArray

    def at(self, rows: FloatArray) -> FloatArray:
        """Step times at these mean rows, shape (curves, any)."""
        return self.t0[:, None] + self.slope[:, None] * rows


@dataclass(frozen=True, kw_only=True)
class Models:
    """The fits of many curves, NaN where there were too few batch sizes.

    Attributes:
        shown: fitted to the medians over runs.
        centre: fitted to the means of logarithms, about which the intervals lie.
        pulls: how each round moves t0 and the slope of ``centre``, shape (curves, rounds, 2); 0 where it has no run.
        n: rounds behind them, shape (curves,).
        off: how far each median lies from ``shown``, as a fraction of it, shape (curves, sizes).
    """

    shown: Lines
    centre: Lines
    pulls: FloatArray
    n: NDArray[np.int64]
    off: FloatArray

    @cached_property
    def deviation(self) -> FloatArray:
        """The largest of them without its sign, shape (curves,)."""
        largest: FloatArray = np.fmax.reduce(np.abs(self.off), axis=1)
        return largest

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """Whether the model describes the curve."""
        return self.deviation <= TOLERANCE


def fit_models(curves: Curves) -> Models:
    """Fits every curve that has batch sizes enough."""
    few = curves.n_sizes[:, None] < MIN_BATCH_SIZES
    middle = np.where(few, np.nan, curves.medians)
    shown = fit_lines(curves.rows, middle)
    centre = fit_lines(curves.rows, np.where(few, np.nan, curves.means))
    return Models(
        shown=shown,
        centre=centre,
        pulls=_pulls(curves, centre),
        n=np.sum(curves.in_round, axis=1, dtype=np.int64),
        off=np.expm1(middle - np.log(shown.at(curves.rows))),
    )


def fit_lines(rows: FloatArray, logs: FloatArray) -> Lines:
    """Least squares on logarithms, with t0 and the slope not below 0.

    Up to a factor, which has a closed form, such a line is p + (1 - p) B / G with G the middle batch size: one number
    between 0 and 1 is looked for, on a grid and then by golden section, for all curves at once.

    Args:
        rows: mean rows per step, shape (curves, sizes).
        logs: logarithms of step times, in the same shape; NaN is no point.
    """
    known = ~np.isnan(logs)
    n = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    middle = np.exp(np.sum(np.log(rows, where=known, out=np.zeros(rows.shape)), axis=1) / n)
    relative, logs = np.where(known, rows / middle[:, None], 1.0), np.where(known, logs, 0.0)

    def left(share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logarithm of the factor, and the squares left, for one share per curve."""
        off = np.where(known, logs - np.log(share[:, None] + (1 - share[:, None]) * relative), 0.0)
        level = off.sum(axis=1) / n
        return level, np.sum(np.where(known, off - level[:, None], 0.0) ** 2, axis=1)

    share = _share(_least(lambda logit: left(_share(logit))[1], len(logs)))
    for end in (np.zeros(len(logs)), np.ones(len(logs))):
        share = np.where(left(end)[1] <= left(share)[1], end, share)
    level = np.exp(left(share)[0])
    return Lines(t0=level * share, slope=level * (1 - share) / middle)


def _share(logit: FloatArray) -> FloatArray:
    share: FloatArray = 1 / (1 + np.exp(-logit))
    return share


def _least(squares: Callable[[FloatArray], FloatArray], curves: int) -> FloatArray:
    """Where a function of one number per curve is least, by golden section from the best point of a grid."""
    seen = np.array([squares(np.full(curves, point)) for point in _GRID])
    best = np.argmin(seen, axis=0)
    low, high = _GRID[np.maximum(best - 1, 0)], _GRID[np.minimum(best + 1, len(_GRID) - 1)]
    for _ in range(_SHRINKS):
        inner, outer = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        keep_low = squares(inner) <= squares(outer)
        low, high = np.where(keep_low, low, inner), np.where(keep_low, outer, high)
    middle: FloatArray = (low + high) / 2
    return middle


def _pulls(curves: Curves, centre: Lines) -> FloatArray:
    """How far each round moves t0 and the slope away from ``centre``, to first order, shape (curves, rounds, 2)."""
    known = curves.n_runs > 0
    times = centre.at(np.where(known, curves.rows, np.nan))
    per_t0, per_slope = np.where(known, [1 / times, curves.rows / times], 0.0)
    a, b, c = (np.sum(x * y, axis=1) for x, y in ((per_t0, per_t0), (per_t0, per_slope), (per_slope, per_slope)))
    # Each point weighs as its mean does, in which a run is one of n.
    off = np.nan_to_num((curves.logs - curves.means[:, :, None]) / np.where(known, curves.n_runs, 1)[:, :, None])
    along_t0, along_slope = (np.einsum("cs,csr->cr", by, off) for by in (per_t0, per_slope))
    with np.errstate(invalid="ignore", divide="ignore"):
        determinant = (a * c - b * b)[:, None]
        t0 = (c[:, None] * along_t0 - b[:, None] * along_slope) / determinant
        slope = (a[:, None] * along_slope - b[:, None] * along_t0) / determinant
    return np.stack([t0, slope], axis=2)


def half_width(pulls: FloatArray, n: NDArray[np.int64]) -> FloatArray:
    """Half an interval's width from the pulls of its rounds, along the last axis; NaN below two rounds.

    Args:
        pulls: what each round contributes to an estimate, adding up to 0, shape (..., rounds).
        n: rounds that contribute, shape (...).
    """
    several = np.where(n >= 2, n, np.nan)
    error = np.sqrt(several / (several - 1) * np.sum(pulls**2, axis=-1))
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(n - 1, 1))
    return np.asarray(quantile * error, dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Ends of intervals, NaN where there is none, infinite where it has no upper end."""

    low: FloatArray
    high: FloatArray

    def holding(self, estimate: FloatArray) -> Bounds:
        """Widened to hold the estimate, which is that of the medians."""
        return Bounds(low=np.minimum(self.low, estimate), high=np.maximum(self.high, estimate))


def positive_bounds(value: FloatArray, half: FloatArray) -> Bounds:
    """Of something that is not negative: on its logarithm where it can be told from 0, else from 0 on."""
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = half / value
    told = relative < 1
    factor = np.exp(np.where(told, relative, 0.0))
    low, high = np.where(told, value / factor, 0.0), np.where(told, value * factor, value + half)
    unknown = np.isnan(half)
    return Bounds(low=np.where(unknown, np.nan, low), high=np.where(unknown, np.nan, high))


def half_batch_bounds(models: Models) -> Bounds:
    """Of t0 / slope, by Fieller: every h for which t0 - h slope cannot be told from 0."""
    n = models.n
    t0, slope = models.centre.t0, models.centre.slope
    of_t0, of_slope = models.pulls[:, :, 0], models.pulls[:, :, 1]
    vv, ww, both = half_width(of_t0, n) ** 2, half_width(of_slope, n) ** 2, half_width(of_t0 + of_slope, n) ** 2
    # a h^2 - 2 b h + c <= 0, of which only h >= 0 means anything.
    a, b, c = slope**2 - ww, t0 * slope - (both - vv - ww) / 2, t0**2 - vv
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(np.maximum(b * b - a * c, 0.0))
        low, high = (b - root) / a, (b + root) / a
        low = np.where(a > 0, np.maximum(low, 0.0), np.where(c > 0, (b - root) / a, 0.0))
        high = np.where(a > 0, high, np.inf)
    unknown = np.isnan(vv)
    return Bounds(low=np.where(unknown, np.nan, low), high=np.where(unknown, np.nan, high))


def lack_of_fit(curves: Curves, models: Models) -> FloatArray:
    """Of the F test that the means lie on ``centre``, p; NaN where runs leave no scatter to hold them against.

    The scatter is that of runs about their batch size's mean once every round has a level of its own.
    """
    off = curves.logs - curves.means[:, :, None]
    in_round = np.sum(~np.isnan(off), axis=1)
    level = np.nansum(off, axis=1) / np.maximum(in_round, 1)
    scatter = np.nansum((off - level[:, None, :]) ** 2, axis=(1, 2))
    points = np.sum(curves.n_runs > 0, axis=1)
    free = np.sum(in_round, axis=1) - points - models.n + 1
    between = np.nansum(curves.n_runs * (curves.means - np.log(models.centre.at(curves.rows))) ** 2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (between / (points - 2)) / (scatter / free)
    known = (free > 0) & (points > 2) & (scatter > 0) & ~np.isnan(models.deviation)
    return np.where(known, stats.f.sf(f, np.maximum(points - 2, 1), np.maximum(free, 1)), np.nan)


def models_table(curves: Curves, models: Models) -> pd.DataFrame:
    """One row per curve: its model, or why there is none."""
    if curves.names.empty:
        return empty(MODELS)
    smallest, largest = curves.ends
    values: dict[str, Any] = {name: curves.names[name].replace("", None) for name in CURVE}
    values |= {
        "n_batch_sizes": curves.n_sizes,
        "smallest_batch_size": smallest,
        "largest_batch_size": largest,
        "n_rounds": models.n,
        "n_runs": curves.n_runs.sum(axis=1),
    }
    values |= _numbers(models)
    values |= _fit_columns(curves, models)
    values |= _reasons(values)
    return frame(values, MODELS)


def _numbers(models: Models) -> dict[str, FloatArray]:
    """What the models say, where they fit; intervals where there are rounds enough."""
    t0, slope, centre = models.shown.t0, models.shown.slope, models.centre
    t0_ends = positive_bounds(centre.t0, half_width(models.pulls[:, :, 0], models.n)).holding(t0)
    slope_ends = positive_bounds(centre.slope, half_width(models.pulls[:, :, 1], models.n)).holding(slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, half_batch = 1e6 / slope, t0 / slope
        rate_ends = Bounds(low=1e6 / slope_ends.high, high=1e6 / slope_ends.low)
        half_ends = half_batch_bounds(models).holding(half_batch)
    known, bounded = models.fits, models.fits & (models.n >= MIN_RUNS)
    columns: dict[str, FloatArray] = {}
    for name, value, ends in (
        ("dispatch_us", t0, t0_ends), ("asymptotic_samples_per_s", rate, rate_ends),
        ("half_batch_size", half_batch, half_ends),
    ):  # fmt: skip
        columns[name] = _finite(value, known)
        columns |= {f"{name}_low": _finite(ends.low, bounded), f"{name}_high": _finite(ends.high, bounded)}
    return columns


def _finite(values: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    return np.where(where & np.isfinite(values), values, np.nan)


def _fit_columns(curves: Curves, models: Models) -> dict[str, Any]:
    """How well the models describe the curves, and where worst."""
    known = ~np.isnan(models.deviation)
    worst = np.argmax(np.nan_to_num(np.abs(models.off), nan=-1.0), axis=1)
    sizes = pd.array(curves.sizes[worst], dtype="Int64")
    sizes[~known] = pd.NA
    return {
        "fits": models.fits,
        "deviation": models.off[np.arange(len(worst)), worst],
        "deviation_batch_size": sizes,
        "lack_of_fit_p": lack_of_fit(curves, models),
    }


def _reasons(values: Mapping[str, Any]) -> dict[str, pd.Series[str]]:
    names = ("n_batch_sizes", "n_rounds", "deviation", "deviation_batch_size", "lack_of_fit_p")
    columns = [values[name] for name in names]
    reasons = [_why_no_model(int(sizes), off, size, p) for sizes, _, off, size, p in zip(*columns, strict=True)]
    intervals = [_why_no_interval(reason, int(n)) for reason, n in zip(reasons, values["n_rounds"], strict=True)]
    rates = [
        why or (None if np.isfinite(high) else "the step time does not clearly grow with the batch size")
        for why, high in zip(intervals, values["asymptotic_samples_per_s_high"], strict=True)
    ]
    texts = {"reason": reasons, "interval_reason": intervals, "rate_reason": rates}
    return {name: pd.Series(column, dtype=object) for name, column in texts.items()}


def _why_no_model(n_sizes: int, off: float, size: int, p: float) -> str | None:
    if n_sizes < MIN_BATCH_SIZES:
        return f"{n_sizes} batch {'size' if n_sizes == 1 else 'sizes'}: a fit takes {MIN_BATCH_SIZES}"
    if abs(off) <= TOLERANCE:
        return None
    side = "above" if off > 0 else "below"
    scatter = ", though the scatter of the runs would explain it" if p > 1 - CONFIDENCE else ""
    return f"a step at batch {size} lies {abs(off):.0%} {side} the model, more than {TOLERANCE:.0%}{scatter}"


def _why_no_interval(reason: str | None, n: int) -> str | None:
    if reason is not None:
        return "there is no model"
    return None if n >= MIN_RUNS else f"{n} {'round' if n == 1 else 'rounds'}: an interval takes {MIN_RUNS}"
