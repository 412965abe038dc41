"""PyTorch with one compiled program per step: gather, forward, loss, backward and update in one call from Python.

The step is traced below Python's modules and handed to inductor, the compiler behind ``torch.compile``, directly. So
that a call has nothing to prepare, the program works on one memory: it finds its rows by the place in the epoch's
order, and moves that place on itself. Each of the two batch shapes has a program of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.engines.base import Compilation, Epochs, FloatArray, Order
from bench.engines.pytorch.block import traced
from bench.engines.pytorch.flat import CoefficientTable, FlatStep, TorchNetwork, torch_step
from bench.engines.pytorch.model import from_parameters
from bench.engines.pytorch.opening import TorchEngine, packed
from bench.engines.pytorch.program import compile_step, compiling_quietly, make_sure_of_a_compiler
from bench.workload.network import Weights

CompiledStep = Callable[..., Any]


class TorchCompiled(TorchEngine):
    """One compiled program per step.

    Attributes:
        network: the real module; it holds the trained weights at the end of ``train``.
        state: the weights and what the optimizer keeps of them, (rows, P); always the same memory, like all of these.
        order: rows of the epoch, (n,), int64.
        place: the next step of the epoch, (1,), int64.
        coefficients: what the epoch's updates take from their number, (steps, 2).
        table: the same of all updates, on the host.
        losses: each step's mean loss, (steps,).
    """

    loop = "compiled"
    compilation: ClassVar[Compilation] = "cached"

    network: TorchNetwork
    flat: FlatStep
    state: Tensor
    order: Tensor
    place: Tensor
    coefficients: Tensor
    table: CoefficientTable
    losses: Tensor
    updates: int
    full: CompiledStep
    short: CompiledStep

    def build(self, weights: Weights) -> None:
        """The step and its state.

        Raises:
            Unavailable: it would run on the processor, and there is no C++ compiler.
        """
        if self.device.kind == "cpu":
            make_sure_of_a_compiler()
        self.network = TorchNetwork(self.cell)
        self.flat = torch_step(self.cell, self.network)
        self.state = self.flat.initial_state(weights).to(self.device.torch_device)
        self.table = CoefficientTable(self.flat, self.setup.lr)
        self.updates = 0

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device, with room for an order of its rows and what belongs to its steps."""
        super().load(x, y)
        device, steps = self.device.torch_device, self.cell.steps_per_epoch
        self.order = torch.arange(len(x), device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.coefficients = torch.zeros(steps, 2, dtype=self.dtype, device=device)
        self.losses = torch.zeros(steps, dtype=self.dtype, device=device)

    def warm_up(self) -> None:
        """Compiles, and trains one full batch and, where the epoch ends in one, the short batch."""
        batch_size, short = self.cell.batch_size, self.cell.data.n_train % self.cell.batch_size
        self.full = self._compile(batch_size)
        self.short = self._compile(short) if short else self.full
        self.run_epoch(np.arange(batch_size + short, dtype=np.int64))

    def reset(self, weights: Weights) -> None:
        """The given weights, and no update made."""
        self.state.copy_(self.flat.initial_state(weights))
        self.updates = 0

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        while (order := epochs.start()) is not None:
            steps = self.run_epoch(self.watched(order))
            epochs.finish(lambda steps=steps: packed([self.losses[:steps]]))  # type: ignore[misc]
        self.network.load(self.flat.weights(self.state))

    def run_epoch(self, order: Order) -> int:
        """One call per step; returns how many there were."""
        full, short = divmod(len(order), self.cell.batch_size)
        steps = full + (short > 0)
        self._begin(order, steps)
        arguments, program = self._arguments(), self.full
        with torch.no_grad():
            for _ in range(full):
                program(*arguments)
                self.device.end_step()
            if short:
                self.short(*arguments)
                self.device.end_step()
        return steps

    def trained(self) -> list[Tensor]:
        """The flat state."""
        return [self.state]

    def weights(self) -> Weights:
        """A copy of the weights, by way of the module."""
        return from_parameters(list(self.network.load(self.flat.weights(self.state)).parameters()))

    def _begin(self, order: Order, steps: int) -> None:
        self.order[: len(order)] = torch.from_numpy(order)
        self.coefficients[:steps] = self.table.of(self.updates, steps)
        self.place.zero_()
        self.updates += steps

    def _arguments(self) -> tuple[Tensor, ...]:
        return (self.state, self.place, self.losses, self.coefficients, self.x, self.y, self.order)

    def _compile(self, size: int) -> CompiledStep:
        if self.setup.cache_folder is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.setup.cache_folder)
        arguments = self._arguments()
        with compiling_quietly():
            # Traced on copies, because tracing runs the step.
            graph = traced(self._step(size), size, tuple(argument.clone() for argument in arguments))
        return compile_step(graph, arguments)

    def _step(self, size: int) -> Callable[..., tuple[()]]:
        """A step of ``size`` rows as a function of its arguments, the first three of which it changes."""
        batch_size = self.cell.batch_size

        def step(
            state: Tensor, place: Tensor, losses: Tensor, coefficients: Tensor, x: Tensor, y: Tensor, order: Tensor
        ) -> tuple[()]:
            rows = order.index_select(0, place * batch_size + torch.arange(size, device=x.device))
            batch_x, batch_y = x.index_select(0, rows), y.index_select(0, rows)
            new, loss = self.flat(state, coefficients.index_select(0, place)[0], batch_x, batch_y)
            state.copy_(new)
            losses.index_copy_(0, place, loss)
            place.add_(1)
            return ()

        return step


ENGINE = TorchCompiled
