"""At which batch size two curves change places: the faster below it is the slower above it.

Any two curves of one workload and setting are weighed. Who is faster at a batch size is judged as everywhere (see
``judge``): by the ratios of the measured step times inside rounds, in one family, which is the whole table, every pair
of curves at every batch size that both have. A family of its own for each pair of curves would find smaller leads, but
a reader sees many pairs side by side, and ``comparisons`` weighs some of the same ratios: as its family is a part of
this one, what is ``faster`` here is never open there.

Two curves cross where, from one batch size that is settled to the next, the faster one becomes the slower one. Where
the step-time model fits both, the place is where their lines meet, B = (t0' - t0) / (1/r - 1/r'). Its interval holds
every batch size at which the two modelled step times cannot be told apart, at 95 % for this pair alone: Fieller's idea
(1954), from the pulls of the same rounds, so that the drift which both share cancels. As a ratio of two lines only
rises or only falls, they meet once or not at all. The model only says where: that two curves cross, or that one is
faster at every batch size, is said by what was measured.

Where a model does not fit, or the lines do not say the same as what was measured, the curves cross between two measured
batch sizes: the last at which the one is faster and the first at which the other is. The number given is where the mean
ratio is 1, joined by straight lines on logarithmic axes. One measured ratio is enough to object to a pair of lines, if
its own interval of 95 % says otherwise: an objection claims nothing, so no family corrects it.

Nothing is said of batch sizes that were not measured for both: lines that would cross out there do not cross here.
Below ``MIN_PAIRS`` rounds nothing is said at all.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import CROSSINGS, empty, frame
from bench.analysis.compare import ALPHA, FASTER, INCONCLUSIVE, MIN_PAIRS, SLOWER, TIE, judge
from bench.analysis.curves import CURVE, Curves
from bench.analysis.intervals import trimmed_mean_and_error
from bench.analysis.models import Lines, Models, half_width

CROSSES, AGAIN, NOWHERE = "crosses", "crosses again", "nowhere"
"""Verdicts of their own beside ``tie`` and ``inconclusive``: once, more than once, not within the measured sizes."""

MODEL, MEASURED = "model", "measured"

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_HALVINGS = 50
_PAIRS_AT_ONCE = 2048
_ORDER = {"pytorch": 0, "keras": 1, "reference": 2}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How the first of each pair stands to the other at every batch size, as measured; shape (pairs, sizes).

    Attributes:
        ratio: logarithm of the other's step time over the first's, (trimmed) mean over rounds; NaN where none has both.
        verdict: ``faster``, ``slower``, ``tie`` or ``inconclusive``, of the first.
        alone: -1 where the 95 % interval of this ratio alone says that the first is faster, 1 where slower, else 0.
    """

    ratio: FloatArray
    verdict: NDArray[np.str_]
    alone: IntArray

    @property
    def sign(self) -> IntArray:
        """-1 where the first is faster, 1 where it is slower, 0 where they tie or it is open."""
        return np.asarray((self.verdict == SLOWER).astype(np.int64) - (self.verdict == FASTER))

    def at(self, which: IntArray | slice) -> Judged:
        """Some of the pairs."""
        return Judged(ratio=self.ratio[which], verdict=self.verdict[which], alone=self.alone[which])


@dataclass(frozen=True, kw_only=True)
class Crossings:
    """Where many pairs of curves cross; arrays of one length.

    Attributes:
        verdict: ``crosses``, ``crosses again``, ``nowhere``, ``tie`` or ``inconclusive``.
        batch_size: where; NaN unless it ``crosses``.
        low: lower end of its interval, or the batch size it lies above.
        high: upper end of its interval, or the batch size it lies below.
        said_by: what says where it is: the ``model`` or what was ``measured``.
        at_smallest: how the first curve stands at the smallest batch size that both have.
        at_largest: the same at the largest.
    """

    verdict: NDArray[np.str_]
    batch_size: FloatArray
    low: FloatArray
    high: FloatArray
    said_by: NDArray[np.str_]
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
        """Where the model fits both."""
        return np.asarray(self.models.fits[self.one] & self.models.fits[self.other])

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

    @property
    def rows(self) -> FloatArray:
        """Their mean rows per step, NaN where not both have them, shape (pairs, sizes)."""
        return np.where(self.common, self.curves.rows[self.one], np.nan)

    def at(self, which: IntArray | slice) -> Pairs:
        """Some of the pairs."""
        return dataclasses.replace(self, one=self.one[which], other=self.other[which])

    def modelled_sign(self, rows: FloatArray) -> IntArray:
        """-1 where the modelled step time of the first is the shorter one beyond doubt, 1 where the longer, else 0.

        Args:
            rows: mean rows per step, shape (pairs, places).
        """

        def logs(lines: Lines, which: IntArray) -> FloatArray:
            return np.log(lines.t0[which, None] + lines.slope[which, None] * rows)

        shown = logs(self.models.shown, self.one) - logs(self.models.shown, self.other)
        centre = logs(self.models.centre, self.one) - logs(self.models.centre, self.other)
        pulls = self._pulls(self.one, rows) - self._pulls(self.other, rows)
        half = half_width(pulls, np.broadcast_to(self.n[:, None], rows.shape))
        with np.errstate(invalid="ignore"):
            faster, slower = (centre + half < 0) & (shown < 0), (centre - half > 0) & (shown > 0)
        return slower.astype(np.int64) - faster

    def _pulls(self, which: IntArray, rows: FloatArray) -> FloatArray:
        """Of each round on the logarithm of a modelled step time, shape (pairs, places, rounds)."""
        pulls, centre = self.models.pulls[which], self.models.centre
        times = centre.t0[which, None] + centre.slope[which, None] * rows
        moved = pulls[:, None, :, 0] + pulls[:, None, :, 1] * rows[:, :, None]
        return np.asarray(moved / times[:, :, None])

    def ratios(self) -> FloatArray:
        """Logarithms of the other's step time over the first's, round by round, shape (pairs * sizes, rounds)."""
        ratios = self.curves.logs[self.other] - self.curves.logs[self.one]
        return ratios.reshape(-1, ratios.shape[2])


def judged(pairs: Pairs) -> Judged:
    """Judges every pair at every batch size, all of them as one family."""
    parts = [trimmed_mean_and_error(pairs.at(part).ratios()) for part in _parts(pairs)]
    mean, error, degrees, n = (np.concatenate(column) for column in zip(*parts, strict=True))
    seen = judge(mean, error, degrees, n)
    shape = pairs.common.shape
    with np.errstate(invalid="ignore"):
        alone = np.where(seen.p <= ALPHA, -np.sign(mean), 0).astype(np.int64)
    return Judged(ratio=mean.reshape(shape), verdict=np.array(seen.verdict).reshape(shape), alone=alone.reshape(shape))


def _parts(pairs: Pairs) -> list[slice]:
    """So many pairs at once as memory has room for."""
    return [slice(start, start + _PAIRS_AT_ONCE) for start in range(0, len(pairs.one), _PAIRS_AT_ONCE)]


def crossings(pairs: Pairs, seen: Judged) -> Crossings:
    """Where the curves of each pair cross, given how they were judged."""
    sizes, common, sign = pairs.curves.sizes, pairs.common, seen.sign
    changes = _changes(sign)
    crosses = changes == 1
    everywhere = {word: _everywhere(seen.verdict == word, common) for word in (TIE, FASTER, SLOWER)}
    low, high = (np.where(crosses, end, np.nan) for end in _bracket(sizes, sign))
    at, said_by = _joined(sizes, seen.ratio, low, high), np.full(len(sign), MEASURED)
    modelled = np.flatnonzero(crosses & pairs.modelled)
    modelled = modelled[_lines_agree(pairs.at(modelled), seen.at(modelled))]
    at[modelled], low[modelled], high[modelled] = _meeting(pairs.at(modelled))
    said_by[modelled] = MODEL
    everyone, last = np.arange(len(sign)), common.shape[1] - 1 - np.argmax(common[:, ::-1], axis=1)
    return Crossings(
        verdict=np.select(
            [crosses, changes > 1, everywhere[TIE], everywhere[FASTER] | everywhere[SLOWER]],
            [CROSSES, AGAIN, TIE, NOWHERE],
            INCONCLUSIVE,
        ),
        batch_size=at,
        low=low,
        high=high,
        said_by=said_by,
        at_smallest=seen.verdict[everyone, np.argmax(common, axis=1)],
        at_largest=seen.verdict[everyone, last],
    )


def _everywhere(holds: NDArray[np.bool_], common: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether it holds at every batch size that both have, of which there is one at least."""
    return np.asarray((holds | ~common).all(axis=1) & common.any(axis=1))


def _lines_agree(pairs: Pairs, seen: Judged) -> NDArray[np.bool_]:
    """Whether the lines of pairs that cross say so too, the same way round, and no measured ratio objects."""
    ends = pairs.modelled_sign(np.stack(_common_rows(pairs), axis=1))
    before = seen.sign[np.arange(len(ends)), np.argmax(seen.sign != 0, axis=1)]
    return np.asarray((ends[:, 0] == before) & (ends[:, 1] == -before) & ~_contradicted(pairs, seen))


def _contradicted(pairs: Pairs, seen: Judged) -> NDArray[np.bool_]:
    """Where at some batch size the lines say that one is faster and the runs that the other is, each by itself."""
    return np.asarray(np.any(pairs.modelled_sign(pairs.rows) * seen.alone < 0, axis=1))


def _common_rows(pairs: Pairs) -> tuple[FloatArray, FloatArray]:
    """Least and most mean rows that both curves have."""
    return np.fmin.reduce(pairs.rows, axis=1), np.fmax.reduce(pairs.rows, axis=1)


def _meeting(pairs: Pairs) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Where lines meet that change places between the ends of what was measured, and the interval of that."""
    (low, high), lines = _common_rows(pairs), pairs.models.shown
    meeting = (lines.t0[pairs.other] - lines.t0[pairs.one]) / (lines.slope[pairs.one] - lines.slope[pairs.other])
    meeting = np.clip(meeting, low, high)
    return meeting, _last_as_at(pairs, low, meeting), _last_as_at(pairs, high, meeting)


def _last_as_at(pairs: Pairs, end: FloatArray, meeting: FloatArray) -> FloatArray:
    """The last batch size, from an end towards the meeting, at which the first still stands as at that end."""
    sign, near, far = pairs.modelled_sign(end[:, None])[:, 0], end, meeting
    for _ in range(_HALVINGS):
        middle = np.sqrt(near * far)
        held = pairs.modelled_sign(middle[:, None])[:, 0] == sign
        near, far = np.where(held, middle, near), np.where(held, far, middle)
    return near


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


def _joined(sizes: IntArray, ratio: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Where the logarithm of the mean ratio first changes its sign between two batch sizes; NaN without the two."""
    x, found = np.log(sizes), np.full(len(ratio), np.nan)
    for pair in np.flatnonzero(~np.isnan(low)):
        inside = ~np.isnan(ratio[pair]) & (sizes >= low[pair]) & (sizes <= high[pair])
        at, y = x[inside], ratio[pair, inside]
        k = int(np.argmax(y[:-1] * y[1:] <= 0))
        share = y[k] / (y[k] - y[k + 1]) if y[k] else 0.0
        found[pair] = np.exp(at[k] + share * (at[k + 1] - at[k]))
    return found


def crossings_table(curves: Curves, models: Models) -> pd.DataFrame:
    """Every two curves of one workload and setting."""
    one, other = _pairs(curves.names)
    if not len(one):
        return empty(CROSSINGS)
    pairs = Pairs(curves=curves, models=models, one=one, other=other)
    seen = judged(pairs)
    return pd.concat([_rows(pairs.at(part), seen.at(part)) for part in _parts(pairs)], ignore_index=True)


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


def _rows(pairs: Pairs, seen: Judged) -> pd.DataFrame:
    found = crossings(pairs, seen)
    names, common = pairs.curves.names, pairs.common
    values: dict[str, Any] = {name: names[name].replace("", None).iloc[pairs.one].array for name in CURVE}
    values |= {f"other_{name}": names[name].replace("", None).iloc[pairs.other].array for name in CURVE[:4]}
    smallest, largest = (_size_at(pairs.curves.sizes, common, last=last) for last in (False, True))
    values |= {
        "n_rounds": pairs.n,
        "smallest_batch_size": smallest,
        "largest_batch_size": largest,
        "said_by": found.said_by,
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
    names = ("verdict", "n_rounds", "at_smallest", "smallest_batch_size", "largest_batch_size")
    reasons = [_why_nowhere(*row) for row in zip(*(values[name] for name in names), strict=True)]
    intervals = [None if reason is None else "there is no crossing" for reason in reasons]
    return {"reason": pd.Series(reasons, dtype=object), "interval_reason": pd.Series(intervals, dtype=object)}


def _why_nowhere(verdict: str, n: int, at_smallest: str, smallest: Any, largest: Any) -> str | None:
    if verdict == CROSSES:
        return None
    if pd.isna(smallest):
        return "no batch size was measured for both"
    if n < MIN_PAIRS:
        return f"{n} {'round has' if n == 1 else 'rounds have'} both curves: a verdict takes {MIN_PAIRS}"
    return {
        NOWHERE: f"{at_smallest} at every batch size from {smallest} to {largest}",
        TIE: f"tied at every batch size from {smallest} to {largest}",
        AGAIN: "they change places more than once",
    }.get(verdict, "neither is clearly faster at every batch size, and they are not seen to change places")
