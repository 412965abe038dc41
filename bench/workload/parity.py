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

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell
from bench.workload.data import Split
from bench.workload.network import Weights
from bench.workload.trajectory import Trajectory, from_the_end, from_the_middle

LossArray = NDArray[np.float64]

BARS = {"float32": 5e-6, "float64": 1e-12}
"""The largest difference of a step's loss that is asked for, by the engine's number format."""

CONTROL_MARGIN = 20.0
"""How many times the further control's distance is allowed. In ordinary settings two orders of summation lead equally
far, to within a factor of 4. Where training amplifies rounding a thousandfold the distances are draws of one size, and
one in 16 is 10 times another; with two controls and a factor of 20, one in 600."""

FLIP_MARGIN = 2.0
"""How many times the distance of the flipped training is allowed: it flips every undecided gate, an engine some."""

MOST_FLIPPED_ROWS = 16_384
"""Largest batch whose flips are looked at: beyond, a flip is so small a share of a step (a difference of 1e-14 was seen
for all of them at a million rows) that a third of the reference's time is better saved."""

MAX_ROWS = 65_536
"""Rows a gate trains at most (50 steps up to batch 1,310): the reference takes some 3 microseconds for each."""

MIN_STEPS = 2


class Difference(NamedTuple):
    """The largest |loss - exact| / max(1, |exact|) over the steps compared, and the step (from 0) where it first is.

    ``value`` is infinite where a loss was no number; ``step`` is None where no step was compared.
    """

    value: float
    step: int | None


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
        # Of larger batches the flipped training is the exact one.
        few = cell.batch_size <= MOST_FLIPPED_ROWS
        self.flipped = Trajectory(cell, lr, weights, flip=True) if few else self.exact

    def step(self, split: Split, rows: NDArray[np.int64]) -> None:
        """One step of each."""
        for trajectory in dict.fromkeys((self.exact, *self.controls, self.flipped)):
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


def planned_rows(n_train: int, batch_size: int, steps: int) -> list[int]:
    """How many rows each order of a gate has: whole epochs, then full batches and the short last one."""
    steps = min(steps, max(MIN_STEPS, MAX_ROWS // batch_size))
    whole, rest = divmod(steps, -(-n_train // batch_size))
    short = n_train % batch_size
    part = rest * batch_size if rest < 2 or not short else (rest - 1) * batch_size + short
    return [n_train] * whole + [part] * (rest > 0)
