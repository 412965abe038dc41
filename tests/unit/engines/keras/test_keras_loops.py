"""The Keras loops on TensorFlow beyond the contract: exact arithmetic, no trace too many, allocator figures."""

import gc
import itertools
from collections.abc import Callable
from importlib import import_module
from time import process_time
from typing import Any

import numpy as np
import pytest

from tests.contract.case import Kind, ready, start_weights, train, trajectory
from tests.unit.engines.keras.parts import (
    CHUNKED,
    TOLERANCE,
    assert_every_step_is_the_references,
    assert_parts_of_an_epoch_train_exactly_their_rows,
    assert_the_model_is_what_was_trained,
    changing_sizes,
    furthest,
    part,
    reference_losses,
    train_orders,
    whole,
)

LOOPS = ("idiomatic", "eager", "compiled", "fused")


def kind(loop: str) -> Kind:
    return Kind("keras", "tensorflow", loop)


def counted(function: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    """The same function, leaving a mark at every call; a graph calls Python only while it is traced."""

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(function.__name__)
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_in_float64_every_step_is_the_references(loop: str, optimizer: str) -> None:
    assert_every_step_is_the_references(ready(kind(loop).cell(32, optimizer=optimizer, dtype="float64")))


@pytest.mark.parametrize("loop", LOOPS)
def test_in_float32_only_rounding_is_left(loop: str) -> None:
    cell = kind(loop).cell(7)
    assert furthest(train(ready(cell), 3), trajectory(cell, 3)[0]) <= 5e-6


def test_keras_own_adam_is_used_with_the_frameworks_defaults() -> None:
    pinned, own = (ready(kind("eager").cell(32, defaults=defaults)) for defaults in ("pinned", "framework"))
    assert type(own.optimizer).__module__.startswith("keras.")  # type: ignore[attr-defined]
    assert own.optimizer.epsilon == 1e-7  # type: ignore[attr-defined]
    assert pinned.optimizer.epsilon == pinned.cell.optimizer.epsilon  # type: ignore[attr-defined]


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_the_compiled_step_is_traced_once_per_batch_shape(monkeypatch: pytest.MonkeyPatch, jit_compile: bool) -> None:
    engine_class = import_module("bench.engines.keras.tensorflow.compiled").KerasCompiled
    traced: list[str] = []
    monkeypatch.setattr(engine_class, "jit_compile", jit_compile)
    monkeypatch.setattr(engine_class, "train_rows", counted(engine_class.train_rows, traced))
    cell = kind("compiled").cell(32)
    engine = ready(cell)
    assert len(traced) == 2, "one graph for the full batch, one for the short one"
    losses = train(engine, 2)
    engine.reset(start_weights())
    train(engine, 1)
    assert len(traced) == 2
    assert furthest(losses, trajectory(cell, 2)[0]) <= 5e-6


def test_fit_traces_its_step_once_for_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    model_class = import_module("bench.engines.keras.idiomatic").TellingModel
    traced: list[str] = []
    monkeypatch.setattr(model_class, "compute_loss", counted(model_class.compute_loss, traced))
    engine = ready(kind("idiomatic").cell(32, shuffle=True))
    train(engine, 2)
    engine.reset(start_weights())
    train(engine, 2)
    assert len(traced) == 1


def test_compiled_steps_may_be_asked_for_out_of_order() -> None:
    engine, reference = (ready(kind(loop).cell(32, optimizer="still")) for loop in ("compiled", "eager"))
    order = np.arange(100)[::-1].copy()
    engine.begin_epoch(order)  # type: ignore[attr-defined]
    reference.begin_epoch(order)  # type: ignore[attr-defined]
    for low, high in ((64, 96), (0, 32), (32, 64), (96, 100)):
        assert float(engine.step(low, high)) == pytest.approx(float(reference.step(low, high)))  # type: ignore[attr-defined]


@pytest.mark.parametrize("loop", LOOPS)
def test_parts_of_an_epoch_train_exactly_their_rows(loop: str) -> None:
    assert_parts_of_an_epoch_train_exactly_their_rows(ready(kind(loop).cell(32, dtype="float64", shuffle=True)))


@pytest.mark.parametrize("loop", ["compiled", "fused"])
@pytest.mark.parametrize(("batch_size", "dtype"), CHUNKED)
def test_large_batches_in_chunks_are_the_references(
    monkeypatch: pytest.MonkeyPatch, loop: str, batch_size: int, dtype: str
) -> None:
    monkeypatch.setattr("bench.engines.chunks.CHUNK_ROWS", 10)
    cell = kind(loop).cell(batch_size, dtype=dtype)
    orders = [whole(0), whole(1), whole(2)]
    assert furthest(train_orders(ready(cell), orders), reference_losses(cell, orders)) <= TOLERANCE[dtype]


def test_the_split_on_the_device_is_whole_whatever_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = import_module("bench.engines.keras.tensorflow.steps")
    monkeypatch.setattr(steps, "PIECE_ROWS", 32)
    array = np.arange(200.0).reshape(100, 2)
    assert np.array_equal(steps.on_the_device(array).numpy(), array)


def test_one_fit_trains_all_epochs_of_one_size_and_another_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    model_class = import_module("bench.engines.keras.idiomatic").TellingModel
    engine = ready(kind("idiomatic").cell(32))
    fits: list[str] = []
    traced: list[str] = []
    monkeypatch.setattr(model_class, "fit", counted(model_class.fit, fits))
    monkeypatch.setattr(model_class, "compute_loss", counted(model_class.compute_loss, traced))
    train_orders(engine, [whole(0), whole(1), whole(2)])
    assert len(fits) == 1
    train_orders(engine, [np.arange(64), np.arange(64), whole(0)])
    assert len(fits) == 4, "one that is left for a part, one for the two parts, one for the whole"
    assert traced == []


def test_native_shuffling_can_be_turned_off_and_on_again() -> None:
    engine = ready(kind("idiomatic").cell(32, optimizer="still", shuffle=True))
    as_they_stand = reference_losses(engine.cell, [whole(0, shuffled=False)])
    assert furthest(train(engine, 1), as_they_stand) > 1e-3
    engine.shuffles_natively = False
    assert furthest(train(engine, 1), as_they_stand) <= 5e-6
    engine.shuffles_natively = True
    assert furthest(train(engine, 1), as_they_stand) > 1e-3


def test_the_fused_epoch_is_one_call_and_its_step_is_traced_once_per_batch_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine_class = import_module("bench.engines.keras.tensorflow.fused").KerasFused
    traced: list[str] = []
    called: list[str] = []
    monkeypatch.setattr(engine_class, "train_rows", counted(engine_class.train_rows, traced))
    engine = ready(kind("fused").cell(32))
    assert len(traced) == 2, "one step in the loop, one for the short batch"
    program = engine.epoch  # type: ignore[attr-defined]

    def epoch(*arguments: Any) -> Any:
        return program(*arguments)

    monkeypatch.setattr(engine, "epoch", counted(epoch, called))
    train_orders(engine, changing_sizes(32))
    assert len(called) == 5
    assert len(traced) == 2


def test_xla_compiles_nothing_for_another_length_of_the_order() -> None:
    # By the processor's time, which neighbours leave alone; compiling again would take about as much of it.
    engine = ready(kind("fused").cell(32))
    start = process_time()
    engine.warm_up()
    compiling = process_time() - start
    for full, short in itertools.product(range(4), (False, True)):
        order = part(0, 32, full=full, short=short)
        start = process_time()
        train_orders(engine, [order])
        assert process_time() - start < compiling / 3, f"{full} full batches, short one: {short}"


@pytest.mark.parametrize("loop", LOOPS)
def test_the_real_model_predicts_with_what_was_trained(loop: str) -> None:
    engine = ready(kind(loop).cell(32))
    train(engine, 3)
    assert_the_model_is_what_was_trained(engine)
    assert int(engine.optimizer.iterations) == 3 * 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_update_kernels_do_what_keras_does_op_by_op(optimizer: str) -> None:
    kernels, keras = (
        ready(kind(loop).cell(32, optimizer=optimizer, dtype="float64")) for loop in ("eager", "compiled")
    )
    np.testing.assert_allclose(np.concatenate(train(kernels, 3)), np.concatenate(train(keras, 3)), rtol=0, atol=1e-13)


def test_native_shuffling_leaves_tensorflows_own_in_place() -> None:
    tf = import_module("tensorflow")
    native = tf.random.shuffle
    train(ready(kind("idiomatic").cell(32, shuffle=True)), 1)
    assert tf.random.shuffle is native


@pytest.mark.parametrize("loop", ["eager", "compiled", "fused"])
def test_the_allocators_peak_rises_with_the_batch(loop: str) -> None:
    peaks = []
    for batch_size in (10, 100):
        engine = ready(kind(loop).cell(batch_size))
        gc.collect()  # an earlier test's engine must not be let go of while this one is watched
        with engine.track_memory() as gauge:
            train(engine, 1)
        peaks.append(gauge.peak)
    small, large = (peak.peak_bytes for peak in peaks)
    if small is None or large is None:
        pytest.skip(f"this process imported TensorFlow without its counting allocator: {peaks[0].reason}")
    assert large - small > 90 * 64 * 4 / 2, "the rows added have a hidden layer, and half of one is beyond rounding"


class SilentAllocator:
    """TensorFlow whose allocator counts nothing, in either of its two ways."""

    def __init__(self, *, raises: bool) -> None:
        self.raises = raises
        self.config = self
        self.experimental = self

    def reset_memory_stats(self, name: str) -> None:
        if self.raises:
            raise ValueError(f"Cannot reset memory stats for device '{name}'")

    def get_memory_info(self, name: str) -> dict[str, int]:
        return {"current": 0, "peak": 0}


@pytest.mark.parametrize("raises", [False, True])
def test_an_allocator_that_counts_nothing_gives_a_reason_and_no_zero(raises: bool) -> None:
    memory = import_module("bench.engines.keras.memory")
    device = import_module("bench.engines.keras.device").Device(
        kind="cpu", name="a processor", synchronize=lambda: None
    )
    peak = memory.AllocatorStatistics(SilentAllocator(raises=raises), device).peak()
    assert peak.peak_bytes is None
    assert peak.reason == "TensorFlow's allocator on CPU:0 keeps no statistics"
