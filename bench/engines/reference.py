"""The oracle: the workload's own NumPy arithmetic as an engine, in float32 or float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.engines.base import FloatArray, Order, StepEngine
from bench.errors import Unavailable
from bench.workload.network import Weights, loss_and_gradients
from bench.workload.optimizer import Optimizer, make_optimizer


class ReferenceEager(StepEngine):
    """Steps run one by one from Python; the host is the device.

    It has no defaults of its own: ``defaults=framework`` is the pinned arithmetic.
    """

    framework = "reference"
    loop = "eager"

    optimizer: Optimizer
    x: FloatArray
    y: FloatArray
    order: Order

    def open_device(self) -> str:
        """The processor; threads of NumPy's matrix products are set by the environment, before NumPy is imported."""
        if self.cell.device != "cpu":
            raise Unavailable(f"reference cannot run on {self.cell.device}", "NumPy computes on the cpu only")
        return "cpu"

    def build(self, weights: Weights) -> None:
        """Starts from ``weights``."""
        self.reset(weights)

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """Keeps the arrays as they are."""
        self.x, self.y = x, y

    def reset(self, weights: Weights) -> None:
        """A fresh optimizer on a copy of ``weights``."""
        self.optimizer = make_optimizer(self.cell.optimizer, self.setup.lr, weights.astype(self.cell.network.dtype))

    def begin_epoch(self, order: Order) -> None:
        """Keeps the order."""
        self.order = order

    def step(self, low: int, high: int) -> float:
        """One update; returns the batch's mean loss."""
        rows = self.order[low:high]
        with np.errstate(over="ignore", invalid="ignore"):
            loss, gradients = loss_and_gradients(self.optimizer.weights, self.x[rows], self.y[rows])
            self.optimizer.update(gradients)
        return loss

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses, shape (steps,)."""
        return np.array(losses, dtype=self.cell.network.dtype)

    def synchronize(self) -> None:
        """Nothing runs behind NumPy's back."""

    def weights(self) -> Weights:
        """A copy of the weights."""
        return self.optimizer.weights.astype(self.cell.network.dtype)

    def homes(self) -> frozenset[str]:
        """NumPy knows the processor only."""
        return frozenset({"cpu"})

    def environment(self) -> dict[str, Any]:
        """NumPy's version and the BLAS it was built with."""
        build: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
        blas = build.get("Build Dependencies", {}).get("blas", {})
        return {"numpy": np.__version__, "blas": f"{blas.get('name')} {blas.get('version')}"}


ENGINE = ReferenceEager
