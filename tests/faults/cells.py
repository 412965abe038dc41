"""The cell that most faults are planted in: small, and trained by the reference engine."""

from __future__ import annotations

from typing import Any

from bench.cell import BudgetSpec, Cell, DataSpec, ProtocolSpec


def make_cell(**changes: Any) -> Cell:
    protocol: dict[str, Any] = dict(steady_min_s=0.0, steady_min_epochs=1, timeout_s=60.0, stall_s=30.0, memory=False)
    protocol |= changes.pop("protocol", {})
    plain: dict[str, Any] = dict(
        framework="reference",
        loop="eager",
        device="cpu",
        batch_size=16,
        batch_size_label="16",
        data=DataSpec(name="teacher", n_train=40, n_val=10, features=4, noise=0.0, distribution="normal"),
        budget=BudgetSpec(epochs=2),
        protocol=ProtocolSpec(**protocol),
    )
    return Cell(**(plain | changes))
