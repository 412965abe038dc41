"""A step on flat state is the reference's step: same losses, same weights, in every optimizer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.cell import Cell
from bench.engines.pytorch.flat import STATE_ROWS, CoefficientTable, FlatStep, TorchNetwork, torch_step
from bench.workload.network import parameter_count
from tests.contract.case import FEATURES, HIDDEN, Kind, split, start_weights, trajectory

CELL = Kind("pytorch", None, "compiled").cell


def _step(cell: Cell) -> FlatStep:
    return torch_step(cell, TorchNetwork(cell))


def _batches(step: FlatStep, dtype: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    data, size = split(dtype), step.cell.batch_size
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train).unsqueeze(1)
    return list(zip(torch.split(x, size), torch.split(y, size), strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_steps_follow_the_reference_to_the_last_digits(optimizer: str) -> None:
    cell = CELL(7, optimizer=optimizer, dtype="float64", shuffle=False)
    step = _step(cell)
    state = step.initial_state(start_weights("float64"))
    batches = _batches(step, "float64")
    coefficients = step.coefficients(cell.optimizer.lr, len(batches))
    seen = []
    for row, (x, y) in zip(coefficients, batches, strict=True):
        state, loss = step(state, row, x, y)
        seen.append(loss.item())
    (expected,), weights = trajectory(cell, 1)
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-14)
    for ours, theirs in zip(step.weights(state), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


def test_the_table_of_coefficients_grows_with_the_updates_and_can_begin_again() -> None:
    step = _step(CELL(7))
    table, whole = CoefficientTable(step, 1e-2), step.coefficients(1e-2, 60)
    for first, count in ((0, 3), (3, 1), (4, 56), (0, 2)):
        torch.testing.assert_close(table.of(first, count), whole[first : first + count])


@pytest.mark.parametrize(("optimizer", "rows"), STATE_ROWS.items())
def test_the_state_holds_the_weights_and_an_optimizer_that_has_seen_nothing(optimizer: str, rows: int) -> None:
    state = _step(CELL(7, optimizer=optimizer)).initial_state(start_weights())
    assert state.shape == (rows, parameter_count(FEATURES, HIDDEN))
    np.testing.assert_array_equal(state[0], np.concatenate([array.reshape(-1) for array in start_weights()]))
    assert not state[1:].any()


def test_weighted_rows_add_up_to_the_mean() -> None:
    step = _step(CELL(100, dtype="float64"))
    ((x, y),) = _batches(step, "float64")
    state = step.initial_state(start_weights("float64"))
    gradient, loss = step.gradient(state, x, y)
    weights = torch.full((100, 1), 1 / 100, dtype=torch.float64)
    parts = [step.gradient(state, x[low : low + 25], y[low : low + 25], weights[:25]) for low in range(0, 100, 25)]
    torch.testing.assert_close(sum(part[0] for part in parts), gradient, rtol=0, atol=1e-15)
    torch.testing.assert_close(sum(part[1] for part in parts), loss, rtol=0, atol=1e-15)
    ignored, _ = step.gradient(state, x[:25], y[:25], torch.zeros(25, 1, dtype=torch.float64))
    assert not ignored.any()


def test_the_module_predicts_with_the_weights_of_the_state() -> None:
    network = TorchNetwork(CELL(7))
    step = torch_step(CELL(7), network)
    module = network.load(step.weights(step.initial_state(start_weights())))
    x = torch.from_numpy(split().x_train[:5])
    hidden = np.maximum(x.numpy() @ start_weights().hidden_kernel + start_weights().hidden_bias, 0)
    expected = hidden @ start_weights().output_kernel + start_weights().output_bias
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)
