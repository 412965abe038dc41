"""Keras op by op on PyTorch: data on the device, steps from Python, no host sync inside the epoch.

The layers' arithmetic runs on the real model's parameters under autograd, without ``__call__`` of layers, loss and
optimizer, and PyTorch's fused kernels update the parameters in place. With ``defaults=framework`` layers, loss and
optimizer are called as Keras has them, at Keras' own pace.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bench.engines.base import FloatArray
from bench.engines.keras.model import make_loss
from bench.engines.keras.opening import KerasEngine
from bench.engines.pytorch.optimizer import Updater, make_updater
from bench.engines.pytorch.stepping import BatchEngine
from bench.workload.network import Weights


class KerasEager(KerasEngine, BatchEngine):
    """Every operation is a call from Python."""

    loop = "eager"

    parameters: list[Tensor]
    updater: Updater

    def build(self, weights: Weights) -> None:
        """Model, optimizer and loss, and the parameters beneath the model's variables."""
        super().build(weights)
        self.loss = make_loss(self.cell)
        self.parameters = [variable.value for variable in self.model.trainable_variables]
        self.torch_device = self.parameters[0].device
        self.train_batch = self._train_batch if self.cell.defaults == "pinned" else self._train_batch_with_keras
        self._make_updater()

    def reset(self, weights: Weights) -> None:
        """Weights and optimizer state from their start."""
        super().reset(weights)
        self._make_updater()

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device."""
        self.x = torch.from_numpy(x).to(self.torch_device)
        self.y = torch.from_numpy(y).unsqueeze(1).to(self.torch_device)

    def _train_batch(self, x: Tensor, y: Tensor) -> Tensor:
        """Forward, loss, backward, update; returns the batch's mean loss."""
        hidden_kernel, hidden_bias, output_kernel, output_bias = self.parameters
        hidden = torch.relu(torch.addmm(hidden_bias, x, hidden_kernel))
        loss = binary_cross_entropy_with_logits(torch.addmm(output_bias, hidden, output_kernel), y)
        self.updater.update(torch.autograd.grad(loss, self.parameters))
        return loss.detach()

    def _train_batch_with_keras(self, x: Tensor, y: Tensor) -> Tensor:
        """The same through Keras' layers, loss and optimizer."""
        loss: Tensor = self.loss(y, self.model(x, training=True))
        self.optimizer.apply(list(torch.autograd.grad(loss, self.parameters)), self.model.trainable_variables)
        return loss.detach()

    def _make_updater(self) -> None:
        self.updater = make_updater(self.cell, self.setup.lr, self.parameters, self.torch_device.type)


ENGINE = KerasEager
