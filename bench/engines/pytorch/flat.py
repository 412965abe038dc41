"""One training step as a pure function of flat tensors: the form in which a compiler can take the whole of it.

All that training changes is one tensor, ``state``, of shape (rows, P): the weights in the one layout, and below them
what the optimizer keeps of each weight. A compiled loop carries that single tensor from step to step, where four weight
tensors with their moments would be twelve. The step itself is still the real module, called with the weights of
``state``, and autograd's gradient of its loss.

What changes from step to step without being trained (Adam's bias corrections, which depend on the count of updates
alone) comes from a table computed ahead in float64.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value

from bench.cell import Cell
from bench.engines.pytorch.model import make_criterion, make_module
from bench.engines.pytorch.optimizer import epsilon
from bench.workload.network import Weights

# Rows of ``state``: the weights, then Adam's two moments or momentum's velocity.
STATE_ROWS = {"sgd": 1, "momentum": 2, "adam": 3}


class FlatStep:
    """The training step of a cell on flat state.

    Attributes:
        module: the network; its own parameters take no part until ``load_module``.
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.spec = cell.optimizer
        self.epsilon = epsilon(cell)
        self.module = make_module(cell)
        self._mean_loss = make_criterion(cell)
        self._row_losses = make_criterion(cell, reduction="none")
        self._parameters = {name: parameter.shape for name, parameter in self.module.named_parameters()}

    @property
    def dtype(self) -> torch.dtype:
        """The network's dtype."""
        dtype: torch.dtype = getattr(torch, self.cell.network.dtype)
        return dtype

    def initial_state(self, weights: Weights) -> Tensor:
        """``weights``, and an optimizer that has seen nothing: shape (rows, P), on the host."""
        theta = np.concatenate([array.reshape(-1) for array in weights])
        state = np.zeros((STATE_ROWS[self.spec.name], theta.size), dtype=theta.dtype)
        state[0] = theta
        return torch.from_numpy(state)

    def load_module(self, state: Tensor) -> nn.Module:
        """The module, holding the weights in ``state``."""
        with torch.no_grad():
            for name, value in self._named(state[0]).items():
                self.module.get_parameter(name).copy_(value)
        return self.module

    def example(self, batch_size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Arguments of ``__call__`` to trace it with: the right shapes, no particular numbers."""
        state = torch.zeros(STATE_ROWS[self.spec.name], sum(shape.numel() for shape in self._parameters.values()))
        x, y = torch.ones(batch_size, self.cell.data.features), torch.ones(batch_size, 1)
        return state.to(self.dtype), torch.ones(2, dtype=self.dtype), x.to(self.dtype), y.to(self.dtype)

    def coefficients(self, lr: float, count: int) -> Tensor:
        """What the first ``count`` updates take from their number, shape (count, 2), in the network's dtype.

        Adam: lr / (1 - beta1^t) and 1 / sqrt(1 - beta2^t), the bias corrections of Algorithm 1 of Kingma and Ba 2015;
        the others: lr and 1.
        """
        table = np.ones((count, 2))
        table[:, 0] = lr
        if self.spec.name == "adam":
            t = np.arange(1, count + 1)
            table[:, 0] /= 1 - self.spec.beta1**t
            table[:, 1] /= np.sqrt(1 - self.spec.beta2**t)
        return torch.from_numpy(table.astype(self.cell.network.dtype))

    def __call__(self, state: Tensor, coefficients: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """One step on the batch x (B, F), y (B, 1); returns the new state and the batch's mean loss, shape (1,)."""
        gradient, loss = self.gradient(state, x, y)
        return self.update(state, coefficients, gradient), loss

    def gradient(self, state: Tensor, x: Tensor, y: Tensor, row_weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Gradient, shape (P,), and loss, shape (1,): the mean over the rows, or their sum weighted by ``row_weights``.

        Args:
            state: as everywhere here.
            x: features (n, F).
            y: labels (n, 1).
            row_weights: weight of each row, (n, 1).
        """

        def loss_of(parameters: dict[str, Tensor]) -> Tensor:
            outputs = functional_call(self.module, parameters, (x,))
            loss: Tensor = (
                self._mean_loss(outputs, y)
                if row_weights is None
                else (self._row_losses(outputs, y) * row_weights).sum()
            )
            return loss

        gradients, loss = grad_and_value(loss_of)(self._named(state[0]))
        flat = torch.cat([_in_the_one_layout(gradients[name]).reshape(-1) for name in self._parameters])
        return flat, loss.reshape(1)

    def update(self, state: Tensor, coefficients: Tensor, gradient: Tensor) -> Tensor:
        """The state after one update down ``gradient`` (P,), with a row of ``coefficients`` (2,)."""
        step_size, root_scale = coefficients[0], coefficients[1]
        if self.spec.name == "sgd":
            return state - step_size * gradient
        if self.spec.name == "momentum":
            velocity = self.spec.momentum * state[1] + gradient
            return torch.stack([state[0] - step_size * velocity, velocity])
        first = state[1] + (gradient - state[1]) * (1 - self.spec.beta1)
        second = state[2] + (gradient * gradient - state[2]) * (1 - self.spec.beta2)
        theta = state[0] - step_size * first / (torch.sqrt(second) * root_scale + self.epsilon)
        return torch.stack([theta, first, second])

    def _named(self, theta: Tensor) -> dict[str, Tensor]:
        """The module's parameters as views of ``theta``."""
        parts = torch.split(theta, [shape.numel() for shape in self._parameters.values()])
        return {
            name: _in_the_one_layout(part.view(shape[::-1]))
            for (name, shape), part in zip(self._parameters.items(), parts, strict=True)
        }


def _in_the_one_layout(tensor: Tensor) -> Tensor:
    """From PyTorch's kernels (out, in) to (in, out), and back."""
    return tensor.t() if tensor.dim() == 2 else tensor
