"""What looking at intervals in order to stop does to them: their coverage when rounds end by `Stopping`, simulated.

Run as `python -m tests.benchmarks.precision`. A cell's runs are log-normal; after every round its 95 % interval is
looked at by the rule of the sweep, with the functions of the analysis. The table has the share of cells whose interval,
at the round where they stopped, holds the true geometric mean, for looks from the fifth round on and from the tenth,
which is the first look there is. The bar: 92 % wherever the spread of the runs puts the stop.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.analysis.intervals import MIN_RUNS, intervals
from bench.config.schema import FIRST_LOOK
from bench.plan.rounds import Stopping

BAR = 0.92
SPREADS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08)
RULE = Stopping(precision=0.02, of="cells", max_rounds=30, budget_s=None)
CELLS = 20_000

FloatArray = NDArray[np.float64]


class Coverage(NamedTuple):
    """Share of intervals that hold the truth, rounds on average, and share of cells that met the target."""

    share: float
    rounds: float
    met: float


def main() -> int:
    """Prints the table; 1 where the bar is missed."""
    print(f"95 % intervals, target ±{RULE.precision:.0%}, at most {RULE.max_rounds} rounds, {CELLS:,} cells each")
    print(f"{'CV of runs':>10}{'first look at ' + str(MIN_RUNS):>28}{'first look at ' + str(FIRST_LOOK):>28}")
    shares = []
    for spread in SPREADS:
        early, usual = (coverage(spread, first_look=first) for first in (MIN_RUNS, FIRST_LOOK))
        print(f"{spread:>10.1%}{_text(early):>28}{_text(usual):>28}")
        shares.append(usual.share)
    met = min(shares) >= BAR
    print(f"bar: {BAR:.0%} from {FIRST_LOOK} rounds on: least {min(shares):.1%}, {'met' if met else 'MISSED'}")
    return 0 if met else 1


def coverage(spread: float, *, first_look: int, cells: int = CELLS, rule: Stopping = RULE, seed: int = 0) -> Coverage:
    """Coverage of the intervals at which the rule stopped.

    Args:
        spread: standard deviation of the logarithms of runs.
        first_look: rounds before the first look.
        cells: how many are simulated.
        rule: when a cell stops.
        seed: decides the draws.
    """
    assert rule.max_rounds is not None
    runs = np.exp(spread * np.random.default_rng(seed).standard_normal((cells, rule.max_rounds)))
    holds, stopped_at, met = np.zeros(cells, bool), np.zeros(cells, np.int64), np.zeros(cells, bool)
    going = np.arange(cells)
    for rounds in range(first_look, rule.max_rounds + 1):
        if not len(going):
            break
        low, high, half_width = _intervals(runs[going, :rounds])
        narrow = np.array([rule.fits(width) for width in half_width])
        ends = going if rounds == rule.max_rounds else going[narrow]
        chosen = np.isin(going, ends)
        holds[ends] = ((low <= 1) & (high >= 1))[chosen]
        stopped_at[ends], met[ends] = rounds, narrow[chosen]
        going = going[~chosen]
    return Coverage(float(holds.mean()), float(stopped_at.mean()), float(met.mean()))


def _intervals(runs: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Low, high and relative half-width of every cell, from its runs so far, shape (cells, rounds)."""
    cells, rounds = runs.shape
    seen = intervals(runs.ravel(), np.repeat(np.arange(cells), rounds), cells)
    return seen.low, seen.high, (seen.high - seen.low) / 2 / seen.estimate


def _text(seen: Coverage) -> str:
    return f"{seen.share:.1%}, {seen.rounds:.0f} rounds, {seen.met:.0%} met"


if __name__ == "__main__":
    sys.exit(main())
