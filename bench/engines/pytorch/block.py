"""A block of training steps as one graph: a loop that PyTorch's compiler keeps as a loop, around ``FlatStep``.

What makes it fast for this network, where a step is microseconds of arithmetic:

- One tensor is carried, and bias corrections come from a table: every tensor the loop owns costs an allocation a step.
- Rows are gathered for a block of steps ahead of its loop, at the speed of copying.
- Small matrix products are written out as multiply and sum, which the compiler fuses with what surrounds them; a call
  into the matrix library costs more than the product up to ``WRITTEN_OUT_ROWS`` rows (and always where a side is 1).
- Large batches go through in chunks (``bench.engines.chunks``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.cell import Cell
from bench.engines import chunks
from bench.engines.pytorch.flat import FlatStep

# Steps of a block: enough that a dispatch from Python costs next to nothing per step.
BLOCK_STEPS = 1024
# Rows gathered ahead of a block's loop: about what a processor's second-level cache holds.
BLOCK_ROWS = 8192
WRITTEN_OUT_ROWS = 32


@dataclass(frozen=True)
class Shape:
    """The sizes a program is compiled for.

    Attributes:
        n_train: rows of the data.
        batch_size: rows of a step.
        short: rows of the epoch's short last batch; 0 where there is none.
        steps: most full steps of a block.
    """

    n_train: int
    batch_size: int
    short: int
    steps: int

    @classmethod
    def of(cls, cell: Cell) -> Shape:
        """Of the epochs of ``cell``."""
        n, batch_size = cell.data.n_train, cell.batch_size
        steps = max(1, min(n // batch_size, BLOCK_STEPS, BLOCK_ROWS // batch_size))
        return cls(n_train=n, batch_size=batch_size, short=n % batch_size, steps=steps)


class BlockOfSteps(nn.Module):
    """What is compiled: up to ``Shape.steps`` full steps, then at most one short step."""

    def __init__(self, step: FlatStep, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.full = _loop_over(step, shape.batch_size)
        self.short = _loop_over(step, shape.short) if shape.short else None

    def forward(
        self, state: Tensor, coefficients: Tensor, x: Tensor, y: Tensor, rows: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Trains and returns the new state and the steps' losses, shape (steps + 1,).

        Args:
            state: as in ``FlatStep``.
            coefficients: of the block's updates, (steps + 1, 2).
            x: the data's features (n_train, F).
            y: its labels (n_train, 1).
            rows: rows of the full steps and then those of the short one, (steps * batch_size + short,), int64.
            counts: how many full steps and how many short ones (0 or 1) to make, (2,), int64.
        """
        steps, batch_size = self.shape.steps, self.shape.batch_size
        losses = torch.zeros(steps + 1, dtype=state.dtype)
        done = torch.zeros(1, dtype=torch.int64)
        end = counts[:1].clone()  # no view, see ``GatheredLoop``
        done, state, losses = self.full(
            done, end, state, losses, coefficients, x, y, rows[: steps * batch_size].view(steps, batch_size)
        )
        if self.short is not None:
            end = end + counts[1:]
            short_rows = rows[steps * batch_size :].view(1, self.shape.short)
            done, state, losses = self.short(done, end, state, losses, coefficients, x, y, short_rows)
        return state, losses


Loop = Callable[..., tuple[Tensor, Tensor, Tensor]]


def _loop_over(step: FlatStep, batch_size: int) -> Loop:
    return ChunkedLoop(step, batch_size) if batch_size > chunks.CHUNK_ROWS else GatheredLoop(step, batch_size)


class GatheredLoop(nn.Module):
    """A loop over batches that were gathered ahead of it."""

    def __init__(self, step: FlatStep, batch_size: int) -> None:
        super().__init__()
        state, coefficients, x, y = step.example(batch_size)
        self.step = traced(step, batch_size, (state, coefficients, x, y))

    def forward(
        self, done: Tensor, end: Tensor, state: Tensor, losses: Tensor, coefficients: Tensor, x: Tensor, y: Tensor,
        rows: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Makes steps number ``done`` to ``end``; ``rows`` is (steps, batch_size)."""
        steps, batch_size = rows.shape
        # Views are taken in the loop, where they are part of a kernel's indexing: one that goes in is a tensor a step.
        gathered_x, gathered_y = x.index_select(0, rows.reshape(-1)), y.index_select(0, rows.reshape(-1))

        def unfinished(done: Tensor, state: Tensor, losses: Tensor) -> Tensor:
            return (done < end)[0]

        def one_step(done: Tensor, state: Tensor, losses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            place = done if steps > 1 else done * 0
            batch_x = gathered_x.view(steps, batch_size, -1).index_select(0, place)[0]
            batch_y = gathered_y.view(steps, batch_size, 1).index_select(0, place)[0]
            state, loss = self.step(state, coefficients.index_select(0, done)[0], batch_x, batch_y)
            return done + 1, state, losses.index_put((done,), loss)

        done, state, losses = _while_loop(unfinished, one_step, (done, state, losses))
        return done, state, losses


class ChunkedLoop(nn.Module):
    """A loop over chunks of large batches; a batch's last chunk updates the weights."""

    def __init__(self, step: FlatStep, batch_size: int) -> None:
        super().__init__()
        self.count, self.size = chunks.number_of(batch_size), chunks.CHUNK_ROWS
        state, _, x, y = step.example(self.size)
        gradient = lambda *arguments: step.gradient(*arguments)  # noqa: E731 (tracing wants no default arguments)
        self.gradient = traced(gradient, self.size, (state, x, y, torch.ones_like(y)))
        self.update = step.update

    def forward(
        self, done: Tensor, end: Tensor, state: Tensor, losses: Tensor, coefficients: Tensor, x: Tensor, y: Tensor,
        rows: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Makes steps number ``done`` to ``end``; ``rows`` is (steps, batch_size)."""
        _, batch_size = rows.shape
        flat_rows, count, size, first = rows.reshape(-1), self.count, self.size, done

        def unfinished(chunk: Tensor, state: Tensor, summed: Tensor, losses: Tensor) -> Tensor:
            return (first + chunk // count < end)[0]

        def one_chunk(
            chunk: Tensor, state: Tensor, summed: Tensor, losses: Tensor
        ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            place, part = chunk // count, chunk % count
            low = (part * size).clamp(max=batch_size - size)
            inside = low + torch.arange(size)
            row_weights = (inside >= part * size).to(state.dtype)[:, None] / batch_size
            chosen = flat_rows.index_select(0, place * batch_size + inside)
            gradient, loss = self.gradient(state, x.index_select(0, chosen), y.index_select(0, chosen), row_weights)
            summed = summed + torch.cat([gradient, loss])
            is_last = part == count - 1
            number = first + place
            whole = summed.to(state.dtype)
            updated = self.update(state, coefficients.index_select(0, number)[0], whole[:-1])
            losses = losses.index_put((number,), whole[-1:])
            return chunk + 1, torch.where(is_last, updated, state), torch.where(is_last, 0.0, summed), losses

        # In float64: ten million rows are thousands of chunks, whose rounding would add up.
        summed = torch.zeros(state.shape[1] + 1, dtype=torch.float64)
        chunk = torch.zeros(1, dtype=torch.int64)
        _, state, _, losses = _while_loop(unfinished, one_chunk, (chunk, state, summed, losses))
        return end + 0, state, losses


def traced(function: Callable[..., Any], batch_size: int, example: tuple[Tensor, ...]) -> Any:
    """The graph of a function of tensors, backward pass included, with products written out where that is faster."""
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(function, decomposition_table=_products(batch_size))(*example)


def _products(batch_size: int) -> dict[Any, Callable[..., Any]]:
    """Matrix products as multiply and sum."""
    aten = torch.ops.aten

    def is_small(a: Tensor, b: Tensor) -> bool:
        return batch_size <= WRITTEN_OUT_ROWS or 1 in (*a.shape, *b.shape)

    def mm(a: Tensor, b: Tensor) -> Tensor:
        return (a[:, :, None] * b[None]).sum(1) if is_small(a, b) else NotImplemented

    def addmm(bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return bias + (mm(a, b) if is_small(a, b) else aten.mm.default(a, b))

    return {aten.mm.default: mm, aten.addmm.default: addmm}


def _while_loop(condition: Any, body: Any, carried: tuple[Tensor, ...]) -> Any:
    """PyTorch's; imported here, because a template must not pay for a compiler that a warm run never needs."""
    from torch._higher_order_ops.while_loop import while_loop

    return while_loop(condition, body, carried)  # type: ignore[no-untyped-call]
