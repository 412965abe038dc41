"""The same training, checked: the reference's own losses, and how far rounding alone may lead away from them.

An engine that does the reference's arithmetic in float32 does not get the reference's numbers: it rounds. How much that
matters depends on the setting (a large learning rate or unscaled features amplify it from step to step), so the
reference trains several times on the same rows:

- **exact**, in float64: what an engine is compared with.
- two **controls**, in the engine's own number format, every sum taken in another order (rows, features and hidden
  units numbered from the other end, or from the middle). The distance of the further one from the exact losses is
  what rounding does to training that is right.
- **flipped**, in float64 again, with every ReLU gate that rounding decides on its other side. Where a hidden unit's
  input is 0 to within rounding, one framework passes the gradient on and another does not; both are right, and their
  weights part by a share of a whole step, at batch 1 by all of it. Its distance is what such flips amount to, and 0
  where no gate was undecided. In 50 steps of the default network in float32, 3 of 100 runs at batch 1 to 7 meet an
  undecided gate, a quarter at batch 32, nearly all from batch 256 up; of 525 runs, 2 left 5e-6 for no other reason.

The bar is the stated one, or a multiple of what rounding and flips can do, whichever is larger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.cell import Cell
from bench.workload.data import Split
from bench.workload.network import CHUNK_ROWS, FloatArray, Gates, Weights, is_open, loss_and_gradients
from bench.workload.optimizer import make_optimizer
from bench.workload.schedule import batch_bounds

LossArray = NDArray[np.float64]
Numbering = Callable[[int], NDArray[np.int64]]
"""How so many rows, features or hidden units are numbered anew."""

BARS = {"float32": 5e-6, "float64": 1e-12}
"""The largest difference of a step's loss that is asked for, by the engine's number format."""

CONTROL_MARGIN = 20.0
"""How many times the further control's distance is allowed. In ordinary settings two orders of summation lead equally
far, to within a factor of 4. Where training amplifies rounding a thousandfold the distances are draws of one size, and
one in 16 is 10 times another; with two controls and a factor of 20, one in 600."""

FLIP_MARGIN = 2.0
"""How many times the distance of the flipped training is allowed: it flips every undecided gate, an engine some."""

UNDECIDED_ROUNDINGS = 8.0
"""A gate is undecided where its input is within so many roundings of the largest input beside it from 0."""


class Difference(NamedTuple):
    """The largest |loss - exact| / max(1, |exact|) over the steps compared, and the step (from 0) where it first is.

    ``value`` is infinite where a loss was no number; ``step`` is None where no step was compared.
    """

    value: float
    step: int | None


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
        near: Gates = size <= self._reach * size.max()
        self.undecided += int(np.count_nonzero(near))
        return is_open(before_relu) ^ near if self._flip else is_open(before_relu)


class Reference:
    """All of these trainings, side by side on the same rows.

    Attributes:
        exact: in float64.
        controls: in the engine's number format, summed in other orders.
        flipped: in float64, undecided gates on their other side.
    """

    def __init__(self, cell: Cell, lr: float, weights: Weights) -> None:
        self.cell = cell
        self.exact = Trajectory(cell, lr, weights)
        self.controls = [
            Trajectory(cell, lr, weights, dtype=cell.network.dtype, numbering=numbering)
            for numbering in (from_the_end, from_the_middle)
        ]
        self.flipped = Trajectory(cell, lr, weights, flip=True)

    def step(self, split: Split, rows: NDArray[np.int64]) -> None:
        """One step of each."""
        for trajectory in (self.exact, *self.controls, self.flipped):
            trajectory.step(split, rows)

    @property
    def steps(self) -> int:
        """Steps in which the exact training and the controls had numbers for losses: those one can compare."""
        losses = np.array([t.losses for t in (self.exact, *self.controls)])
        finite: NDArray[np.bool_] = np.isfinite(losses).all(axis=0)
        return len(finite) if finite.all() else int(np.argmin(finite))

    def difference(self, losses: LossArray) -> Difference:
        """How far these losses, shape (steps trained,), lie from the exact ones."""
        return difference(losses[: self.steps], np.array(self.exact.losses[: self.steps]))

    @property
    def rounding(self) -> float:
        """How far the further control lies from the exact losses."""
        return max(self.difference(np.array(control.losses)).value for control in self.controls)

    @property
    def flips(self) -> float:
        """How far the flipped training lies from the exact losses; 0 where no gate was undecided."""
        return self.difference(np.array(self.flipped.losses)).value

    @property
    def bar(self) -> float:
        """What an engine's difference may not exceed."""
        # Flips that make a loss infinite would forbid nothing.
        flips = self.flips if np.isfinite(self.flips) else 0.0
        return max(BARS[self.cell.network.dtype], CONTROL_MARGIN * self.rounding, FLIP_MARGIN * flips)


def difference(losses: LossArray, exact: LossArray) -> Difference:
    """The largest difference of two runs of losses of one shape; absolute, and relative where a loss is above 1."""
    if not len(exact):
        return Difference(0.0, None)
    with np.errstate(invalid="ignore"):
        apart = np.abs(losses - exact) / np.maximum(1.0, np.abs(exact))
    apart = np.where(np.isnan(apart), np.inf, apart)
    step = int(np.argmax(apart))
    return Difference(float(apart[step]), step)


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
