"""PyTorch with one compiled graph per step: ``torch.compile`` around gather, forward, loss, backward and update.

The graph is ``FlatStep`` with the rows gathered in it; shapes are static, so the short last batch has a graph of its
own. What is left per step is the call from Python: the compiler's guards and the wrapper around its kernels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.engines.base import Compilation, FloatArray, Order, StepEngine
from bench.engines.pytorch.flat import FlatStep
from bench.engines.pytorch.model import from_parameters
from bench.engines.pytorch.opening import TorchEngine, packed
from bench.engines.pytorch.program import make_sure_of_a_compiler
from bench.workload.network import Weights

CompiledStep = Callable[..., tuple[Tensor, Tensor]]


class TorchCompiled(TorchEngine, StepEngine):
    """One compiled graph per step."""

    loop = "compiled"
    compilation: ClassVar[Compilation] = "cached"

    flat: FlatStep
    state: Tensor
    order: Tensor
    updates: int
    _compiled: CompiledStep
    _table: Tensor

    def open_device(self) -> str:
        """The device, and where the compiler keeps what it has made."""
        if self.setup.cache_folder is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.setup.cache_folder)
        return super().open_device()

    def build(self, weights: Weights) -> None:
        """The step, to be compiled when it is first called.

        Raises:
            Unavailable: it would run on the processor, and there is no C++ compiler.
        """
        if self.device.kind == "cpu":
            make_sure_of_a_compiler()
        self.flat = FlatStep(self.cell)
        self._compiled = torch.compile(_gathering(self.flat), fullgraph=True, dynamic=False)
        self._table = self._coefficients(self.cell.steps_per_epoch)
        self.reset(weights)

    def reset(self, weights: Weights) -> None:
        """The given weights, and no update made."""
        self.state = self.flat.initial_state(weights).to(self.device.torch_device)
        self.updates = 0

    def begin_epoch(self, order: Order) -> None:
        """The order goes to the device, and the table of coefficients reaches to its end."""
        self.order = torch.from_numpy(self.watched(order)).to(self.device.torch_device)
        end = self.updates + -(-len(order) // self.cell.batch_size)
        if end > len(self._table):
            self._table = self._coefficients(max(end, 2 * len(self._table)))

    def step(self, low: int, high: int) -> Tensor:
        """One update on rows ``order[low:high]``."""
        coefficients = self._table[self.updates]
        self.state, loss = self._compiled(self.state, coefficients, self.x, self.y, self.order[low:high])
        self.updates += 1
        self.device.end_step()
        return loss

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses on the host, shape (steps,)."""
        return packed(losses)

    def weights(self) -> Weights:
        """A copy of the weights."""
        return from_parameters(list(self.flat.load_module(self.state).parameters()))

    def _coefficients(self, count: int) -> Tensor:
        return self.flat.coefficients(self.setup.lr, count).to(self.device.torch_device)


def _gathering(flat: FlatStep) -> CompiledStep:
    """The step on chosen rows of the whole data."""

    def step(state: Tensor, coefficients: Tensor, x: Tensor, y: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return flat(state, coefficients, x.index_select(0, rows), y.index_select(0, rows))

    return step


ENGINE = TorchCompiled
