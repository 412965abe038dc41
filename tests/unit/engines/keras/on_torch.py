"""Keras' loops on PyTorch beyond the contract; ``tests/contract/test_other_backends.py`` runs this file after it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.cell import Cell
from bench.engines.base import Engine, FloatArray
from tests.contract.case import Kind, OrderedEpochs, ready, start_weights, train
from tests.unit.engines.keras.parts import (
    assert_every_step_is_the_references,
    assert_parts_of_an_epoch_train_exactly_their_rows,
    assert_the_model_is_what_was_trained,
    changing_sizes,
    furthest,
    reference_losses,
    train_orders,
    whole,
)

LOOPS = ("idiomatic", "eager", "compiled", "fused")

# Keras 3.15 turns its variables into arrays in a way that NumPy 2 warns of; nothing here can change that.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def kind(loop: str) -> Kind:
    return Kind("keras", "torch", loop)


def fresh(loop: str, **settings: Any) -> Engine:
    """In float64, where the smallest difference shows; made once of its kind, because inductor takes its time."""
    engine = _made(kind(loop).cell(32, dtype="float64", **settings))
    engine.shuffles_natively = engine.cell.data.shuffle and not engine.follows_order
    engine.reset(start_weights("float64"))
    return engine


@cache
def _made(cell: Cell) -> Engine:
    return ready(cell)


# A program that inductor has not met takes it seconds; the compiled loops are content with few.
@pytest.mark.parametrize(
    ("loop", "optimizer"),
    [
        *((loop, optimizer) for loop in ("idiomatic", "eager") for optimizer in ("sgd", "momentum", "adam")),
        ("compiled", "momentum"),
        ("compiled", "adam"),
        ("fused", "adam"),
    ],
)
def test_in_float64_every_step_is_the_references(loop: str, optimizer: str) -> None:
    assert_every_step_is_the_references(fresh(loop, optimizer=optimizer))


@pytest.mark.parametrize("loop", LOOPS)
def test_parts_of_an_epoch_train_exactly_their_rows(loop: str) -> None:
    assert_parts_of_an_epoch_train_exactly_their_rows(fresh(loop, shuffle=True))


def test_the_compiled_step_is_traced_once_per_batch_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = fresh("compiled")
    monkeypatch.setattr(engine.model, "stateless_call", None)  # type: ignore[attr-defined]  # tracing would call it
    first = train_orders(engine, changing_sizes(32))
    engine.reset(start_weights("float64"))
    assert furthest(train_orders(engine, changing_sizes(32)), first) == 0


def test_losses_that_were_handed_out_are_not_written_to_again() -> None:
    engine = fresh("compiled")
    handed: list[NDArray[np.float64]] = []

    class Keeping(OrderedEpochs):
        def finish(self, losses: Callable[[], FloatArray]) -> None:
            handed.append(np.asarray(losses(), dtype=np.float64))
            super().finish(losses)

    orders = [whole(0), whole(1)]
    engine.train(Keeping(engine, orders))
    assert furthest(handed, reference_losses(engine.cell, orders)) <= 1e-12


@pytest.mark.parametrize("loop", LOOPS)
def test_the_real_model_predicts_with_what_was_trained(loop: str) -> None:
    engine = fresh(loop)
    train(engine, 3)
    assert_the_model_is_what_was_trained(engine)


def test_the_fused_loop_has_the_arithmetic_of_keras_own_adam_where_that_is_asked_for() -> None:
    eager, fused = (train(fresh(loop, defaults="framework"), 3) for loop in ("eager", "fused"))
    assert furthest(fused, eager) <= 1e-12
