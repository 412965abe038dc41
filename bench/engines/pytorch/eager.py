"""PyTorch, op by op and without waste: data on the device, fused optimizer kernel, no host sync inside the epoch.

Autograd stays, because it is what PyTorch is; what goes is everything around the arithmetic: the loader, modules,
gradient buffers, the optimizer's Python.
"""

from __future__ import annotations

from torch import Tensor

from bench.engines.base import Order
from bench.engines.pytorch.model import from_parameters
from bench.engines.pytorch.opening import TorchEngine
from bench.engines.pytorch.step import EagerStep
from bench.engines.pytorch.stepping import BatchEngine
from bench.workload.network import Weights


class TorchEager(TorchEngine, BatchEngine):
    """The fastest loop that still runs one operation after the other from Python."""

    loop = "eager"

    train_batch: EagerStep

    def build(self, weights: Weights) -> None:
        """Parameters as plain leaf tensors on the device."""
        self.train_batch = EagerStep(self.cell, self.setup.lr, weights, self.device)

    def reset(self, weights: Weights) -> None:
        """The given weights, and an optimizer that has seen nothing."""
        self.train_batch.reset(weights)

    def begin_epoch(self, order: Order) -> None:
        """The order goes to the device; while memory is watched, only its first batches do."""
        super().begin_epoch(self.watched(order))

    def trained(self) -> list[Tensor]:
        """The leaf tensors."""
        return self.train_batch.parameters

    def weights(self) -> Weights:
        """A copy of the weights."""
        return from_parameters(self.train_batch.parameters)


ENGINE = TorchEager
