"""Keras op by op on PyTorch: data on the device, steps from Python, no host sync inside the epoch.

The layers' arithmetic runs on the real model's parameters under autograd, without ``__call__`` of layers, loss and
optimizer, and PyTorch's fused kernels update the parameters in place. Rows are gathered for a block of batches at a
time. With ``defaults=framework`` layers, loss and optimizer are called as Keras has them, at Keras' own pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bench.engines.base import FloatArray, Order, StepEngine
from bench.engines.keras.model import make_loss
from bench.engines.keras.opening import KerasEngine
from bench.engines.pytorch.optimizer import Updater, make_updater
from bench.workload.network import Weights

# Rows gathered at a time, where the batch is smaller: enough that gathering costs next to nothing per step.
BLOCK_ROWS = 256


class KerasEager(KerasEngine, StepEngine):
    """Every operation is a call from Python."""

    loop = "eager"

    parameters: list[Tensor]
    updater: Updater
    x: Tensor
    y: Tensor
    order: Tensor

    def build(self, weights: Weights) -> None:
        """Model, optimizer and loss, and the parameters beneath the model's variables."""
        super().build(weights)
        self.loss = make_loss(self.cell)
        self.parameters = [variable.value for variable in self.model.trainable_variables]
        self.torch_device = self.parameters[0].device
        self._train_batch = self.train_batch if self.cell.defaults == "pinned" else self.train_batch_with_keras
        self._make_updater()

    def reset(self, weights: Weights) -> None:
        """Weights and optimizer state from their start."""
        super().reset(weights)
        self._make_updater()

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device."""
        self.x = torch.from_numpy(x).to(self.torch_device)
        self.y = torch.from_numpy(y).unsqueeze(1).to(self.torch_device)

    def begin_epoch(self, order: Order) -> None:
        """The order goes to the device."""
        self.order = torch.from_numpy(order).to(self.torch_device)

    def run_epoch(self, order: Order) -> list[Any]:
        """All steps of one epoch; the losses of each block are one tensor."""
        self.begin_epoch(order)
        return [torch.stack([self._train_batch(x, y) for x, y in block]) for block in self._blocks()]

    def step(self, low: int, high: int) -> Tensor:
        """One update on rows ``order[low:high]``."""
        rows = self.order[low:high]
        return self._train_batch(self.x.index_select(0, rows), self.y.index_select(0, rows))

    def train_batch(self, x: Tensor, y: Tensor) -> Tensor:
        """Forward, loss, backward, update; returns the batch's mean loss."""
        hidden_kernel, hidden_bias, output_kernel, output_bias = self.parameters
        hidden = torch.relu(torch.addmm(hidden_bias, x, hidden_kernel))
        loss = binary_cross_entropy_with_logits(torch.addmm(output_bias, hidden, output_kernel), y)
        self.updater.update(torch.autograd.grad(loss, self.parameters))
        return loss.detach()

    def train_batch_with_keras(self, x: Tensor, y: Tensor) -> Tensor:
        """The same through Keras' layers, loss and optimizer."""
        loss: Tensor = self.loss(y, self.model(x, training=True))
        self.optimizer.apply(list(torch.autograd.grad(loss, self.parameters)), self.model.trainable_variables)
        return loss.detach()

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses on the host, shape (steps,)."""
        packed: FloatArray = torch.cat([loss.reshape(-1) for loss in losses]).cpu().numpy()
        return packed

    def _make_updater(self) -> None:
        self.updater = make_updater(self.cell, self.setup.lr, self.parameters, self.torch_device.type)

    def _blocks(self) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        batch_size = self.cell.batch_size
        for rows in torch.split(self.order, batch_size * max(1, BLOCK_ROWS // batch_size)):
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            yield zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)


ENGINE = KerasEager
