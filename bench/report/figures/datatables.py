"""The data tables under the figures: one row per cell, bounded in length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from bench.report import format as fmt
from bench.report.figures.base import DataTable
from bench.report.view import View

MOST_ROWS = 200

Column = Callable[["pd.Series[Any]"], str]


def cell_table(view: View, columns: Mapping[str, Column], *, cells: pd.DataFrame | None = None) -> DataTable:
    """Curve, setting and batch size of every measured cell, then the given columns."""
    every = view.cells[view.cells["measured"]] if cells is None else cells
    ordered = every.sort_values(["panel", "family", "batch_size", "cell_id"])
    split = ordered["panel"].nunique() > 1
    headers = [*(["setting"] if split else []), "loop", "batch size", *columns]
    rows = [
        [*([str(row["panel"])] if split else []), str(row["family"]), size_of(row), *(c(row) for c in columns.values())]
        for _, row in ordered.head(MOST_ROWS).iterrows()
    ]
    return DataTable(headers, rows, text_columns=2 if split else 1, left_out=max(0, len(ordered) - MOST_ROWS))


def size_of(row: pd.Series[Any]) -> str:
    """A cell's batch size in words: ``32``, ``full (1,000)``."""
    size = fmt.count(row["batch_size"])
    return f"full ({size})" if row["batch_size"] == row["n_train"] else size
