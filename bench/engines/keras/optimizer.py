"""SGD, momentum and Adam as Keras optimizers."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from bench.cell import Cell, OptimizerSpec

# What keras.optimizers.Adam takes where it is told nothing.
KERAS_ADAM_EPSILON = 1e-7


def make_optimizer(cell: Cell, lr: float) -> keras.optimizers.Optimizer:
    """The cell's optimizer; Adam is Keras' own, with Keras' epsilon, where ``defaults=framework``."""
    spec = cell.optimizer
    if spec.name != "adam":
        return keras.optimizers.SGD(learning_rate=lr, momentum=_momentum(spec))
    if cell.defaults == "framework":
        return keras.optimizers.Adam(learning_rate=lr, beta_1=spec.beta1, beta_2=spec.beta2)
    return PaperAdam(learning_rate=lr, beta_1=spec.beta1, beta_2=spec.beta2, epsilon=spec.epsilon)


class PaperAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam with the epsilon of Kingma and Ba 2015, Algorithm 1: added to the bias-corrected root, as PyTorch does.

    Keras adds its epsilon to the root before the correction (the paper's epsilon hat), and rounds the betas through
    float32 on TensorFlow, which makes the first step 6.7e-6 too small. Here 1 - beta^t is -expm1(t log beta) with
    the logarithm taken in Python: right to the last digits in float32, where 1 - 0.999 alone has lost four of them.
    The corrections depend on t only, so they are computed once a step rather than once a variable.
    """

    _step_size: Any = None
    _root_scale: Any = None

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One step for all variables."""
        t = ops.cast(self.iterations + 1, self.learning_rate.dtype)
        self._step_size = self.learning_rate / -ops.expm1(t * math.log(self.beta_1))
        self._root_scale = ops.rsqrt(-ops.expm1(t * math.log(self.beta_2)))
        super().apply(grads, trainable_variables)
        self._step_size = self._root_scale = None  # tensors of a graph must not outlive its tracing

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Moves m and v towards g and g^2; w <- w - lr m_hat / (sqrt(v_hat) + epsilon)."""
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        self.assign_add(m, (gradient - m) * (1 - self.beta_1))
        self.assign_add(v, (ops.square(gradient) - v) * (1 - self.beta_2))
        self.assign_sub(variable, m * self._step_size / (ops.sqrt(v) * self._root_scale + self.epsilon))


def _momentum(spec: OptimizerSpec) -> float:
    """A NumPy float, because Keras on TensorFlow rounds Python's through float32 even where all else is float64."""
    return np.float64(spec.momentum if spec.name == "momentum" else 0.0)
