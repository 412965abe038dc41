"""PyTorch, op by op and without waste: data on the device, fused optimizer kernel, no host sync inside the epoch.

Autograd stays, because it is what PyTorch is; what goes is everything around the arithmetic: the loader, modules,
gradient buffers, the optimizer's Python. Rows are gathered for a block of batches at a time, and each batch is a view
of its block. Losses stay on the device and are packed at the end of a block: a hundred thousand scalars on their own
would hold more memory than training does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bench.engines.base import FloatArray, Order, StepEngine
from bench.engines.pytorch.model import from_parameters
from bench.engines.pytorch.opening import TorchEngine, packed
from bench.engines.pytorch.step import EagerStep
from bench.workload.network import Weights

# Rows gathered at a time, where the batch is smaller: enough that gathering costs next to nothing per step.
BLOCK_ROWS = 256


class TorchEager(TorchEngine, StepEngine):
    """The fastest loop that still runs one operation after the other from Python."""

    loop = "eager"

    train_batch: EagerStep
    order: Tensor

    def build(self, weights: Weights) -> None:
        """Parameters as plain leaf tensors on the device."""
        self.train_batch = EagerStep(self.cell, self.setup.lr, weights, self.device)

    def reset(self, weights: Weights) -> None:
        """The given weights, and an optimizer that has seen nothing."""
        self.train_batch.reset(weights)

    def begin_epoch(self, order: Order) -> None:
        """The order goes to the device; while memory is watched, only its first batches do."""
        self.order = torch.from_numpy(self.watched(order)).to(self.device.torch_device)

    def run_epoch(self, order: Order) -> list[Any]:
        """All steps of one epoch; the losses of each block are one tensor."""
        self.begin_epoch(order)
        return [torch.stack([self.train_batch(x, y) for x, y in block]) for block in self._blocks()]

    def step(self, low: int, high: int) -> Tensor:
        """One update on rows ``order[low:high]``."""
        rows = self.order[low:high]
        return self.train_batch(self.x.index_select(0, rows), self.y.index_select(0, rows))

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses on the host, shape (steps,)."""
        return packed(losses)

    def weights(self) -> Weights:
        """A copy of the weights."""
        return from_parameters(self.train_batch.parameters)

    def _blocks(self) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        batch_size = self.cell.batch_size
        for rows in torch.split(self.order, batch_size * max(1, BLOCK_ROWS // batch_size)):
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            yield zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)


ENGINE = TorchEager
