"""What the measuring loop costs: its throughput against a bare loop of the same engine in the same process.

Run with ``make bench-overhead``. Pairs of (harness, bare) epochs are interleaved on one engine, in turn first and
second, so that drift of the machine hits both alike; the figure is the median of the ratios of the pairs.
The bare loop asks the engine for its epochs with nothing around them but two readings of the clock.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.cell import Cell, DataSpec, ProtocolSpec
from bench.engines import catalogue
from bench.engines.base import Engine, FloatArray, Order
from bench.run.measure import Conditions, Recorder, SteadyEpochs, start_engine
from bench.run.worker import make_engine
from bench.workload.data import load
from bench.workload.schedule import epoch_order

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


class BareEpochs:
    """A number of epochs, each in an order of its own, and two readings of the clock around each."""

    def __init__(self, engine: Engine, epochs: int) -> None:
        self.engine = engine
        self.left = epochs
        self.taken_ns = 0

    def start(self) -> Order | None:
        if not self.left:
            return None
        self.left -= 1
        order = epoch_order(0, 0, self.left, self.engine.cell.data.n_train, True)
        self.began_ns = time.perf_counter_ns()
        return order

    def finish(self, losses: Callable[[], FloatArray]) -> None:
        self.engine.synchronize()
        self.taken_ns += time.perf_counter_ns() - self.began_ns


class CountedEpochs(SteadyEpochs):
    """The harness's own steady epochs, a given number of them."""

    epochs_wanted = 0

    def wants_another(self) -> bool:
        return len(self.windows_ns) < self.epochs_wanted


def compare(framework: str, backend: str | None, loop: str, batch_size: int) -> dict[str, Any]:
    """Median ratio of harness to bare throughput over interleaved pairs of one engine."""
    cell = Cell(
        framework=framework,
        backend=backend,
        loop=loop,
        device="cpu",
        batch_size=batch_size,
        batch_size_label=str(batch_size),
        data=DataSpec(name="teacher", n_train=1000, n_val=250, features=20, noise=0.0, distribution="normal"),
        protocol=ProtocolSpec(),
    )
    conditions, recorder = Conditions(cell=cell, round_=0), Recorder()
    engine = make_engine(cell, 0)
    start_engine(engine, load(cell.data, 0, None, "float32"), conditions, recorder)
    epochs = max(1, round(BLOCK_S * 1e9 / bare_ns(engine, 2) * 2))
    ratios: list[float] = []
    began = time.monotonic()
    while unsure(ratios) and time.monotonic() - began < MOST_S:
        if len(ratios) % 2:
            harness, bare = harness_ns(engine, conditions, recorder, epochs), bare_ns(engine, epochs)
        else:
            bare, harness = bare_ns(engine, epochs), harness_ns(engine, conditions, recorder, epochs)
        ratios.append(bare / harness)
    low, _, high = statistics.quantiles(ratios, n=4)
    return {"ratio": statistics.median(ratios), "low": low, "high": high, "pairs": len(ratios), "epochs": epochs}


def unsure(ratios: list[float]) -> bool:
    """Whether the median still needs pairs: its standard error, 0.93 IQR / sqrt(n) for a normal spread, is too wide."""
    if len(ratios) < LEAST_PAIRS:
        return True
    low, _, high = statistics.quantiles(ratios, n=4)
    return 0.93 * (high - low) / math.sqrt(len(ratios)) > PRECISION


def bare_ns(engine: Engine, epochs: int) -> int:
    bare = BareEpochs(engine, epochs)
    engine.train(bare)
    return bare.taken_ns


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
