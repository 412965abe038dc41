"""Keras on PyTorch, one compiled program per step: gather, layers, loss, gradient and optimizer.

The step is traced below Keras (``make_fx`` records PyTorch's operations, and Keras' Python is gone) and handed to
inductor directly. The programs work on the real variables' memory, and the place in the order moves on inside them;
each of the two batch shapes has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from bench.engines.base import Epochs, FloatArray
from bench.engines.keras.model import make_loss
from bench.engines.keras.opening import KerasEngine
from bench.engines.keras.optimizer import PaperAdam
from bench.engines.keras.orders import PaddedOrder, pad
from bench.engines.pytorch.program import compile_step
from bench.workload.network import Weights

Program = Callable[..., Any]


class PlainSgd(keras.optimizers.SGD):  # type: ignore[misc]
    """Keras' SGD as its other backends have it: the one for PyTorch reads the learning rate on the host."""


class PlainAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras' Adam as its other backends have it, for the same reason."""


class KerasCompiled(KerasEngine):
    """One compiled program per step.

    Attributes:
        state: the memory of the model's and the optimizer's variables, without autograd.
        place: the next step, shape (1,), int64; the program counts it up.
        losses: the mean loss of each step of this epoch, shape (steps,).
    """

    loop = "compiled"
    compilation = "cached"

    state: list[Tensor]
    x: Tensor
    y: Tensor
    order: Tensor
    place: Tensor
    losses: Tensor
    full: Program
    short: Program | None

    def build(self, weights: Weights) -> None:
        """Model, optimizer and loss."""
        super().build(weights)
        self.loss = make_loss(self.cell)
        variables = [*self.model.trainable_variables, *self.optimizer.variables]
        self.state = [variable.value.detach() for variable in variables]

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device, with room for an order of its rows and the losses of its steps."""
        device = self.state[0].device
        self.x, self.y = torch.from_numpy(x).to(device), torch.from_numpy(y).unsqueeze(1).to(device)
        self.order = torch.zeros(len(x), dtype=torch.int32, device=device)
        self.place = torch.zeros(1, dtype=torch.int64, device=device)
        self.losses = torch.zeros(self.cell.steps_per_epoch, dtype=self.x.dtype, device=device)

    def warm_up(self) -> None:
        """Compiles, and trains one full batch and, where the epoch ends in one, the short batch."""
        n, batch_size = self.cell.data.n_train, self.cell.batch_size
        self.full = self._compile(batch_size)
        self.short = self._compile(n % batch_size) if n % batch_size else None
        self.run_epoch(pad(np.arange(batch_size + n % batch_size), n, batch_size))
        self.synchronize()

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        while (order := epochs.start()) is not None:
            padded = pad(order, self.cell.data.n_train, self.cell.batch_size)
            self.run_epoch(padded)
            epochs.finish(lambda steps=padded.steps: np.array(self.losses[:steps].cpu()))  # type: ignore[misc]

    def run_epoch(self, order: PaddedOrder) -> None:
        """One call per step."""
        self.order.copy_(torch.from_numpy(order.rows))
        self.place.zero_()
        arguments, full = self._arguments(), self.full
        with torch.no_grad():
            for _ in range(order.full_steps):
                full(*arguments)
            if order.ends_short and self.short is not None:
                self.short(*arguments)

    def make_optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer, in a form that can be traced."""
        optimizer = super().make_optimizer()
        if isinstance(optimizer, PaperAdam):
            return optimizer
        plain = PlainAdam if isinstance(optimizer, keras.optimizers.Adam) else PlainSgd
        return plain.from_config(optimizer.get_config())

    @property
    def jit_compile(self) -> bool:
        """Inductor compiles all of it."""
        return True

    def _arguments(self) -> tuple[Tensor, ...]:
        return (self.x, self.y, self.order, self.place, self.losses, *self.state)

    def _compile(self, size: int) -> Program:
        arguments = self._arguments()
        traced = make_fx(self._step(size))(*(argument.clone() for argument in arguments))
        return compile_step(traced, arguments)

    def _step(self, size: int) -> Callable[..., tuple[()]]:
        """The step as a function of its arguments, which it changes in place."""
        batch_size, count = self.cell.batch_size, len(self.model.trainable_variables)

        def step(x: Tensor, y: Tensor, order: Tensor, place: Tensor, losses: Tensor, *state: Tensor) -> tuple[()]:
            rows = order.index_select(0, place * batch_size + torch.arange(size, device=x.device))
            batch_x, batch_y = x.index_select(0, rows), y.index_select(0, rows)
            weights = [weight.detach().requires_grad_() for weight in state[:count]]
            outputs, _ = self.model.stateless_call(weights, [], batch_x, training=True)
            loss = self.loss(batch_y, outputs)
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                new = self.optimizer.stateless_apply(
                    list(state[count:]), list(gradients), [weight.detach() for weight in weights]
                )
                for old, value in zip(state, (*new[0], *new[1]), strict=True):
                    old.copy_(value)
                losses.index_copy_(0, place, loss.detach().reshape(1))
                place.add_(1)
            return ()

        return step


ENGINE = KerasCompiled
