"""Epochs as blocks of steps of a compiled program, on the processor: one call from Python for a thousand steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.engines.base import Order
from bench.engines.pytorch.blocks import Blocks
from bench.engines.pytorch.flat import CoefficientTable, FlatStep
from bench.engines.pytorch.program import Program, load_or_compile
from bench.workload.network import Weights


class CompiledBlocks(Blocks):
    """Trains a cell's epochs through its program.

    Args:
        step: a step of the cell to train.
        lr: the learning rate.
        weights: the initial weights.
        folder: where programs are kept; None keeps none.
    """

    _program: Program
    _x: Tensor
    _y: Tensor

    def __init__(self, step: FlatStep, lr: float, weights: Weights, folder: Path | None) -> None:
        super().__init__(step.cell)
        self._folder = folder
        self._step = step
        self._coefficients = CoefficientTable(step, lr)
        self.reset(weights)

    def reset(self, weights: Weights) -> None:
        """The given weights, and no update made."""
        self._state, self._updates = self._step.initial_state(weights), 0

    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Loads the program, or compiles it.

        Raises:
            Unavailable: there is no C++ compiler here.
        """
        self._x, self._y = x, y
        self._program = load_or_compile(self._step, self._folder)

    def train(self, order: Order) -> list[Tensor]:
        """Trains the rows of ``order``; returns the losses of each block's steps."""
        shape = self._program.shape
        full, short = divmod(len(order), shape.batch_size)
        losses = []
        for done in range(0, max(full, 1), shape.steps):
            steps = min(shape.steps, full - done)
            short_rows = short if done + steps == full else 0
            first = done * shape.batch_size
            losses.append(self._train_block(order[first : first + steps * shape.batch_size + short_rows], steps))
        return losses

    def weights(self) -> list[Tensor]:
        """Views of the weights, in the one layout."""
        return self._step.weights(self._state)

    def _train_block(self, order: Order, steps: int) -> Tensor:
        """Full steps, and a short one where ``order`` holds more rows than they need; returns their losses."""
        shape = self._program.shape
        full_rows = steps * shape.batch_size
        short_rows = len(order) - full_rows
        rows = np.zeros(shape.steps * shape.batch_size + shape.short, dtype=np.int64)
        rows[:full_rows] = order[:full_rows]
        rows[len(rows) - short_rows :] = order[full_rows:]
        made = steps + (short_rows > 0)
        counts = torch.tensor([steps, made - steps])
        coefficients = self._coefficients.of(self._updates, shape.steps + 1)
        self._state, losses = self._program(self._state, coefficients, self._x, self._y, torch.from_numpy(rows), counts)
        self._updates += made
        return losses[:made]
