"""What every engine promises: few verbs, driven by a measuring loop that knows no framework.

An engine is one framework x loop on one device. The measuring loop (``bench.run.measure``) calls, in this order::

    engine = engine_class(setup)
    engine.open_device()          # asserts that it really is on the device asked for
    engine.build(weights)         # model and optimizer from the initial weights
    engine.load(x, y)             # the training split, to where the loop wants it
    engine.warm_up()              # one step of every batch shape: trace, compile
    engine.reset(weights)         # the initial weights and a fresh optimizer again
    engine.train(epochs)          # any number of times; reset() in between where a phase asks for it

``train`` is where engines differ. It asks ``epochs.start()`` for the next order, trains one epoch, and hands the losses
to ``epochs.finish()``, until ``start`` answers None. ``start`` reads the clock as its last act, ``finish`` synchronises
the device and reads it as its first: between the two lies the timed window, and nothing else does.

An order is a permutation of the whole split wherever time is taken. The parity gate hands out shorter ones, because
fifty steps of batch 1 must not cost a million: some full batches, then the split's short last batch where it has one.
So the shapes of the steps are always those of a whole epoch, and nothing is compiled for an order's length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell
from bench.workload.network import Weights

FloatArray = NDArray[np.floating[Any]]
Order = NDArray[np.int64]
Compilation = Literal["nothing", "anew", "cached"]


class Epochs(Protocol):
    """The measuring loop's side of ``Engine.train``."""

    def start(self) -> Order | None:
        """The rows of the next epoch in the order to train them, shape (rows,), int64; None to stop.

        Whole epochs have n_train rows; a shorter order is full batches followed by at most the split's short last
        batch. Starts the window.
        """

    def finish(self, losses: Callable[[], FloatArray]) -> None:
        """Ends the window; only then calls ``losses`` for each step's own mean loss, shape (steps,)."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What an engine is built from.

    Attributes:
        cell: what to train.
        lr: the learning rate after the learning-rate policy.
        native_seed: seeds the shuffling of loops that shuffle natively.
        cache_folder: where compiled programs are kept for later runs of the sweep; None keeps none.
    """

    cell: Cell
    lr: float
    native_seed: int
    cache_folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class MemoryPeak:
    """Peak bytes of an allocator or compiled program above what was held before; else None and the reason."""

    peak_bytes: int | None = None
    source: str | None = None
    reason: str | None = None


class MemoryGauge:
    """Filled by ``Engine.track_memory`` when its block ends."""

    peak: MemoryPeak = MemoryPeak(reason="this engine has no allocator figure")


class Engine(ABC):
    """One framework x loop x device. Final classes only below ``StepEngine`` and this one.

    Errors: ``bench.errors.Unavailable`` where the cell cannot run here; anything else is the run's ``error``
    (or ``oom``, judged by the supervisor).

    Attributes:
        follows_order: whether rows are trained in the order that ``epochs.start()`` gives; the others shuffle natively.
        compilation: what ``warm_up`` compiles: ``nothing``, programs made ``anew`` in every process, or programs
            ``cached`` in ``Setup.cache_folder``.
        shuffles_natively: whether the next ``train`` of a loop that does not follow the order shuffles; with False it
            takes the first ``len(order)`` rows as they stand. The parity gate turns it off and on again.
    """

    framework: ClassVar[str]
    loop: ClassVar[str]
    follows_order: ClassVar[bool] = True
    compilation: ClassVar[Compilation] = "nothing"

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.cell = setup.cell
        self.shuffles_natively = not self.follows_order and setup.cell.data.shuffle

    @abstractmethod
    def open_device(self) -> str:
        """Initialises the device and returns its name, having made sure that it is the one asked for."""

    @abstractmethod
    def build(self, weights: Weights) -> None:
        """Makes model and optimizer, starting from ``weights``."""

    @abstractmethod
    def load(self, x: FloatArray, y: FloatArray) -> None:
        """Takes the training split: x (n, F), y (n,) of 0 and 1, both in the network's dtype."""

    @abstractmethod
    def warm_up(self) -> None:
        """Runs one step of every batch shape of an epoch and waits for it; spoils the weights."""

    @abstractmethod
    def reset(self, weights: Weights) -> None:
        """Sets the weights and makes the optimizer as new, keeping everything that was traced or compiled."""

    @abstractmethod
    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""

    @abstractmethod
    def synchronize(self) -> None:
        """Returns when the device has finished everything asked of it."""

    @abstractmethod
    def weights(self) -> Weights:
        """A copy of the weights, on the host, in the one layout: kernels are (in, out)."""

    @abstractmethod
    def homes(self) -> frozenset[str]:
        """The kinds of device (``cpu``, ``gpu``, ``tpu``) that the weights live on as they are trained.

        Asked of the weights themselves after the first step, because frameworks fall back to the processor untold.
        """

    @abstractmethod
    def environment(self) -> dict[str, Any]:
        """Versions, threads and numeric flags in force, as plain JSON values."""

    @contextmanager
    def track_memory(self) -> Iterator[MemoryGauge]:
        """Watches the framework's allocator (or asks its compiler) while the block trains."""
        yield MemoryGauge()


class StepEngine(Engine):
    """An engine whose epoch is a plain loop over batches of a given order."""

    @abstractmethod
    def begin_epoch(self, order: Order) -> None:
        """Brings the epoch's order to the device."""

    @abstractmethod
    def step(self, low: int, high: int) -> Any:
        """One update on rows ``order[low:high]``; returns the batch's mean loss, still on the device."""

    @abstractmethod
    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses that ``step`` returned, on the host, shape (steps,)."""

    def run_epoch(self, order: Order) -> list[Any]:
        """All steps of one epoch."""
        self.begin_epoch(order)
        n, batch_size, step = len(order), self.cell.batch_size, self.step
        return [step(low, min(low + batch_size, n)) for low in range(0, n, batch_size)]

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        while (order := epochs.start()) is not None:
            losses = self.run_epoch(order)
            epochs.finish(lambda losses=losses: self.read_losses(losses))  # type: ignore[misc]

    def warm_up(self) -> None:
        """One full batch and, where the epoch ends in one, the short batch."""
        n, batch_size = self.cell.data.n_train, self.cell.batch_size
        self.begin_epoch(np.arange(n, dtype=np.int64))
        losses = [self.step(0, batch_size)]
        if short := n % batch_size:
            losses.append(self.step(n - short, n))
        self.read_losses(losses)
        self.synchronize()
