"""Epochs as CUDA graphs over blocks of steps: the eager loop's own step, recorded once and replayed without Python.

A graph repeats the same kernels on the same memory, so everything a step touches stays where it is: the parameters, the
optimizer's state (PyTorch's fused kernels count their updates on the device), and a buffer for the rows of a block.
Three graphs serve any epoch: a block of full steps, a single full step for what a block leaves over, and the short last
batch. The same code serves ROCm, where PyTorch calls HIP graphs by the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.cell import Cell
from bench.engines.base import Order
from bench.engines.pytorch.blocks import Blocks
from bench.engines.pytorch.device import Device
from bench.engines.pytorch.step import EagerStep
from bench.workload.network import Weights

Record = Callable[[Callable[[], None]], Callable[[], None]]

# A graph holds a node for each kernel of each step, about twenty of them: 64 steps make a launch cheap per step and
# record in well under a second.
GRAPH_STEPS = 64
GRAPH_ROWS = 65_536
_WARM_UP_RUNS = 3


def record_cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """Runs ``work`` on a stream of its own until libraries have settled, records it, and returns what replays it."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_RUNS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    replay: Callable[[], None] = graph.replay
    return replay


@dataclass(frozen=True)
class Recorded:
    """A number of steps of one batch size.

    Attributes:
        rows: rows of the data it trains, in the order of its steps; to be filled before ``replay``.
        losses: each step's mean loss, shape (steps,); to be copied after it.
        replay: trains the steps.
    """

    rows: Tensor
    losses: Tensor
    replay: Callable[[], None]


class RecordedBlocks(Blocks):
    """Trains a cell's epochs by replaying recorded steps.

    Args:
        cell: what to train.
        lr: the learning rate.
        weights: the initial weights.
        device: a CUDA or ROCm device.
        record: makes a replay of work; tests on a processor hand in one that only repeats it.
    """

    _x: Tensor
    _y: Tensor
    _block: Recorded
    _single: Recorded
    _short: Recorded | None

    def __init__(
        self, cell: Cell, lr: float, weights: Weights, device: Device, record: Record = record_cuda_graph
    ) -> None:
        super().__init__(cell)
        self._record = record
        self._train_batch = EagerStep(cell, lr, weights, device)

    def reset(self, weights: Weights) -> None:
        """The given weights, and an optimizer that has seen nothing."""
        self._train_batch.reset(weights)

    def prepare(self, x: Tensor, y: Tensor) -> None:
        """Records; trains a few steps in doing so."""
        self._x, self._y = x, y
        n, batch_size = len(x), self.cell.batch_size
        steps = max(1, min(n // batch_size, GRAPH_STEPS, GRAPH_ROWS // batch_size))
        self._block = self._recorded(steps, batch_size)
        self._single = self._block if steps == 1 else self._recorded(1, batch_size)
        self._short = self._recorded(1, n % batch_size) if n % batch_size else None

    def train(self, order: Order) -> list[Tensor]:
        """Trains the rows of ``order``; returns the losses of each replay."""
        losses: list[Tensor] = []
        remaining = torch.from_numpy(order).to(self._x.device)
        for recorded in (self._block, self._single):
            rows = len(recorded.rows)
            while len(remaining) >= rows:
                losses.append(_replay(recorded, remaining[:rows]))
                remaining = remaining[rows:]
        if len(remaining) and self._short is not None:
            losses.append(_replay(self._short, remaining))
        return losses

    def weights(self) -> list[Tensor]:
        """The weights' own memory, in the one layout."""
        parameters = (parameter.detach() for parameter in self._train_batch.parameters)
        return [parameter.t() if parameter.dim() == 2 else parameter for parameter in parameters]

    def _recorded(self, steps: int, batch_size: int) -> Recorded:
        device = self._x.device
        rows = torch.arange(steps * batch_size, device=device)
        losses = torch.zeros(steps, dtype=self._x.dtype, device=device)

        def work() -> None:
            batches_x, batches_y = self._x.index_select(0, rows), self._y.index_select(0, rows)
            pairs = zip(torch.split(batches_x, batch_size), torch.split(batches_y, batch_size), strict=True)
            losses.copy_(torch.stack([self._train_batch(x, y) for x, y in pairs]))

        return Recorded(rows=rows, losses=losses, replay=self._record(work))


def _replay(recorded: Recorded, rows: Tensor) -> Tensor:
    recorded.rows.copy_(rows)
    recorded.replay()
    return recorded.losses.clone()
