"""How often a real difference is claimed where there is none: one cell against itself, under two names.

Run with ``make bench-aa``; ``ARGS="--comparisons 10"`` runs fewer. Each comparison is a small sweep of one cell under
two names: rounds, in each of them both names in random order, every run a process of its own. It is judged where every
"faster" of this harness is (``bench.analysis.compare``). What the bar counts is how many of the comparisons, each for
itself, come out different at a nominal 5 % and 1 %; more than the binomial limit of that rate, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.compare import Comparisons, compare
from tests.benchmarks.real_runs import STEADY_S, RealRuns, real_runs, short

COMPARISONS = 200
ROUNDS = 5
RATES = (0.05, 0.01)
SURE = 0.99
"""A test that keeps its rate exactly stays within the limit this often."""

# Comparison, name, round.
StepTimes = NDArray[np.float64]


class FalseAlarms(NamedTuple):
    """How many of ``n`` comparisons of a cell with itself differ at a nominal rate."""

    rate: float
    n: int
    seen: int

    @property
    def limit(self) -> int:
        """The most that the rate itself leaves likely."""
        return int(stats.binom.ppf(SURE, self.n, self.rate))

    @property
    def met(self) -> bool:
        """Whether no more than that were seen."""
        return self.seen <= self.limit

    @property
    def p(self) -> float:
        """The chance of at least so many, if the rate is what it claims to be."""
        return float(stats.binomtest(self.seen, self.n, self.rate, alternative="greater").pvalue)

    def __str__(self) -> str:
        return (
            f"{'met' if self.met else 'MISSED':7} false alarms at a nominal {self.rate:.0%}: {self.seen} of {self.n}"
            f" ({self.seen / self.n:.1%}); the limit is {self.limit}, the chance of so many or more {self.p:.2g}"
        )


def main(arguments: Sequence[str]) -> int:
    """Measures, prints both bars; 1 where one is missed."""
    asked = _parser().parse_args(arguments)
    cell = short("pytorch", None, asked.loop, asked.batch_size, steady_s=asked.steady_s)
    print(f"{cell.family} at batch {cell.batch_size}: {asked.comparisons} comparisons, {asked.rounds} rounds each")
    with real_runs(cell) as runs:
        runs.step_us(0)  # the first run of a template finds cold files
        seen = judged(measure(runs, asked.comparisons, asked.rounds, np.random.default_rng(asked.seed)))
    bars = [false_alarms(seen, rate) for rate in RATES]
    print("\n".join([*told(seen), *map(str, bars)]))
    return 0 if all(bar.met for bar in bars) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-aa", description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=COMPARISONS, metavar="N")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each comparison", metavar="N")
    parser.add_argument("--loop", default="eager", help="of PyTorch")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N")
    parser.add_argument("--steady-s", type=float, default=STEADY_S, help="steady timing of a run", metavar="S")
    parser.add_argument("--seed", type=int, default=0, help="of the order inside rounds", metavar="N")
    return parser


def measure(runs: RealRuns, comparisons: int, rounds: int, rng: np.random.Generator) -> StepTimes:
    """Step times in microseconds, shape (comparisons, 2, rounds)."""
    step_us = np.empty((comparisons, 2, rounds))
    began_s = time.monotonic()
    for comparison in range(comparisons):
        for round_ in range(rounds):
            for name in rng.permutation(2):
                step_us[comparison, name, round_] = runs.step_us(comparison * rounds + round_)
        progress(comparison + 1, comparisons, began_s)
    return step_us


def progress(done: int, of: int, began_s: float) -> None:
    """A line every twentieth of the way, which a log can bear."""
    if done * 20 // of > (done - 1) * 20 // of:
        left_s = (time.monotonic() - began_s) / done * (of - done)
        print(f"  {done} of {of}, {left_s:.0f} s left", flush=True)


def judged(step_us: StepTimes) -> Comparisons:
    """Every comparison, first name over second."""
    comparisons, _, rounds = step_us.shape
    names = [[f"{name}{comparison}" for comparison in range(comparisons)] for name in "ab"]
    both = np.concatenate([step_us[:, 0], step_us[:, 1]])
    return compare(pd.DataFrame(both, index=names[0] + names[1], columns=range(rounds)), *names)


def false_alarms(seen: Comparisons, rate: float) -> FalseAlarms:
    """By the p-value of each comparison for itself: a family's correction would hide what is asked here."""
    return FalseAlarms(rate, len(seen.p), int(np.sum(seen.p <= rate)))


def told(seen: Comparisons) -> list[str]:
    """What else a reader wants to know of them."""
    ratios = np.log(seen.ratio)
    words = ", ".join(f"{number} {word}" for word, number in Counter(seen.verdict).most_common())
    return [
        f"ratios: median {np.exp(np.median(ratios)):.4f}, half of them within {np.median(np.abs(ratios)):.2%} of 1",
        f"verdicts, all of them one family: {words}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
