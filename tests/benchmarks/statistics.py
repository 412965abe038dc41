"""What the statistics promise, tried on simulated runs whose truth is known: false alarms, coverage, power.

Run with ``make bench-statistics`` (a minute or two, no framework needed). The runs are those of ``tests.simulated``;
seeds are fixed, so that the figures repeat. Every figure is a share in per cent, for 5, 10 and 30 rounds. The bars:

- A/A: two cells that are the same, compared in rounds at alpha = 1 %, are called different in 1.2 % at most. The same
  for two sweeps without common rounds, and for the chance of any alarm in a family of 20 after Holm's correction.
- The best: of cells that are all the same the one with the best median, compared with every other one as a verdict
  does, is called faster than any of them in 1.2 % of sweeps at most. The same where they stand half a deviation apart:
  than any that is as fast.
- Ties: two cells exactly the margin apart are called tied in 1.2 % at most.
- Coverage: a cell's 95 % interval holds the true median in 93 % to 97 %.
- Power: the smallest change found 9 times in 10 at 30 rounds, alpha = 1 %, log-normal noise, is that of the usual
  formula for known spread, (z(1 - alpha / 2) + z(power)) CV sqrt(2 / n), or a third more: the spread is estimated, and
  trimming gives away a fifth here for what it wins as soon as some runs are slow, see "without trimming".

Below stands what no bar is set for: frameworks compared by loops that were chosen because they are fastest, the
interval of a cell chosen so, intervals of a ratio (wide where slow runs are too few to be trimmed), other ways to make
an interval, and how often the rounds settle it that ``more_rounds`` asks for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis import compare as comparing
from bench.analysis.compare import INCONCLUSIVE, TIE_MARGIN, Comparisons, judge, p_values
from bench.analysis.intervals import intervals, trimmed_mean_and_error
from tests.simulated import CV, EPOCHS, EVERYTHING, KINDS, Noise, log_times, true_median

FloatArray = NDArray[np.float64]
Ends = tuple[FloatArray, FloatArray]

ROUNDS = (5, 10, 30)
PAIRS = 100_000
FAMILIES, FAMILY = 5_000, 20
GRIDS = (3, 10, 40)
"""Cells among which a best one is looked for."""
LOOPS = 4
"""Of a framework, where the fastest of each is compared."""
FEW = 400
"""Sweeps for what takes long and has no bar."""

ALPHA, POWER = 0.01, 0.9
CONFIDENCE = 0.95
MOST_ALARMS = 0.012
LEAST_COVERED, MOST_COVERED = 0.93, 0.97
MOST_OVER_FORMULA = 4 / 3
_CLUSTERED = KINDS[1]
_RESAMPLES, _INNER_RESAMPLES = 200, 25


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        what: the figure and the noise.
        figures: shares, one for each of ``ROUNDS``.
        bar: in words, empty where there is none.
        met: whether all figures keep it.
    """

    what: str
    figures: Sequence[float]
    bar: str = ""
    met: bool = True


def main() -> int:
    """Prints the table; 1 where a bar is missed."""
    print(f"{'per cent, of so many rounds':50}" + "".join(f"{rounds:>8}" for rounds in ROUNDS) + "  bar", flush=True)
    missed = 0
    for row in rows():
        missed += not row.met
        told = f"{row.bar}: {'met' if row.met else 'MISSED'}" if row.bar else ""
        figures = "".join(f"{100 * figure:8.2f}" for figure in row.figures)
        print(f"{row.what:50}{figures}  {told}".rstrip(), flush=True)
    print(f"bars missed: {missed}")
    return 1 if missed else 0


def rows() -> Iterator[Row]:
    """The table, line by line."""
    yield from _false_alarms()
    yield from _held("tied, though the margin apart", false_ties, _at_most)
    yield from _held("interval of a cell", coverage, _between)
    yield from _changes_found()
    yield from _without_a_bar()


def _false_alarms() -> Iterator[Row]:
    yield from _held("alarm, pairs", alarms, _at_most)
    yield _at_most(f"alarm, two sweeps: {EVERYTHING.name}", [alarms_of_two_sweeps(n) for n in ROUNDS])
    yield _at_most(f"any alarm in {FAMILY} pairs: {EVERYTHING.name}", [alarms_in_families(n) for n in ROUNDS])
    for cells in GRIDS:
        for step in (0.0, CV / 2):
            what = f"best of {cells}{' unequal' if step else ''}"
            yield _at_most(f"alarm, {what}: {EVERYTHING.name}", [alarms_of_the_best(cells, n, step) for n in ROUNDS])
        holm_alone = [alarms_of_the_best(cells, n, chosen=False) for n in ROUNDS]
        yield Row(f"the same by Holm alone, best of {cells}", holm_alone)


def _changes_found() -> Iterator[Row]:
    formula, found = detectable_by_formula(ROUNDS[-1]), smallest_found(KINDS[0], ROUNDS[-1])
    yield Row("smallest change found, by the formula", [detectable_by_formula(n) for n in ROUNDS])
    most = MOST_OVER_FORMULA * formula
    for kind in KINDS:
        figures = [smallest_found(kind, n) for n in ROUNDS]
        bar = f"at most {100 * most:.2f} of {ROUNDS[-1]}" if kind is KINDS[0] else ""
        yield Row(f"smallest change found: {kind.name}", figures, bar, not bar or found <= most)
    for kind in (KINDS[0], EVERYTHING):
        figures = [smallest_found(kind, n, trimmed=False) for n in ROUNDS]
        yield Row(f"smallest change, without trimming: {kind.name}", figures)


def _without_a_bar() -> Iterator[Row]:
    for theirs in (1, LOOPS):
        what = f"alarm, fastest of {LOOPS} against that of {theirs}"
        yield Row(f"{what}: {EVERYTHING.name}", [alarms_of_the_fastest(LOOPS, theirs, n) for n in ROUNDS])
    for cells in GRIDS:
        yield Row(
            f"interval of the best of {cells}: {EVERYTHING.name}", [coverage_of_the_best(cells, n) for n in ROUNDS]
        )
    yield from (Row(f"interval of a ratio: {kind.name}", [ratio_coverage(kind, n) for n in ROUNDS]) for kind in KINDS)
    for name, method in ALTERNATIVES.items():
        for kind in (_CLUSTERED, EVERYTHING):
            yield Row(f"{name}: {kind.name}", [coverage_by(method, kind, n) for n in ROUNDS])
    yield Row("settled after more_rounds (80 promised)", [settled(n) for n in ROUNDS])


def _held(
    what: str, figure: Callable[[Noise, int], float], judged: Callable[[str, Sequence[float]], Row]
) -> Iterator[Row]:
    by_kind = {kind.name: [figure(kind, rounds) for rounds in ROUNDS] for kind in KINDS}
    by_kind["overall"] = [float(np.mean(figures)) for figures in zip(*by_kind.values(), strict=True)]
    yield from (judged(f"{what}: {kind}", figures) for kind, figures in by_kind.items())


def _at_most(what: str, figures: Sequence[float]) -> Row:
    return Row(what, figures, f"at most {100 * MOST_ALARMS:g}", max(figures) <= MOST_ALARMS)


def _between(what: str, figures: Sequence[float]) -> Row:
    met = min(figures) >= LEAST_COVERED and max(figures) <= MOST_COVERED
    return Row(what, figures, f"{100 * LEAST_COVERED:g} to {100 * MOST_COVERED:g}", met)


@cache
def _paired(
    noise: Noise, rounds: int, pairs: int, *, trimmed: bool = True
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean, error and degrees of pairs of equal cells, summed up as ``compare`` does, or all rounds alike."""
    logs = log_times(noise, _generator(noise, rounds), sweeps=pairs, cells=2, rounds=rounds)
    ratios = logs[:, 0] - logs[:, 1]
    if trimmed:
        return trimmed_mean_and_error(ratios)[:3]
    return ratios.mean(axis=1), stats.sem(ratios, axis=1), np.full(pairs, rounds - 1.0)


def _generator(noise: Noise, rounds: int) -> np.random.Generator:
    return np.random.default_rng([rounds, KINDS.index(noise)])


def alarms(noise: Noise, rounds: int, pairs: int = PAIRS) -> float:
    """Share of pairs of equal cells that are called different at ``ALPHA``, each tested alone."""
    p, _ = p_values(*_paired(noise, rounds, pairs))
    return float(np.mean(p <= ALPHA))


def false_ties(noise: Noise, rounds: int, pairs: int = PAIRS) -> float:
    """Share of pairs of cells a margin apart that are called tied."""
    mean, error, degrees = _paired(noise, rounds, pairs)
    _, p_tie = p_values(mean + np.log1p(TIE_MARGIN), error, degrees)
    return float(np.mean(p_tie <= ALPHA))


def ratio_coverage(noise: Noise, rounds: int, pairs: int = PAIRS) -> float:
    """Share of 95 % intervals of a ratio that hold it."""
    p, _ = p_values(*_paired(noise, rounds, pairs))
    return float(np.mean(p > 1 - CONFIDENCE))


def smallest_found(noise: Noise, rounds: int, pairs: int = PAIRS, *, trimmed: bool = True) -> float:
    """The smallest change of a cell that is called a difference at ``ALPHA`` in a share of ``POWER`` of the pairs."""
    mean, error, degrees = _paired(noise, rounds, pairs, trimmed=trimmed)
    return float(np.expm1(np.quantile(stats.t.isf(ALPHA / 2, degrees) * error - mean, POWER)))


def detectable_by_formula(rounds: int) -> float:
    """The same by the usual formula for normal noise of known spread."""
    quantiles = stats.norm.isf(ALPHA / 2) + stats.norm.ppf(POWER)
    return float(quantiles * CV * np.sqrt(2 / rounds))


def alarms_of_two_sweeps(rounds: int, families: int = FAMILIES) -> float:
    """Share of equal cells of two sweeps that are called different, each tested alone."""
    rng = np.random.default_rng([rounds, families])
    called = [_two_sweeps(rng, rounds).p <= ALPHA for _ in range(families)]
    return float(np.mean(called))


def _two_sweeps(rng: np.random.Generator, rounds: int) -> Comparisons:
    ours, theirs = (np.exp(sweep) for sweep in log_times(EVERYTHING, rng, sweeps=2, cells=FAMILY, rounds=rounds))
    ids = _ids(FAMILY)
    return comparing.compare_independent(_table(ours), _table(theirs), ids, ids, alpha=ALPHA)


def alarms_in_families(rounds: int, families: int = FAMILIES) -> float:
    """Share of families of equal cells in which any is called different after Holm's correction."""
    rng, ids = np.random.default_rng([rounds, families]), _ids(2 * FAMILY)
    called = [
        comparing.compare(
            _table(np.exp(log_times(EVERYTHING, rng, sweeps=1, cells=2 * FAMILY, rounds=rounds)[0])),
            ids[:FAMILY],
            ids[FAMILY:],
            alpha=ALPHA,
        ).differs.any()
        for _ in range(families)
    ]
    return float(np.mean(called))


def alarms_of_the_best(
    cells: int, rounds: int, step: float = 0.0, sweeps: int = FAMILIES, *, chosen: bool = True
) -> float:
    """Share of sweeps whose best cell by median is called faster than one that is as fast or faster.

    Args:
        cells: how many the best is chosen from.
        rounds: of each sweep.
        step: how much slower, as a logarithm, each cell is than the one before it.
        sweeps: how many are simulated.
        chosen: whether it is allowed for that the best was chosen by the same runs.
    """
    rng, ids, wrong = np.random.default_rng([cells, rounds]), _ids(cells), 0
    for _ in range(sweeps):
        times = log_times(EVERYTHING, rng, sweeps=1, cells=cells, rounds=rounds)[0] + step * np.arange(cells)[:, None]
        best = int(np.median(times, axis=1).argmin())
        as_fast = [cell for cell in range(cells) if cell != best and (cell < best or not step)]
        others = ids[:best] + ids[best + 1 :]
        seen = comparing.compare(_table(np.exp(times)), others, [ids[best]] * len(others), alpha=ALPHA, chosen=chosen)
        called = dict(zip(others, seen.differs & (seen.ratio > 1), strict=True))
        wrong += any(called[ids[cell]] for cell in as_fast)
    return wrong / sweeps


def alarms_of_the_fastest(ours: int, theirs: int, rounds: int, sweeps: int = PAIRS // 10) -> float:
    """Share of sweeps of equal cells in which the fastest of so many is called another than the fastest of others."""
    rng = np.random.default_rng([ours, theirs, rounds])
    logs = log_times(EVERYTHING, rng, sweeps=sweeps, cells=ours + theirs, rounds=rounds)
    ratios = np.subtract(*map(_fastest, np.split(logs, [ours], axis=1)))
    p, _ = p_values(*trimmed_mean_and_error(ratios)[:3])
    return float(np.mean(p <= ALPHA))


def coverage_of_the_best(cells: int, rounds: int, sweeps: int = FAMILIES) -> float:
    """Share of sweeps of equal cells in which the interval of the one with the best median holds the true median."""
    rng = np.random.default_rng([cells, rounds])
    logs = log_times(EVERYTHING, rng, sweeps=sweeps, cells=cells, rounds=rounds)
    seen = intervals(np.exp(_fastest(logs).ravel()), np.repeat(np.arange(sweeps), rounds), groups=sweeps)
    return _share_holding((np.log(seen.low), np.log(seen.high)), EVERYTHING)


def _fastest(logs: FloatArray) -> FloatArray:
    """Of every sweep the cell of the least median: shape (sweeps, cells, rounds) becomes (sweeps, rounds)."""
    fastest: FloatArray = logs[np.arange(len(logs)), np.median(logs, axis=2).argmin(axis=1)]
    return fastest


def _ids(cells: int) -> list[str]:
    return [str(cell) for cell in range(cells)]


def _table(values: FloatArray) -> pd.DataFrame:
    return pd.DataFrame(values, index=_ids(len(values)))


def coverage(noise: Noise, rounds: int, sweeps: int = PAIRS) -> float:
    """Share of a cell's intervals that hold the true median."""
    logs = log_times(noise, _generator(noise, rounds), sweeps=sweeps, cells=1, rounds=rounds)
    seen = intervals(np.exp(logs.ravel()), np.repeat(np.arange(sweeps), rounds), groups=sweeps)
    return _share_holding((np.log(seen.low), np.log(seen.high)), noise)


@cache
def _true_median(noise: Noise) -> float:
    return true_median(noise)


def _share_holding(ends: Ends, noise: Noise) -> float:
    low, high = ends
    return float(np.mean((low <= _true_median(noise)) & (_true_median(noise) <= high)))


def coverage_by(method: Callable[[FloatArray, np.random.Generator], Ends], noise: Noise, rounds: int) -> float:
    """Share of ``FEW`` intervals made by another method, from single epochs, that hold the true median."""
    rng = _generator(noise, rounds)
    runs = log_times(replace(noise, inside=0.0), rng, sweeps=FEW, cells=1, rounds=rounds)[:, 0]
    return _share_holding(method(runs[:, :, None] + rng.normal(0, noise.inside, (*runs.shape, EPOCHS)), rng), noise)


def _t_on_logarithms(epochs: FloatArray, _rng: np.random.Generator) -> Ends:
    runs = np.median(epochs, axis=2)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, runs.shape[1] - 1) * stats.sem(runs, axis=1)
    return runs.mean(axis=1) - half, runs.mean(axis=1) + half


def _plain_bootstrap(epochs: FloatArray, rng: np.random.Generator) -> Ends:
    """Of the runs' medians alone."""
    return _percentile_bootstrap(np.median(epochs, axis=2, keepdims=True), rng)


def _percentile_bootstrap(epochs: FloatArray, rng: np.random.Generator) -> Ends:
    ends = [np.quantile(np.median(_resampled(sweep, rng), axis=1), _tails()) for sweep in epochs]
    low, high = np.transpose(ends)
    return low, high


def _studentised_bootstrap(epochs: FloatArray, rng: np.random.Generator) -> Ends:
    """Each resample's deviation in units of its own standard error, which resamples of it tell."""
    low, high = np.transpose([_studentised(sweep, rng) for sweep in epochs])
    return low, high


def _studentised(sweep: FloatArray, rng: np.random.Generator) -> FloatArray:
    middle, resamples = np.median(sweep), _resampled(sweep, rng)
    chosen = rng.integers(len(sweep), size=(len(resamples), _INNER_RESAMPLES, len(sweep)))
    inner = np.take_along_axis(resamples[:, None, :], chosen, axis=2)
    errors, middles = np.median(inner, axis=2).std(axis=1), np.median(resamples, axis=1)
    some = errors > 0
    deviations = np.quantile((middles[some] - middle) / errors[some], _tails())
    ends: FloatArray = middle - middles.std() * deviations[::-1]
    return ends


def _resampled(sweep: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Runs' medians of a hierarchical bootstrap, runs first and epochs inside them, shape (resamples, runs)."""
    rounds, epochs = sweep.shape
    runs = rng.integers(rounds, size=(_RESAMPLES, rounds, 1))
    medians: FloatArray = np.median(sweep[runs, rng.integers(epochs, size=(_RESAMPLES, rounds, epochs))], axis=2)
    return medians


def _tails() -> list[float]:
    return [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]


ALTERNATIVES = {
    "t on logarithms": _t_on_logarithms,
    "plain bootstrap": _plain_bootstrap,
    "hierarchical bootstrap": _percentile_bootstrap,
    "studentised hierarchical bootstrap": _studentised_bootstrap,
}


def settled(rounds: int, sweeps: int = FEW) -> float:
    """Of inconclusive pairs, true ratios up to 10 % and an error of half the margin: the share that gets settled."""
    rng = np.random.default_rng(rounds)
    deviation = TIE_MARGIN / 2 * np.sqrt(rounds)
    outcomes = []
    for ratio in rng.uniform(-0.1, 0.1, sweeps):
        values = rng.normal(ratio, deviation, (1, rounds))
        seen = judge(*trimmed_mean_and_error(values))
        if seen.verdict == [INCONCLUSIVE]:
            more = rng.normal(ratio, deviation, (1, int(seen.more_rounds[0])))
            again = judge(*trimmed_mean_and_error(np.hstack([values, more])))
            outcomes.append(again.verdict != [INCONCLUSIVE])
    return float(np.mean(outcomes))


if __name__ == "__main__":
    sys.exit(main())
