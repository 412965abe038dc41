"""Orders, batches and learning rates that every framework is handed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import LrPolicySpec, OptimizerSpec
from bench.workload.schedule import batch_bounds, epoch_order, learning_rate


@given(n=st.integers(1, 500), batch_size=st.integers(1, 600))
def test_batches_cover_every_row_once_and_only_the_last_is_short(n: int, batch_size: int) -> None:
    bounds = list(batch_bounds(n, batch_size))
    assert [row for low, high in bounds for row in range(low, high)] == list(range(n))
    assert all(high - low == batch_size for low, high in bounds[:-1])


@given(n=st.integers(1, 500), epoch=st.integers(0, 5))
def test_an_order_has_every_row_once(n: int, epoch: int) -> None:
    order = epoch_order(0, 0, epoch, n, shuffle=True)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(n))


def test_orders_differ_by_epoch_and_round_and_repeat_otherwise() -> None:
    first = epoch_order(0, 0, 0, 100, shuffle=True)
    assert np.array_equal(first, epoch_order(0, 0, 0, 100, shuffle=True))
    assert not np.array_equal(first, epoch_order(0, 0, 1, 100, shuffle=True))
    assert not np.array_equal(first, epoch_order(0, 1, 0, 100, shuffle=True))


def test_without_shuffling_rows_come_as_they_stand() -> None:
    assert epoch_order(0, 0, 3, 5, shuffle=False).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("policy", "expected"), [("constant", 1e-3), ("linear", 4e-3), ("sqrt", 2e-3)])
def test_learning_rate_at_four_times_the_base_batch(policy: str, expected: float) -> None:
    spec = LrPolicySpec(name=policy, base_batch_size=32)
    assert learning_rate(OptimizerSpec(lr=1e-3), spec, 128) == pytest.approx(expected)
    assert learning_rate(OptimizerSpec(lr=1e-3), spec, 32) == pytest.approx(1e-3)
