"""One training step run op by op: autograd on leaf tensors, and the optimizer's bare kernel, all of it in place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from bench.cell import Cell
from bench.engines.pytorch.device import Device
from bench.engines.pytorch.model import loss_from_logits, loss_from_probabilities, set_parameters, to_tensors
from bench.engines.pytorch.optimizer import make_updater
from bench.workload.network import Weights


class EagerStep:
    """A step without waste: no modules, no gradient buffers, none of the optimizer's Python.

    Attributes:
        parameters: the weights, in PyTorch's layout, always the same tensors.
    """

    def __init__(self, cell: Cell, lr: float, weights: Weights, device: Device) -> None:
        self._loss_of = loss_from_logits if cell.defaults == "pinned" else loss_from_probabilities
        self._end_step = device.end_step
        self.parameters = [tensor.to(device.torch_device).requires_grad_() for tensor in to_tensors(weights)]
        self._updater = make_updater(cell, lr, self.parameters, device.kind)

    def reset(self, weights: Weights) -> None:
        """The given weights and an optimizer that has seen nothing, where they were."""
        set_parameters(self.parameters, weights)
        self._updater.reset()

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Forward, loss, backward, update on the batch x (B, F), y (B, 1); returns its mean loss, on the device."""
        hidden_kernel, hidden_bias, output_kernel, output_bias = self.parameters
        logits = linear(torch.relu(linear(x, hidden_kernel, hidden_bias)), output_kernel, output_bias)
        loss = self._loss_of(logits, y)
        self._updater.update(torch.autograd.grad(loss, self.parameters))
        self._end_step()
        return loss.detach()
