"""What every framework is handed rather than draws itself: epoch orders, batch bounds, the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.cell import LrPolicySpec, OptimizerSpec
from bench.workload.seeds import generator


def epoch_order(seed: int, round_: int, epoch: int, n_train: int, shuffle: bool) -> NDArray[np.int64]:
    """Order in which one epoch visits the rows, shape (n_train,), int64; every row exactly once."""
    if not shuffle:
        return np.arange(n_train, dtype=np.int64)
    return generator(seed, round_, "order", epoch).permutation(n_train).astype(np.int64, copy=False)


def batch_bounds(n: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """Where each batch of an epoch begins and ends; the last may be shorter and is never dropped.

    One after the other: as a list, ten million batches of one row would take more memory than the rows.
    """
    return ((low, min(low + batch_size, n)) for low in range(0, n, batch_size))


def learning_rate(optimizer: OptimizerSpec, policy: LrPolicySpec, batch_size: int) -> float:
    """The learning rate at ``batch_size``, with k = batch size / base batch size.

    ``constant``: lr. ``linear``: lr * k (Goyal et al. 2017, for SGD). ``sqrt``: lr * sqrt(k) (Malladi et al. 2022, for
    Adam; their rule for the betas is not applied).
    """
    k = batch_size / policy.base_batch_size
    factor = {"constant": 1.0, "linear": k, "sqrt": math.sqrt(k)}[policy.name]
    return optimizer.lr * factor
