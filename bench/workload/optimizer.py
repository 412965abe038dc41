"""SGD, momentum and Adam in NumPy, each short enough to check by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from bench.cell import OptimizerSpec
from bench.workload.network import FloatArray, Weights


class Optimizer(ABC):
    """Owns the weights and its own state; ``update`` makes one step.

    Attributes:
        weights: the weights after the last update; never changed in place.
    """

    def __init__(self, spec: OptimizerSpec, lr: float, weights: Weights) -> None:
        self.spec = spec
        self.lr = lr
        self.weights = weights

    def update(self, gradients: Weights) -> Weights:
        """One step down ``gradients``; returns the new weights."""
        self.weights = Weights(
            *(weight - step for weight, step in zip(self.weights, self._steps(gradients), strict=True))
        )
        return self.weights

    @abstractmethod
    def _steps(self, gradients: Weights) -> list[FloatArray]:
        """What to subtract from each weight array."""


class Sgd(Optimizer):
    """theta <- theta - lr * g."""

    def _steps(self, gradients: Weights) -> list[FloatArray]:
        return [self.lr * gradient for gradient in gradients]


class Momentum(Optimizer):
    """v <- mu * v + g; theta <- theta - lr * v (heavy ball, as in Sutskever et al. 2013 with a constant rate)."""

    def __init__(self, spec: OptimizerSpec, lr: float, weights: Weights) -> None:
        super().__init__(spec, lr, weights)
        self.velocity = [np.zeros_like(weight) for weight in weights]

    def _steps(self, gradients: Weights) -> list[FloatArray]:
        mu = self.spec.momentum
        self.velocity = [mu * v + gradient for v, gradient in zip(self.velocity, gradients, strict=True)]
        return [self.lr * v for v in self.velocity]


class Adam(Optimizer):
    """Algorithm 1 of Kingma and Ba 2015: epsilon is added to the bias-corrected root, as PyTorch does."""

    def __init__(self, spec: OptimizerSpec, lr: float, weights: Weights) -> None:
        super().__init__(spec, lr, weights)
        self.first = [np.zeros_like(weight) for weight in weights]
        self.second = [np.zeros_like(weight) for weight in weights]
        self.updates = 0

    def _steps(self, gradients: Weights) -> list[FloatArray]:
        beta1, beta2, epsilon = self.spec.beta1, self.spec.beta2, self.spec.epsilon
        self.updates += 1
        self.first = [beta1 * m + (1 - beta1) * g for m, g in zip(self.first, gradients, strict=True)]
        self.second = [beta2 * v + (1 - beta2) * g * g for v, g in zip(self.second, gradients, strict=True)]
        m_scale, v_scale = 1 - beta1**self.updates, 1 - beta2**self.updates
        return [
            self.lr * (m / m_scale) / (np.sqrt(v / v_scale) + epsilon)
            for m, v in zip(self.first, self.second, strict=True)
        ]


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": Sgd, "momentum": Momentum, "adam": Adam}


def make_optimizer(spec: OptimizerSpec, lr: float, weights: Weights) -> Optimizer:
    """The optimizer that ``spec`` names, as new, at the learning rate ``lr``."""
    return OPTIMIZERS[spec.name](spec, lr, weights)
