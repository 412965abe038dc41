"""The training loss a cell is asked to reach: a fraction of the way that the float64 reference goes."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from bench.cell import Cell
from bench.workload.data import Split
from bench.workload.network import Weights, initial_weights, loss_and_accuracy, loss_and_gradients
from bench.workload.optimizer import make_optimizer
from bench.workload.schedule import batch_bounds, epoch_order, learning_rate

# A target must not cost more than its sweep: on large data the reference stops here, within an epoch if need be.
MAX_UPDATES = 20_000


class Target(NamedTuple):
    """Losses over the whole training split, and how many updates the reference made.

    ``target_loss`` is None, with the ``reason``, where the reference itself did not get any lower; ``reference_loss``
    is None where it was no number any more.
    """

    initial_loss: float
    reference_loss: float | None
    target_loss: float | None
    updates: int
    reason: str | None = None


def target_key(cell: Cell) -> tuple[Any, ...]:
    """What a target depends on: cells with equal keys share one."""
    return (cell.data, cell.network.hidden, cell.optimizer, cell.lr_policy, cell.seed, *_reference_budget(cell))


def target_loss(cell: Cell, split: Split) -> Target:
    """Trains the reference in float64 from round 0's weights and places the target on its way.

    target = initial + fraction * (reference - initial), where both are losses over the whole training split, and the
    reference has trained for ``budget.target_epochs`` at ``budget.target_batch_size``, for ``MAX_UPDATES`` at most.
    """
    x, y = split.x_train, split.y_train
    start = initial_weights(cell.data.features, cell.network.hidden, np.float64, seed=cell.seed, round_=0)
    trained, updates = _train_reference(cell, split, start)
    initial, reached = loss_and_accuracy(start, x, y)[0], loss_and_accuracy(trained, x, y)[0]
    if not (math.isfinite(reached) and reached < initial):
        reason = f"the reference went from loss {initial:.4g} to {reached:.4g}: there is no way to place a target on"
        return Target(initial, reached if math.isfinite(reached) else None, None, updates, reason)
    return Target(initial, reached, initial + cell.budget.target_fraction * (reached - initial), updates)


def _reference_budget(cell: Cell) -> tuple[float, int, int]:
    budget = cell.budget
    return budget.target_fraction, budget.target_epochs, min(budget.target_batch_size, cell.data.n_train)


def _train_reference(cell: Cell, split: Split, start: Weights) -> tuple[Weights, int]:
    """Batches are cast to float64 as they come: the data itself may be ten million rows."""
    _, epochs, batch_size = _reference_budget(cell)
    optimizer = make_optimizer(cell.optimizer, learning_rate(cell.optimizer, cell.lr_policy, batch_size), start)
    n, updates = cell.data.n_train, 0
    with np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(epochs):
            if updates >= MAX_UPDATES:
                break
            order = epoch_order(cell.seed, 0, epoch, n, cell.data.shuffle)
            for low, high in islice(batch_bounds(n, batch_size), MAX_UPDATES - updates):
                rows = order[low:high]
                x, y = split.x_train[rows].astype(np.float64), split.y_train[rows].astype(np.float64)
                optimizer.update(loss_and_gradients(optimizer.weights, x, y)[1])
                updates += 1
    return optimizer.weights, updates
