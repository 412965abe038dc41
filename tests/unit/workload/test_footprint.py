"""The analytic memory model against the numbers it was fitted to."""

from __future__ import annotations

import pytest

from bench.cell import Cell, DataSpec, NetworkSpec, OptimizerSpec
from bench.workload.footprint import footprint


def _cell(batch_size: int, *, optimizer: str = "adam", dtype: str = "float32") -> Cell:
    return Cell(
        framework="reference",
        loop="eager",
        device="cpu",
        batch_size=batch_size,
        batch_size_label=str(batch_size),
        data=DataSpec(name="teacher", n_train=1000, n_val=0, features=20),
        network=NetworkSpec(hidden=64, dtype=dtype),
        optimizer=OptimizerSpec(name=optimizer),
    )


def test_default_workload() -> None:
    model = footprint(_cell(1000))
    assert (model.state_bytes, model.data_bytes, model.step_bytes) == (16 * 1409, 84_000, 768_268)
    assert model.total_bytes == 22_544 + 84_000 + 768_268


@pytest.mark.parametrize(("optimizer", "arrays"), [("sgd", 2), ("momentum", 3), ("adam", 4)])
def test_an_optimizer_keeps_what_it_needs(optimizer: str, arrays: int) -> None:
    assert footprint(_cell(1, optimizer=optimizer)).state_bytes == arrays * 4 * 1409


def test_float64_takes_twice_as_much() -> None:
    assert footprint(_cell(32, dtype="float64")).total_bytes == 2 * footprint(_cell(32)).total_bytes


def test_only_the_step_grows_with_the_batch() -> None:
    small, large = footprint(_cell(1)), footprint(_cell(1000))
    assert (small.state_bytes, small.data_bytes) == (large.state_bytes, large.data_bytes)
    assert large.step_bytes - small.step_bytes == 999 * 12 * 64
