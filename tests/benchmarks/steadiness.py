"""How often noise is taken for an unsteady run, how often a planted change is found, and how long 10,000 runs take.

Run with ``make bench-steadiness``. Noise is 3 % on the logarithm of an epoch's time, as a shared machine has it:
independent, autocorrelated (AR(1), 0.3 and 0.6), one-sided, with interruptions of single epochs, with one burst of a
twentieth of the epochs. "flagged" are slowdowns and no steady state, "warm-up" what would be left out of a median, and
"bias" is how far the medians of a thousand runs lie, in the mean, from what they would be without leaving anything out.
Power is over autocorrelated noise (0.3): a change counts as found where the kind is the planted one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.analysis.steadiness import NO_STEADY_STATE, SLOWDOWN, UNSTEADY, WARMUP, Course, courses

NOISE = ("independent", "ar 0.3", "ar 0.6", "one-sided", "interrupted", "burst")
LENGTHS = (10, 20, 50, 120, 500, 2000)
# Kind, part of the epochs before the change, and how much longer those before it take.
CHANGES = (
    (WARMUP, 0.1, 0.10), (WARMUP, 0.3, 0.05), (WARMUP, 0.3, 0.10), (WARMUP, 0.3, 0.20), (SLOWDOWN, 0.5, -0.05),
    (SLOWDOWN, 0.5, -0.10), (NO_STEADY_STATE, 0.8, -0.10),
)  # fmt: skip
MOST_FLAGGED = 0.02
DEVIATION = 0.03

FloatArray = NDArray[np.float64]


def noise(kind: str, runs: int, epochs: int, rng: np.random.Generator) -> FloatArray:
    """Logarithms of step times around a level of 0, shape (runs, epochs)."""
    independent = DEVIATION * rng.normal(size=(runs, epochs))
    if kind == "independent":
        return independent
    if kind == "one-sided":
        return np.log1p(rng.exponential(DEVIATION, (runs, epochs)))
    if kind == "ar 0.6":
        return autocorrelated(independent, 0.6)
    alike = autocorrelated(independent, 0.3)
    if kind == "interrupted":
        return alike + np.where(rng.random(alike.shape) < 0.05, rng.exponential(0.4, alike.shape), 0.0)
    if kind == "burst":
        place, first = np.arange(epochs), rng.integers(0, epochs, (runs, 1))
        return alike + 0.3 * ((place >= first) & (place < first + max(1, epochs // 20)))
    return alike


def autocorrelated(independent: FloatArray, correlation: float) -> FloatArray:
    """AR(1) of the same deviation."""
    series = independent.copy()
    for t in range(1, series.shape[1]):
        series[:, t] = correlation * series[:, t - 1] + np.sqrt(1 - correlation**2) * independent[:, t]
    return series


def courses_of(logs: FloatArray) -> list[Course]:
    """The courses of so many runs of one length."""
    runs, epochs = logs.shape
    found = courses(np.exp(logs).ravel(), np.repeat(np.arange(runs), epochs), runs)
    return [course for course in found if course is not None]


def changed(kind: str, before: float, size: float, runs: int, epochs: int) -> float:
    """The part of the runs in which a planted change is found."""
    logs = noise("ar 0.3", runs, epochs, np.random.default_rng([epochs, 1]))
    logs[:, : round(before * epochs)] += np.log1p(size)
    return Counter(course.kind for course in courses_of(logs))[kind] / runs


def bias(logs: FloatArray, found: list[Course]) -> float:
    """Mean over runs of what leaving a warm-up out does to the logarithm of the median."""
    cut = [np.median(series[c.warmup_epochs :]) - np.median(series) for series, c in zip(logs, found, strict=True)]
    return float(np.mean(cut))


def main(arguments: Sequence[str]) -> int:
    """Prints the tables; 1 where more is flagged than may be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000, help="simulated runs per line and length")
    asked = parser.parse_args(arguments)
    flagged = _false_alarms(asked.runs)
    _power(asked.runs)
    _pace()
    print(f"\nflagged over all noise: {flagged:.2%}, at most {MOST_FLAGGED:.0%} is allowed")
    return int(flagged > MOST_FLAGGED)


def _false_alarms(runs: int) -> float:
    print("noise without change: flagged / warm-up (bias), by number of epochs")
    print(f"{'':13}", *(f"{epochs:>22,}" for epochs in LENGTHS))
    rates = []
    for kind in NOISE:
        cells = []
        for epochs in LENGTHS:
            logs = noise(kind, runs, epochs, np.random.default_rng([epochs, 0]))
            found = courses_of(logs)
            counts = Counter(course.kind for course in found)
            rates.append(sum(counts[kind] for kind in UNSTEADY) / runs)
            cells.append(f"{rates[-1]:.1%} / {counts[WARMUP] / runs:.1%} ({bias(logs, found):+.3%})")
        print(f"{kind:13}", *(f"{cell:>22}" for cell in cells))
    return float(np.mean(rates))


def _power(runs: int) -> None:
    print("\nplanted changes found, by number of epochs")
    print(f"{'':38}", *(f"{epochs:>7,}" for epochs in LENGTHS))
    for kind, before, size in CHANGES:
        words = f"{kind}: the first {before:.0%} take {size:+.0%}"
        print(f"{words:38}", *(f"{changed(kind, before, size, runs, epochs):7.0%}" for epochs in LENGTHS))


def _pace() -> None:
    print("\ntime for runs of 1,000 epochs")
    for runs in (1_000, 10_000):
        logs = DEVIATION * np.random.default_rng(0).normal(size=(runs, 1_000))
        began = time.perf_counter()
        courses_of(logs)
        print(f"{runs:>10,} runs {time.perf_counter() - began:8.1f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
