"""What a cell is, as columns: the part of every row that the plan already knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd

from bench.analysis.columns import CELL
from bench.cell import Cell
from bench.workload.footprint import footprint
from bench.workload.schedule import learning_rate

_COLUMNS = [
    *(column.name for column in CELL if column.name != "device_name"),  # known once a run has opened the device
    *("budget_epochs", "budget_updates"),
    *("model_bytes", "model_state_bytes", "model_data_bytes", "model_step_bytes"),
]


def describe(cells: Sequence[Cell], ids: Sequence[str], targets: Sequence[float | None]) -> pd.DataFrame:
    """One row per cell: its settings, its target and the analytic memory model.

    Args:
        cells: the cells of a plan.
        ids: their ids as the plan has them, which may be of an older measurement version.
        targets: the training loss each is asked to reach.
    """
    rows = [
        {"cell_id": id_, "target_loss": target} | _settings(cell) | _model_bytes(cell)
        for cell, id_, target in zip(cells, ids, targets, strict=True)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def setting(cell: Cell) -> str:
    """Hash of everything but framework, backend, loop, device and batch size.

    The optimizer's epsilon is left out with them: under ``defaults=framework`` it belongs to the framework.
    """
    neutral = dataclasses.replace(
        cell,
        framework="",
        backend=None,
        loop="",
        device="",
        batch_size=1,
        control=False,
        optimizer=dataclasses.replace(cell.optimizer, epsilon=0.0),
    )
    return _content_hash(neutral)


@lru_cache(maxsize=1024)
def _content_hash(cell: Cell) -> str:
    return cell.id.rpartition("-")[2]


def workload(cell: Cell) -> str:
    """What two cells must share for a verdict between them: the data, the network and the number format, readably."""
    data, network = cell.data, cell.network
    content = f"-{data.sha256[:6]}" if data.name == "file" and data.sha256 else ""
    return f"{data.name}{content}-{data.n_train}x{data.features}-h{network.hidden}-{network.dtype}"


def _settings(cell: Cell) -> dict[str, Any]:
    return {
        "framework": cell.framework,
        "backend": cell.backend,
        "loop": cell.loop,
        "device": cell.device,
        "batch_size": cell.batch_size,
        "batch_size_label": cell.batch_size_label,
        "n_train": cell.data.n_train,
        "n_val": cell.data.n_val,
        "features": cell.data.features,
        "hidden": cell.network.hidden,
        "dtype": cell.network.dtype,
        "optimizer": cell.optimizer.name,
        "lr_policy": cell.lr_policy.name,
        "lr": learning_rate(cell.optimizer, cell.lr_policy, cell.batch_size),
        "data": cell.data.name,
        "defaults": cell.defaults,
        "threads": cell.protocol.threads,
        "seed": cell.seed,
        "workload": workload(cell),
        "setting": setting(cell),
        "control": cell.control,
        "budget_epochs": cell.budget.epochs,
        "budget_updates": cell.budget.epochs * cell.steps_per_epoch,
    }


def _model_bytes(cell: Cell) -> dict[str, int]:
    model = footprint(cell)
    return {
        "model_bytes": model.total_bytes,
        "model_state_bytes": model.state_bytes,
        "model_data_bytes": model.data_bytes,
        "model_step_bytes": model.step_bytes,
    }
