"""Whether a run's steady epochs were steady: flat, after a warm-up, slowing down, or never.

After Barrett, Bolz-Tereick, Killick, Mount and Tratt 2017, "Virtual Machine Warmup Blows Hot and Cold" (OOPSLA). The
series is the time per update of the steady epochs. Training epochs are no part of it: an evaluation stands between any
two of them, and speed is not read from them; the first step, which traces and compiles, lies before both. Change points
cut the series into segments (``bench.analysis.changepoints``), segments whose medians lie within ``TOLERANCE`` are one
level, and the last level decides: the run is flat where it is the only one, warmed up where all before were slower,
slowed down where one was faster, and without steady state where it held for less than ``LEAST_STEADY`` of the epochs or
had been there before.

One thing is judged more mildly than there: what leaves the level for at most ``DISTURBED`` of the epochs, and comes
back or is at the end, is the machine's doing. On a shared machine many a run is interrupted by other processes, and the
median over epochs that the run is worth outlives it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.changepoints import MOST_BLOCKS, Changes, changes

FLAT, WARMUP, SLOWDOWN, NO_STEADY_STATE, TOO_FEW = "flat", "warmup", "slowdown", "no_steady_state", "too_few"
KINDS = (FLAT, WARMUP, TOO_FEW, SLOWDOWN, NO_STEADY_STATE)
"""From good to bad."""
UNSTEADY = (SLOWDOWN, NO_STEADY_STATE)
"""What is flagged wherever it enters."""

MIN_EPOCHS = 10
"""Of fewer nobody can say whether two of them differ by chance."""

TOLERANCE = 0.02
"""Levels closer than this factor less one are the same level: nobody would choose by it."""

LEAST_STEADY = 0.25
"""The part of the epochs that the last level must hold for, as Barrett et al. ask for 500 of 2,000."""

DISTURBED = 0.1
"""The part of the epochs that may lie off the level."""

_DEVIATIONS = 3.0

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of one level: epochs ``start`` to ``end`` (exclusive) of the steady ones, ``level`` their median.

    Disturbed epochs inside lie between ``start`` and ``end`` and are no part of ``level`` (in the unit of the series).
    """

    start: int
    end: int
    level: float


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a run's steady epochs went.

    Attributes:
        kind: one of ``KINDS``.
        epochs: how many there are.
        segments: the levels in their order; none where there are too few epochs to say.
        disturbed: epochs off the level that the machine is held responsible for.
    """

    kind: str
    epochs: int
    segments: tuple[Segment, ...] = ()
    disturbed: int = 0

    @property
    def warmup_epochs(self) -> int:
        """Epochs before the steady state; 0 where there is no warm-up."""
        return self.segments[-1].start if self.kind == WARMUP else 0

    @property
    def reason(self) -> str | None:
        """What the kind rests on; None for an undisturbed flat run."""
        return _reason(self)


def courses(step_times: FloatArray, run: IntArray, runs: int) -> list[Course | None]:
    """The course of every run, None for one without steady epochs.

    Args:
        step_times: time per update of all steady epochs in any one unit, positive, those of a run together and in
            their order, shape (epochs,), float64.
        run: each epoch's run, ascending, 0 to ``runs`` - 1, shape (epochs,), int64.
        runs: how many there are, those without epochs included.
    """
    n = np.bincount(run, minlength=runs)
    first = np.cumsum(n) - n
    series = [np.log(step_times[a : a + k]) for a, k in zip(first.tolist(), n.tolist(), strict=True)]
    found: list[Course | None] = [Course(kind=TOO_FEW, epochs=len(x)) if len(x) else None for x in series]
    judged = np.flatnonzero(n >= MIN_EPOCHS)
    blocks = [_blocks(series[i]) for i in judged]
    seen = _changes(blocks)
    for i, block, starts, deviation in zip(judged.tolist(), blocks, seen.starts, seen.deviation.tolist(), strict=True):
        found[i] = _course(block, np.flatnonzero(starts).tolist(), deviation, len(series[i]))
    return found


def unsteady_runs(cells: pd.DataFrame, *ids: pd.Series[str]) -> IntArray:
    """How many flagged runs stand behind what is made of several cells.

    Args:
        cells: the cells table.
        ids: of the cells in it, one series for each part that the rows are made of.
    """
    n = cells.set_index("cell_id")["n_unsteady"]
    unsteady: IntArray = np.sum([part.map(n).to_numpy(np.int64) for part in ids], axis=0)
    return unsteady


def _blocks(logs: FloatArray) -> FloatArray:
    """Medians of as many neighbours as it takes for ``MOST_BLOCKS`` of them at most; the last may have more."""
    width, count = _blocking(len(logs))
    blocks = np.median(logs[: width * count].reshape(count, width), axis=1) if width > 1 else logs.copy()
    blocks[-1] = np.median(logs[width * (count - 1) :])
    return blocks


def _blocking(epochs: int) -> tuple[int, int]:
    width = -(-epochs // MOST_BLOCKS)
    return width, epochs // width


def _changes(blocks: Sequence[FloatArray]) -> Changes:
    n = np.array([len(block) for block in blocks], dtype=np.int64)
    padded = np.full((len(n), int(n.max(initial=0))), np.nan)
    for row, block in zip(padded, blocks, strict=True):
        # The unit of time may not decide anything, not even by the last bit of a logarithm.
        row[: len(block)] = np.round(block - np.median(block), 9)
    return changes(padded, n)


def _course(blocks: FloatArray, starts: list[int], deviation: float, epochs: int) -> Course:
    cuts = zip(starts, [*starts[1:], len(blocks)], strict=True)
    stretches = _merged([_Stretch(a, b, blocks[a:b], deviation) for a, b in cuts])
    stretches = _forgiven(stretches, DISTURBED * len(blocks))
    width, _ = _blocking(epochs)
    ends = [*(s.start * width for s in stretches[1:]), epochs]
    return Course(
        kind=_kind(stretches, len(blocks)),
        epochs=epochs,
        segments=tuple(
            Segment(start=s.start * width, end=end, level=float(np.exp(s.level)))
            for s, end in zip(stretches, ends, strict=True)
        ),
        disturbed=_disturbed(stretches) * width,
    )


@dataclass(frozen=True)
class _Stretch:
    """Blocks ``start`` to ``end`` of one level: ``values`` are those at it, ``deviation`` is that of the series."""

    start: int
    end: int
    values: FloatArray
    deviation: float

    @cached_property
    def level(self) -> float:
        return float(np.median(self.values))

    @property
    def disturbed(self) -> int:
        return self.end - self.start - len(self.values)

    def joined(self, other: _Stretch) -> _Stretch:
        """Both, and what lies between them is disturbed."""
        return _Stretch(self.start, other.end, np.concatenate([self.values, other.values]), self.deviation)

    def is_at(self, other: _Stretch) -> bool:
        """Whether both may be one level: too close to matter, or to be told apart."""
        chance = _DEVIATIONS * self.deviation * math.sqrt(1 / len(self.values) + 1 / len(other.values))
        return abs(self.level - other.level) <= max(math.log1p(TOLERANCE), chance)


def _merged(stretches: list[_Stretch]) -> list[_Stretch]:
    """Neighbours of one level joined, the closest first."""
    while len(stretches) > 1:
        apart = [abs(a.level - b.level) for a, b in itertools.pairwise(stretches)]
        i = int(np.argmin(apart))
        if apart[i] > math.log1p(TOLERANCE):
            break
        stretches = [*stretches[:i], stretches[i].joined(stretches[i + 1]), *stretches[i + 2 :]]
    return stretches


def _forgiven(stretches: list[_Stretch], allowed: float) -> list[_Stretch]:
    """Without short departures from a level, the shortest first, while no more than ``allowed`` blocks are in them."""
    while True:
        rests = [rest for rest in (_found_again(stretches, allowed), _left_at_the_end(stretches)) if rest is not None]
        rests = [rest for rest in rests if _disturbed(rest) <= allowed]
        if not rests:
            return stretches
        stretches = _merged(min(rests, key=_disturbed))


def _disturbed(stretches: list[_Stretch]) -> int:
    return sum(stretch.disturbed for stretch in stretches)


def _found_again(stretches: list[_Stretch], allowed: float) -> list[_Stretch] | None:
    """The shortest departure that comes back joined to the level it leaves; None where none within ``allowed`` does."""
    departures = [
        (back.start - left.end, a, b)
        for a, left in enumerate(stretches)
        for b, back in enumerate(stretches[a + 2 :], a + 2)
        if back.start - left.end <= allowed and left.is_at(back)
    ]
    if not departures:
        return None
    _, a, b = min(departures)
    return [*stretches[:a], stretches[a].joined(stretches[b]), *stretches[b + 1 :]]


def _left_at_the_end(stretches: list[_Stretch]) -> list[_Stretch] | None:
    """The longest level extended to the end, where another one is there; a burst is not left by what follows it."""
    longest = max(range(len(stretches)), key=lambda i: len(stretches[i].values))
    if longest == len(stretches) - 1:
        return None
    return [*stretches[:longest], replace(stretches[longest], end=stretches[-1].end)]


def _kind(stretches: list[_Stretch], blocks: int) -> str:
    *before, last = stretches
    if not before:
        return FLAT
    if last.end - last.start < LEAST_STEADY * blocks or any(stretch.is_at(last) for stretch in before[:-1]):
        return NO_STEADY_STATE
    return WARMUP if all(stretch.level > last.level for stretch in before) else SLOWDOWN


def _reason(course: Course) -> str | None:
    if course.kind == TOO_FEW:
        return f"{_epochs(course.epochs)}: a class takes {MIN_EPOCHS}"
    of = _epochs(course.epochs)
    if course.kind == FLAT:
        return f"{course.disturbed} of {of} off the level" if course.disturbed else None
    *before, last = course.segments
    if course.kind == NO_STEADY_STATE:
        held = last.end - last.start
        few = held < LEAST_STEADY * course.epochs
        return f"the last level held for {held} of {of}" if few else f"the level of the last {held} of {of} was left"
    extreme = (max if course.kind == WARMUP else min)(segment.level for segment in before)
    change = f"{abs(last.level / extreme - 1):.0%}"
    if course.kind == WARMUP:
        return f"{last.start} of {of} before a level up to {change} faster"
    return f"the last {last.end - last.start} of {of} up to {change} slower than before"


def _epochs(number: int) -> str:
    return "1 steady epoch" if number == 1 else f"{number} steady epochs"
