"""At which batch size two curves change places: the faster below it is the slower above it.

Any two curves of one workload and setting are weighed. Where the step-time model fits both, they cross where their
lines do, B = (t0' - t0) / (1/r - 1/r'). The interval holds every batch size at which the two modelled step times cannot
be told apart: Fieller's idea (1954), from the pulls of the same rounds, so that the drift which both share cancels. As
a ratio of two lines only rises or only falls, they cross once or not at all.

Where a model does not fit, or where the two fit but contradict what was measured, the ratios of the measured step times
say it, round by round as in ``compare``: the curves cross between the last batch size at which one of them is faster
beyond doubt and the first at which the other is. The number given is that of the medians, joined by straight lines on
logarithmic axes.

Nothing is said of batch sizes that were not measured for both: lines that would cross out there do not cross here. Each
pair stands for itself, at 95 %. With fewer rounds than ``compare`` asks for, step times count as different where their
medians differ by more than what would be a tie.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import CROSSINGS, empty, frame
from bench.analysis.compare import FASTER, INCONCLUSIVE, MIN_PAIRS, SLOWER, TIE, TIE_MARGIN
from bench.analysis.curves import CURVE, Curves
from bench.analysis.models import Lines, Models, half_width

CROSSES, AGAIN, NOWHERE = "crosses", "crosses again", "nowhere"
"""Verdicts of their own beside ``tie`` and ``inconclusive``: once, more than once, not within the measured sizes."""

MODEL, MEASURED = "model", "measured"

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# Places between the ends of the measured range where modelled step times are compared, ends included.
_PLACES = 33
_HALVINGS = 50
_PAIRS_AT_ONCE = 2048
_MARGIN = np.log(1 + TIE_MARGIN)
_ORDER = {"pytorch": 0, "keras": 1, "reference": 2}


@dataclass(frozen=True, kw_only=True)
class Lead:
    """How the first step time of a pair stands to the other, as logarithms of their ratio, shape (pairs, places).

    Attributes:
        shown: of the medians.
        low: lower end of the interval, NaN where rounds are too few.
        high: upper end.
    """

    shown: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def sign(self) -> IntArray:
        """-1 where the first is faster, 1 where it is slower, 0 where they cannot be told apart or are not there."""
        few = np.isnan(self.low)
        with np.errstate(invalid="ignore"):
            faster = np.where(few, self.shown < -_MARGIN, (self.high < 0) & (self.shown < 0))
            slower = np.where(few, self.shown > _MARGIN, (self.low > 0) & (self.shown > 0))
        return slower.astype(np.int64) - faster

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Where the whole interval lies within the margin."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.low >= -_MARGIN) & (self.high <= _MARGIN))

    @property
    def words(self) -> NDArray[np.str_]:
        """``faster``, ``slower``, ``tie`` or ``inconclusive``, of the first."""
        return np.select([self.tied, self.sign < 0, self.sign > 0], [TIE, FASTER, SLOWER], INCONCLUSIVE)


@dataclass(frozen=True, kw_only=True)
class Crossings:
    """Where many pairs of curves cross; arrays of one length.

    Attributes:
        verdict: ``crosses``, ``crosses again``, ``nowhere``, ``tie`` or ``inconclusive``.
        batch_size: where; NaN unless it ``crosses``.
        low: lower end of its interval, or the batch size it lies above.
        high: upper end of its interval, or the batch size it lies below.
        at_smallest: how the first curve stands at the smallest batch size that both have.
        at_largest: the same at the largest.
    """

    verdict: NDArray[np.str_]
    batch_size: FloatArray
    low: FloatArray
    high: FloatArray
    at_smallest: NDArray[np.str_]
    at_largest: NDArray[np.str_]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Two curves each, by their places among the curves; ``models`` are those of all curves."""

    curves: Curves
    models: Models
    one: IntArray
    other: IntArray

    @property
    def modelled(self) -> NDArray[np.bool_]:
        """Where the model fits both, and there is a range of batch sizes that both have."""
        fits: NDArray[np.bool_] = self.models.fits[self.one] & self.models.fits[self.other]
        return np.asarray(fits & (np.sum(self.common, axis=1) > 1))

    @property
    def n(self) -> IntArray:
        """Rounds that measured both."""
        both = self.curves.in_round[self.one] & self.curves.in_round[self.other]
        rounds: IntArray = np.sum(both, axis=1, dtype=np.int64)
        return rounds

    @property
    def common(self) -> NDArray[np.bool_]:
        """Batch sizes measured of both, shape (pairs, sizes)."""
        return (self.curves.n_runs[self.one] > 0) & (self.curves.n_runs[self.other] > 0)

    def at(self, which: NDArray[np.bool_]) -> Pairs:
        """Some of the pairs."""
        return dataclasses.replace(self, one=self.one[which], other=self.other[which])

    def lead_at(self, rows: FloatArray) -> Lead:
        """Of the modelled step times, at these mean rows, shape (pairs, places)."""

        def logs(lines: Lines, which: IntArray) -> FloatArray:
            return np.log(lines.t0[which, None] + lines.slope[which, None] * rows)

        centre = logs(self.models.centre, self.one) - logs(self.models.centre, self.other)
        shown = logs(self.models.shown, self.one) - logs(self.models.shown, self.other)
        pulls = self._pulls(self.one, rows) - self._pulls(self.other, rows)
        half = half_width(pulls, np.broadcast_to(self.n[:, None], rows.shape))
        half = np.where(self.n[:, None] >= MIN_PAIRS, half, np.nan)
        return Lead(shown=shown, low=centre - half, high=centre + half)

    def _pulls(self, which: IntArray, rows: FloatArray) -> FloatArray:
        """Of each round on the logarithm of a modelled step time, shape (pairs, places, rounds)."""
        pulls, centre = self.models.pulls[which], self.models.centre
        times = centre.t0[which, None] + centre.slope[which, None] * rows
        moved = pulls[:, None, :, 0] + pulls[:, None, :, 1] * rows[:, :, None]
        return np.asarray(moved / times[:, :, None])

    def measured_lead(self) -> Lead:
        """Of the measured step times, at every batch size, NaN where not both have it."""
        shown = self.curves.medians[self.one] - self.curves.medians[self.other]
        ratios = self.curves.logs[self.one] - self.curves.logs[self.other]
        n: IntArray = np.sum(~np.isnan(ratios), axis=2, dtype=np.int64)
        mean = np.nansum(ratios, axis=2) / np.maximum(n, 1)
        pulls = np.nan_to_num((ratios - mean[:, :, None]) / np.maximum(n, 1)[:, :, None])
        half = np.where(n >= MIN_PAIRS, half_width(pulls, n), np.nan)
        return Lead(shown=shown, low=mean - half, high=mean + half)


def crossings(pairs: Pairs) -> tuple[Crossings, NDArray[np.str_]]:
    """Where the curves of each pair cross, and what says so: the ``model`` or what was ``measured``."""
    by_model, by_measure = _by_model(pairs), _by_measure(pairs)
    modelled = pairs.modelled & ~_contradicted(pairs)
    chosen = {
        name: np.where(modelled, getattr(by_model, name), getattr(by_measure, name))
        for name in Crossings.__dataclass_fields__
    }
    return Crossings(**chosen), np.where(modelled, MODEL, MEASURED)


def _by_model(pairs: Pairs) -> Crossings:
    """NaN and ``inconclusive`` where the model does not fit both."""
    low, high = _common_rows(pairs)
    lead = pairs.lead_at(np.geomspace(low, high, _PLACES, axis=1))
    first, last = lead.sign[:, 0], lead.sign[:, -1]
    # Curves that differ by less than anybody would choose by are tied, however surely they cross.
    crosses = (first * last < 0) & ~lead.tied.all(axis=1)
    at = np.where(crosses, _meeting(pairs.models.shown, pairs.one, pairs.other), np.nan)
    at = np.clip(at, low, high)
    return Crossings(
        verdict=np.select(
            [lead.tied.all(axis=1), crosses, (lead.sign == first[:, None]).all(axis=1) & (first != 0)],
            [TIE, CROSSES, NOWHERE],
            INCONCLUSIVE,
        ),
        batch_size=at,
        low=_last_as(pairs, first, low, at),
        high=_last_as(pairs, last, high, at),
        at_smallest=lead.words[:, 0],
        at_largest=lead.words[:, -1],
    )


def _common_rows(pairs: Pairs) -> tuple[FloatArray, FloatArray]:
    """Least and most mean rows that both curves have; 1 where nothing is modelled."""
    rows = np.where(pairs.common & pairs.modelled[:, None], pairs.curves.rows[pairs.one], np.nan)
    return np.nan_to_num(np.fmin.reduce(rows, axis=1), nan=1.0), np.nan_to_num(np.fmax.reduce(rows, axis=1), nan=1.0)


def _meeting(lines: Lines, one: IntArray, other: IntArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((lines.t0[other] - lines.t0[one]) / (lines.slope[one] - lines.slope[other]))


def _last_as(pairs: Pairs, sign: IntArray, end: FloatArray, meeting: FloatArray) -> FloatArray:
    """The last batch size, from an end towards the meeting, at which the first still stands as at that end."""
    result, bounded = np.full(len(sign), np.nan), ~np.isnan(meeting) & (pairs.n >= MIN_PAIRS)
    few, near, far = pairs.at(bounded), end[bounded], meeting[bounded]
    for _ in range(_HALVINGS):
        middle = np.sqrt(near * far)
        held = few.lead_at(middle[:, None]).sign[:, 0] == sign[bounded]
        near, far = np.where(held, middle, near), np.where(held, far, middle)
    result[bounded] = near
    return result


def _by_measure(pairs: Pairs) -> Crossings:
    lead, common = pairs.measured_lead(), pairs.common
    sign, shared = np.where(common, lead.sign, 0), common.any(axis=1)
    tied = shared & np.where(common, lead.tied, True).all(axis=1)
    changes = np.where(tied, 0, _changes(sign))
    last = common.shape[1] - 1 - np.argmax(common[:, ::-1], axis=1)
    everyone, first = np.arange(len(sign)), np.argmax(common, axis=1)
    alike = np.where(common, sign == sign[everyone, first][:, None], True).all(axis=1) & (sign[everyone, first] != 0)
    low, high = _bracket(pairs.curves.sizes, sign)
    crosses = changes == 1
    at = np.where(crosses, _joined(pairs.curves.sizes, np.where(common, lead.shown, np.nan), low, high), np.nan)
    words = np.where(common, lead.words, INCONCLUSIVE)
    return Crossings(
        verdict=np.select(
            [tied, crosses, changes > 1, shared & alike],
            [TIE, CROSSES, AGAIN, NOWHERE],
            INCONCLUSIVE,
        ),
        batch_size=at,
        low=np.where(crosses, low, np.nan),
        high=np.where(crosses, high, np.nan),
        at_smallest=words[everyone, first],
        at_largest=words[everyone, last],
    )


def _changes(sign: IntArray) -> IntArray:
    """How often the sign changes from one batch size that is decided to the next."""
    changes: IntArray = np.sum(_changed(sign), axis=1, dtype=np.int64)
    return changes


def _changed(sign: IntArray) -> NDArray[np.bool_]:
    """At every place but the first, whether it is decided otherwise than the last decided one before it."""
    before = np.take_along_axis(sign, _last_decided(sign), axis=1)
    return np.asarray(before[:, :-1] * sign[:, 1:] < 0)


def _last_decided(sign: IntArray) -> IntArray:
    """At every place the last one up to there whose sign is decided, the very first where there is none."""
    place: IntArray = np.maximum.accumulate(np.where(sign != 0, np.arange(sign.shape[1]), 0), axis=1)
    return place


def _bracket(sizes: IntArray, sign: IntArray) -> tuple[FloatArray, FloatArray]:
    """The batch sizes about the first change of sign: the last decided before it and the first after it."""
    place, change = _last_decided(sign), _changed(sign)
    after = np.argmax(change, axis=1) + 1 if change.shape[1] else np.zeros(len(sign), np.int64)
    before = place[np.arange(len(sign)), np.maximum(after - 1, 0)]
    return sizes[before].astype(np.float64), sizes[np.minimum(after, sign.shape[1] - 1)].astype(np.float64)


def _joined(sizes: IntArray, shown: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Where the logarithm of the ratio of medians first changes its sign between two batch sizes."""
    x, found = np.log(sizes), np.full(len(shown), np.nan)
    for pair, lead in enumerate(shown):
        inside = ~np.isnan(lead) & (sizes >= low[pair]) & (sizes <= high[pair])
        at, y = x[inside], lead[inside]
        change = np.flatnonzero(y[:-1] * y[1:] <= 0)
        if len(change):
            k = change[0]
            share = y[k] / (y[k] - y[k + 1]) if y[k] else 0.0
            found[pair] = np.exp(at[k] + share * (at[k + 1] - at[k]))
    return found


def _contradicted(pairs: Pairs) -> NDArray[np.bool_]:
    """Where at some batch size the lines say that one is faster and the runs that the other is."""
    rows = np.where(pairs.common & pairs.modelled[:, None], pairs.curves.rows[pairs.one], np.nan)
    model, measure = pairs.lead_at(rows).sign, pairs.measured_lead().sign
    return np.asarray(np.any(model * measure < 0, axis=1))


def crossings_table(curves: Curves, models: Models) -> pd.DataFrame:
    """Every two curves of one workload and setting."""
    one, other = _pairs(curves.names)
    parts = [slice(start, start + _PAIRS_AT_ONCE) for start in range(0, len(one), _PAIRS_AT_ONCE)]
    tables = [_rows(Pairs(curves=curves, models=models, one=one[part], other=other[part])) for part in parts]
    return pd.concat(tables, ignore_index=True) if tables else empty(CROSSINGS)


def _pairs(names: pd.DataFrame) -> tuple[IntArray, IntArray]:
    """Places of the first and the other curve of every pair: PyTorch before Keras, the CPU before others."""
    rank = names.assign(rank=names["framework"].map(_ORDER).fillna(len(_ORDER)))
    ordered = rank.sort_values(["workload", "setting", "rank", *CURVE], kind="stable")
    firsts, others = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for _, group in ordered.groupby(["workload", "setting"], sort=False):
        places = group.index.to_numpy(np.int64)
        above, below = np.triu_indices(len(places), 1)
        firsts.append(places[above])
        others.append(places[below])
    return np.concatenate(firsts), np.concatenate(others)


def _rows(pairs: Pairs) -> pd.DataFrame:
    found, said_by = crossings(pairs)
    names, common = pairs.curves.names, pairs.common
    values: dict[str, Any] = {name: names[name].replace("", None).iloc[pairs.one].array for name in CURVE}
    values |= {f"other_{name}": names[name].replace("", None).iloc[pairs.other].array for name in CURVE[:4]}
    smallest, largest = (_size_at(pairs.curves.sizes, common, last=last) for last in (False, True))
    values |= {
        "n_rounds": pairs.n,
        "smallest_batch_size": smallest,
        "largest_batch_size": largest,
        "said_by": said_by,
        "verdict": found.verdict,
        "at_batch_size": found.batch_size,
        "at_batch_size_low": found.low,
        "at_batch_size_high": found.high,
        "at_smallest": found.at_smallest,
        "at_largest": found.at_largest,
    }
    values |= _ratios(pairs)
    values |= _reasons(values)
    return frame(values, CROSSINGS)


def _size_at(sizes: IntArray, common: NDArray[np.bool_], *, last: bool) -> Any:
    place = common.shape[1] - 1 - np.argmax(common[:, ::-1], axis=1) if last else np.argmax(common, axis=1)
    found = pd.array(sizes[place], dtype="Int64")
    found[~common.any(axis=1)] = pd.NA
    return found


def _ratios(pairs: Pairs) -> dict[str, FloatArray]:
    """Dispatch costs and rates of the first over those of the other, where the model fits both and both are above 0."""
    centre, shown, pulls = pairs.models.centre, pairs.models.shown, pairs.models.pulls
    n, columns = pairs.n, dict[str, FloatArray]()
    # A rate is the inverse of a slope: the other's slope stands above.
    for name, field, number, above, below in (
        ("dispatch_ratio", "t0", 0, pairs.one, pairs.other), ("rate_ratio", "slope", 1, pairs.other, pairs.one),
    ):  # fmt: skip
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio, middle = (getattr(lines, field)[above] / getattr(lines, field)[below] for lines in (shown, centre))
            top, bottom = (pulls[of, :, number] / getattr(centre, field)[of, None] for of in (above, below))
            half = np.where(n >= MIN_PAIRS, half_width(top - bottom, n), np.nan)
            # As for a single term: what is uncertain by all of its size cannot be told from 0.
            told = ~((half_width(top, n) >= 1) | (half_width(bottom, n) >= 1))
            half = np.where(told, half, np.nan)
            ends = np.minimum(middle * np.exp(-half), ratio), np.maximum(middle * np.exp(half), ratio)
        known = pairs.models.fits[above] & pairs.models.fits[below] & told & np.isfinite(ratio) & (ratio > 0)
        for column, value in zip((name, f"{name}_low", f"{name}_high"), (ratio, *ends), strict=True):
            columns[column] = np.where(known & np.isfinite(value), value, np.nan)
    return columns


def _reasons(values: dict[str, Any]) -> dict[str, pd.Series[str]]:
    names = ("verdict", "at_smallest", "smallest_batch_size", "largest_batch_size")
    reasons = [_why_nowhere(*row) for row in zip(*(values[name] for name in names), strict=True)]
    intervals = [
        _why_no_interval(reason, int(n), low)
        for reason, n, low in zip(reasons, values["n_rounds"], values["at_batch_size_low"], strict=True)
    ]
    return {"reason": pd.Series(reasons, dtype=object), "interval_reason": pd.Series(intervals, dtype=object)}


def _why_nowhere(verdict: str, at_smallest: str, smallest: Any, largest: Any) -> str | None:
    if verdict == CROSSES:
        return None
    if pd.isna(smallest):
        return "no batch size was measured for both"
    return {
        NOWHERE: f"{at_smallest} at every batch size from {smallest} to {largest}",
        TIE: f"tied at every batch size from {smallest} to {largest}",
        AGAIN: "they change places more than once",
    }.get(verdict, "the rounds do not settle who is faster at which batch size")


def _why_no_interval(reason: str | None, n: int, low: float) -> str | None:
    if reason is not None:
        return "there is no crossing"
    if not np.isnan(low):
        return None
    return f"{n} {'round has' if n == 1 else 'rounds have'} both curves: an interval takes {MIN_PAIRS}"
