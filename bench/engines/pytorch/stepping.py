"""An epoch of eager steps: rows are gathered for a block of batches at a time, and each batch is a view of its block.

Losses stay on the device and are packed at the end of a block: a hundred thousand scalars on their own would hold more
memory than training does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench.engines.base import FloatArray, Order, StepEngine
from bench.engines.pytorch.opening import packed

# Rows gathered at a time, where the batch is smaller: enough that gathering costs next to nothing per step.
BLOCK_ROWS = 256


class BatchEngine(StepEngine):
    """An engine that trains one batch after the other, given as tensors; final classes say how.

    Attributes:
        train_batch: one update on the batch x (B, F), y (B, 1); returns its mean loss, on the device.
        x: the training split on the device, (n, F).
        y: its labels, (n, 1).
        order: rows of the epoch, on the device.
    """

    train_batch: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    y: Tensor
    order: Tensor

    def begin_epoch(self, order: Order) -> None:
        """The order goes to the device."""
        self.order = torch.from_numpy(order).to(self.x.device)

    def run_epoch(self, order: Order) -> list[Any]:
        """All steps of one epoch; the losses of each block are one tensor."""
        self.begin_epoch(order)
        return [torch.stack([self.train_batch(x, y) for x, y in block]) for block in self._blocks()]

    def step(self, low: int, high: int) -> Tensor:
        """One update on rows ``order[low:high]``."""
        rows = self.order[low:high]
        return self.train_batch(self.x.index_select(0, rows), self.y.index_select(0, rows))

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses on the host, shape (steps,)."""
        return packed(losses)

    def _blocks(self) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        batch_size = self.cell.batch_size
        for rows in torch.split(self.order, batch_size * max(1, BLOCK_ROWS // batch_size)):
            x, y = self.x.index_select(0, rows), self.y.index_select(0, rows)
            yield zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True)
