"""After how many steps a loop that is slower to start has paid for itself: what compiling costs, counted in steps.

Of two loops of one framework, the one whose steps are faster catches up with the other after

    N = (first step of the loop - first step of the other) / (step of the other - step of the loop)

steps: then both have spent the same time, first steps included. It pays off ``at once`` where it starts no slower,
``later`` after N steps, ``never`` where its steps are the slower ones. Where the step times cannot be told apart there
is no N to speak of: it would be one noise over another. Nor is it ``at once`` where the first steps only look no
slower: that they tie, or that the loop starts faster, has to be as certain as which steps are faster.

A pair is weighed twice. With a ``cold`` start programs are compiled, with a ``warm`` one those that a cache keeps are
loaded. A run that keeps none, or has none, pays the same either way and counts in both. A sweep gives a cell one cold
run and many warm ones, so first steps are taken from the rounds in which both loops started so, step times from all.

Everything is paired inside rounds, which frees it of the machine's drift. Step times are told apart by their ratios, as
``judge`` tells them: all pairs of one table are a family, two loops counting once, whoever stands first; a difference
within the margin of a tie is a difference here, if it is certain, as the N of a small one is large and says so. First
steps are another family, cold and warm ones each. Below ``MIN_PAIRS`` rounds nothing is told apart.

The interval of N is that of one pair, at 95 %. It holds every number of steps after which the times spent so far, f + N
s of either loop, cannot be told apart: Fieller's idea (1954) for a quotient of two differences, with ratios of times in
place of differences. It is bounded where the step times differ, and widened to hold N itself, which is that of the
medians over rounds. With fewer starts of a kind than ``MIN_PAIRS``, N has none: a number that was seen once or twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.columns import PAYOFFS, frame
from bench.analysis.compare import INCONCLUSIVE, MIN_PAIRS, TIE, by_round, judge
from bench.analysis.intervals import CONFIDENCE, medians, trimmed_mean_and_error
from bench.analysis.steadiness import unsteady_runs
from bench.records import CompileCache

AT_ONCE, LATER, NEVER = "at once", "later", "never"
COLD, WARM = CompileCache.COLD.value, CompileCache.WARM.value
STARTS = (COLD, WARM)

FloatArray = NDArray[np.float64]
# Enough for step times whose difference is a trillionth of a step, and for all the digits of a number of steps.
_DOUBLINGS, _HALVINGS = 40, 60
_SHARED = ["framework", "backend", "device", "workload", "setting", "batch_size"]


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One time of pairs of cells, in the rounds that have both; arrays of one entry per pair.

    Attributes:
        own: of the loop, shape (pairs, rounds), in seconds; NaN where the round has not both.
        other: of the other loop, in the same form.
    """

    own: FloatArray
    other: FloatArray

    @cached_property
    def n(self) -> NDArray[np.int64]:
        """Rounds with both."""
        rounds: NDArray[np.int64] = np.sum(~np.isnan(self.own), axis=1)
        return rounds

    @cached_property
    def medians(self) -> tuple[FloatArray, FloatArray]:
        """The loop's median and the other's; NaN without rounds."""
        known = ~np.isnan(self.own)
        pair = np.nonzero(known)[0]
        return medians(self.own[known], pair, len(known)), medians(self.other[known], pair, len(known))

    @property
    def ratios(self) -> FloatArray:
        """Logarithms of other / own, shape (pairs, rounds): above 0 the loop takes less."""
        return np.log(self.other / self.own)

    def lead(self) -> tuple[FloatArray, FloatArray]:
        """Interval of their mean, of each pair alone; NaN where rounds are too few."""
        mean, error, degrees, n = trimmed_mean_and_error(self.ratios)
        half = np.where(n >= MIN_PAIRS, stats.t.ppf((1 + CONFIDENCE) / 2, degrees) * error, np.nan)
        return mean - half, mean + half

    def at(self, pairs: NDArray[np.bool_]) -> Paired:
        """Some of the pairs."""
        return Paired(own=self.own[pairs], other=self.other[pairs])


@dataclass(frozen=True, kw_only=True)
class PayOffs:
    """When the loops of many pairs have paid for themselves; arrays of one length, NaN where there is nothing.

    Attributes:
        starts: first steps, in the rounds in which both loops started so.
        steps: step times, in all rounds that measured both.
        faster: whether the loop's steps are faster beyond doubt.
        verdict: ``at once``, ``later``, ``never`` or ``inconclusive``.
        after_steps: N, 0 for ``at once``, NaN for ``never`` and ``inconclusive``.
        low: lower end of its interval.
        high: upper end of its interval.
    """

    starts: Paired
    steps: Paired
    faster: NDArray[np.bool_]
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
    (lead, _), (head_start, alike) = (_judged(times, loops, others) for times in (steps, starts))
    faster, n = lead > 0, break_even(*starts.medians, *steps.medians)
    at_once, later = faster & (n <= 0) & ((head_start > 0) | alike), faster & (n > 0)
    after_steps = np.where(at_once | later, np.fmax(n, 0.0), np.nan)
    low, high = _interval(starts, steps, after_steps)
    words = np.select([lead < 0, at_once, later], [NEVER, AT_ONCE, LATER], INCONCLUSIVE)
    return PayOffs(
        starts=starts,
        steps=steps,
        faster=faster,
        verdict=[str(word) for word in words],
        after_steps=after_steps,
        low=low,
        high=high,
    )


def _paired(values: pd.DataFrame, loops: Sequence[str], others: Sequence[str]) -> Paired:
    table = values.reindex([*loops, *others]).to_numpy(np.float64)
    own, other = table[: len(loops)], table[len(loops) :]
    both = ~np.isnan(own) & ~np.isnan(other)
    return Paired(own=np.where(both, own, np.nan), other=np.where(both, other, np.nan))


def _judged(times: Paired, loops: Sequence[str], others: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """How the loops' times stand to the others', all as one family, in which two loops count once.

    Returns:
        1 where the loop's are certainly shorter, and its median too, -1 where they are longer, else 0; where they tie.
    """
    mean, error, degrees, n = trimmed_mean_and_error(times.ratios)
    pair, _ = pd.factorize(pd.Series([tuple(sorted(both)) for both in zip(loops, others, strict=True)], dtype=object))
    _, once = np.unique(pair, return_index=True)
    seen = judge(mean[once], error[once], degrees[once], n[once])
    own, other = times.medians
    certain = seen.differs[pair] & (np.sign(mean) == np.sign(other - own))
    return np.where(certain, np.sign(mean), 0).astype(np.int64), (np.array(seen.verdict, np.str_) == TIE)[pair]


def _interval(starts: Paired, steps: Paired, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The interval of N, from the rounds in which both loops started so; NaN where there is no bounded one."""
    pairs = (starts.n >= MIN_PAIRS) & ~np.isnan(n)
    started = ~np.isnan(starts.own)
    both = Paired(own=np.where(started, steps.own, np.nan), other=np.where(started, steps.other, np.nan)).at(pairs)
    starts, n = starts.at(pairs), n[pairs]

    def lead(steps_made: FloatArray) -> tuple[FloatArray, FloatArray]:
        made = steps_made[:, None]
        return Paired(own=starts.own + made * both.own, other=starts.other + made * both.other).lead()

    far = n + _far(starts, both)
    for _ in range(_DOUBLINGS):
        far = np.where(lead(far)[0] > 0, far, 2 * far)
    low = _last(lambda made: lead(made)[1] < 0, np.zeros(len(n)), n)
    high = _last(lambda made: lead(made)[0] <= 0, n, far)
    result = np.full((2, len(pairs)), np.nan)
    result[:, pairs] = np.where(lead(far)[0] > 0, [low, high], np.nan)
    return result[0], result[1]


def _far(starts: Paired, steps: Paired) -> FloatArray:
    """A number of steps that takes about as long as the first step: where to begin looking for an end."""
    (start, other_start), (step, other_step) = starts.medians, steps.medians
    return (start + other_start) / (step + other_step)


def _last(holds: Callable[[FloatArray], NDArray[np.bool_]], low: FloatArray, high: FloatArray) -> FloatArray:
    """The largest number between the two for which a condition holds that holds up to some number; else ``low``."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        held = holds(middle)
        low, high = np.where(held, middle, low), np.where(held, high, middle)
    return low


def payoffs_table(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Every loop against every other of its framework, backend, device, setting and batch size, cold and warm.

    Args:
        cells: the cells table; pairs are made of its measured cells.
        runs: the runs table.
    """
    pairs = _pairs(cells)
    pairs = pairs.assign(unsteady=unsteady_runs(cells, pairs["cell_id"], pairs["other_cell_id"]))
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
    firsts = by_round(runs.assign(first_step_s=runs["first_step_s"].where(started_so)), "first_step_s")
    steps = by_round(runs, "step_us") * 1e-6
    seen = pay_off(firsts, steps, pairs["cell_id"].tolist(), pairs["other_cell_id"].tolist())
    (first_s, other_first_s), (step_s, other_step_s) = seen.starts.medians, seen.steps.medians
    return pairs.assign(
        start=start,
        n_starts=seen.starts.n,
        n_rounds=seen.steps.n,
        first_step_s=first_s,
        other_first_step_s=other_first_s,
        step_us=step_s * 1e6,
        other_step_us=other_step_s * 1e6,
        verdict=seen.verdict,
        after_steps=seen.after_steps,
        after_steps_low=seen.low,
        after_steps_high=seen.high,
        after_epochs=seen.after_steps / np.ceil(pairs["n_train"] / pairs["batch_size"]),
        after_s=np.where(seen.after_steps > 0, first_s + seen.after_steps * step_s, seen.after_steps),
        reason=_reasons(seen, start),
        interval_reason=_interval_reasons(seen, start),
    )


def _reasons(seen: PayOffs, start: str) -> pd.Series[str]:
    columns = (seen.verdict, seen.faster, seen.starts.n, seen.steps.n)
    reasons = [
        _why_no_steps(verdict, bool(faster), int(starts), int(rounds), start)
        for verdict, faster, starts, rounds in zip(*columns, strict=True)
    ]
    return pd.Series(reasons, dtype=object)


def _why_no_steps(verdict: str, faster: bool, starts: int, rounds: int, start: str) -> str | None:
    if verdict in (AT_ONCE, LATER):
        return None
    if rounds == 0:
        return "no round measured both loops"
    if verdict == NEVER:
        return "its steps are not faster"
    if starts == 0:
        return f"no round had both loops start {start}"
    if rounds < MIN_PAIRS:
        return f"{_rounds(rounds)} measured both loops: a verdict takes {MIN_PAIRS}"
    if not faster:
        return "the step times cannot be told apart"
    if starts < MIN_PAIRS:
        why = f"{_rounds(starts)} had both start {start}: that it starts no slower takes {MIN_PAIRS}"
        return f"its steps are faster, but {why}"
    return "its steps are faster, but the first steps cannot be told apart"


def _rounds(number: int) -> str:
    return f"{number} {'round' if number == 1 else 'rounds'}"


def _interval_reasons(seen: PayOffs, start: str) -> pd.Series[str]:
    columns = (seen.verdict, seen.starts.n, seen.low)
    reasons = [
        None if not np.isnan(low) else _why_no_interval(verdict, int(starts), start)
        for verdict, starts, low in zip(*columns, strict=True)
    ]
    return pd.Series(reasons, dtype=object)


def _why_no_interval(verdict: str, starts: int, start: str) -> str:
    if verdict not in (AT_ONCE, LATER):
        return "there is no number of steps"
    if starts >= MIN_PAIRS:
        return "the step times lie too close together for the rounds there are"
    return f"{_rounds(starts)} had both start {start}: an interval takes {MIN_PAIRS}"
