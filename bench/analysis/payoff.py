"""After how many steps a loop that is slower to start has paid for itself: what compiling costs, counted in steps.

Of two loops of one framework, the one whose steps are faster catches up with the other after

    N = (first step of the loop - first step of the other) / (step of the other - step of the loop)

steps: then both have spent the same time, first steps included. It pays off ``at once`` where it starts no slower,
``later`` after N steps, ``never`` where its steps are the slower ones. Where the step times cannot be told apart there
is no N to speak of: it would be one noise over another.

A pair is weighed twice. With a ``cold`` start programs are compiled, with a ``warm`` one those that a cache keeps are
loaded. A run that keeps none, or has none, pays the same either way and counts in both. A sweep gives a cell one cold
run and many warm ones, so first steps are taken from the rounds in which both loops started so, step times from all.

Everything is paired inside rounds, which frees it of the machine's drift. Values are medians over rounds. Step times
are told apart by Student's t on their differences, one pair of loops at a time. The interval of N is Fieller's (1954)
for a ratio of two means, here the mean differences, whose errors are taken as independent; it is widened to hold the
medians' N where a skewed sample's lies outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.columns import PAYOFFS, frame
from bench.analysis.compare import INCONCLUSIVE, MIN_PAIRS, TIE_MARGIN, by_round
from bench.analysis.intervals import CONFIDENCE, mean_and_error, medians
from bench.records import CompileCache

AT_ONCE, LATER, NEVER = "at once", "later", "never"
COLD, WARM = CompileCache.COLD.value, CompileCache.WARM.value
STARTS = (COLD, WARM)

FloatArray = NDArray[np.float64]
_SHARED = ["framework", "backend", "device", "workload", "setting", "batch_size"]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One quantity of pairs of cells, in the rounds that have both; arrays of one length, NaN where there is nothing.

    Attributes:
        n: rounds with both.
        own: median of the loop.
        other: median of the other loop.
        lead: mean over rounds of other - own: positive where the loop takes less.
        error: standard error of that mean; NaN below two rounds.
    """

    n: NDArray[np.int64]
    own: FloatArray
    other: FloatArray
    lead: FloatArray
    error: FloatArray

    def half_width(self, n: NDArray[np.int64]) -> FloatArray:
        """Of the lead's interval with the degrees of freedom of ``n`` rounds; NaN where they are too few."""
        t = stats.t.ppf((1 + CONFIDENCE) / 2, np.maximum(n - 1, 1))
        return np.where(n >= MIN_PAIRS, t * self.error, np.nan)


@dataclass(frozen=True, kw_only=True)
class PayOffs:
    """When the loops of many pairs have paid for themselves; arrays of one length, NaN where there is nothing.

    Attributes:
        starts: the first steps, in seconds, in the rounds in which both loops started so.
        steps: the step times, in seconds.
        verdict: ``at once``, ``later``, ``never`` or ``inconclusive``.
        after_steps: N, 0 for ``at once``, NaN for ``never`` and ``inconclusive``.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    starts: Paired
    steps: Paired
    verdict: list[str]
    after_steps: FloatArray
    low: FloatArray
    high: FloatArray


def break_even(
    first_s: FloatArray, other_first_s: FloatArray, step_s: FloatArray, other_step_s: FloatArray
) -> FloatArray:
    """Steps after which two loops have spent the same time: the N above, for either of the two; NaN for equal steps.

    Negative where one loop is ahead in both, and so from the first step on.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(step_s == other_step_s, np.nan, (first_s - other_first_s) / (other_step_s - step_s))


def pay_off(first_s: pd.DataFrame, step_s: pd.DataFrame, loops: Sequence[str], others: Sequence[str]) -> PayOffs:
    """Weighs pairs of cells.

    Args:
        first_s: first steps in seconds, one row per cell and one column per round (see ``compare.by_round``); NaN
            where the run did not start as asked.
        step_s: step times in seconds, in the same form.
        loops: ids of the cells that may pay off.
        others: ids of those they are weighed against, one for each.
    """
    starts, steps = _paired(first_s, loops, others), _paired(step_s, loops, others)
    faster, slower = _told_apart(steps), _told_apart(_swapped(steps))
    n = break_even(starts.own, starts.other, steps.own, steps.other)
    counts = faster & ~np.isnan(n)
    low, high = _fieller(starts, steps)
    after_steps = np.where(counts, np.fmax(n, 0.0), np.nan)
    bounded = counts & ~np.isnan(low)
    words = np.select([slower, counts & (n <= 0), counts], [NEVER, AT_ONCE, LATER], INCONCLUSIVE)
    return PayOffs(
        starts=starts,
        steps=steps,
        verdict=[str(word) for word in words],
        after_steps=after_steps,
        low=np.where(bounded, np.fmax(np.fmin(low, n), 0.0), np.nan),
        high=np.where(bounded, np.fmax(np.fmax(high, n), 0.0), np.nan),
    )


def _paired(values: pd.DataFrame, loops: Sequence[str], others: Sequence[str]) -> Paired:
    table = values.reindex([*loops, *others]).to_numpy(np.float64)
    own, other = table[: len(loops)], table[len(loops) :]
    both = ~np.isnan(own) & ~np.isnan(other)
    pair = np.nonzero(both)[0]
    lead, error = mean_and_error(other[both] - own[both], pair, len(loops))
    return Paired(
        n=both.sum(axis=1),
        own=medians(own[both], pair, len(loops)),
        other=medians(other[both], pair, len(loops)),
        lead=lead,
        error=error,
    )


def _swapped(pairs: Paired) -> Paired:
    return Paired(n=pairs.n, own=pairs.other, other=pairs.own, lead=-pairs.lead, error=pairs.error)


def _told_apart(steps: Paired) -> NDArray[np.bool_]:
    """Where the loop's steps are faster beyond doubt; without an interval by more than what would be a tie."""
    with np.errstate(invalid="ignore"):
        certain = (steps.lead > steps.half_width(steps.n)) & (steps.own < steps.other)
        plain = (steps.n < MIN_PAIRS) & (steps.own * (1 + TIE_MARGIN) < steps.other)
    return certain | plain


def _fieller(starts: Paired, steps: Paired) -> tuple[FloatArray, FloatArray]:
    """All N for which ``-starts.lead - N * steps.lead`` could be 0; NaN where no bounded interval holds them.

    They lie between the roots of a quadratic in N, and are bounded where the step times differ at the level asked for.
    """
    n = np.minimum(starts.n, steps.n)
    start, step = starts.half_width(n) ** 2, steps.half_width(n) ** 2
    handicap, lead = -starts.lead, steps.lead
    leading = lead**2 - step
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(start * leading + step * handicap**2)
        low, high = (handicap * lead - root) / leading, (handicap * lead + root) / leading
        bounded = leading > 0
    return np.where(bounded, low, np.nan), np.where(bounded, high, np.nan)


def payoffs_table(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Every loop against every other of its framework, backend, device, setting and batch size, cold and warm.

    Args:
        cells: the cells table; pairs are made of its measured cells.
        runs: the runs table.
    """
    pairs = _pairs(cells)
    tables = [_weighed(pairs, runs, start) for start in STARTS]
    order = ["device", "workload", "setting", "framework", "backend", "batch_size", "loop", "other_loop", "start"]
    return frame(pd.concat(tables, ignore_index=True).sort_values(order, ignore_index=True), PAYOFFS)


def _pairs(cells: pd.DataFrame) -> pd.DataFrame:
    measured = cells.loc[cells["n_measured"] > 0, [*_SHARED, "batch_size_label", "n_train", "loop", "cell_id"]]
    others = measured[[*_SHARED, "loop", "cell_id"]].rename(columns={"loop": "other_loop", "cell_id": "other_cell_id"})
    pairs = measured.merge(others, on=_SHARED)
    return pairs[pairs["loop"] != pairs["other_loop"]].reset_index(drop=True)


def _weighed(pairs: pd.DataFrame, runs: pd.DataFrame, start: str) -> pd.DataFrame:
    other_start = WARM if start == COLD else COLD
    started_so = runs["step_us"].notna() & (runs["compile_cache"] != other_start)
    first_s = by_round(runs.assign(first_step_s=runs["first_step_s"].where(started_so)), "first_step_s")
    step_s = by_round(runs, "step_us") * 1e-6
    seen = pay_off(first_s, step_s, pairs["cell_id"].tolist(), pairs["other_cell_id"].tolist())
    return pairs.assign(
        start=start,
        n_starts=seen.starts.n,
        n_rounds=seen.steps.n,
        first_step_s=seen.starts.own,
        other_first_step_s=seen.starts.other,
        step_us=seen.steps.own * 1e6,
        other_step_us=seen.steps.other * 1e6,
        verdict=seen.verdict,
        after_steps=seen.after_steps,
        after_steps_low=seen.low,
        after_steps_high=seen.high,
        after_epochs=seen.after_steps / np.ceil(pairs["n_train"] / pairs["batch_size"]),
        after_s=np.where(seen.after_steps > 0, seen.starts.own + seen.after_steps * seen.steps.own, seen.after_steps),
        reason=_reasons(seen, start),
        interval_reason=_interval_reasons(seen, start),
    )


def _reasons(seen: PayOffs, start: str) -> pd.Series[str]:
    reasons = [
        _why_no_steps(verdict, int(starts), int(rounds), start)
        for verdict, starts, rounds in zip(seen.verdict, seen.starts.n, seen.steps.n, strict=True)
    ]
    return pd.Series(reasons, dtype=object)


def _why_no_steps(verdict: str, starts: int, rounds: int, start: str) -> str | None:
    if verdict in (AT_ONCE, LATER):
        return None
    if rounds == 0:
        return "no round measured both loops"
    if verdict == NEVER:
        return "its steps are not faster"
    return f"no round had both loops start {start}" if starts == 0 else "the step times cannot be told apart"


def _interval_reasons(seen: PayOffs, start: str) -> pd.Series[str]:
    columns = (seen.verdict, seen.starts.n, seen.steps.n, seen.low)
    reasons = [
        None if not np.isnan(low) else _why_no_interval(verdict, int(starts), int(rounds), start)
        for verdict, starts, rounds, low in zip(*columns, strict=True)
    ]
    return pd.Series(reasons, dtype=object)


def _why_no_interval(verdict: str, starts: int, rounds: int, start: str) -> str:
    if verdict not in (AT_ONCE, LATER):
        return "there is no number of steps"
    if min(starts, rounds) >= MIN_PAIRS:
        return "the step times lie too close together for the rounds there are"
    few, what = (rounds, "measured both") if rounds < MIN_PAIRS else (starts, f"had both start {start}")
    return f"{few} {'round' if few == 1 else 'rounds'} {what}: an interval takes {MIN_PAIRS}"
