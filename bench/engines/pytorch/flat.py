"""One training step as a pure function of flat tensors: the form in which a compiler can take the whole of it.

All that training changes is one tensor, ``state``, of shape (rows, P): the weights in the one layout, and below them
what the optimizer keeps of each weight. A compiled loop carries that single tensor from step to step, where four weight
tensors with their moments would be twelve. The step itself is still the real module, called with the weights of
``state``, and autograd's gradient of its loss.

What changes from step to step without being trained (Adam's bias corrections, which depend on the count of updates
alone) comes from a table computed ahead in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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


class Network(Protocol):
    """A real model as a function of its weights.

    Attributes:
        shapes: of its weights in the one layout, in the order of ``Weights``.
    """

    shapes: Sequence[tuple[int, ...]]

    def mean_loss(self, weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """The mean loss of the batch x (B, F), y (B, 1) at weights in the one layout, shape ()."""

    def row_losses(self, weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """Each row's own loss, (B, 1)."""


class TorchNetwork:
    """The module that a tutorial writes, called with other parameters than its own."""

    def __init__(self, cell: Cell) -> None:
        self.module = make_module(cell)
        self._mean_loss = make_criterion(cell)
        self._row_losses = make_criterion(cell, reduction="none")
        self._names = [name for name, _ in self.module.named_parameters()]
        self.shapes: Sequence[tuple[int, ...]] = [tuple(p.shape[::-1]) for p in self.module.parameters()]

    def mean_loss(self, weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """By the tutorial's criterion."""
        loss: Tensor = self._mean_loss(self._outputs(weights, x), y)
        return loss

    def row_losses(self, weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """By the same criterion, without its mean."""
        losses: Tensor = self._row_losses(self._outputs(weights, x), y)
        return losses

    def load(self, weights: Sequence[Tensor]) -> nn.Module:
        """The module, holding these weights itself."""
        with torch.no_grad():
            for parameter, weight in zip(self.module.parameters(), weights, strict=True):
                parameter.copy_(weight.t() if weight.dim() == 2 else weight)
        return self.module

    def _outputs(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        in_its_layout = (weight.t() if weight.dim() == 2 else weight for weight in weights)  # kernels are (out, in)
        outputs: Tensor = functional_call(self.module, dict(zip(self._names, in_its_layout, strict=True)), (x,))
        return outputs


class FlatStep:
    """The training step of a cell on flat state.

    Args:
        cell: what to train.
        network: the model.
        epsilon: Adam's.
        corrects_root: whether Adam adds epsilon to the bias-corrected root, as in the paper's Algorithm 1 and in
            PyTorch; else to the root before the correction, as Keras does.
    """

    def __init__(self, cell: Cell, network: Network, epsilon: float, *, corrects_root: bool = True) -> None:
        self.cell = cell
        self.spec = cell.optimizer
        self.network = network
        self.epsilon = epsilon
        self.corrects_root = corrects_root
        self._sizes = [int(np.prod(shape)) for shape in network.shapes]

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

    def weights(self, state: Tensor) -> list[Tensor]:
        """The weights in ``state`` as views of it, in the one layout."""
        parts = torch.split(state[0], self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self.network.shapes, strict=True)]

    def example(self, batch_size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Arguments of ``__call__`` to trace it with: the right shapes, no particular numbers."""
        state = torch.zeros(STATE_ROWS[self.spec.name], sum(self._sizes))
        x, y = torch.ones(batch_size, self.cell.data.features), torch.ones(batch_size, 1)
        return state.to(self.dtype), torch.ones(2, dtype=self.dtype), x.to(self.dtype), y.to(self.dtype)

    def coefficients(self, lr: float, count: int) -> Tensor:
        """What the first ``count`` updates take from their number, (count, 2), in the network's dtype.

        Adam: lr / (1 - beta1^t) and 1 / sqrt(1 - beta2^t), the bias corrections of Algorithm 1 of Kingma and Ba 2015,
        or, before the correction, lr sqrt(1 - beta2^t) / (1 - beta1^t) and 1. The others: lr and 1.
        """
        table = np.ones((count, 2))
        table[:, 0] = lr
        if self.spec.name == "adam":
            t = np.arange(1, count + 1)
            root = np.sqrt(1 - self.spec.beta2**t)
            table[:, 0] /= 1 - self.spec.beta1**t
            if self.corrects_root:
                table[:, 1] /= root
            else:
                table[:, 0] *= root
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

        def loss_of(weights: list[Tensor]) -> Tensor:
            if row_weights is None:
                return self.network.mean_loss(weights, x, y)
            return (self.network.row_losses(weights, x, y) * row_weights).sum()

        gradients, loss = grad_and_value(loss_of)(self.weights(state))
        return torch.cat([gradient.reshape(-1) for gradient in gradients]), loss.reshape(1)

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


class CoefficientTable:
    """Coefficients of all updates so far asked for; it is doubled whenever training has come to its end.

    Args:
        step: whose coefficients.
        lr: the learning rate.
    """

    def __init__(self, step: FlatStep, lr: float) -> None:
        self._step = step
        self._lr = lr
        self._table = step.coefficients(lr, 0)

    def of(self, first: int, count: int) -> Tensor:
        """A view of those of ``count`` updates from number ``first`` on, (count, 2)."""
        end = first + count
        if end > len(self._table):
            self._table = self._step.coefficients(self._lr, max(end, 2 * len(self._table)))
        return self._table[first:end]


def torch_step(cell: Cell, network: TorchNetwork) -> FlatStep:
    """The step of PyTorch's own module, loss and optimizer."""
    return FlatStep(cell, network, epsilon(cell))
