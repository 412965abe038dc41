"""The same training everywhere: the bars that every framework, backend and loop is held to, against float64 NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from bench.cell import Cell
from bench.engines import catalogue
from bench.engines.base import Engine, Setup
from bench.workload.network import Weights
from tests.contract.bars import LOSS_BARS, TRAININGS, WEIGHT_BARS, Training, expected
from tests.contract.case import (
    ROWS,
    SEED,
    Kind,
    OrderedEpochs,
    row_losses,
    train,
    trajectory_over,
)
from tests.contract.programs import programs_folder

# Keras 3.15 turns its variables into arrays in a way that NumPy 2 warns of; nothing here can change that.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

FULL, SHORT = 32, ROWS % 32


@pytest.fixture(scope="module", autouse=True)
def _environment(kind: Kind) -> None:
    """The variables a worker sets; harmless where the framework was imported before."""
    os.environ.update(catalogue.environment_variables(kind.framework, kind.backend, 1))


def _params() -> list[object]:
    return [
        pytest.param(training, dtype, id=f"{dtype}-{training.optimizer}-batch{training.batch_size}of{training.rows}")
        for dtype in LOSS_BARS
        for training in TRAININGS
    ]


@pytest.mark.grid
@pytest.mark.parametrize(("training", "dtype"), _params())
def test_every_step_and_the_final_weights_are_the_references(kind: Kind, training: Training, dtype: str) -> None:
    engine = _ready(kind, training, dtype)
    epochs = OrderedEpochs(engine, training.orders(shuffle=engine.follows_order))
    engine.shuffles_natively = False
    engine.train(epochs)
    losses, weights, _ = expected(training, dtype, shuffle=engine.follows_order)
    np.testing.assert_allclose(np.concatenate(epochs.losses), losses, rtol=0, atol=LOSS_BARS[dtype])
    _assert_weights_close(engine.weights(), weights, WEIGHT_BARS[dtype])


def _ready(kind: Kind, training: Training, dtype: str) -> Engine:
    cell, data = training.cell(kind, dtype), training.split(dtype)
    engine = catalogue.engine_class(kind.framework, kind.backend, kind.loop)(
        Setup(cell=cell, lr=cell.optimizer.lr, native_seed=5, cache_folder=programs_folder())
    )
    engine.open_device()
    engine.build(training.start(dtype))
    engine.load(data.x_train, data.y_train)
    engine.warm_up()
    engine.reset(training.start(dtype))
    return engine


def _assert_weights_close(seen: Weights, wanted: Weights, bar: float) -> None:
    for name, array in wanted._asdict().items():
        np.testing.assert_allclose(getattr(seen, name), array, rtol=0, atol=bar, err_msg=name)


@pytest.mark.parametrize("rows", [2 * FULL + SHORT, 2 * FULL, FULL], ids=["short last", "full only", "one batch"])
def test_an_order_that_is_part_of_an_epoch_trains_exactly_its_rows(
    kind: Kind, fresh: Callable[[Cell], Engine], rows: int
) -> None:
    _assert_trains(fresh(kind.cell(FULL, shuffle=True)), [rows])


def test_orders_of_different_lengths_may_follow_one_another_in_one_call(
    kind: Kind, fresh: Callable[[Cell], Engine]
) -> None:
    _assert_trains(fresh(kind.cell(FULL, shuffle=True)), [ROWS, FULL + SHORT, 2 * FULL, ROWS, FULL])


def test_whole_epochs_train_as_ever_after_a_part_of_one(kind: Kind, fresh: Callable[[Cell], Engine]) -> None:
    cell = kind.cell(FULL, shuffle=True)
    _assert_trains(fresh(cell), [FULL + SHORT])
    _assert_trains(fresh(cell), [ROWS, ROWS])


def _assert_trains(engine: Engine, lengths: list[int]) -> None:
    """Trains the first rows of successive orders, those of a native shuffler as they stand, and compares every loss."""
    shuffle = engine.follows_order
    orders = [
        np.random.default_rng(epoch).permutation(ROWS)[:rows] if shuffle else np.arange(rows)
        for epoch, rows in enumerate(lengths)
    ]
    epochs = OrderedEpochs(engine, orders)
    engine.shuffles_natively = False
    engine.train(epochs)
    losses, weights = trajectory_over(engine.cell, orders)
    for seen, wanted in zip(epochs.losses, losses, strict=True):
        np.testing.assert_allclose(seen, wanted, rtol=0, atol=LOSS_BARS["float32"])
    _assert_weights_close(engine.weights(), weights, WEIGHT_BARS["float32"])


def test_a_native_shuffler_shuffles_again_when_it_is_told_to(kind: Kind, fresh: Callable[[Cell], Engine]) -> None:
    if catalogue.engine_class(kind.framework, kind.backend, kind.loop).follows_order:
        pytest.skip("this loop follows the order it is given")
    engine = fresh(kind.cell(1, optimizer="still", shuffle=True))
    engine.shuffles_natively = False
    (as_they_stand,) = train(engine, 1)
    np.testing.assert_allclose(as_they_stand, row_losses(), rtol=1e-4)
    engine.shuffles_natively = True
    (shuffled,) = train(engine, 1)
    np.testing.assert_allclose(np.sort(shuffled), np.sort(row_losses()), rtol=1e-4)
    assert not np.allclose(shuffled, row_losses())


def test_a_native_shuffler_begins_with_its_shuffling_on(kind: Kind) -> None:
    engine_class = catalogue.engine_class(kind.framework, kind.backend, kind.loop)
    for shuffle in (True, False):
        setup = Setup(cell=kind.cell(FULL, shuffle=shuffle), lr=1e-3, native_seed=SEED)
        assert engine_class(setup).shuffles_natively == (shuffle and not engine_class.follows_order)


def test_the_suite_knows_without_importing_it_whether_an_engine_compiles(kind: Kind) -> None:
    engine_class = catalogue.engine_class(kind.framework, kind.backend, kind.loop)
    assert kind.compiles == (engine_class.compilation != "nothing")
