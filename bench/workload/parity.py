"""The same training, checked: the reference's own losses, and how far rounding alone may lead away from them.

An engine that does the reference's arithmetic in float32 does not get the reference's numbers: it rounds. How much that
matters depends on the setting (a large learning rate or unscaled features amplify it from step to step), so the
reference trains three times on the same rows:

- **exact**, in float64: what an engine is compared with.
- **control**, in the engine's own number format, every sum taken in the opposite order (rows, features and hidden
  units mirrored). Its distance from the exact losses is what rounding does to training that is right.
- **flipped**, in float64 again, with every ReLU gate that rounding decides on its other side. Where a hidden unit's
  input is 0 to within rounding, one framework passes the gradient on and another does not; both are right, and their
  weights part by a share of a whole step, at batch 1 by all of it. Its distance is what such flips amount to, and 0
  where no gate was undecided. In 50 steps of the default network in float32, 3 of 100 runs at batch 1 to 7 meet an
  undecided gate, a quarter at batch 32, nearly all from batch 256 up; of 525 runs, 2 left 5e-6 for no other reason.

The bar is the stated one, or a multiple of what rounding and flips can do, whichever is larger.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.cell import Cell
from bench.workload.data import Split
from bench.workload.network import CHUNK_ROWS, FloatArray, Gates, Weights, is_open, loss_and_gradients
from bench.workload.optimizer import make_optimizer
from bench.workload.schedule import batch_bounds

LossArray = NDArray[np.float64]

BARS = {"float32": 5e-6, "float64": 1e-12}
"""The largest difference of a step's loss that is asked for, by the engine's number format."""

CONTROL_MARGIN = 10.0
"""How many times the control's distance is allowed: an engine's sums have other orders than either of ours. Of two
NumPy orders, one led up to 4 times further than the other."""

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
        mirror: bool = False,
        flip: bool = False,
    ) -> None:
        self.losses: list[float] = []
        self.undecided = 0
        self._mirror, self._flip = mirror, flip
        self._dtype = np.dtype(dtype)
        self._reach = UNDECIDED_ROUNDINGS * float(np.finfo(cell.network.dtype).eps)
        start = weights.astype(dtype)
        self._optimizer = make_optimizer(cell.optimizer, lr, mirrored(start) if mirror else start)

    @property
    def weights(self) -> Weights:
        """The weights after the last step, in the one layout."""
        weights = self._optimizer.weights
        return mirrored(weights) if self._mirror else weights

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
        x, y = split.x_train[rows].astype(self._dtype), split.y_train[rows].astype(self._dtype)
        return (np.ascontiguousarray(x[::-1, ::-1]), np.ascontiguousarray(y[::-1])) if self._mirror else (x, y)

    def _passes(self, before_relu: FloatArray) -> Gates:
        if self._mirror:
            return is_open(before_relu)
        size = np.abs(before_relu)
        near: Gates = size <= self._reach * size.max()
        self.undecided += int(np.count_nonzero(near))
        return is_open(before_relu) ^ near if self._flip else is_open(before_relu)


class Reference:
    """The three trainings, side by side on the same rows.

    Attributes:
        exact: in float64.
        control: in the engine's number format, summed in the opposite order.
        flipped: in float64, undecided gates on their other side.
    """

    def __init__(self, cell: Cell, lr: float, weights: Weights) -> None:
        self.cell = cell
        self.exact = Trajectory(cell, lr, weights)
        self.control = Trajectory(cell, lr, weights, dtype=cell.network.dtype, mirror=True)
        self.flipped = Trajectory(cell, lr, weights, flip=True)

    def step(self, split: Split, rows: NDArray[np.int64]) -> None:
        """One step of all three."""
        for trajectory in (self.exact, self.control, self.flipped):
            trajectory.step(split, rows)

    @property
    def steps(self) -> int:
        """Steps in which both the exact training and the control had numbers for losses: those one can compare."""
        finite = np.isfinite(self.exact.losses) & np.isfinite(self.control.losses)
        return len(finite) if finite.all() else int(np.argmin(finite))

    def difference(self, losses: LossArray) -> Difference:
        """How far these losses, shape (steps trained,), lie from the exact ones."""
        return difference(losses[: self.steps], np.array(self.exact.losses[: self.steps]))

    @property
    def rounding(self) -> float:
        """How far the control lies from the exact losses."""
        return self.difference(np.array(self.control.losses)).value

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


def mirrored(weights: Weights) -> Weights:
    """The same network with its features and hidden units numbered from the other end."""
    return Weights(
        hidden_kernel=np.ascontiguousarray(weights.hidden_kernel[::-1, ::-1]),
        hidden_bias=weights.hidden_bias[::-1].copy(),
        output_kernel=weights.output_kernel[::-1].copy(),
        output_bias=weights.output_bias,
    )
