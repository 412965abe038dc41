"""Keras' loops on JAX beyond the contract; ``tests/contract/test_other_backends.py`` runs this file after it."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.engines import catalogue
from bench.engines.base import Engine, Setup
from tests.contract.case import Kind, ready, split, start_weights, train
from tests.unit.engines.keras.parts import (
    CHUNKED,
    TOLERANCE,
    assert_every_step_is_the_references,
    assert_parts_of_an_epoch_train_exactly_their_rows,
    assert_the_model_is_what_was_trained,
    changing_sizes,
    furthest,
    reference_losses,
    train_orders,
    whole,
)

LOOPS = ("idiomatic", "compiled", "fused")
OURS = ("compiled", "fused")

# Keras 3.15 turns its variables into arrays in a way that NumPy 2 warns of; nothing here can change that.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


def kind(loop: str) -> Kind:
    return Kind("keras", "jax", loop)


def counting(engine: Engine, program: str, calls: list[str]) -> Callable[..., Any]:
    original = getattr(engine, program)

    def call(*arguments: Any) -> Any:
        calls.append(program)
        return original(*arguments)

    return call


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_in_float64_every_step_is_the_references(loop: str, optimizer: str) -> None:
    assert_every_step_is_the_references(ready(kind(loop).cell(32, optimizer=optimizer, dtype="float64")))


def test_float32_after_float64_is_float32_again() -> None:
    ready(kind("fused").cell(32, dtype="float64"))
    engine = ready(kind("fused").cell(32))
    assert {str(array.dtype) for array in engine.state.weights} == {"float32"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("loop", LOOPS)
def test_parts_of_an_epoch_train_exactly_their_rows(loop: str) -> None:
    assert_parts_of_an_epoch_train_exactly_their_rows(ready(kind(loop).cell(32, dtype="float64", shuffle=True)))


@pytest.mark.parametrize("loop", OURS)
@pytest.mark.parametrize(("batch_size", "dtype"), CHUNKED)
def test_large_batches_in_chunks_are_the_references(
    monkeypatch: pytest.MonkeyPatch, loop: str, batch_size: int, dtype: str
) -> None:
    monkeypatch.setattr("bench.engines.chunks.CHUNK_ROWS", 10)
    cell = kind(loop).cell(batch_size, dtype=dtype)
    orders = [whole(0), whole(1), whole(2)]
    assert furthest(train_orders(ready(cell), orders), reference_losses(cell, orders)) <= TOLERANCE[dtype]


@pytest.mark.parametrize("loop", OURS)
def test_nothing_is_compiled_after_the_first_step(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ready(kind(loop).cell(32))
    monkeypatch.setattr(type(engine), "train_rows", None)  # tracing would call it
    train_orders(engine, changing_sizes(32))
    engine.reset(start_weights())
    assert len(train(engine, 2)) == 2


def test_a_fused_epoch_is_one_call_and_a_compiled_one_a_call_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fused, compiled = (ready(kind(loop).cell(32)) for loop in ("fused", "compiled"))
    monkeypatch.setattr(fused, "program", counting(fused, "program", calls))
    monkeypatch.setattr(compiled, "full", counting(compiled, "full", calls))
    monkeypatch.setattr(compiled, "short", counting(compiled, "short", calls))
    train(fused, 2)
    assert calls == ["program"] * 2
    calls.clear()
    train(compiled, 1)
    assert calls == ["full"] * 3 + ["short"]


@pytest.mark.parametrize(("batch_size", "is_one_function"), [(1, True), (32, True), (50, False)])
def test_the_loop_over_small_batches_is_one_function(batch_size: int, is_one_function: bool) -> None:
    program = ready(kind("fused").cell(batch_size)).program.as_text()  # type: ignore[attr-defined]
    assert ("xla_cpu_small_call" in program) == is_one_function


def test_an_option_that_xla_knows_no_more_is_left_out() -> None:
    import jax.numpy as jnp

    ahead_of_time = import_module("bench.engines.keras.jax.program").ahead_of_time
    program = ahead_of_time(lambda x: x + 1, jnp.zeros(3), options={"xla_cpu_of_another_time": ""})
    assert np.array_equal(program(jnp.zeros(3)), np.ones(3))


@pytest.mark.parametrize("loop", OURS)
def test_the_real_model_predicts_with_what_was_trained(loop: str) -> None:
    engine = ready(kind(loop).cell(32))
    train(engine, 3)
    assert_the_model_is_what_was_trained(engine)
    assert int(engine.optimizer.iterations.value) == 3 * 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("loop", OURS)
def test_buffers_given_away_leave_the_model_and_weights_read_before_whole(loop: str) -> None:
    engine = ready(kind(loop).cell(32))
    train(engine, 1)
    read, kept = engine.weights(), engine.weights()
    train(engine, 1, first=1)
    assert all(map(np.array_equal, read, kept)), "weights() shares memory with a buffer that was given away"
    assert_the_model_is_what_was_trained(engine)
    engine.reset(start_weights())
    assert all(map(np.array_equal, engine.weights(), start_weights()))
    again, fresh = train(engine, 2), train(ready(engine.cell), 2)
    assert np.array_equal(np.concatenate(again), np.concatenate(fresh)), "the optimizer was not new"


@pytest.mark.parametrize("loop", OURS)
def test_xlas_plan_rises_with_the_batch(loop: str) -> None:
    peaks = []
    for batch_size in (10, 100):
        with ready(kind(loop).cell(batch_size)).track_memory() as gauge:
            pass
        peaks.append(gauge.peak.peak_bytes or 0)
    assert peaks[1] - peaks[0] > 90 * 64 * 4 / 2, "the rows added have a hidden layer, and half of one is beyond doubt"


@pytest.mark.parametrize("loop", OURS)
def test_xlas_plan_for_chunks_does_not_rise_with_the_batch(monkeypatch: pytest.MonkeyPatch, loop: str) -> None:
    monkeypatch.setattr("bench.engines.chunks.CHUNK_ROWS", 10)
    peaks = []
    for batch_size in (20, 100):
        with ready(kind(loop).cell(batch_size)).track_memory() as gauge:
            pass
        peaks.append(gauge.peak.peak_bytes or 0)
    assert 0 < peaks[1] < peaks[0] + 10 * 64 * 4, "80 more rows have less than ten rows' hidden layer more"


COUNT_HITS = """
import json, sys
from pathlib import Path
import jax
from tests.unit.engines.keras.on_jax import first_step, kind
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event.rpartition("/")[2]))
first_step(sys.argv[1], Path(sys.argv[2]))
print(json.dumps({name: seen.count(name) for name in ("cache_hits", "cache_misses")}))
"""


def first_step(loop: str, cache_folder: Path | None) -> None:
    """As far as the first step, with programs kept in a folder."""
    cell = kind(loop).cell(32)
    engine_class = catalogue.engine_class(cell.framework, cell.backend, cell.loop)
    engine = engine_class(Setup(cell=cell, lr=1e-3, native_seed=0, cache_folder=cache_folder))
    engine.open_device()
    engine.build(start_weights())
    engine.load(split().x_train, split().y_train)
    engine.warm_up()


@pytest.mark.parametrize("loop", ["idiomatic", "fused"])
def test_the_second_process_finds_every_program_of_the_first(loop: str, tmp_path: Path) -> None:
    assert catalogue.engine_class("keras", "jax", loop).compilation == "cached"
    counts = []
    for _ in range(2):
        command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", COUNT_HITS, loop]
        done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
        counts.append(json.loads(done.stdout))
        assert done.stderr == "", "the cache is not silent"
    first, second = counts
    assert first["cache_misses"] > 0
    assert second["cache_misses"] == 0
    assert second["cache_hits"] == first["cache_hits"] + first["cache_misses"]


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    import jax

    first_step("fused", tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert any("epoch" in file.name for file in before)
    jax.clear_caches()  # type: ignore[no-untyped-call]
    first_step("fused", None)
    assert sorted(tmp_path.rglob("*")) == before
