"""What the contract suite trains: small cells, the measuring loop's stand-in, and the reference's own trajectory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell, DataSpec, NetworkSpec, OptimizerSpec, ProtocolSpec
from bench.engines import catalogue
from bench.engines.base import Engine, FloatArray, Order, Setup
from bench.workload.data import Split, generate
from bench.workload.network import Weights, initial_weights, loss_and_gradients
from bench.workload.optimizer import make_optimizer
from bench.workload.schedule import batch_bounds, epoch_order
from tests.contract.programs import programs_folder

ROWS, FEATURES, HIDDEN, SEED = 100, 20, 64, 11

# "still" is Adam at rate 0: a program takes its rate as an argument, so that this one needs no program of its own.
LEARNING_RATES = {"sgd": 0.1, "momentum": 0.05, "adam": 1e-2, "still": 0.0}


@dataclass(frozen=True)
class Kind:
    """One engine of the catalogue."""

    framework: str
    backend: str | None
    loop: str

    @property
    def compiles(self) -> bool:
        """Whether its engine compiles what it trains with; told by name, for where no framework may be imported yet."""
        if self.loop == "idiomatic":
            return self.backend in ("tensorflow", "jax")
        return self.loop in ("compiled", "fused")

    def cell(
        self,
        batch_size: int,
        *,
        optimizer: str = "adam",
        shuffle: bool | None = None,
        dtype: str = "float32",
        defaults: str = "pinned",
        device: str = "cpu",
    ) -> Cell:
        """A small cell; rows are shuffled wherever the loop takes the order it is given."""
        name = "adam" if optimizer == "still" else optimizer
        return Cell(
            framework=self.framework,
            backend=self.backend,
            loop=self.loop,
            device=device,
            batch_size=batch_size,
            batch_size_label=str(batch_size),
            data=DataSpec(
                name="teacher",
                n_train=ROWS,
                n_val=20,
                features=FEATURES,
                noise=0.1,
                distribution="normal",
                shuffle=self.loop != "idiomatic" if shuffle is None else shuffle,
            ),
            network=NetworkSpec(hidden=HIDDEN, dtype=dtype),
            optimizer=OptimizerSpec(name=name, lr=LEARNING_RATES[optimizer]),
            protocol=ProtocolSpec(threads=1),
            defaults=defaults,
            seed=SEED,
        )


@dataclass
class RecordedEpochs:
    """The measuring loop without a clock: hands out ``count`` epochs and keeps what comes back.

    It insists on the protocol: an epoch is finished exactly once before the next one starts.
    """

    engine: Engine
    count: int
    first: int = 0
    losses: list[NDArray[np.float64]] = field(default_factory=list)
    _open: bool = False

    def start(self) -> Order | None:
        """The next order."""
        assert not self._open, "an epoch was started before the one before was finished"
        if len(self.losses) == self.count:
            return None
        self._open = True
        return self.order(len(self.losses))

    def order(self, epoch: int) -> Order:
        """The order that the measuring loop would draw."""
        data = self.engine.cell.data
        return epoch_order(SEED, 0, self.first + epoch, data.n_train, data.shuffle)

    def finish(self, losses: Callable[[], FloatArray]) -> None:
        """Keeps the losses of the epoch."""
        assert self._open, "an epoch was finished that had not been started"
        self._open = False
        self.engine.synchronize()
        self.losses.append(np.asarray(losses(), dtype=np.float64))


@dataclass
class OrderedEpochs(RecordedEpochs):
    """The same for orders of a test's own."""

    def __init__(self, engine: Engine, orders: Sequence[Order]) -> None:
        super().__init__(engine, len(orders))
        self.orders = orders

    def order(self, epoch: int) -> Order:
        """The next of them."""
        return self.orders[epoch]


@cache
def split(dtype: str = "float32") -> Split:
    """The data of every cell here."""
    return generate(Kind("reference", None, "eager").cell(1).data, SEED, dtype)


@cache
def start_weights(dtype: str = "float32", round_: int = 0) -> Weights:
    """The initial weights of a round."""
    return initial_weights(FEATURES, HIDDEN, dtype, seed=SEED, round_=round_)


def ready(cell: Cell, *, native_seed: int = 5) -> Engine:
    """An engine taken as far as the measuring loop takes it before the first window."""
    engine_class = catalogue.engine_class(cell.framework, cell.backend, cell.loop)
    engine = engine_class(
        Setup(cell=cell, lr=cell.optimizer.lr, native_seed=native_seed, cache_folder=programs_folder())
    )
    weights, data = start_weights(cell.network.dtype), split(cell.network.dtype)
    engine.open_device()
    engine.build(weights)
    engine.load(data.x_train, data.y_train)
    engine.warm_up()
    engine.synchronize()
    engine.reset(weights)
    return engine


def train(engine: Engine, epochs: int, first: int = 0) -> list[NDArray[np.float64]]:
    """Per-step losses of each epoch."""
    recorded = RecordedEpochs(engine, epochs, first)
    engine.train(recorded)
    assert len(recorded.losses) == epochs, "the engine stopped before it was told to"
    return recorded.losses


@cache
def trajectory(cell: Cell, epochs: int) -> tuple[list[NDArray[np.float64]], Weights]:
    """The same over whole epochs in the measuring loop's order."""
    return trajectory_over(cell, [epoch_order(SEED, 0, epoch, ROWS, cell.data.shuffle) for epoch in range(epochs)])


def trajectory_over(cell: Cell, orders: Sequence[Order]) -> tuple[list[NDArray[np.float64]], Weights]:
    """Losses by epoch and final weights of the float64 arithmetic on these rows; no engine takes part."""
    data = split("float64")
    # Frameworks start from float32 numbers; the reference starts from the same ones.
    start = start_weights(cell.network.dtype).astype("float64")
    optimizer = make_optimizer(cell.optimizer, cell.optimizer.lr, start)
    losses = []
    for order in orders:
        steps = []
        for low, high in batch_bounds(len(order), cell.batch_size):
            rows = order[low:high]
            loss, gradients = loss_and_gradients(optimizer.weights, data.x_train[rows], data.y_train[rows])
            optimizer.update(gradients)
            steps.append(loss)
        losses.append(np.array(steps))
    return losses, optimizer.weights


def row_losses() -> NDArray[np.float64]:
    """Each training row's own loss at the initial weights."""
    data, weights = split("float64"), start_weights().astype("float64")
    pairs = zip(data.x_train, data.y_train, strict=True)
    return np.array([loss_and_gradients(weights, x[None], np.array([y]))[0] for x, y in pairs])
