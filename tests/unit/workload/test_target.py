"""The target lies where the reference's way says, and costs no more than its cap."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from bench.cell import BudgetSpec, Cell, DataSpec, OptimizerSpec
from bench.workload import target
from bench.workload.data import generate, teacher_best
from bench.workload.network import initial_weights, loss_and_accuracy
from bench.workload.schedule import epoch_order
from bench.workload.target import target_key, target_loss

CELL = Cell(
    framework="pytorch",
    loop="eager",
    device="cpu",
    batch_size=8,
    batch_size_label="8",
    data=DataSpec(name="teacher", n_train=200, n_val=50, features=20, noise=0.1, distribution="normal"),
    budget=BudgetSpec(target_fraction=0.25, target_epochs=20, target_batch_size=32),
)


def test_the_target_is_a_fraction_of_the_references_way() -> None:
    split = generate(CELL.data, CELL.seed)
    found = target_loss(CELL, split)
    start = initial_weights(20, 64, np.float64, seed=0, round_=0)
    assert found.initial_loss == loss_and_accuracy(start, split.x_train, split.y_train)[0]
    assert found.reference_loss is not None
    assert found.target_loss == pytest.approx(0.75 * found.initial_loss + 0.25 * found.reference_loss)
    assert found.updates == 20 * 7
    assert found.reference_loss < found.initial_loss


def test_fifty_epochs_of_the_default_data_come_near_the_best() -> None:
    cell = dataclasses.replace(CELL, data=dataclasses.replace(CELL.data, n_train=1000), budget=BudgetSpec())
    found = target_loss(cell, generate(cell.data, 0))
    assert found.reference_loss is not None
    assert found.reference_loss < teacher_best(cell.data).loss + 0.1
    assert found.updates == 1600


def test_the_reference_stops_at_the_cap_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "MAX_UPDATES", 10)
    assert target_loss(CELL, generate(CELL.data, 0)).updates == 10


def test_a_reference_that_diverges_gives_a_reason_and_no_target() -> None:
    for lr in (1e6, 1e30):
        wild = dataclasses.replace(CELL, optimizer=OptimizerSpec(name="sgd", lr=lr))
        found = target_loss(wild, generate(wild.data, 0))
        assert found.target_loss is None
        assert found.reason
        json.dumps(found, allow_nan=False)  # it becomes a part of sweep.json


def test_no_order_is_drawn_once_the_reference_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def order(seed: int, round_: int, epoch: int, n: int, shuffle: bool) -> Any:
        drawn.append(epoch)
        return epoch_order(seed, round_, epoch, n, shuffle)

    monkeypatch.setattr(target, "MAX_UPDATES", 10)
    monkeypatch.setattr(target, "epoch_order", order)
    target_loss(CELL, generate(CELL.data, 0))
    assert drawn == [0, 1]  # seven updates, then three


def test_cells_of_one_workload_share_a_target() -> None:
    other_batch = dataclasses.replace(CELL, batch_size=16, framework="keras", backend="tensorflow")
    other_seed = dataclasses.replace(CELL, seed=1)
    assert target_key(CELL) == target_key(other_batch)
    assert target_key(CELL) != target_key(other_seed)
    assert hash(target_key(CELL)) == hash(target_key(other_batch))
