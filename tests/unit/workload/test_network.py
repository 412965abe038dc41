"""The network's arithmetic, against hand-worked numbers and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.workload import network
from bench.workload.network import (
    Weights,
    forward,
    initial_weights,
    loss_and_accuracy,
    loss_and_gradients,
    parameter_count,
)

# Two inputs, two hidden units of which the second is dead on (1, 1), one output.
HAND = Weights(
    hidden_kernel=np.array([[1.0, -1.0], [2.0, -1.0]]),
    hidden_bias=np.array([0.5, 0.25]),
    output_kernel=np.array([[2.0], [3.0]]),
    output_bias=np.array([-1.0]),
)


def test_forward_by_hand() -> None:
    # (1, 1): hidden max(3.5, 0), max(-1.75, 0); logit 2 * 3.5 - 1. (0, 0): hidden 0.5, 0.25; logit 1 + 0.75 - 1.
    np.testing.assert_allclose(forward(HAND, np.array([[1.0, 1.0], [0.0, 0.0]])), [6.0, 0.75])


def test_loss_by_hand() -> None:
    loss, accuracy = loss_and_accuracy(HAND, np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([1.0, 0.0]))
    assert loss == pytest.approx((math.log(1 + math.exp(-6)) + math.log(1 + math.exp(0.75))) / 2)
    assert accuracy == 0.5


def test_gradient_of_the_output_bias_by_hand() -> None:
    _, gradients = loss_and_gradients(HAND, np.array([[1.0, 1.0]]), np.array([1.0]))
    error = 1 / (1 + math.exp(-6)) - 1
    np.testing.assert_allclose(gradients.output_bias, [error])
    np.testing.assert_allclose(gradients.output_kernel, [[3.5 * error], [0.0]])
    np.testing.assert_allclose(gradients.hidden_bias, [2 * error, 0.0])


def test_gradients_are_the_slopes_of_the_loss() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(9, 5)), rng.integers(0, 2, size=9).astype(float)
    weights = initial_weights(5, 4, "float64", seed=0, round_=0)
    _, gradients = loss_and_gradients(weights, x, y)
    for name, array in weights._asdict().items():
        for index in np.ndindex(array.shape):
            slope = _central_difference(weights, name, index, x, y)
            assert getattr(gradients, name)[index] == pytest.approx(slope, abs=1e-8), (name, index)


def _central_difference(weights: Weights, name: str, index: tuple[int, ...], x: np.ndarray, y: np.ndarray) -> float:
    losses = []
    for shift in (1e-6, -1e-6):
        moved = getattr(weights, name).copy()
        moved[index] += shift
        losses.append(loss_and_gradients(weights._replace(**{name: moved}), x, y)[0])
    return (losses[0] - losses[1]) / 2e-6


def test_chunks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(25, 5)), rng.integers(0, 2, size=25).astype(float)
    weights = initial_weights(5, 4, "float64", seed=0, round_=0)
    whole = loss_and_accuracy(weights, x, y)
    monkeypatch.setattr(network, "CHUNK_ROWS", 4)
    assert loss_and_accuracy(weights, x, y) == pytest.approx(whole, rel=1e-14)
    assert loss_and_gradients(weights, x, y)[0] == pytest.approx(whole[0], rel=1e-14)


@pytest.mark.parametrize("logit", [-800.0, 800.0])
def test_confident_logits_neither_overflow_nor_vanish(logit: float) -> None:
    weights = HAND._replace(output_kernel=np.zeros((2, 1)), output_bias=np.array([logit]))
    wrong = np.array([0.0 if logit > 0 else 1.0])
    loss, gradients = loss_and_gradients(weights, np.ones((1, 2)), wrong)
    assert loss == 800.0
    assert abs(gradients.output_bias[0]) == 1.0


def test_diverged_weights_give_a_loss_that_is_not_finite_and_no_warning() -> None:
    weights = HAND._replace(output_kernel=np.array([[np.inf], [-np.inf]]))
    loss, _ = loss_and_accuracy(weights, np.zeros((1, 2)), np.array([1.0]))
    assert not math.isfinite(loss)


def test_initial_weights_are_glorot_uniform() -> None:
    weights = initial_weights(20, 64, "float32", seed=0, round_=0)
    assert [array.dtype for array in weights] == [np.float32] * 4
    assert sum(array.size for array in weights) == parameter_count(20, 64) == 1409
    for kernel, limit in ((weights.hidden_kernel, math.sqrt(6 / 84)), (weights.output_kernel, math.sqrt(6 / 65))):
        assert 0.9 * limit < np.abs(kernel).max() <= limit
    assert not weights.hidden_bias.any()
    assert not weights.output_bias.any()


def test_both_dtypes_start_from_the_same_numbers_and_every_round_from_others() -> None:
    single, double = (initial_weights(20, 64, dtype, seed=0, round_=0) for dtype in ("float32", "float64"))
    assert np.array_equal(single.hidden_kernel, double.hidden_kernel.astype(np.float32))
    other = initial_weights(20, 64, "float32", seed=0, round_=1)
    assert not np.allclose(single.hidden_kernel, other.hidden_kernel)
