"""Orders of any length, what the reference makes of them, and the cases that hold on every backend of Keras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell
from bench.engines.base import Engine, Order
from bench.workload.network import forward
from bench.workload.schedule import epoch_order
from tests.contract.case import (
    ROWS,
    SEED,
    OrderedEpochs,
    split,
    start_weights,
    train,
    trajectory,
    trajectory_over,
)

TOLERANCE = {"float32": 5e-6, "float64": 1e-12}

# Batch sizes and dtypes for chunks of ten rows, by what is cut: the full batch with and without a rest, the short one
# as well, and a batch that is the whole epoch.
CHUNKED = ((32, "float64"), (60, "float64"), (64, "float32"), (100, "float64"))


def whole(epoch: int, *, shuffled: bool = True) -> Order:
    """An epoch's order."""
    return epoch_order(SEED, 0, epoch, ROWS, shuffled)


def part(epoch: int, batch_size: int, *, full: int, short: bool, shuffled: bool = True) -> Order:
    """The first full batches of an epoch, and its short batch where asked for."""
    order = whole(epoch, shuffled=shuffled)
    if not shuffled:
        return order[: full * batch_size + short * (ROWS % batch_size)]
    return np.concatenate([order[: full * batch_size], order[ROWS - ROWS % batch_size :] if short else order[:0]])


def train_orders(engine: Engine, orders: Sequence[Order]) -> list[NDArray[np.float64]]:
    """Per-step losses of each order."""
    handed = OrderedEpochs(engine, orders)
    engine.train(handed)
    assert len(handed.losses) == len(orders)
    return handed.losses


def reference_losses(cell: Cell, orders: Sequence[Order]) -> list[NDArray[np.float64]]:
    """The same in float64, from the workload alone."""
    return trajectory_over(cell, orders)[0]


def furthest(seen: Sequence[NDArray[np.float64]], expected: Sequence[NDArray[np.float64]]) -> float:
    """The largest difference of any step; each epoch must have the same number of them."""
    assert [len(losses) for losses in seen] == [len(losses) for losses in expected]
    return float(np.abs(np.concatenate(seen) - np.concatenate(expected)).max())


def changing_sizes(batch_size: int, *, shuffled: bool = True) -> list[Order]:
    """Parts and wholes in turn, among them a part of one short batch and a part of one full one."""
    return [
        whole(0, shuffled=shuffled),
        part(1, batch_size, full=2, short=True, shuffled=shuffled),
        part(2, batch_size, full=1, short=False, shuffled=shuffled),
        part(3, batch_size, full=0, short=True, shuffled=shuffled),
        whole(4, shuffled=shuffled),
    ]


def assert_every_step_is_the_references(engine: Engine) -> None:
    """In float64, over three epochs."""
    assert furthest(train(engine, 3), trajectory(engine.cell, 3)[0]) <= TOLERANCE["float64"]


def assert_parts_of_an_epoch_train_exactly_their_rows(engine: Engine) -> None:
    """In float64, whatever was trained before; rows come as they stand where the loop shuffles by itself."""
    engine.shuffles_natively = False
    orders = changing_sizes(engine.cell.batch_size, shuffled=engine.follows_order)
    assert furthest(train_orders(engine, orders), reference_losses(engine.cell, orders)) <= TOLERANCE["float64"]


def assert_the_model_is_what_was_trained(engine: Engine) -> None:
    """The real Keras model's own forward agrees with the weights that come out."""
    model, x = engine.model, split(engine.cell.network.dtype).x_train  # type: ignore[attr-defined]
    predicted = np.asarray(model.predict_on_batch(x)).ravel()
    np.testing.assert_allclose(predicted, forward(engine.weights(), x), rtol=0, atol=1e-6)
    assert not np.allclose(predicted, forward(start_weights(), x), atol=1e-3), "nothing was trained"
