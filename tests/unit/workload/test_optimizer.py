"""Each optimizer against its first steps worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.cell import OptimizerSpec
from bench.workload.network import Weights
from bench.workload.optimizer import make_optimizer


def _weights(value: float) -> Weights:
    return Weights(np.full((2, 3), value), np.full(3, value), np.full((3, 1), value), np.full(1, value))


def _after(spec: OptimizerSpec, gradients: list[float], lr: float = 0.1) -> list[float]:
    """The value of a weight that starts at 1, after each of these gradients."""
    optimizer = make_optimizer(spec, lr, _weights(1.0))
    return [float(optimizer.update(_weights(gradient)).output_bias[0]) for gradient in gradients]


def test_sgd() -> None:
    assert _after(OptimizerSpec(name="sgd"), [2.0, -1.0]) == pytest.approx([0.8, 0.9])


def test_momentum() -> None:
    # v = 2, then 0.9 * 2 - 1 = 0.8.
    assert _after(OptimizerSpec(name="momentum", momentum=0.9), [2.0, -1.0]) == pytest.approx([0.8, 0.72])


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient() -> None:
    for gradient in (1e-3, 1.0, 1e3):
        assert _after(OptimizerSpec(name="adam"), [gradient]) == pytest.approx([0.9], abs=1e-5)


def test_adams_second_step() -> None:
    # m = 0.9 * 0.2 - 0.1 = 0.08, v = 0.999 * 0.004 + 0.001 = 0.004996; corrected by 0.19 and 0.001999.
    second = (0.08 / 0.19) / (math.sqrt(0.004996 / 0.001999) + 1e-8)
    assert _after(OptimizerSpec(name="adam"), [2.0, -1.0]) == pytest.approx([0.9, 0.9 - 0.1 * second])


def test_adams_epsilon_is_added_to_the_corrected_root() -> None:
    assert _after(OptimizerSpec(name="adam", epsilon=1.0), [3.0]) == pytest.approx([1 - 0.1 * 3 / (3 + 1)])


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_every_array_is_updated_and_none_in_place(name: str) -> None:
    start = _weights(1.0)
    updated = make_optimizer(OptimizerSpec(name=name), 0.1, start).update(_weights(1.0))
    for array in updated:
        np.testing.assert_allclose(array, 0.9, atol=1e-6)
    for array in start:
        np.testing.assert_array_equal(array, 1.0)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_float32_stays_float32(name: str) -> None:
    start = _weights(1.0).astype("float32")
    updated = make_optimizer(OptimizerSpec(name=name), 0.1, start).update(start)
    assert {array.dtype for array in updated} == {np.dtype("float32")}
