"""PyTorch's fused loop: one program for a block of steps on the processor, recorded steps on a GPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.cell import Cell
from bench.engines import chunks
from bench.engines.base import Order, Setup
from bench.engines.pytorch import block, compiled_blocks, program, recorded_blocks
from bench.engines.pytorch.block import BlockOfSteps, Shape
from bench.engines.pytorch.compiled_blocks import CompiledBlocks
from bench.engines.pytorch.device import Device
from bench.engines.pytorch.eager import TorchEager
from bench.engines.pytorch.flat import FlatStep, TorchNetwork, torch_step
from bench.engines.pytorch.fused import TorchFused
from bench.engines.pytorch.opening import TorchEngine, packed
from bench.engines.pytorch.recorded_blocks import RecordedBlocks
from bench.errors import Unavailable
from bench.workload.network import forward
from bench.workload.schedule import epoch_order
from tests.contract.case import ROWS, SEED, Kind, split, start_weights, train, trajectory, trajectory_over

CELL = Kind("pytorch", None, "fused").cell


def _step(cell: Cell) -> FlatStep:
    return torch_step(cell, TorchNetwork(cell))


def _tensors(dtype: str = "float32") -> tuple[torch.Tensor, torch.Tensor]:
    data = split(dtype)
    return torch.from_numpy(data.x_train), torch.from_numpy(data.y_train).unsqueeze(1)


def _orders(epochs: int) -> list[Order]:
    return [epoch_order(SEED, 0, epoch, ROWS, True) for epoch in range(epochs)]


# --- the program -----------------------------------------------------------------------------------------------------


class Interpreted:
    """A program that nobody compiled: the same block, run as Python."""

    def __init__(self, step: FlatStep, shape: Shape) -> None:
        self.shape = shape
        self.block = BlockOfSteps(step, shape)
        self.calls = 0

    def __call__(self, *arguments: torch.Tensor) -> Any:
        self.calls += 1
        with torch.no_grad():
            return self.block(*arguments)


def _looped(condition: Any, body: Any, carried: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """What PyTorch's loop does, without the seconds that it traces for where nothing compiles it."""
    while condition(*carried):
        carried = body(*carried)
    return carried


def _interpret(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, ``CompiledBlocks`` runs an interpreted program."""
    monkeypatch.setattr(block, "_while_loop", _looped)
    monkeypatch.setattr(compiled_blocks, "load_or_compile", lambda step, _: Interpreted(step, Shape.of(cell)))


def _interpreted(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> CompiledBlocks:
    _interpret(cell, monkeypatch)
    blocks = CompiledBlocks(_step(cell), cell.optimizer.lr, start_weights(cell.network.dtype), None)
    blocks.prepare(*_tensors(cell.network.dtype))
    return blocks


@pytest.mark.parametrize(
    ("batch_size", "block_steps", "chunk_rows"),
    [(7, 1024, 4096), (7, 3, 4096), (25, 1, 16), (40, 1024, 16), (40, 3, 10), (ROWS, 1024, 16)],
)
def test_blocks_and_chunks_of_any_size_train_the_same(
    batch_size: int, block_steps: int, chunk_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block, "BLOCK_STEPS", block_steps)
    monkeypatch.setattr(chunks, "CHUNK_ROWS", chunk_rows)
    cell = CELL(batch_size, dtype="float64")
    blocks = _interpreted(cell, monkeypatch)
    seen = [packed(blocks.train(order)) for order in _orders(2)]
    expected, weights = trajectory(cell, 2)
    np.testing.assert_allclose(np.concatenate(seen), np.concatenate(expected), rtol=0, atol=1e-13)
    for ours, theirs in zip(blocks.weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_an_epoch_of_small_steps_is_one_dispatch(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = _interpreted(CELL(7), monkeypatch)
    blocks.train(_orders(1)[0])
    assert isinstance(blocks._program, Interpreted)
    assert blocks._program.calls == 1


@pytest.mark.parametrize("rows", [7, 14, 21 + ROWS % 7, ROWS % 7])
def test_a_part_of_an_epoch_trains_exactly_its_rows(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = _interpreted(CELL(7, dtype="float64"), monkeypatch)
    order = _orders(1)[0][:rows]
    seen = packed(blocks.train(order))
    step, (x, y) = _step(CELL(7, dtype="float64")), _tensors("float64")
    state, expected = step.initial_state(start_weights("float64")), []
    for number, low in enumerate(range(0, rows, 7)):
        batch = order[low : low + 7]
        state, loss = step(state, step.coefficients(1e-2, 99)[number], x[batch], y[batch])
        expected.append(loss.item())
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-14)


def test_the_compiled_program_is_kept_and_does_what_the_block_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 16)
    cell = CELL(40)  # two full batches in chunks, and a short one
    blocks = [CompiledBlocks(_step(cell), cell.optimizer.lr, start_weights(), tmp_path) for _ in range(2)]
    blocks[0].prepare(*_tensors())
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"], "the compiler left something behind"
    monkeypatch.setattr(program, "compile_to", _must_not_compile)
    blocks[1].prepare(*_tensors())
    first, second = (np.concatenate([packed(each.train(order)) for order in _orders(3)]) for each in blocks)
    assert np.array_equal(first, second)
    np.testing.assert_allclose(first, np.concatenate(trajectory(cell, 3)[0]), rtol=0, atol=5e-6)
    parts = [order[:rows] for order, rows in zip(_orders(4), (20, 40, 60, ROWS), strict=True)]
    blocks[1].reset(start_weights())
    seen = [packed(blocks[1].train(part)) for part in parts]
    for losses, wanted in zip(seen, trajectory_over(cell, parts)[0], strict=True):
        np.testing.assert_allclose(losses, wanted, rtol=0, atol=5e-6)


def _must_not_compile(*_: object) -> Path:
    raise AssertionError("compiled again what lay in the folder")


def test_a_program_is_named_by_all_that_it_was_compiled_from_but_the_learning_rate() -> None:
    cell = CELL(7)

    def key(cell: Cell) -> str:
        return program.program_key(_step(cell), Shape.of(cell))

    faster = dataclasses.replace(cell, optimizer=dataclasses.replace(cell.optimizer, lr=0.5))
    assert key(faster) == key(cell)
    others = [
        CELL(8),
        CELL(7, optimizer="sgd"),
        CELL(7, dtype="float64"),
        CELL(7, defaults="framework"),
        dataclasses.replace(cell, data=dataclasses.replace(cell.data, n_train=99)),
        dataclasses.replace(cell, data=dataclasses.replace(cell.data, features=3)),
        dataclasses.replace(cell, network=dataclasses.replace(cell.network, hidden=3)),
        dataclasses.replace(cell, optimizer=dataclasses.replace(cell.optimizer, beta1=0.5)),
    ]
    assert len({key(other) for other in [cell, *others]}) == 1 + len(others)


def test_without_a_compiler_the_cell_cannot_run_here(tmp_path: Path) -> None:
    from torch._inductor import config

    blocks = CompiledBlocks(_step(CELL(7)), 1e-2, start_weights(), tmp_path / "cache")
    with config.patch({"cpp.cxx": (None, "no-such-compiler")}), pytest.raises(Unavailable, match=r"C\+\+ compiler"):
        blocks.prepare(*_tensors())
    assert list((tmp_path / "cache").iterdir()) == []


# --- recorded steps --------------------------------------------------------------------------------------------------


def _repeats(work: Callable[[], None]) -> Callable[[], None]:
    """Records nothing: what a graph would replay is run again."""
    work()
    return work


def _recorded(cell: Cell) -> RecordedBlocks:
    device = Device(kind="cpu", torch_device=torch.device("cpu"), name="a processor")
    blocks = RecordedBlocks(cell, cell.optimizer.lr, start_weights(), device, record=_repeats)
    blocks.prepare(*_tensors())
    blocks.reset(start_weights())
    return blocks


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize(("batch_size", "graph_steps"), [(1, 64), (7, 4), (7, 64), (40, 64), (ROWS, 64)])
def test_recorded_steps_are_the_eager_ones(
    batch_size: int, graph_steps: int, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_blocks, "GRAPH_STEPS", graph_steps)
    cell = CELL(batch_size, optimizer=optimizer)
    blocks = _recorded(cell)
    seen = [packed(blocks.train(order)) for order in _orders(2)]
    eager = TorchEager(Setup(cell=cell, lr=cell.optimizer.lr, native_seed=0))
    eager.open_device()
    eager.build(start_weights())
    eager.load(split().x_train, split().y_train)
    np.testing.assert_allclose(np.concatenate(seen), np.concatenate(train(eager, 2)), rtol=0, atol=1e-6)


def test_recorded_steps_begin_again_on_the_same_memory() -> None:
    blocks = _recorded(CELL(7))
    places = [weight.data_ptr() for weight in blocks.weights()]
    first = [packed(blocks.train(order)) for order in _orders(2)]
    blocks.reset(start_weights())
    again = [packed(blocks.train(order)) for order in _orders(2)]
    assert np.array_equal(np.concatenate(first), np.concatenate(again))
    assert [weight.data_ptr() for weight in blocks.weights()] == places


# --- which of the two ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "blocks"), [("cpu", CompiledBlocks), ("cuda", RecordedBlocks), ("rocm", RecordedBlocks)]
)
def test_each_device_has_its_way(kind: str, blocks: type, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = _opened(kind, monkeypatch)
    engine.open_device()
    engine.build(start_weights())
    assert isinstance(engine.blocks, blocks)


@pytest.mark.parametrize("kind", ["mps", "xpu", "tpu", "xla"])
def test_other_devices_have_no_fused_loop_and_say_so(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=f"no fused loop on {kind}"):
        _opened(kind, monkeypatch).open_device()


def _opened(kind: str, monkeypatch: pytest.MonkeyPatch) -> TorchFused:
    engine = TorchFused(Setup(cell=CELL(7), lr=1e-2, native_seed=0))

    def opened(self: TorchEngine) -> str:
        self.device = Device(kind=kind, torch_device=torch.device("cpu"), name="a device")
        return self.device.name

    monkeypatch.setattr(TorchEngine, "open_device", opened)
    return engine


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_the_real_module_predicts_with_what_was_trained(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded_blocks.RecordedBlocks.__init__, "__defaults__", (_repeats,))
    _interpret(CELL(7), monkeypatch)
    engine = _opened(kind, monkeypatch)
    engine.open_device()
    engine.build(start_weights())
    engine.load(split().x_train, split().y_train)
    engine.warm_up()
    engine.reset(start_weights())
    train(engine, 2)
    weights = engine.weights()
    x = split().x_train[:9]
    expected = forward(trajectory(CELL(7), 2)[1], x.astype("float64"))
    np.testing.assert_allclose(forward(weights, x), expected, rtol=0, atol=1e-4)
    seen = engine.network.module(torch.from_numpy(x)).detach().numpy()[:, 0]
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-4)
