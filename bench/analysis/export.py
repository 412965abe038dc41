"""The tables as files for other programs: Parquet for them, CSV for people; the same bytes for the same tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
from pandas.api.types import is_string_dtype

from bench.analysis.tables import Tables
from bench.store.layout import SweepFolder
from bench.store.writer import write_bytes, write_parquet

NAMES = ("runs", "cells", "epochs", "steps", "comparisons", "payoffs", "models", "crossings", "noise")
# Files hold the controls as well, marked in a column.
_WHOLE: dict[str, Callable[[Tables], pd.DataFrame]] = {
    "runs": lambda tables: tables.every_run,
    "cells": lambda tables: tables.every_cell,
}
# What a spreadsheet takes for a formula, and the white space it looks behind.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def write_tables(tables: Tables, folder: SweepFolder) -> None:
    """Writes ``tables/*.parquet`` and ``tables/*.csv``.

    Raises:
        StorageError: the folder cannot be written.
    """
    for name in NAMES:
        table = _WHOLE[name](tables) if name in _WHOLE else getattr(tables, name)
        write_parquet(folder.tables / f"{name}.parquet", pa.Table.from_pandas(table, preserve_index=False))
        write_bytes(folder.tables / f"{name}.csv", csv_text(table))


def csv_text(table: pd.DataFrame) -> memoryview:
    """UTF-8, one header line, nulls empty, text that a spreadsheet would take for a formula behind an apostrophe."""
    safe = pd.DataFrame({name: _harmless(table[name]) for name in table.columns}, copy=False)
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(
        pa.Table.from_pandas(safe, preserve_index=False), sink, pyarrow.csv.WriteOptions(quoting_style="needed")
    )
    return memoryview(sink.getvalue())


def _harmless(column: pd.Series[Any]) -> pd.Series[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.rename_categories(lambda text: _neutral(str(text)))
    if is_string_dtype(column.dtype):
        return column.map(_neutral, na_action="ignore").astype("str")
    return column


def _neutral(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
