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
from torch.nn.functional import linear

from bench.engines.base import FloatArray, Order, StepEngine
from bench.engines.pytorch.model import from_parameters, loss_from_logits, loss_from_probabilities, to_tensors
from bench.engines.pytorch.opening import TorchEngine
from bench.engines.pytorch.optimizer import Updater, make_updater
from bench.workload.network import Weights

# Rows gathered at a time, where the batch is smaller: enough that gathering costs next to nothing per step.
BLOCK_ROWS = 256


class TorchEager(TorchEngine, StepEngine):
    """The fastest loop that still runs one operation after the other from Python."""

    loop = "eager"

    parameters: list[Tensor]
    updater: Updater
    x: Tensor
    y: Tensor
    order: Tensor

    def build(self, weights: Weights) -> None:
        """Parameters as plain leaf tensors on the device."""
        pinned = self.cell.defaults == "pinned"
        self.loss_of = loss_from_logits if pinned else loss_from_probabilities
        self.reset(weights)

    def reset(self, weights: Weights) -> None:
        """Fresh parameters and optimizer state; nothing is compiled, so nothing is kept."""
        device = self.device.torch_device
        self.parameters = [tensor.to(device).requires_grad_() for tensor in to_tensors(weights)]
        self.updater = make_updater(self.cell, self.setup.lr, self.parameters, self.device.kind)

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device."""
        self.x = torch.from_numpy(x).to(self.device.torch_device)
        self.y = torch.from_numpy(y).unsqueeze(1).to(self.device.torch_device)

    def begin_epoch(self, order: Order) -> None:
        """The order goes to the device; while memory is watched, only its first batches do."""
        if self.steps_watched is not None:
            order = order[: self.steps_watched * self.cell.batch_size]
        self.order = torch.from_numpy(order).to(self.device.torch_device)

    def run_epoch(self, order: Order) -> list[Any]:
        """All steps of one epoch; the losses of each block are one tensor."""
        self.begin_epoch(order)
        return [torch.stack([self.train_batch(x, y) for x, y in block]) for block in self._blocks()]

    def step(self, low: int, high: int) -> Tensor:
        """One update on rows ``order[low:high]``."""
        rows = self.order[low:high]
        return self.train_batch(self.x.index_select(0, rows), self.y.index_select(0, rows))

    def train_batch(self, x: Tensor, y: Tensor) -> Tensor:
        """Forward, loss, backward, update; returns the batch's mean loss."""
        hidden_kernel, hidden_bias, output_kernel, output_bias = self.parameters
        logits = linear(torch.relu(linear(x, hidden_kernel, hidden_bias)), output_kernel, output_bias)
        loss = self.loss_of(logits, y)
        self.updater.update(torch.autograd.grad(loss, self.parameters))
        self.device.end_step()
        return loss.detach()

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses on the host, shape (steps,)."""
        packed: FloatArray = torch.cat([loss.reshape(-1) for loss in losses]).cpu().numpy()
        return packed

    def weights(self) -> Weights:
        """A copy of the weights."""
        return from_parameters(self.parameters)

    def _blocks(self) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        batch_size = self.cell.batch_size
        for rows in torch.split(self.order, batch_size * max(1, BLOCK_ROWS // batch_size)):
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            yield zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)


ENGINE = TorchEager
