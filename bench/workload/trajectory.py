"""One way of computing a training in NumPy: number format, order of summation, side of undecided ReLU gates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.cell import Cell
from bench.workload.data import Split
from bench.workload.network import CHUNK_ROWS, FloatArray, Gates, Weights, is_open, loss_and_gradients
from bench.workload.optimizer import make_optimizer
from bench.workload.schedule import batch_bounds

Numbering = Callable[[int], NDArray[np.int64]]
"""How so many rows, features or hidden units are numbered anew."""

UNDECIDED_ROUNDINGS = 8.0
"""A gate is undecided where its input is within so many roundings of the largest input beside it from 0."""


class Trajectory:
    """One way of computing the same training, step by step.

    Attributes:
        losses: each step's mean loss so far.
        undecided: gates whose side rounding decided, so far.
    """

    def __init__(
        self,
        cell: Cell,
        lr: float,
        weights: Weights,
        *,
        dtype: DTypeLike = np.float64,
        numbering: Numbering | None = None,
        flip: bool = False,
    ) -> None:
        self.losses: list[float] = []
        self.undecided = 0
        self._numbering, self._flip = numbering, flip
        self._dtype = np.dtype(dtype)
        self._reach = UNDECIDED_ROUNDINGS * float(np.finfo(cell.network.dtype).eps)
        start = weights.astype(dtype)
        self._optimizer = make_optimizer(cell.optimizer, lr, renumbered(start, numbering) if numbering else start)

    @property
    def weights(self) -> Weights:
        """The weights after the last step, features and hidden units in their own order."""
        weights, numbering = self._optimizer.weights, self._numbering
        return renumbered(weights, lambda n: np.argsort(numbering(n))) if numbering else weights

    def step(self, split: Split, rows: NDArray[np.int64]) -> None:
        """One update on these rows of the training split, a chunk at a time, so that ten million of them fit."""
        weights, loss_sum = self._optimizer.weights, 0.0
        sums: list[FloatArray] = [np.zeros_like(weight) for weight in weights]
        with np.errstate(over="ignore", invalid="ignore"):
            for low, high in batch_bounds(len(rows), CHUNK_ROWS):
                batch = self._batch(split, rows[low:high])
                loss, gradients = loss_and_gradients(weights, *batch, passes=self._passes)
                share = (high - low) / len(rows)
                loss_sum += share * loss
                sums = [total + share * gradient for total, gradient in zip(sums, gradients, strict=True)]
            self._optimizer.update(Weights(*sums))
        self.losses.append(loss_sum)

    def _batch(self, split: Split, rows: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        if self._numbering is not None:
            rows = rows[self._numbering(len(rows))]
        x, y = split.x_train[rows].astype(self._dtype), split.y_train[rows].astype(self._dtype)
        return (x if self._numbering is None else x[:, self._numbering(x.shape[1])]), y

    def _passes(self, before_relu: FloatArray) -> Gates:
        if self._numbering is not None:
            return is_open(before_relu)
        size = np.abs(before_relu)
        # Exactly 0 is 0 in any order and format: an empty row at zero biases.
        near: Gates = (size > 0) & (size <= self._reach * size.max())
        self.undecided += int(np.count_nonzero(near))
        return is_open(before_relu) ^ near if self._flip else is_open(before_relu)


def renumbered(weights: Weights, numbering: Numbering) -> Weights:
    """The same network with its features and hidden units in another order."""
    features, hidden = (numbering(n) for n in weights.hidden_kernel.shape)
    return Weights(
        hidden_kernel=weights.hidden_kernel[features][:, hidden],
        hidden_bias=weights.hidden_bias[hidden],
        output_kernel=weights.output_kernel[hidden],
        output_bias=weights.output_bias,
    )


def from_the_end(n: int) -> NDArray[np.int64]:
    """From n - 1 down to 0."""
    return np.arange(n - 1, -1, -1)


def from_the_middle(n: int) -> NDArray[np.int64]:
    """From n // 2 up to n - 1, then those before."""
    return np.roll(np.arange(n), -(n // 2))
