"""The parity gate: which steps it trains, what it lets pass, and the wrong engines it must catch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.cell import Cell, DataSpec, NetworkSpec, OptimizerSpec, ProtocolSpec
from bench.engines.base import Engine, Epochs, FloatArray, Order, Setup
from bench.engines.reference import ReferenceEager
from bench.run.parity import Verdict, check_parity
from bench.workload.data import generate
from bench.workload.network import initial_weights
from bench.workload.schedule import epoch_order

ROUND = 3


def make_cell(**changes: Any) -> Cell:
    data = DataSpec(name="teacher", n_train=100, n_val=2, features=6, noise=0.1, distribution="normal")
    plain: dict[str, Any] = dict(
        framework="reference",
        loop="eager",
        device="cpu",
        batch_size=32,
        batch_size_label="32",
        data=data,
        network=NetworkSpec(hidden=8),
        protocol=ProtocolSpec(parity_steps=50),
    )
    return Cell(**(plain | changes))


def gate(engine_class: type[Engine], cell: Cell, *, lr: float = 1e-3) -> tuple[Engine, Verdict]:
    split = generate(cell.data, cell.seed, cell.network.dtype)
    weights = initial_weights(cell.data.features, cell.network.hidden, cell.network.dtype, seed=0, round_=ROUND)
    engine = engine_class(Setup(cell=cell, lr=lr, native_seed=0))
    engine.open_device()
    engine.build(weights)
    engine.load(split.x_train, split.y_train)
    return engine, check_parity(engine, split, weights, ROUND, lambda: None)


class Remembering(ReferenceEager):
    """Keeps the orders it was given."""

    orders: list[Order]

    def build(self, weights: Any) -> None:
        self.orders = []
        super().build(weights)

    def begin_epoch(self, order: Order) -> None:
        self.orders.append(order.copy())
        super().begin_epoch(order)


class Native(Remembering):
    """A loop whose order is its own."""

    follows_order = False
    while_training: bool

    def train(self, epochs: Epochs) -> None:
        self.while_training = self.shuffles_natively
        super().train(epochs)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 32, 100])
def test_the_reference_passes_like_any_engine(optimizer: str, dtype: str, batch_size: int) -> None:
    cell = make_cell(batch_size=batch_size, optimizer=OptimizerSpec(name=optimizer), network=NetworkSpec(dtype=dtype))
    record, objection = gate(ReferenceEager, cell)[1]
    assert objection is None
    assert record.reason is None
    assert record.steps == 50
    assert record.bar is not None
    assert record.difference is not None
    assert record.difference <= {"float32": 5e-6, "float64": 1e-12}[dtype] <= record.bar


def test_whole_epochs_and_then_a_part_that_ends_in_the_short_last_batch() -> None:
    engine, _ = gate(Remembering, make_cell(protocol=ProtocolSpec(parity_steps=7)))
    assert isinstance(engine, Remembering)
    expected = [epoch_order(0, ROUND, 0, 100, True), epoch_order(0, ROUND, 1, 100, True)[: 32 + 32 + 4]]
    for seen, order in zip(engine.orders, expected, strict=True):
        np.testing.assert_array_equal(seen, order)


def test_a_loop_that_shuffles_natively_takes_rows_as_they_stand_and_shuffles_again_afterwards() -> None:
    engine, (_, objection) = gate(Native, make_cell())
    assert isinstance(engine, Native)
    assert objection is None
    assert (engine.while_training, engine.shuffles_natively) == (False, True)
    np.testing.assert_array_equal(engine.orders[0], np.arange(100))


def test_an_engine_that_fails_inside_the_gate_shuffles_again_all_the_same() -> None:
    class Failing(Native):
        def step(self, low: int, high: int) -> float:
            raise RuntimeError("planted")

    cell = make_cell()
    split = generate(cell.data, 0, "float32")
    weights = initial_weights(6, 8, "float32", seed=0, round_=0)
    engine = Failing(Setup(cell=cell, lr=1e-3, native_seed=0))
    engine.build(weights)
    with pytest.raises(RuntimeError, match="planted"):
        check_parity(engine, split, weights, 0, lambda: None)
    assert engine.shuffles_natively


def test_every_step_is_a_sign_of_life() -> None:
    cell, signs = make_cell(), []
    split = generate(cell.data, 0, "float32")
    weights = initial_weights(6, 8, "float32", seed=0, round_=0)
    engine = ReferenceEager(Setup(cell=cell, lr=1e-3, native_seed=0))
    engine.build(weights)
    engine.load(split.x_train, split.y_train)
    check_parity(engine, split, weights, 0, lambda: signs.append(1))
    assert len(signs) >= 50


def _with(change: Callable[[Any], None]) -> type[ReferenceEager]:
    """The reference with something wrong in its optimizer."""

    class Wrong(ReferenceEager):
        def reset(self, weights: Any) -> None:
            super().reset(weights)
            change(self.optimizer)

    return Wrong


def _spec(**changes: Any) -> Callable[[Any], None]:
    def change(optimizer: Any) -> None:
        optimizer.spec = dataclasses.replace(optimizer.spec, **changes)

    return change


def test_an_epsilon_ten_times_too_large_is_caught_in_float64() -> None:
    """In float32, 50 steps of these gradients hide it: a difference of 1e-6, five times what rounding does."""
    record, objection = gate(_with(_spec(epsilon=1e-7)), make_cell(network=NetworkSpec(dtype="float64")))[1]
    assert record.difference is not None
    assert record.bar == 1e-12
    assert record.difference > 1e-12
    assert objection is not None
    assert f"at step {record.step} of 50" in objection
    assert "the bar is 1e-12" in objection


def test_an_epsilon_added_before_the_root_is_corrected_is_caught_in_float32() -> None:
    """As other libraries add it: at the first step it acts like one of epsilon / sqrt(1 - beta2), 32 times larger."""
    cell = make_cell(optimizer=OptimizerSpec(epsilon=1e-6), batch_size=1)
    record, objection = gate(_with(_spec(epsilon=3.2e-5)), cell)[1]
    assert record.bar == 5e-6
    assert objection is not None


def test_betas_that_went_through_float32_are_caught_in_float64() -> None:
    through = _spec(beta1=float(np.float32(0.9)), beta2=float(np.float32(0.999)))
    record, objection = gate(_with(through), make_cell(network=NetworkSpec(dtype="float64")))[1]
    assert objection is not None
    assert record.difference is not None
    assert 1e-12 < record.difference < 1e-4


def test_a_learning_rate_one_per_cent_off_is_caught() -> None:
    def faster(optimizer: Any) -> None:
        optimizer.lr *= 1.01

    assert gate(_with(faster), make_cell())[1].objection is not None


def test_a_dropped_short_batch_is_caught_by_its_count() -> None:
    class Dropping(ReferenceEager):
        def run_epoch(self, order: Order) -> list[Any]:
            return super().run_epoch(order[: len(order) // 32 * 32])

    record, objection = gate(Dropping, make_cell())[1]
    assert objection == "not the reference's training: it made 37 of 50 steps"
    assert (record.difference, record.reason) == (None, "it made 37 of 50 steps")


def test_a_short_batch_that_is_seen_but_not_learnt_from_is_caught() -> None:
    class Idle(ReferenceEager):
        def step(self, low: int, high: int) -> float:
            before = self.optimizer.weights
            loss = super().step(low, high)
            if high - low < 32:
                self.optimizer.weights = before
            return loss

    record, objection = gate(Idle, make_cell())[1]
    assert objection is not None
    assert record.step is not None
    assert record.step > 3  # the first epoch's short batch is its fourth step


def test_a_loss_that_is_no_number_where_the_references_is_one_is_caught() -> None:
    class Broken(ReferenceEager):
        def read_losses(self, losses: list[Any]) -> FloatArray:
            return np.where(np.arange(len(losses)) == 2, np.nan, losses)

    record, objection = gate(Broken, make_cell())[1]
    assert (record.difference, record.step, record.reason) == (None, 2, "the loss was no number at step 2")
    assert objection is not None
    assert "the loss was nan" in objection


def test_a_run_that_diverges_as_the_reference_does_passes() -> None:
    cell = make_cell(optimizer=OptimizerSpec(name="sgd"))
    record, objection = gate(ReferenceEager, cell, lr=1e30)[1]
    assert objection is None
    assert record.steps < 50


def test_a_wrong_engine_is_caught_before_the_reference_diverges() -> None:
    def slower(optimizer: Any) -> None:
        optimizer.lr *= 0.5

    cell = make_cell(optimizer=OptimizerSpec(name="sgd"))
    assert gate(_with(slower), cell, lr=1e10)[1].objection is not None


def test_a_hostile_setting_that_amplifies_rounding_passes_and_a_wrong_engine_in_it_does_not() -> None:
    cell = make_cell(optimizer=OptimizerSpec(name="momentum"), batch_size=1)
    record, objection = gate(ReferenceEager, cell, lr=0.3)[1]
    assert record.bar is not None
    assert record.bar > 5e-6
    assert objection is None
    assert gate(_with(_spec(momentum=0.89)), cell, lr=0.3)[1].objection is not None


def test_a_frameworks_own_defaults_are_measured_and_nothing_is_asked_of_them() -> None:
    record, objection = gate(_with(_spec(epsilon=1e-4)), make_cell(defaults="framework", batch_size=1))[1]
    assert record.difference is not None
    assert record.difference > 5e-6
    assert record.bar is None
    assert objection is None


def test_what_is_recorded_is_finite() -> None:
    for lr in (1e-3, 1.0, 1e10, 1e30):
        record = gate(ReferenceEager, make_cell(optimizer=OptimizerSpec(name="sgd"), batch_size=1), lr=lr)[1].record
        values = [record.difference, record.bar, record.control, record.flips]
        assert all(math.isfinite(value) for value in values if value is not None)
