"""The parity gate: before anything is timed, an engine trains some steps beside the reference.

What the gate trains is what the engine trains later: the same initial weights, whole epochs in their own orders while
they fit into the number of steps asked for, then a part of an epoch that ends in the split's short last batch, so that
every batch shape is seen. A loop that shuffles natively takes rows as they stand meanwhile, for its order is its own.

The work is bounded: no more steps than fit into ``MAX_ROWS`` rows, two at the least, because a step's loss tells of the
updates before it and one step alone would tell of none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bench.cell import Cell
from bench.engines.base import Engine, FloatArray, Order
from bench.records import ParityRecord
from bench.workload.data import Split
from bench.workload.network import Weights
from bench.workload.parity import Difference, LossArray, Reference, planned_rows
from bench.workload.schedule import batch_bounds, epoch_order


class Verdict(NamedTuple):
    """The record, and why the run must not be timed; None where it may."""

    record: ParityRecord
    objection: str | None


class GateEpochs:
    """The gate's epochs as ``Engine.train`` sees them; the reference trains each order after the engine."""

    def __init__(self, engine: Engine, split: Split, reference: Reference, round_: int, alive: Callable[[], None]):
        self.engine = engine
        self.split = split
        self.reference = reference
        self.round_ = round_
        self.alive = alive
        self.losses: list[LossArray] = []
        cell = engine.cell
        self._rows = planned_rows(cell.data.n_train, cell.batch_size, cell.protocol.parity_steps)
        self._order: Order = np.empty(0, np.int64)

    def start(self) -> Order | None:
        """The next order, or None."""
        self.alive()
        epoch = len(self.losses)
        if epoch == len(self._rows):
            return None
        data = self.engine.cell.data
        shuffle = data.shuffle and self.engine.follows_order
        order = epoch_order(self.engine.cell.seed, self.round_, epoch, data.n_train, shuffle)
        self._order = order[: self._rows[epoch]]
        return self._order

    def finish(self, losses: Callable[[], FloatArray]) -> None:
        """Keeps the engine's losses and trains the reference on the same rows."""
        self.engine.synchronize()
        self.losses.append(np.asarray(losses(), dtype=np.float64).reshape(-1))
        for low, high in batch_bounds(len(self._order), self.engine.cell.batch_size):
            self.alive()
            self.reference.step(self.split, self._order[low:high])


def check_parity(engine: Engine, split: Split, weights: Weights, round_: int, alive: Callable[[], None]) -> Verdict:
    """Trains the engine from ``weights``, where it stands, beside the reference; leaves it trained.

    Args:
        engine: warmed up and reset.
        split: the data it was loaded with.
        weights: those it stands at.
        round_: seeds the orders.
        alive: called at every step.
    """
    reference = Reference(engine.cell, engine.setup.lr, weights)
    epochs = GateEpochs(engine, split, reference, round_, alive)
    natively, engine.shuffles_natively = engine.shuffles_natively, False
    try:
        engine.train(epochs)
    finally:
        engine.shuffles_natively = natively
    return judge(engine.cell, reference, np.concatenate(epochs.losses))


def judge(cell: Cell, reference: Reference, losses: LossArray) -> Verdict:
    """Weighs an engine's losses, shape (steps,), against the reference's.

    Under ``defaults=framework`` the arithmetic is meant to differ: the difference is recorded, and nothing is asked.
    """
    bar, trained = reference.bar if cell.defaults == "pinned" else None, len(reference.exact.losses)
    if len(losses) != trained:
        reason = f"it made {len(losses)} of {trained} steps"
        return Verdict(ParityRecord(bar=bar, reason=reason), f"not the reference's training: {reason}")
    found, flips = reference.difference(losses), reference.flips
    record = ParityRecord(
        difference=found.value if found.step is not None and math.isfinite(found.value) else None,
        step=found.step,
        steps=reference.steps,
        bar=bar,
        control=reference.rounding,
        flips=flips if math.isfinite(flips) else None,
        undecided=reference.exact.undecided,
        reason=_why_none(found),
    )
    return Verdict(record, _objection(record, found, losses, reference))


def _why_none(found: Difference) -> str | None:
    if found.step is None:
        return "the reference's own loss was no number at step 0"
    return None if math.isfinite(found.value) else f"the loss was no number at step {found.step}"


def _objection(record: ParityRecord, found: Difference, losses: LossArray, reference: Reference) -> str | None:
    if record.bar is None or found.step is None or found.value <= record.bar:
        return None
    seen, exact = losses[found.step], reference.exact.losses[found.step]
    return (
        f"not the reference's training: at step {found.step} of {record.steps} the loss was {seen:.7g}, "
        f"the reference's {exact:.7g}; a difference of {found.value:.2g}, the bar is {record.bar:.2g}"
    )
