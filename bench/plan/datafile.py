"""A user's own table: ``.csv``, ``.parquet`` or ``.npz``, read without pickles, refused with column and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.config.reader import nearest
from bench.config.schema import MAX_ROWS
from bench.errors import UsageError
from bench.plan.datareaders import Columns, read_columns
from bench.text import one_line

FloatArray = NDArray[np.float64]

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NAME_LENGTH = 40
_MOST_NAMES = 12


def read_table(path: Path, target: str) -> tuple[FloatArray, FloatArray]:
    """Features (n, F) and labels (n,) of 0 and 1.

    An ``.npz`` holds one array per column, or two-dimensional ones whose columns are features.

    Raises:
        UsageError: the file cannot be read, or its content cannot be trained on.
    """
    columns = read_columns(path)
    rows = len(next(iter(columns.values()))) if columns else 0
    if not 2 <= rows <= MAX_ROWS:
        raise UsageError(f"{path}: {rows:,} rows", f"a data file must have 2 to {MAX_ROWS:,} rows")
    return _features(path, columns, target), _labels(path, columns, target)


def _features(path: Path, columns: Columns, target: str) -> FloatArray:
    if target not in columns:
        meant = nearest(target, columns)
        raise UsageError(
            f"{path}: no column {_quoted(target)}",
            f"data.target must be one of {_shortened(list(columns))}",
            f"did you mean data.target={one_line(meant, _NAME_LENGTH)}?" if meant else "",
        )
    if len(columns) == 1:
        raise UsageError(f"{path}: no column besides {_quoted(target)}", "at least one feature is needed")
    return np.column_stack([_numbers(path, name, column) for name, column in columns.items() if name != target])


def _labels(path: Path, columns: Columns, target: str) -> FloatArray:
    labels = _numbers(path, target, columns[target])
    _refuse_rows(path, target, columns[target], (labels != 0) & (labels != 1), "is no label", "labels must be 0 or 1")
    if len(np.unique(labels)) < 2:
        raise UsageError(f"{path}: every label in column {_quoted(target)} is {labels[0]:g}", "both 0 and 1 must occur")
    return labels


def _numbers(path: Path, name: str, column: NDArray[Any]) -> FloatArray:
    """The column as finite numbers; true and false count as 1 and 0."""
    _refuse_rows(path, name, column, pd.isna(column), "marks a missing value", "no value may be missing")
    values = _as_float64(path, name, column)
    _refuse_rows(path, name, column, np.isnan(values), "is no number", "columns must hold numbers")
    _refuse_rows(path, name, column, np.isinf(values), "is infinite", "numbers must be finite")
    # Their squares would be infinite in the deviation that standardising divides by, and the column vanish.
    too_large = np.abs(values) > _FLOAT32_MAX
    _refuse_rows(path, name, column, too_large, "is too large for float32", "features must fit float32: rescale them")
    return values


def _as_float64(path: Path, name: str, column: NDArray[Any]) -> FloatArray:
    """Text that is no number becomes NaN. Dates would turn into numbers too, and must not."""
    try:
        numbers = column
        if column.dtype.kind == "O":
            numbers = np.asarray(pd.to_numeric(pd.Series(column, dtype=object), errors="coerce"))
        if numbers.dtype.kind in "biuf":
            return numbers.astype(np.float64)
    except OverflowError as error:
        rule = "numbers must fit float64"
        raise UsageError(f"{path}: column {_quoted(name)} holds a number too large", rule) from error
    raise UsageError(f"{path}: column {_quoted(name)} holds {column.dtype}", "columns must hold numbers")


def _refuse_rows(path: Path, name: str, column: NDArray[Any], bad: NDArray[np.bool_], what: str, rule: str) -> None:
    if not bad.any():
        return
    row = int(np.flatnonzero(bad)[0])
    others = int(bad.sum()) - 1
    more = f" (and {others:,} more)" if others else ""
    value = _quoted(str(column[row]))
    # Row 1 is the first row of data: the header line of a CSV file has no number.
    raise UsageError(f"{path}: column {_quoted(name)}, row {row + 1}{more}: {value} {what}", rule)


def _shortened(names: list[str]) -> str:
    shown = ", ".join(one_line(name, _NAME_LENGTH) for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")


def _quoted(text: str) -> str:
    """A stranger's word, on one line and no longer than needed to find it."""
    return f"'{one_line(text, _NAME_LENGTH)}'"
