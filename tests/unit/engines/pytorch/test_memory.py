"""The allocator's peak: exact for a step whose tensors can be counted, and rising with the batch size."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator

import pytest
import torch

from bench.engines import catalogue
from bench.engines.base import Engine, Setup
from bench.engines.pytorch import memory
from bench.engines.pytorch.device import Device
from bench.engines.pytorch.memory import watch
from bench.workload.data import generate
from bench.workload.footprint import footprint
from bench.workload.network import initial_weights
from tests.contract.case import Kind, RecordedEpochs, ready

CPU = Device(kind="cpu", torch_device=torch.device("cpu"), name="cpu")
ROWS = 20_000


@pytest.fixture(autouse=True)
def _no_garbage() -> Iterator[None]:
    """An earlier test's tensors must not be let go of while allocations are watched."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _engine(batch_size: int, loop: str = "eager") -> Engine:
    cell = Kind("pytorch", None, loop).cell(batch_size, shuffle=True)
    cell = dataclasses.replace(cell, data=dataclasses.replace(cell.data, n_train=ROWS))
    engine = catalogue.engine_class("pytorch", None, loop)(Setup(cell=cell, lr=1e-3, native_seed=0))
    weights, split = initial_weights(20, 64, "float32", seed=0, round_=0), generate(cell.data, 0)
    engine.open_device()
    engine.build(weights)
    engine.load(split.x_train, split.y_train)
    engine.warm_up()
    engine.reset(weights)
    return engine


def _peak(engine: Engine) -> int:
    with engine.track_memory() as gauge:
        engine.train(RecordedEpochs(engine, 1))
    assert gauge.peak.peak_bytes is not None
    return gauge.peak.peak_bytes


def test_a_tensor_made_and_dropped_is_seen() -> None:
    with watch(CPU) as gauge:
        first = torch.empty(1000, dtype=torch.float32)
        del first
        second = torch.empty(500, dtype=torch.float32)
        del second
    assert gauge.peak.peak_bytes == 4000
    assert gauge.peak.source == "torch.profiler memory events"


def test_nothing_allocated_is_no_zero() -> None:
    with watch(CPU) as gauge:
        pass
    assert gauge.peak.peak_bytes is None
    assert gauge.peak.reason


@pytest.mark.parametrize("batch_size", [1024, 8192, ROWS])
def test_an_eager_step_takes_the_model_and_its_gathered_batch(batch_size: int) -> None:
    engine = _engine(batch_size)
    gathered = 4 * batch_size * (20 + 1)
    # Beside the model there are the logits and their gradient; what is left over is a few hundred bytes.
    assert _peak(engine) == pytest.approx(footprint(engine.cell).step_bytes + gathered, rel=0.03)


@pytest.mark.parametrize("loop", ["eager", "idiomatic"])
def test_the_peak_rises_with_the_batch(loop: str) -> None:
    small, large = _peak(_engine(2048, loop)), _peak(_engine(ROWS // 2, loop))
    assert large > 4 * small


def test_watching_does_not_run_the_whole_epoch() -> None:
    engine = _engine(32)
    recorded = RecordedEpochs(engine, 1)
    with engine.track_memory():
        engine.train(recorded)
    assert len(recorded.losses[0]) == memory.WATCHED_ROWS // 32


def test_the_watch_ends_with_an_error() -> None:
    engine = ready(Kind("pytorch", None, "eager").cell(32))
    with pytest.raises(RuntimeError, match="boom"), engine.track_memory():
        raise RuntimeError("boom")
    recorded = RecordedEpochs(engine, 1)
    engine.train(recorded)
    assert len(recorded.losses[0]) == 4


class _Allocator:
    """A GPU's allocator: 100 bytes held, 350 at the peak."""

    __name__ = "torch.cuda"

    def __init__(self) -> None:
        self.was_reset = False

    def reset_peak_memory_stats(self) -> None:
        self.was_reset = True

    def memory_allocated(self) -> int:
        return 100

    def max_memory_allocated(self) -> int:
        return 350 if self.was_reset else 10_000


@pytest.mark.parametrize("kind", ["cuda", "rocm"])
def test_a_gpus_peak_is_above_what_was_held(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(torch, "cuda", _Allocator())
    with watch(dataclasses.replace(CPU, kind=kind)) as gauge:
        pass
    assert (gauge.peak.peak_bytes, gauge.peak.source) == (250, "torch.cuda allocator")


@pytest.mark.parametrize("kind", ["mps", "tpu", "xla"])
def test_a_device_without_a_peak_says_so(kind: str) -> None:
    with watch(dataclasses.replace(CPU, kind=kind)) as gauge:
        pass
    assert gauge.peak.peak_bytes is None
    assert kind in (gauge.peak.reason or "")
