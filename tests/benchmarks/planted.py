"""Whether a real slowdown is found: one of known size, planted in a real engine (see ``planted_template``).

Run with ``make bench-planted``; ``ARGS="--trials 5"`` runs fewer. A trial is three cells of one sweep: the engine as it
is, and slowed by 5 % and by 2 %, every run a process of its own. All trials together are that sweep: a round is one
pass over all of them in random order, so that the rounds of a trial lie as far apart as those of any cell do. One after
the other, trial by trial, a neighbour who is busy for half a minute takes all rounds of one trial, which no sweep would
let happen. Each is judged where every "faster" of this harness is (``bench.analysis.compare``), for itself.

How many rounds there are is fixed: adding rounds until a difference shows would find differences where there are
none, and a number of rounds that follows from the spread of a pilot was tried and was too small, because a run that is
disturbed now and then is not in that spread. A speed-up is the same pair read the other way round; what would be called
slower then is a speed-up reported as a slowdown.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np

from bench.analysis.compare import ALPHA, Comparisons
from bench.run import processes
from tests.benchmarks.real_aa import StepTimes, judged, progress
from tests.benchmarks.real_runs import RealRuns, real_runs, short

_TEMPLATE = Path(__file__).with_name("planted_template.py")
TRIALS = 100


class Demand(NamedTuple):
    """A slowdown, and the share of trials that must find it."""

    slowdown: float
    found: float


DEMANDS = (Demand(0.05, 0.99), Demand(0.02, 0.90))
PAIRS = 30
"""Of runs, in each trial and for each slowdown: the most that the bars allow."""
STEADY_S = 0.5
"""Between the least of a standard and of a rigorous sweep: a neighbour disturbs a run for tenths of a second, and the
median sees past that."""


class Outcome(NamedTuple):
    """How the trials of one slowdown ended.

    Attributes:
        found: trials in which the slowed engine is slower beyond doubt.
        reversed: trials in which it is faster beyond doubt: read the other way round, a speed-up called a slowdown.
        ratio: median over trials; 1 + slowdown, if the plant is what it claims to be.
    """

    demand: Demand
    trials: int
    found: int
    reversed: int
    ratio: float

    @property
    def met(self) -> bool:
        """Whether enough were found, and no speed-up was called a slowdown."""
        return self.found >= self.demand.found * self.trials and self.reversed == 0

    def __str__(self) -> str:
        return (
            f"{'met' if self.met else 'MISSED':7} {self.demand.slowdown:.0%} slower: found in {self.found} of"
            f" {self.trials} (bar {self.demand.found:.0%}), median ratio {self.ratio:.4f};"
            f" the other way round: {self.reversed} of {self.trials} speed-ups reported as slowdowns"
        )


def main(arguments: Sequence[str]) -> int:
    """Trials and bars; 1 where one is missed."""
    asked = _parser().parse_args(arguments)
    step_us = _measured(asked) if asked.judge is None else np.load(asked.judge)
    outcomes = [outcome(demand, judged(step_us[:, [1 + which, 0]])) for which, demand in enumerate(DEMANDS)]
    print("\n".join(map(str, outcomes)))
    return 0 if all(outcome.met for outcome in outcomes) else 1


def _measured(asked: argparse.Namespace) -> StepTimes:
    cell = short("pytorch", None, "eager", asked.batch_size, steady_s=asked.steady_s)
    print(
        f"{cell.family} at batch {cell.batch_size}: {asked.trials} trials of {asked.pairs} pairs,"
        f" each difference tested at {ALPHA:.0%}"
    )
    rng = np.random.default_rng(asked.seed)
    with slowed_workers(), real_runs(cell) as runs:
        runs.step_us(0)  # the first run of a template finds cold files
        step_us = measure(runs, asked.trials, asked.pairs, rng)
    if asked.keep is not None:
        np.save(asked.keep, step_us.astype(np.float32))
    return step_us


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-planted", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of runs, in every trial", metavar="N")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N")
    parser.add_argument("--steady-s", type=float, default=STEADY_S, help="steady timing of a run", metavar="S")
    parser.add_argument("--seed", type=int, default=0, help="of the order inside rounds", metavar="N")
    parser.add_argument(
        "--keep", type=Path, help="keeps the step times: trials, as it is and slowed, pairs", metavar="NPY"
    )
    parser.add_argument("--judge", type=Path, help="measures nothing, and judges what was kept", metavar="NPY")
    return parser


@contextmanager
def slowed_workers() -> Iterator[None]:
    """Templates that are started in this block fork slowed workers."""

    def command(_: str | None, __: str, *arguments: str) -> list[str]:
        return [sys.executable, str(_TEMPLATE), *arguments]

    with patch.object(processes, "command", command):
        yield


def measure(runs: RealRuns, trials: int, pairs: int, rng: np.random.Generator) -> StepTimes:
    """Step times in microseconds, shape (trials, 1 + slowdowns, pairs)."""
    plants = (0.0, *(demand.slowdown for demand in DEMANDS))
    step_us = np.empty((trials, len(plants), pairs))
    began_s = time.monotonic()
    for round_ in range(pairs):
        for trial in rng.permutation(trials):
            for which in rng.permutation(len(plants)):
                step_us[trial, which, round_] = runs.step_us(round_, planted=plants[which])
        progress(round_ + 1, pairs, began_s)
    return step_us


def outcome(demand: Demand, seen: Comparisons) -> Outcome:
    """Of trials whose ratios are slowed / as it is."""
    differs = seen.p <= ALPHA
    return Outcome(
        demand=demand,
        trials=len(seen.p),
        found=int(np.sum(differs & (seen.ratio > 1))),
        reversed=int(np.sum(differs & (seen.ratio < 1))),
        ratio=float(np.median(seen.ratio)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
