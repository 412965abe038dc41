"""PyTorch's compiled loop: one program per batch shape, working on memory that is never given away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.cell import Cell
from bench.engines.base import FloatArray, Order, Setup
from bench.engines.pytorch.compiled import CompiledStep, TorchCompiled
from bench.errors import Unavailable
from bench.workload.network import forward
from bench.workload.schedule import epoch_order
from tests.contract.case import ROWS, SEED, Kind, OrderedEpochs, ready, split, start_weights, train, trajectory_over

CELL = Kind("pytorch", None, "compiled").cell
SHORT = ROWS % 32


@pytest.fixture(scope="module")
def engine() -> TorchCompiled:
    """In float64, where the smallest difference shows; compiled once for all that is asked of it here."""
    made = ready(CELL(32, dtype="float64"))
    assert isinstance(made, TorchCompiled)
    return made


@pytest.fixture
def fresh(engine: TorchCompiled) -> TorchCompiled:
    engine.reset(start_weights("float64"))
    return engine


def _whole(epoch: int) -> Order:
    return epoch_order(SEED, 0, epoch, ROWS, True)


def test_losses_that_were_handed_out_are_not_written_to_again(fresh: TorchCompiled) -> None:
    handed: list[FloatArray] = []

    class Keeping(OrderedEpochs):
        def finish(self, losses: Callable[[], FloatArray]) -> None:
            handed.append(losses())
            super().finish(losses)

    orders = [_whole(0), _whole(1)]
    fresh.train(Keeping(fresh, orders))
    expected, _ = trajectory_over(fresh.cell, orders)
    assert handed[0].dtype == np.float64
    np.testing.assert_allclose(handed[0], expected[0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(handed[1], expected[1], rtol=0, atol=1e-13)
    assert not np.shares_memory(handed[1], fresh.losses.numpy())


def test_weights_that_were_read_do_not_move_on(fresh: TorchCompiled) -> None:
    before = fresh.weights()
    train(fresh, 1)
    assert all(map(np.array_equal, before, start_weights("float64")))


def test_the_real_module_predicts_with_what_was_trained(fresh: TorchCompiled) -> None:
    orders = [_whole(0), _whole(1)]
    fresh.train(OrderedEpochs(fresh, orders))
    weights, x = fresh.weights(), split("float64").x_train[:9]
    expected = forward(trajectory_over(fresh.cell, orders)[1], x)
    np.testing.assert_allclose(forward(weights, x), expected, rtol=0, atol=1e-11)
    seen = fresh.network.module(torch.from_numpy(x)).detach().numpy()[:, 0]
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("rows", [ROWS, 64, 64 + SHORT, 32, SHORT])
def test_an_order_of_any_length_runs_the_two_programs_there_are(
    rows: int, fresh: TorchCompiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(TorchCompiled, "_compile", _must_not_compile)
    monkeypatch.setattr(fresh, "full", _counted(fresh.full, 32, sizes))
    monkeypatch.setattr(fresh, "short", _counted(fresh.short, SHORT, sizes))
    orders = [_whole(0)[:rows], _whole(1)]
    epochs = OrderedEpochs(fresh, orders)
    fresh.train(epochs)
    assert sizes == [32] * (rows // 32) + [SHORT] * (rows % 32 > 0) + [32, 32, 32, SHORT]
    for seen, expected in zip(epochs.losses, trajectory_over(fresh.cell, orders)[0], strict=True):
        np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-13)


def _counted(program: CompiledStep, size: int, sizes: list[int]) -> CompiledStep:
    def call(*arguments: torch.Tensor) -> object:
        sizes.append(size)
        return program(*arguments)

    return call


def _must_not_compile(*_: object) -> None:
    raise AssertionError("compiled for an order's length")


@pytest.mark.parametrize(("batch_size", "sizes"), [(32, [32, SHORT]), (25, [25]), (ROWS, [ROWS])])
def test_one_program_is_made_per_batch_shape(
    batch_size: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def interpreted(self: TorchCompiled, size: int) -> CompiledStep:
        asked.append(size)
        return self._step(size)

    monkeypatch.setattr(TorchCompiled, "_compile", interpreted)
    engine = ready(CELL(batch_size, dtype="float64"))
    train(engine, 2)
    assert asked == sizes


def test_a_second_engine_finds_every_program_in_the_folder(tmp_path: Path) -> None:
    first = _warmed_up(CELL(25), tmp_path)
    kept = _files(tmp_path)
    assert kept
    faster = _warmed_up(CELL(25), tmp_path, lr=0.5)
    second = _warmed_up(CELL(25), tmp_path)
    assert _files(tmp_path) == kept
    assert np.array_equal(np.concatenate(train(first, 2)), np.concatenate(train(second, 2)))
    assert not np.allclose(np.concatenate(train(faster, 2)), np.concatenate(train(second, 2)))


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _warmed_up(cell: Cell, folder: Path, lr: float | None = None) -> TorchCompiled:
    engine = TorchCompiled(
        Setup(cell=cell, lr=cell.optimizer.lr if lr is None else lr, native_seed=0, cache_folder=folder)
    )
    engine.open_device()
    engine.build(start_weights())
    engine.load(split().x_train, split().y_train)
    engine.warm_up()
    engine.reset(start_weights())
    return engine


def test_without_a_compiler_the_cell_cannot_run_here() -> None:
    from torch._inductor import config

    engine = TorchCompiled(Setup(cell=CELL(7), lr=1e-2, native_seed=0))
    engine.open_device()
    with config.patch({"cpp.cxx": (None, "no-such-compiler")}), pytest.raises(Unavailable, match=r"C\+\+ compiler"):
        engine.build(start_weights())
