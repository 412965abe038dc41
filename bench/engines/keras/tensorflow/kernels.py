"""TensorFlow's own update kernels on the variables of a Keras model and its optimizer: one operation per variable.

Keras' optimizers spell Adam out in a dozen operations per variable, which op by op costs more than forward and
backward together. The kernels (``tf.raw_ops.ResourceApply...``) do the same arithmetic.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bench.cell import Cell


class Updater(ABC):
    """Updates a model's variables in place.

    Attributes:
        updates: steps made since the optimizer was new; counted here, because a variable would cost an operation.
    """

    def __init__(self, cell: Cell, lr: float, optimizer: keras.optimizers.Optimizer, model: keras.Model) -> None:
        self.spec = cell.optimizer
        self.lr = lr
        self.dtype = cell.network.dtype
        self.optimizer = optimizer
        self.variables = _handles(model.trainable_variables)
        self.updates = 0

    @abstractmethod
    def update(self, gradients: Sequence[tf.Tensor]) -> None:
        """One step down ``gradients``."""

    def count(self) -> None:
        """Tells the Keras optimizer how many steps were made."""
        self.optimizer.iterations.assign(self.updates)

    def constant(self, value: float) -> tf.Tensor:
        """A scalar of the network's dtype."""
        return tf.constant(value, self.dtype)


class Sgd(Updater):
    """theta <- theta - lr * g."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.alpha = self.constant(self.lr)

    def update(self, gradients: Sequence[tf.Tensor]) -> None:
        """One step."""
        for variable, gradient in zip(self.variables, gradients, strict=True):
            tf.raw_ops.ResourceApplyGradientDescent(var=variable, alpha=self.alpha, delta=gradient)
        self.updates += 1


class Momentum(Updater):
    """v <- mu * v - lr * g; theta <- theta + v, as Keras' SGD does."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.velocities = _handles(self.optimizer.momentums)
        self.alpha, self.momentum = self.constant(self.lr), self.constant(self.spec.momentum)

    def update(self, gradients: Sequence[tf.Tensor]) -> None:
        """One step."""
        for variable, velocity, gradient in zip(self.variables, self.velocities, gradients, strict=True):
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=variable, accum=velocity, lr=self.alpha, grad=gradient, momentum=self.momentum
            )
        self.updates += 1


class Adam(Updater):
    """The paper's Adam out of a kernel that adds epsilon before the bias correction, as Keras' does.

    Its w - lr' * m / (sqrt(v) + epsilon') is the paper's step where lr' = lr * sqrt(1 - beta2^t) / (1 - beta1^t) and
    epsilon' = epsilon * sqrt(1 - beta2^t). The corrections are made of the betas as the kernel rounds them: it takes
    1 - beta2 from a float32, which is 5e-5 too large, and the error cancels where both use the same number.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.first = _handles(self.optimizer._momentums)
        self.second = _handles(self.optimizer._velocities)
        self.betas = self.constant(self.spec.beta1), self.constant(self.spec.beta2)
        self.rounded = (
            float(np.dtype(self.dtype).type(self.spec.beta1)),
            float(np.dtype(self.dtype).type(self.spec.beta2)),
        )
        self.zero = self.constant(0.0)

    def update(self, gradients: Sequence[tf.Tensor]) -> None:
        """One step; with powers of the betas of 0 the kernel corrects nothing by itself."""
        self.updates += 1
        beta1, beta2 = self.rounded
        root = math.sqrt(1 - beta2**self.updates)
        step_size = self.constant(self.lr * root / (1 - beta1**self.updates))
        epsilon = self.constant(self.spec.epsilon * root)
        for variable, m, v, gradient in zip(self.variables, self.first, self.second, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable,
                m=m,
                v=v,
                beta1_power=self.zero,
                beta2_power=self.zero,
                lr=step_size,
                beta1=self.betas[0],
                beta2=self.betas[1],
                epsilon=epsilon,
                grad=gradient,
            )


def make_updater(cell: Cell, lr: float, optimizer: keras.optimizers.Optimizer, model: keras.Model) -> Updater:
    """The cell's optimizer as kernels."""
    updaters: dict[str, Callable[..., Updater]] = {"sgd": Sgd, "momentum": Momentum, "adam": Adam}
    return updaters[cell.optimizer.name](cell, lr, optimizer, model)


def _handles(variables: Sequence[keras.Variable]) -> list[tf.Tensor]:
    return [variable.value.handle for variable in variables]
