"""What the measuring loop costs: its throughput against a bare loop of the same engine in the same process.

Run with ``make bench-overhead``. Pairs of (harness, bare) epochs are interleaved on one engine, in turn first and
second, so that drift of the machine hits both alike; the figure is the median of the ratios of the pairs.
The bare loop asks the engine for its epochs with nothing around them but two readings of the clock.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from bench.engines import catalogue
from bench.engines.base import Engine
from bench.run.measure import Conditions, Recorder, SteadyEpochs
from tests.benchmarks.timing import Spread, bare_ns, cell_of, ready_engine

FAMILIES = (
    ("reference", None, "eager"),
    ("pytorch", None, "idiomatic"),
    ("pytorch", None, "eager"),
    ("keras", "tensorflow", "idiomatic"),
    ("keras", "tensorflow", "compiled"),
)
BATCH_SIZES = (1, 32, 1000)
LEAST_PAIRS = 30
PRECISION = 0.003
MOST_S = 90.0
BLOCK_S = 0.05
BAR = 0.01


class CountedEpochs(SteadyEpochs):
    """The harness's own steady epochs, a given number of them."""

    epochs_wanted = 0

    def wants_another(self) -> bool:
        return len(self.windows_ns) < self.epochs_wanted


def compare(framework: str, backend: str | None, loop: str, batch_size: int) -> dict[str, Any]:
    """Median ratio of harness to bare throughput over interleaved pairs of one engine."""
    engine, recorder = ready_engine(cell_of(framework, backend, loop, batch_size))
    conditions = Conditions(cell=engine.cell, round_=0)
    epochs = max(1, round(BLOCK_S * 1e9 / bare_ns(engine, 2) * 2))
    ratios: list[float] = []
    began = time.monotonic()
    while unsure(ratios) and time.monotonic() - began < MOST_S:
        if len(ratios) % 2:
            harness, bare = harness_ns(engine, conditions, recorder, epochs), bare_ns(engine, epochs)
        else:
            bare, harness = bare_ns(engine, epochs), harness_ns(engine, conditions, recorder, epochs)
        ratios.append(bare / harness)
    ratio = Spread.of(ratios)
    return {"ratio": ratio.median, "low": ratio.low, "high": ratio.high, "pairs": len(ratios), "epochs": epochs}


def unsure(ratios: list[float]) -> bool:
    """Whether the median still needs pairs: its standard error, 0.93 IQR / sqrt(n) for a normal spread, is too wide."""
    if len(ratios) < LEAST_PAIRS:
        return True
    seen = Spread.of(ratios)
    return 0.93 * (seen.high - seen.low) / math.sqrt(len(ratios)) > PRECISION


def harness_ns(engine: Engine, conditions: Conditions, recorder: Recorder, epochs: int) -> int:
    timed = CountedEpochs(engine, conditions, recorder)
    timed.epochs_wanted = epochs
    engine.train(timed)
    return sum(timed.windows_ns)


def main(arguments: list[str]) -> int:
    """Prints the table; every family is measured in a process of its own."""
    if arguments:
        framework, backend, loop = arguments
        for batch_size in BATCH_SIZES:
            figures = compare(framework, None if backend == "-" else backend, loop, batch_size)
            print(json.dumps(figures | {"batch_size": batch_size}), flush=True)
        return 0
    print(f"{'family':32} {'batch':>5} {'harness / bare throughput':>26}  {'quartiles':>15}  pairs")
    worst = max(abs(1 - figures["ratio"]) for family in FAMILIES for figures in measured(*family))
    print(f"largest |1 - ratio|: {worst:.2%} (bar: {BAR:.0%})")
    return 0 if worst <= BAR else 1


def measured(framework: str, backend: str | None, loop: str) -> Iterator[dict[str, Any]]:
    """The figures of one family, printed as they come."""
    environment = dict(os.environ) | catalogue.environment_variables(framework, backend, 1)
    command = [sys.executable, "-m", "tests.benchmarks.overhead", framework, backend or "-", loop]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            figures = json.loads(line)
            name = " ".join(part for part in (framework, backend, loop) if part)
            quartiles = f"{figures['low']:.4f}-{figures['high']:.4f}"
            ratio = f"{figures['ratio']:>26.4f}  {quartiles:>15}"
            print(f"{name:32} {figures['batch_size']:>5} {ratio}  {figures['pairs']:>5}")
            yield figures
    if child.returncode:
        raise SystemExit(f"{framework} {loop} ended with {child.returncode}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
