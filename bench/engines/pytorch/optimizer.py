"""SGD, momentum and Adam: as ``torch.optim`` classes, and as the bare kernels beneath them.

A step of ``torch.optim.Adam`` spends more time in its Python (hooks, profiler ranges, collecting) than in its
kernel. PyTorch publishes the functions beneath (``torch.optim.adam.adam``, ``torch.optim.sgd.sgd``); the eager loop
calls them, with the same arithmetic. The kernel is the fused one, one for all weights, wherever PyTorch has it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from bench.cell import Cell, OptimizerSpec

# Kinds of device that PyTorch 2.13 has fused optimizer kernels for; elsewhere the plain per-tensor form runs.
FUSED_KINDS = ("cpu", "cuda", "rocm", "mps", "xpu")

# What torch.optim.Adam takes where it is told nothing.
TORCH_ADAM_EPSILON = 1e-8


def epsilon(cell: Cell) -> float:
    """Adam's epsilon: the cell's own where pinned, PyTorch's where ``defaults=framework``."""
    return cell.optimizer.epsilon if cell.defaults == "pinned" else TORCH_ADAM_EPSILON


def make_optimizer(cell: Cell, lr: float, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimizer as a tutorial makes it."""
    spec = cell.optimizer
    if spec.name == "adam":
        return torch.optim.Adam(parameters, lr=lr, betas=(spec.beta1, spec.beta2), eps=epsilon(cell))
    return torch.optim.SGD(parameters, lr=lr, momentum=_momentum(spec))


class Updater(ABC):
    """Optimizer state and one call that updates the parameters in place."""

    def __init__(self, cell: Cell, lr: float, parameters: Sequence[Tensor], *, fused: bool) -> None:
        self.lr = lr
        self.spec = cell.optimizer
        self.fused = fused
        # Detached: the kernels write in place where autograd would object.
        self.parameters = [parameter.detach() for parameter in parameters]

    @abstractmethod
    def update(self, gradients: Sequence[Tensor]) -> None:
        """One step down ``gradients``."""

    @abstractmethod
    def reset(self) -> None:
        """As if nothing had been updated yet; in place, because a recorded step holds on to its tensors."""


class SgdUpdater(Updater):
    """``torch.optim.sgd.sgd``, with momentum where the cell asks for it."""

    def __init__(self, cell: Cell, lr: float, parameters: Sequence[Tensor], *, fused: bool) -> None:
        super().__init__(cell, lr, parameters, fused=fused)
        self.momentum = _momentum(self.spec)
        self.buffers: list[Tensor | None] = [
            torch.zeros_like(parameter) if self.momentum else None for parameter in self.parameters
        ]

    def update(self, gradients: Sequence[Tensor]) -> None:
        """One step of (heavy-ball) gradient descent."""
        sgd(
            self.parameters,
            list(gradients),
            self.buffers,
            fused=self.fused,
            foreach=False,
            weight_decay=0.0,
            momentum=self.momentum,
            lr=self.lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def reset(self) -> None:
        """No velocity."""
        for buffer in self.buffers:
            if buffer is not None:
                buffer.zero_()


class AdamUpdater(Updater):
    """``torch.optim.adam.adam``."""

    def __init__(self, cell: Cell, lr: float, parameters: Sequence[Tensor], *, fused: bool) -> None:
        super().__init__(cell, lr, parameters, fused=fused)
        self.epsilon = epsilon(cell)
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        # The fused kernel counts steps on the device, the plain form on the host.
        counters = [parameter.device if fused else "cpu" for parameter in self.parameters]
        self.steps = [torch.zeros((), dtype=torch.float32, device=device) for device in counters]

    def update(self, gradients: Sequence[Tensor]) -> None:
        """One Adam step."""
        adam(
            self.parameters,
            list(gradients),
            self.first,
            self.second,
            [],
            self.steps,
            fused=self.fused,
            foreach=False,
            amsgrad=False,
            beta1=self.spec.beta1,
            beta2=self.spec.beta2,
            lr=self.lr,
            weight_decay=0.0,
            eps=self.epsilon,
            maximize=False,
        )

    def reset(self) -> None:
        """No moments, no steps."""
        for tensor in (*self.first, *self.second, *self.steps):
            tensor.zero_()


def make_updater(cell: Cell, lr: float, parameters: Sequence[Tensor], kind: str) -> Updater:
    """The bare kernel of the cell's optimizer for a kind of device, as new."""
    updater = AdamUpdater if cell.optimizer.name == "adam" else SgdUpdater
    return updater(cell, lr, parameters, fused=kind in FUSED_KINDS)


def _momentum(spec: OptimizerSpec) -> float:
    return spec.momentum if spec.name == "momentum" else 0.0
