"""The verdict on a ratio: faster, slower, tie or inconclusive, and how many rounds would settle what is open.

A ratio is judged by the mean of its logarithm and that mean's error, in a family: all that stand in one table. Two
questions are asked of it, each corrected by Holm's procedure (1979) over the family, so that of all the differences
claimed in it any is wrong with probability ``alpha`` at most, and any of its ties likewise:

- Does it differ from 1? A two-sided t test.
- Is it equal to 1 within the margin? Two one-sided t tests (TOST, Schuirmann 1987) of the ratio reaching 1 + margin or
  1 / (1 + margin): both are rejected where the interval of confidence 1 - 2 alpha lies inside the margin.

Where the numerator was chosen because it is the best of the same runs, luck had a say in the choice, and Holm's
correction is not enough: the luckiest of 40 equal cells comes out "certainly" faster than the unluckiest several times
as often as is promised (``make bench-statistics``). Then the k-th smallest p-value of m counts as one of the pairs
among the m - k + 2 cells that are not settled yet, not as one of m - k + 1 (Ryan 1960: any two of them might have been
the ends). For ties Holm's stays: a best that is lucky looks farther from the others than it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.intervals import CONFIDENCE

ALPHA = 1 - CONFIDENCE
MIN_PAIRS = 3
"""Below this many rounds no interval is given. Less than a cell's own interval takes: one crashed run among five must
not silence every ratio of its cell, and the t quantile of three pairs is wide enough to be honest."""

TIE_MARGIN = 0.05
"""Two cells tie where their ratio lies between 1 / (1 + margin) and 1 + margin beyond doubt."""

POWER = 0.8
"""How likely the rounds that ``more_rounds`` asks for settle it: the usual four in five (Cohen 1988)."""

FASTER, SLOWER, TIE, INCONCLUSIVE = "faster", "slower", "tie", "inconclusive"

# Enough for the widest spread that logarithms of doubles can have, and to count rounds to the last one.
_DOUBLINGS, _HALVINGS = 40, 60

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """Ratios of many pairs of cells that are judged together; arrays of one length, NaN where there is nothing.

    Attributes:
        n_pairs: rounds in which both cells were measured; of two sweeps, runs of the cell that has fewer.
        mean: (trimmed) mean of the logarithm of numerator / denominator.
        error: standard error of that.
        degrees: degrees of freedom of that error.
        margin: ratios between 1 / (1 + margin) and 1 + margin are as good as 1.
        low: lower end of the ratio's interval of confidence 1 - alpha, this ratio alone.
        high: upper end of the interval.
        p: two-sided p-value of the ratio being 1.
        p_holm: the same, corrected over the family.
        p_tie_holm: p-value of the ratio reaching the margin (the larger of the two one-sided tests), corrected too.
        level: at which the difference was tested, after the correction: the share of alpha that was this ratio's.
        level_tie: at which the tie was.
        differs: whether the ratio is certainly not 1, however close: what a planted slowdown or an A/A test counts.
        verdict: of the numerator: ``faster`` (larger ratio), ``slower``, ``tie`` or ``inconclusive``.
    """

    n_pairs: IntArray
    mean: FloatArray
    error: FloatArray
    degrees: FloatArray
    margin: float
    low: FloatArray
    high: FloatArray
    p: FloatArray
    p_holm: FloatArray
    p_tie_holm: FloatArray
    level: FloatArray
    level_tie: FloatArray
    differs: NDArray[np.bool_]
    verdict: list[str]

    @cached_property
    def ratio(self) -> FloatArray:
        """(Trimmed) geometric mean of numerator / denominator."""
        ratio: FloatArray = np.exp(self.mean)
        return ratio

    @cached_property
    def more_rounds(self) -> FloatArray:
        """How many rounds would settle each inconclusive pair, see ``rounds_to_settle``; of thousands, in seconds.

        Of two sweeps: runs of the cell that has fewer, the other's in proportion. NaN where a pair is settled, or has
        no interval yet.
        """
        open_ = ~np.isnan(self.p) & (np.array(self.verdict, dtype=object) == INCONCLUSIVE)
        more = np.full(len(self.mean), np.nan)
        more[open_] = rounds_to_settle(
            self.mean[open_], self.error[open_], self.degrees[open_], self.n_pairs[open_],
            margin=self.margin, alpha=self.level[open_], alpha_tie=self.level_tie[open_],
        )  # fmt: skip
        return more

    def p_no_loss(self, margin: float) -> FloatArray:
        """One-sided p-values of the ratios being 1 / (1 + margin) or more, each alone; the verdict's margin apart."""
        p = stats.t.cdf(_over(self.mean + np.log1p(margin), self.error), self.degrees)
        return np.where(np.isnan(self.p), np.nan, p)


def judge(
    mean: FloatArray,
    error: FloatArray,
    degrees: FloatArray,
    n: IntArray,
    *,
    margin: float = TIE_MARGIN,
    alpha: float = ALPHA,
    chosen: bool = False,
) -> Comparisons:
    """Judges ratios as one family.

    Args:
        mean: estimates of their logarithms, shape (pairs,), float64; NaN where there is none.
        error: standard errors of those.
        degrees: degrees of freedom of the errors, at least 1.
        n: rounds (or runs) behind each: below ``MIN_PAIRS`` nothing is said.
        margin: ratios between 1 / (1 + margin) and 1 + margin are as good as 1.
        alpha: the chance at most of a wrong difference, and of a wrong tie, in the whole family.
        chosen: whether all are ratios of one cell to others, and it is the best of them by the same runs.
    """
    enough = n >= MIN_PAIRS
    half = np.where(enough, stats.t.ppf(1 - alpha / 2, degrees) * error, np.nan)
    p, p_tie = (np.where(enough, values, np.nan) for values in p_values(mean, error, degrees, margin=margin))
    p_holm, p_tie_holm = holm(p, chosen=chosen), holm(p_tie)
    differs, ties = p_holm <= alpha, p_tie_holm <= alpha
    words = np.select([ties, differs & (mean > 0), differs & (mean < 0)], [TIE, FASTER, SLOWER], INCONCLUSIVE)
    return Comparisons(
        n_pairs=n,
        mean=mean,
        error=error,
        degrees=degrees,
        margin=margin,
        low=np.exp(mean - half),
        high=np.exp(mean + half),
        p=p,
        p_holm=p_holm,
        p_tie_holm=p_tie_holm,
        level=alpha * _share(p, p_holm, chosen=chosen),
        level_tie=alpha * _share(p_tie, p_tie_holm),
        differs=differs,
        verdict=[str(word) for word in words],
    )


def p_values(
    mean: FloatArray, error: FloatArray, degrees: FloatArray, *, margin: float = TIE_MARGIN
) -> tuple[FloatArray, FloatArray]:
    """Of every ratio alone the p-value of being 1, and that of being 1 + margin or 1 / (1 + margin) and beyond.

    The arguments are those of ``judge``. Of the two one-sided tests the one against the nearer end decides.
    """
    differs = 2 * stats.t.sf(_over(np.abs(mean), error), degrees)
    return differs, stats.t.sf(_over(np.log1p(margin) - np.abs(mean), error), degrees)


def detectable_loss(error: FloatArray, degrees: FloatArray, *, margin: float, alpha: float) -> FloatArray:
    """From which size on losses would be found with probability ``POWER``, at spreads like these.

    A loss of x is a ratio of 1 / (1 + x), and is found where ``p_no_loss`` gives ``alpha`` or less: where
    the mean lies t = t(1 - alpha) of its errors or more below the margin. How far below it the truth has to lie:

        log(1 + loss) = log(1 + margin) + (t + u) error,  u = z(POWER) sqrt(1 + t^2 / (2 d)) / (1 - 1 / (4 d))

    With d degrees of freedom an error is itself known to one part in sqrt(2 d) only, and comes out too small by one in
    4 d on average: u is z(POWER) for both (the noncentral t as Abramowitz and Stegun 26.7.10 have it). The plainer
    t(POWER) in its place promises too much where t is large: of 20 cells in 5 runs each, 73 % is found instead of 80 %.

    Args:
        error: standard errors of the logarithms of ratios, shape (ratios,), float64.
        degrees: degrees of freedom of those.
        margin: what has to be exceeded.
        alpha: level of each test. Holm's procedure tests the smallest p-value of m at alpha / m, which is what the
            loss of one cell alone takes; where more cells have lost, the others need less.

    Returns:
        The losses as the margin is given, ``margin`` at the least, infinite where no number is large enough.
    """
    t = stats.t.isf(alpha, degrees)
    deeper = stats.norm.ppf(POWER) * np.sqrt(1 + t**2 / (2 * degrees)) / (1 - 1 / (4 * degrees))
    with np.errstate(over="ignore"):
        losses: FloatArray = np.expm1(np.log1p(margin) + (t + deeper) * error)
    return losses


def _over(distance: FloatArray, error: FloatArray) -> FloatArray:
    """Distances in standard errors. Of runs that agree to the last bit any is certain, and none is no evidence."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0, 0.0, distance / error)


def rounds_to_settle(
    mean: FloatArray,
    error: FloatArray,
    degrees: FloatArray,
    n: IntArray,
    *,
    margin: float,
    alpha: FloatArray,
    alpha_tie: FloatArray,
) -> FloatArray:
    """How many rounds more would settle ratios, if they are what they seem and their spread stays what it is.

    That is the smallest number after which one of the two tests succeeds with probability ``POWER``. The t statistic
    after N rounds is taken as Student's t around (true value / standard error), the error shrinking as 1 / sqrt(N)
    (Chow, Shao, Wang and Lokhnygina, Sample Size Calculations in Clinical Research, 3rd ed. 2018, 3.1 for the tests of
    difference and of equivalence). A ratio that is not far from 1 is far from the margin's end, so there always is such
    a number. On simulated runs it settles rather more than ``POWER`` promises (``make bench-statistics``).

    Args:
        mean: estimates of the logarithms, shape (pairs,), float64.
        error: their standard errors after ``n`` rounds, above 0.
        degrees: degrees of freedom of those.
        n: rounds there are.
        margin: see ``judge``.
        alpha: level at which each pair's difference is tested, the family's correction included.
        alpha_tie: level at which its equivalence is tested.
    """
    size, edge = np.abs(mean), np.log1p(margin)

    def settled(factor: FloatArray) -> NDArray[np.bool_]:
        """Whether so many times the rounds are enough."""
        in_errors = np.sqrt(factor) / error
        later = degrees + (factor - 1) * (degrees + 1)
        t, t_tie = stats.t.isf(alpha / 2, later), stats.t.isf(alpha_tie, later)
        differs = stats.t.cdf(size * in_errors - t, later)
        inside = [stats.t.cdf((edge + side * size) * in_errors - t_tie, later) for side in (-1, 1)]
        enough: NDArray[np.bool_] = np.maximum(differs, inside[0] + inside[1] - 1) >= POWER
        return enough

    many = np.ones(len(mean))
    for _ in range(_DOUBLINGS):
        short = ~settled(many)
        if not short.any():
            break
        many = np.where(short, 2 * many, many)
    few, most = np.zeros(len(mean)), np.ceil((many - 1) * n)
    for _ in range(_HALVINGS):
        if (most - few <= 1).all():
            break
        middle = np.floor((few + most) / 2)
        reached = settled(1 + middle / n)
        few, most = np.where(reached, few, middle), np.where(reached, middle, most)
    return np.maximum(most, 1.0)


def _share(p: FloatArray, p_holm: FloatArray, *, chosen: bool = False) -> FloatArray:
    """The share of the family's alpha at which each member was tested."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.minimum(1 / _holm_factors(p, chosen=chosen), p / p_holm)


def holm(p: FloatArray, *, chosen: bool = False) -> FloatArray:
    """Holm's step-down correction: the k-th smallest of m is multiplied by m - k + 1, never falling, at most 1.

    NaN belongs to no family and stays NaN.

    Args:
        p: p-values of one family.
        chosen: whether they are of the best of m + 1 cells against each other one: then the k-th smallest is multiplied
            by the number of pairs among the m - k + 2 cells that are left.
    """
    order = np.argsort(p, kind="stable")
    in_order = np.minimum(np.maximum.accumulate((p * _holm_factors(p, chosen=chosen))[order]), 1.0)
    corrected = np.full(len(p), np.nan)
    corrected[order] = in_order
    return corrected


def _holm_factors(p: FloatArray, *, chosen: bool = False) -> FloatArray:
    """What Holm's procedure multiplies each by; NaN stays NaN, and stands last in the order."""
    factors = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int(np.sum(~np.isnan(p)))]
    left = np.arange(len(order), 0, -1.0)
    factors[order] = left * (left + 1) / 2 if chosen else left
    return factors
