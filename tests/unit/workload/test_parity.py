"""The reference's trainings: the exact one by hand, and what rounding and ReLU gates do to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell, DataSpec, NetworkSpec, OptimizerSpec
from bench.workload import parity, trajectory
from bench.workload.data import Split, generate
from bench.workload.network import Weights, forward, initial_weights, loss_and_gradients
from bench.workload.optimizer import make_optimizer
from bench.workload.parity import Reference, difference, planned_rows
from bench.workload.trajectory import Numbering, Trajectory, from_the_end, from_the_middle, renumbered

LR = 0.1
ROWS = np.arange(3)


def make_cell(*, dtype: str = "float32", optimizer: str = "sgd", features: int = 5, hidden: int = 7) -> Cell:
    return Cell(
        framework="reference",
        loop="eager",
        device="cpu",
        batch_size=3,
        batch_size_label="3",
        data=DataSpec(name="teacher", n_train=12, n_val=2, features=features, noise=0.0, distribution="normal"),
        network=NetworkSpec(hidden=hidden, dtype=dtype),
        optimizer=OptimizerSpec(name=optimizer, lr=LR),
    )


def start_of(cell: Cell, dtype: str | None = None) -> Weights:
    return initial_weights(cell.data.features, cell.network.hidden, dtype or cell.network.dtype, seed=0, round_=0)


def split_of(cell: Cell) -> Split:
    return generate(cell.data, 0, cell.network.dtype)


def trained(cell: Cell, steps: int = 20, *, lr: float = LR, scale: float = 1.0) -> Reference:
    reference, split = Reference(cell, lr, start_of(cell)), split_of(cell)
    split = split._replace(x_train=(split.x_train * scale).astype(cell.network.dtype))
    for step in range(steps):
        reference.step(split, ROWS + 3 * (step % 4))
    return reference


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_the_exact_training_is_the_workloads_own_arithmetic(optimizer: str) -> None:
    cell = make_cell(dtype="float64", optimizer=optimizer)
    split, own = split_of(cell), make_optimizer(cell.optimizer, LR, start_of(cell))
    seen = Trajectory(cell, LR, start_of(cell))
    for step in range(8):
        rows = ROWS + 3 * (step % 4)
        seen.step(split, rows)
        loss, gradients = loss_and_gradients(own.weights, split.x_train[rows], split.y_train[rows])
        own.update(gradients)
        assert seen.losses[-1] == pytest.approx(loss, rel=1e-15)
    for ours, theirs in zip(seen.weights, own.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-16)


def test_a_batch_of_many_chunks_is_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell(dtype="float64")
    rows, whole, chunked = np.arange(11), Trajectory(cell, LR, start_of(cell)), Trajectory(cell, LR, start_of(cell))
    whole.step(split_of(cell), rows)
    monkeypatch.setattr(trajectory, "CHUNK_ROWS", 4)  # 4, 4 and 3 rows: a mean of means would weigh the last too much
    chunked.step(split_of(cell), rows)
    assert chunked.losses == pytest.approx(whole.losses, rel=1e-14)
    for ours, theirs in zip(chunked.weights, whole.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


def test_numberings_by_hand() -> None:
    assert from_the_end(5).tolist() == [4, 3, 2, 1, 0]
    assert from_the_middle(5).tolist() == [2, 3, 4, 0, 1]
    assert from_the_middle(1).tolist() == from_the_end(1).tolist() == [0]


@pytest.mark.parametrize("numbering", [from_the_end, from_the_middle])
def test_a_renumbered_network_is_the_same_function_and_comes_back_in_its_own_order(numbering: Numbering) -> None:
    cell, weights = make_cell(), start_of(make_cell())
    other, x = renumbered(weights, numbering), split_of(make_cell()).x_train
    assert not np.array_equal(other.hidden_kernel, weights.hidden_kernel)
    np.testing.assert_allclose(forward(other, x[:, numbering(x.shape[1])]), forward(weights, x), rtol=0, atol=1e-6)
    seen = Trajectory(cell, LR, weights, dtype="float32", numbering=numbering)
    for ours, theirs in zip(seen.weights, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_controls_train_the_same_in_the_engines_format_and_round() -> None:
    reference = trained(make_cell())
    for control in reference.controls:
        assert {array.dtype for array in control.weights} == {np.dtype("float32")}
        for ours, theirs in zip(control.weights, reference.exact.weights, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert reference.controls[0].losses != reference.controls[1].losses
    assert 1e-9 < reference.rounding < 5e-6


def test_in_float64_the_controls_still_round_for_they_sum_in_another_order() -> None:
    assert 0 < trained(make_cell(dtype="float64", features=20)).rounding < 1e-14


def one_unit(bias: float) -> tuple[Cell, Split, Weights]:
    """One feature, one hidden unit, one row of each kind; the unit's input is ``bias`` for x = 0 and 2 for x = 1."""
    cell = make_cell(features=1, hidden=1)
    weights = Weights(np.array([[2.0 - bias]]), np.array([bias]), np.array([[1.0]]), np.array([0.0]))
    split = Split(np.array([[0.0], [1.0]]), np.array([1.0, 1.0]), np.zeros((1, 1)), np.zeros(1))
    return cell, split, weights


def test_a_gate_within_rounding_of_zero_is_undecided_and_its_flip_moves_the_weights_by_its_share_of_a_step() -> None:
    cell, split, weights = one_unit(bias=1e-8)
    reference = Reference(cell, LR, weights)
    reference.step(split, np.array([0, 1]))
    assert reference.exact.undecided == 1
    # Open, the first row passes its own d = (s(1e-8) - 1) / 2 = -0.25 on to the bias; shut, it passes nothing.
    moved = reference.exact.weights.hidden_bias - reference.flipped.weights.hidden_bias
    assert moved == pytest.approx([LR * 0.25], rel=1e-6)
    assert reference.flips == 0  # the first loss comes before any update
    reference.step(split, np.array([0, 1]))
    assert reference.flips > 1e-3
    assert reference.bar == pytest.approx(parity.FLIP_MARGIN * reference.flips)


def test_flips_in_huge_batches_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "MOST_FLIPPED_ROWS", 2)  # the cell's batch is of 3
    cell, split, weights = one_unit(bias=1e-8)
    reference = Reference(cell, LR, weights)
    for _ in range(2):
        reference.step(split, np.array([0, 1]))
    assert reference.flips == 0
    assert len(reference.exact.losses) == 2


def test_a_gate_beyond_rounding_is_decided() -> None:
    cell, split, weights = one_unit(bias=1e-3)
    reference = Reference(cell, LR, weights)
    for _ in range(2):
        reference.step(split, np.array([0, 1]))
    assert (reference.exact.undecided, reference.flips, reference.bar) == (0, 0.0, 5e-6)


def test_a_gate_at_exactly_zero_is_decided_for_it_is_zero_in_any_order_of_summation() -> None:
    cell, split, weights = one_unit(bias=0.0)
    reference = Reference(cell, LR, weights)
    for _ in range(2):
        reference.step(split, np.array([0, 1]))
    assert (reference.exact.undecided, reference.flips) == (0, 0.0)


def test_the_float32_engine_that_shuts_the_gate_stays_within_the_bar_that_knows_of_it() -> None:
    """The reference itself, in float32: 2^-30 vanishes beside 1, so the gate that float64 has open is shut."""
    cell = make_cell(features=2, hidden=1)
    weights = Weights(np.array([[1.0], [-1.0]]), np.zeros(1), np.array([[1.0]]), np.zeros(1))
    x = np.array([[1.0 + 2**-30, 1.0], [2.0, 1.0]])
    split = Split(x, np.array([1.0, 1.0]), np.zeros((1, 2)), np.zeros(1))
    reference, engine = Reference(cell, LR, weights), Trajectory(cell, LR, weights, dtype="float32")
    for _ in range(2):
        reference.step(split, np.array([0, 1]))
        engine.step(split, np.array([0, 1]))
    found = reference.difference(np.array(engine.losses))
    assert (found.step, found.value > 1e-3) == (1, True)
    assert found.value <= reference.bar


def test_the_stated_bar_holds_where_rounding_does_little() -> None:
    assert trained(make_cell()).bar == 5e-6
    assert trained(make_cell(dtype="float64")).bar == 1e-12


def test_the_bar_rises_with_the_controls_own_distance_where_a_setting_amplifies_rounding() -> None:
    hostile = trained(make_cell(optimizer="momentum"), lr=0.5, scale=5.0)
    assert hostile.rounding > 5e-6
    assert hostile.bar >= parity.CONTROL_MARGIN * hostile.rounding


def test_steps_after_the_references_own_divergence_are_not_compared() -> None:
    reference = trained(make_cell(), lr=1e30, scale=1e4)
    assert 0 < reference.steps < 20
    losses = np.array(reference.exact.losses)
    losses[reference.steps :] = np.nan
    assert reference.difference(losses).value == 0


@pytest.mark.parametrize(
    ("losses", "value", "step"),
    [([0.5, 2.0, 4.0], 0.2, 1), ([0.5, 2.5, 4.1], 0.1, 0)],  # 0.5 from 2.5 is a fifth of it; 0.1 from 0.4 is 0.1
)
def test_a_difference_is_absolute_below_one_and_relative_above(losses: list[float], value: float, step: int) -> None:
    found = difference(np.array(losses), np.array([0.4, 2.5, 4.0]))
    assert found.value == pytest.approx(value)
    assert found.step == step


def test_a_loss_that_is_no_number_is_infinitely_far() -> None:
    assert difference(np.array([0.5, np.nan]), np.array([0.5, 0.5])) == (np.inf, 1)
    assert difference(np.array([np.inf]), np.array([0.5])) == (np.inf, 0)


def test_nothing_to_compare_has_no_step() -> None:
    assert difference(np.empty(0), np.empty(0)) == (0.0, None)


losses = st.lists(st.floats(0, 1e6), min_size=1, max_size=20)


@given(losses, st.data())
def test_no_step_is_further_than_the_step_that_is_named(exact: list[float], data: Any) -> None:
    seen = np.array(data.draw(st.lists(st.floats(0, 1e6), min_size=len(exact), max_size=len(exact))))
    found = difference(seen, np.array(exact))
    assert found.step is not None
    assert found.value == abs(seen[found.step] - exact[found.step]) / max(1.0, exact[found.step])
    assert all(abs(s - e) <= found.value * max(1.0, e) * (1 + 1e-12) for s, e in zip(seen, exact, strict=True))


@pytest.mark.parametrize(
    ("n_train", "batch_size", "steps", "rows"),
    [
        (1000, 32, 50, [1000, 17 * 32 + 8]),  # 32 steps, then 17 full batches and the short one
        (1000, 1, 50, [50]),
        (1000, 1000, 3, [1000, 1000, 1000]),
        (1000, 250, 5, [1000, 250]),  # no short batch to end in
        (1000, 300, 5, [1000, 300]),  # the epoch has seen the short one
        (1000, 300, 3, [300 + 300 + 100]),
        (1000, 300, 1, [300]),
        (100_000, 32_768, 50, [32_768 + 1_696]),  # two steps fill the bound on rows
        (1_000_000, 1_000_000, 50, [1_000_000, 1_000_000]),  # never fewer than two
        (1_000_000, 1_000_000, 1, [1_000_000]),  # but where fewer are asked for
    ],
)
def test_planned_rows_by_hand(n_train: int, batch_size: int, steps: int, rows: list[int]) -> None:
    assert planned_rows(n_train, batch_size, steps) == rows


@given(st.integers(1, 200_000), st.integers(1, 200_000), st.integers(1, 200))
def test_planned_orders_are_parts_of_epochs_that_show_every_shape_in_a_bounded_time(
    n_train: int, batch_size: int, steps: int
) -> None:
    batch_size = min(batch_size, n_train)
    rows, short = planned_rows(n_train, batch_size, steps), n_train % batch_size
    assert all(part == n_train for part in rows[:-1])
    assert 0 < rows[-1] <= n_train
    assert rows[-1] % batch_size in (0, short)
    made = sum(-(-part // batch_size) for part in rows)
    assert made == min(steps, max(parity.MIN_STEPS, parity.MAX_ROWS // batch_size))
    if made >= 2 and short:
        assert any(part % batch_size == short for part in rows)
    assert sum(rows) <= max(parity.MAX_ROWS, 2 * batch_size)
