"""A run's trace: the arrays a worker leaves, as the one long table of ``trace.parquet``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.store.writer import TRACE_SCHEMA

STEP_COLUMNS = ("epoch", "step", "batch_samples", "loss")
EPOCH_COLUMNS = (
    "phase", "epoch", "samples", "updates", "window_ns", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
)  # fmt: skip


def read_worker_trace(path: Path) -> pa.Table:
    """The table of the arrays in a worker's ``trace.npz`` (``step_*`` and ``epoch_*``, one per column).

    Raises:
        KeyError, ValueError, OSError, BadZipFile, pyarrow.ArrowException: the file is not what a worker writes.
    """
    with np.load(path, allow_pickle=False) as arrays:
        return trace_table(arrays)


def trace_table(arrays: Mapping[str, NDArray[Any]]) -> pa.Table:
    """Epoch rows first, then step rows; a column that a kind of row has not is null there, and so is NaN."""
    epochs = _rows("epoch", {name: arrays[f"epoch_{name}"] for name in EPOCH_COLUMNS})
    steps = _rows("step", {name: arrays[f"step_{name}"] for name in STEP_COLUMNS})
    return pa.concat_tables([epochs, steps])


def _rows(kind: str, columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    n = len(columns["epoch"])
    filled = {"kind": pa.array([kind] * n, pa.string()), "phase": pa.array(["training"] * n, pa.string())}
    filled |= {name: _column(values, TRACE_SCHEMA.field(name).type) for name, values in columns.items()}
    return pa.table([filled.get(field.name, pa.nulls(n, field.type)) for field in TRACE_SCHEMA], schema=TRACE_SCHEMA)


def _column(values: NDArray[Any], type_: pa.DataType) -> pa.Array:
    return pa.array(values, from_pandas=True).cast(type_)
