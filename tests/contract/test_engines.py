"""The contract: what every engine x loop must do, whatever its framework. New engines inherit it from the catalogue."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cell import Cell
from bench.engines import catalogue
from bench.engines.base import Engine, Setup
from bench.errors import Unavailable
from bench.run.measure import make_sure_where_it_trains
from bench.workload.network import Weights
from bench.workload.schedule import epoch_order
from tests.contract.case import ROWS, Kind, row_losses, split, start_weights, train

# Keras 3.15 turns its variables into arrays in a way that NumPy 2 warns of; nothing here can change that.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

Fresh = Callable[[Cell], Engine]


@pytest.fixture(scope="module", autouse=True)
def _environment(kind: Kind) -> None:
    """The variables a worker sets; harmless where the framework was imported before."""
    variables = catalogue.environment_variables(kind.framework, kind.backend, 1)
    os.environ.update(variables)


def test_a_loss_is_its_own_batchs_mean_in_the_order_given(kind: Kind, fresh: Fresh) -> None:
    cell = kind.cell(32, optimizer="still")
    (seen,) = train(fresh(cell), 1)
    order = epoch_order(cell.seed, 0, 0, ROWS, cell.data.shuffle)
    expected = [row_losses()[order[low : low + 32]].mean() for low in range(0, ROWS, 32)]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def test_shuffled_epochs_see_every_row_once_and_each_in_another_order(kind: Kind, fresh: Fresh) -> None:
    first, second = train(fresh(kind.cell(1, optimizer="still", shuffle=True, dtype="float64")), 2)
    for seen in (first, second):
        np.testing.assert_allclose(np.sort(seen), np.sort(row_losses()), rtol=1e-4)
        assert not np.allclose(seen, row_losses()), "the rows came as they stand"
    assert not np.allclose(first, second), "two epochs had the same order"


def test_the_short_last_batch_is_trained_and_counted(kind: Kind, fresh: Fresh) -> None:
    engine = fresh(kind.cell(32))
    losses = train(engine, 2)
    assert [len(epoch) for epoch in losses] == [4, 4]


def test_reset_makes_the_run_begin_again(kind: Kind, fresh: Fresh) -> None:
    engine = fresh(kind.cell(32, shuffle=True))
    first = train(engine, 2)
    engine.reset(start_weights())
    assert np.array_equal(np.concatenate(train(engine, 2)), np.concatenate(first))


def test_nothing_is_lost_between_two_calls_of_train(kind: Kind, fresh: Fresh) -> None:
    cell = kind.cell(32)
    engine = fresh(cell)
    apart = train(engine, 1) + train(engine, 2, first=1)
    np.testing.assert_allclose(np.concatenate(apart), np.concatenate(train(fresh(cell), 3)), rtol=0, atol=1e-7)


def test_train_stops_at_once_when_told(kind: Kind, fresh: Fresh) -> None:
    engine = fresh(kind.cell(32))
    assert train(engine, 0) == []
    _assert_equal(engine.weights(), start_weights())


@pytest.mark.parametrize(("dtype", "batch_size"), [("float32", 32), ("float64", 1)])
def test_weights_go_in_and_come_out_unchanged(kind: Kind, fresh: Fresh, dtype: str, batch_size: int) -> None:
    engine = fresh(kind.cell(batch_size, dtype=dtype))
    _assert_equal(engine.weights(), start_weights(dtype))
    engine.reset(start_weights(dtype, round_=1))
    _assert_equal(engine.weights(), start_weights(dtype, round_=1))


def test_training_leaves_the_arrays_it_was_given_alone(kind: Kind, fresh: Fresh) -> None:
    weights, data = start_weights(), split()
    before = [array.copy() for array in (*weights, *data)]
    engine = fresh(kind.cell(32))
    train(engine, 1)
    read = engine.weights()
    train(engine, 1, first=1)
    assert all(map(np.array_equal, before, (*weights, *data)))
    assert not np.array_equal(read.hidden_kernel, engine.weights().hidden_kernel), "weights() is no copy"


def test_the_frameworks_own_defaults_learn_too(kind: Kind, fresh: Fresh) -> None:
    pinned, own = (np.concatenate(train(fresh(kind.cell(32, defaults=d)), 3)) for d in ("pinned", "framework"))
    np.testing.assert_allclose(own, pinned, rtol=0, atol=5e-3)
    assert own[-4:].mean() < own[:4].mean()


def test_the_environment_is_plain_json_with_a_version(kind: Kind, fresh: Fresh) -> None:
    engine = fresh(kind.cell(32))
    environment = json.loads(json.dumps(engine.environment(), allow_nan=False))
    assert any(str(value)[:1].isdigit() and "." in str(value) for value in environment.values())


def test_the_device_has_a_name(kind: Kind) -> None:
    cell = kind.cell(32)
    engine = catalogue.engine_class(kind.framework, kind.backend, kind.loop)(Setup(cell=cell, lr=1e-3, native_seed=0))
    assert engine.open_device()


def test_a_silent_fallback_to_the_processor_is_seen_in_the_weights(kind: Kind, fresh: Fresh) -> None:
    """An engine that opened the processor, believing it to be the GPU that its cell asks for."""
    engine = fresh(kind.cell(32))
    train(engine, 1)
    make_sure_where_it_trains(engine)
    deceived = copy.copy(engine)
    deceived.cell = replace(engine.cell, device="gpu")
    with pytest.raises(Unavailable, match="asked for gpu, the weights live on cpu"):
        make_sure_where_it_trains(deceived)


def test_memory_is_a_figure_with_its_source_or_a_reason(kind: Kind, fresh: Fresh) -> None:
    engine = fresh(kind.cell(32))
    with engine.track_memory() as gauge:
        train(engine, 1)
    peak = gauge.peak
    if peak.peak_bytes is None:
        assert peak.reason
    else:
        assert peak.peak_bytes > 0
        assert peak.source
    assert [len(epoch) for epoch in train(engine, 1)] == [4], "watching memory changed what is trained afterwards"


@pytest.mark.parametrize("device", ["gpu", "tpu"])
def test_a_device_that_is_not_here_is_unavailable_with_its_reason(kind: Kind, device: str) -> None:
    if _may_have_accelerator():
        pytest.skip("this machine has an accelerator")
    engine = catalogue.engine_class(kind.framework, kind.backend, kind.loop)(
        Setup(cell=kind.cell(32, device=device), lr=1e-3, native_seed=0)
    )
    with pytest.raises(Unavailable) as caught:
        engine.open_device()
    assert str(caught.value)


def _may_have_accelerator() -> bool:
    signs = ("/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio/0", "/System/Library/Frameworks/Metal.framework")
    return any(Path(sign).exists() for sign in signs)


def _assert_equal(seen: Weights, expected: Weights) -> None:
    for name, array in expected._asdict().items():
        np.testing.assert_array_equal(getattr(seen, name), array, err_msg=name)
        assert getattr(seen, name).dtype == array.dtype
