"""An order of any length for a program of fixed shapes: padded rows, and how many steps to take of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.engines.base import Order


@dataclass(frozen=True)
class PaddedOrder:
    """The rows of an epoch or of a part of one.

    Attributes:
        rows: shape (n_train,), int32; what follows the order is zero and not trained.
        full_steps: steps of a full batch.
        ends_short: whether the split's short last batch follows them.
    """

    rows: NDArray[np.int32]
    full_steps: int
    ends_short: bool

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.full_steps + self.ends_short


def pad(order: Order, n_train: int, batch_size: int) -> PaddedOrder:
    """The order, in as many rows as the split has. Half as wide, because compiled gathers want 32 bits."""
    rows = order.astype(np.int32)
    if len(rows) < n_train:
        rows = np.concatenate([rows, np.zeros(n_train - len(rows), np.int32)])
    full_steps, rest = divmod(len(order), batch_size)
    return PaddedOrder(rows, full_steps, rest > 0)
