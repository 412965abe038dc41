"""What the benchmarks of loops share: a cell, an engine ready to train it, bare windows, and ratios of them.

A bare window is the harness's own window (from "the host holds the order" to "the device has finished") with nothing
around it but two readings of the clock. Ratios are taken between neighbours in time, block by block, in one process:
what disturbs the machine for longer than a block disturbs both sides of a ratio.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bench.cell import Cell, DataSpec, ProtocolSpec
from bench.engines import catalogue
from bench.engines.base import Engine, FloatArray, Order, Setup
from bench.run.measure import Conditions, Recorder, start_engine
from bench.workload.data import load
from bench.workload.schedule import epoch_order
from tests.benchmarks.floor import Floor

SEED = 0


class BareEpochs:
    """A number of epochs, each in an order of its own, and two readings of the clock around each."""

    def __init__(self, engine: Engine, epochs: int) -> None:
        self.engine = engine
        self.left = epochs
        self.taken_ns = 0

    def start(self) -> Order | None:
        """The next epoch's order; the window opens as it is handed over."""
        if not self.left:
            return None
        self.left -= 1
        order = epoch_order(SEED, 0, self.left, self.engine.cell.data.n_train, True)
        self.began_ns = time.perf_counter_ns()
        return order

    def finish(self, losses: Callable[[], FloatArray]) -> None:
        """Closes the window; the losses stay where they are."""
        self.engine.synchronize()
        self.taken_ns += time.perf_counter_ns() - self.began_ns


def bare_ns(engine: Engine, epochs: int) -> int:
    """Nanoseconds in the windows of so many epochs."""
    bare = BareEpochs(engine, epochs)
    engine.train(bare)
    return bare.taken_ns


def step_s(engine: Engine, epochs: int) -> float:
    """Seconds per step over the windows of so many epochs."""
    return bare_ns(engine, epochs) / 1e9 / (epochs * engine.cell.steps_per_epoch)


class Family(NamedTuple):
    """One loop of a framework on a backend; the floor is a framework too."""

    framework: str
    backend: str | None
    loop: str

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


class Spread(NamedTuple):
    """A figure seen in several blocks: its median and its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seen: Sequence[float]) -> Spread:
        """Of two blocks at least."""
        low, median, high = statistics.quantiles(seen, n=4)
        return cls(median, low, high)


def ratios(above: Sequence[float], below: Sequence[float]) -> Spread:
    """How many times ``below`` goes into ``above``, block by block."""
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def cell_of(framework: str, backend: str | None, loop: str, batch_size: int, n_train: int = 1000) -> Cell:
    """A cell of the reference workload on the processor, one thread."""
    return Cell(
        framework=framework,
        backend=backend,
        loop=loop,
        device="cpu",
        batch_size=batch_size,
        batch_size_label=str(batch_size),
        data=DataSpec(name="teacher", n_train=n_train, n_val=250, features=20, noise=0.0, distribution="normal"),
        protocol=ProtocolSpec(threads=1),
        seed=SEED,
    )


def variants() -> Iterator[tuple[str, str | None]]:
    """Every framework on every backend."""
    for framework, backends in catalogue.BACKENDS.items():
        for backend in backends:
            yield framework, backend


def families() -> Iterator[Family]:
    """Every loop of the catalogue."""
    for framework, backend in variants():
        for loop in catalogue.variant(framework, backend).modules:
            yield Family(framework, backend, loop)


def name_of(framework: str, backend: str | None) -> str:
    """As ``--only`` takes it: ``pytorch``, ``keras-jax``."""
    return "-".join(part for part in (framework, backend) if part)


def missing_packages(framework: str, backend: str | None) -> list[str]:
    """What would have to be installed here first."""
    return [name for name in catalogue.required_modules(framework, backend) if importlib.util.find_spec(name) is None]


def make_engine(cell: Cell) -> Engine:
    """The cell's engine, of the catalogue or the floor, as it stands before its device is opened."""
    floor = cell.framework == Floor.framework
    engine_class = Floor if floor else catalogue.engine_class(cell.framework, cell.backend, cell.loop)
    return engine_class(Setup(cell=cell, lr=cell.optimizer.lr, native_seed=SEED))


def ready_engine(cell: Cell) -> tuple[Engine, Recorder]:
    """The cell's engine with everything compiled and its initial weights, and what that took."""
    engine, recorder = make_engine(cell), Recorder()
    split = load(cell.data, cell.seed, None, cell.network.dtype)
    start_engine(engine, split, Conditions(cell=cell, round_=0), recorder)
    return engine, recorder
