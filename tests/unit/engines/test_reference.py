"""What is the reference's own; what every engine must do stands in the contract suite."""

from __future__ import annotations

import numpy as np
import pytest

from bench.engines.base import Setup
from bench.engines.reference import ReferenceEager
from bench.errors import Unavailable
from tests.contract.case import Kind, ready, train, trajectory

KIND = Kind("reference", None, "eager")


def test_in_float64_it_is_the_workloads_arithmetic_to_the_bit() -> None:
    cell = KIND.cell(7, dtype="float64")
    losses, weights = trajectory(cell, 3)
    engine = ready(cell)
    assert np.array_equal(np.concatenate(train(engine, 3)), np.concatenate(losses))
    assert all(map(np.array_equal, engine.weights(), weights))


def test_float32_stays_float32() -> None:
    engine = ready(KIND.cell(7))
    train(engine, 1)
    assert {array.dtype for array in engine.weights()} == {np.dtype("float32")}


@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_it_knows_no_other_device(device: str) -> None:
    engine = ReferenceEager(Setup(cell=KIND.cell(7, device=device), lr=0.1, native_seed=0))
    with pytest.raises(Unavailable, match="cpu only"):
        engine.open_device()
