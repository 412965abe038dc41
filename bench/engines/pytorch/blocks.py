"""Training in blocks of steps, whoever makes the blocks: what compiled and recorded ones have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from torch import Tensor

from bench.cell import Cell
from bench.engines.base import Epochs, Order
from bench.engines.pytorch.opening import packed
from bench.workload.network import Weights


class Blocks(ABC):
    """Trains epochs in blocks of steps.

    Args:
        cell: what to train.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    @abstractmethod
    def reset(self, weights: Weights) -> None:
        """The given weights, and an optimizer that has seen nothing."""

    @abstractmethod
    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Compiles or records the blocks for this data; may spoil the weights."""

    @abstractmethod
    def train(self, order: Order) -> list[Tensor]:
        """Trains the rows of ``order``; returns the losses of each block's steps, on the device."""

    @abstractmethod
    def weights(self) -> list[Tensor]:
        """The weights on the device, in the one layout."""

    def warm_up(self, x: Tensor, y: Tensor) -> None:
        """Prepares, and trains one full batch and, where the epoch ends in one, the short batch."""
        self.prepare(x, y)
        rows = self.cell.batch_size + len(x) % self.cell.batch_size
        packed(self.train(np.arange(rows, dtype=np.int64)))

    def train_epochs(self, epochs: Epochs, watched: Callable[[Order], Order] = lambda order: order) -> None:
        """Trains until ``epochs.start()`` answers None, of each order what is ``watched``: all of it if not told."""
        while (order := epochs.start()) is not None:
            losses = self.train(watched(order))
            epochs.finish(lambda losses=losses: packed(losses))  # type: ignore[misc]
