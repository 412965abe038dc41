"""A user's own table: ``.csv``, ``.parquet`` or ``.npz``, read without pickles, refused with column and row."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.config.reader import nearest
from bench.config.schema import MAX_ROWS
from bench.errors import UsageError

FloatArray = NDArray[np.float64]


def read_table(path: Path, target: str) -> tuple[FloatArray, FloatArray]:
    """Features (n, F) and labels (n,) of 0 and 1.

    An ``.npz`` holds one array per column, or two-dimensional ones whose columns are features.

    Raises:
        UsageError: the file cannot be read, or its content cannot be trained on.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"data.path={path}: unknown kind of file", f"data.path must end in {', '.join(_READERS)}")
    if not path.is_file():
        raise UsageError(f"data.path={path}: no such file", "data.path must be a file that can be read")
    table = _read_safely(read, path)
    _check_size(path, table)
    return _features(path, table, target), _labels(path, table, target)


def _read_safely(read: Callable[[Path], pd.DataFrame], path: Path) -> pd.DataFrame:
    try:
        return read(path)
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, EOFError, pa.ArrowException, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"{path}: not a readable {path.suffix} file: {reason}",
            "the file is damaged, cut short or of another kind",
            "write it again and check it with another program",
        ) from error


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Surplus fields would be taken for row names, or else dropped with no more than this warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(path, skipinitialspace=True, low_memory=False, index_col=False)
        except pd.errors.ParserWarning as warning:
            rule = "every column needs a name"
            raise UsageError(f"{path}: rows have more fields than the first line has names", rule) from warning


def _read_parquet(path: Path) -> pd.DataFrame:
    # Through Arrow and with checksums: pandas metadata in a stranger's file has no say, and a flipped byte is noticed.
    import pyarrow.parquet as pq

    table = pq.read_table(path, page_checksum_verification=True)
    return pd.DataFrame({name: table.column(name).to_pandas().to_numpy() for name in table.column_names})


def _read_npz(path: Path) -> pd.DataFrame:
    with path.open("rb") as file:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise UsageError(f"{path}: holds one array without a name", "an .npz file holds named arrays (numpy.savez)")
        columns = {name: loaded[name] for name in loaded}
    _check_shapes(path, columns)
    return pd.DataFrame(dict(_flat(columns)), copy=False)


def _check_shapes(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    rows = {array.shape[:1] for array in columns.values()}
    if len(rows) == 1 and all(array.ndim in (1, 2) for array in columns.values()):
        return
    shapes = ", ".join(f"{name} {array.shape}" for name, array in columns.items()) or "it is empty"
    rule = "all arrays must have one row per sample, in 1 or 2 dimensions"
    raise UsageError(f"{path}: arrays do not fit together: {shapes}", rule)


def _flat(columns: Mapping[str, NDArray[Any]]) -> list[tuple[str, NDArray[Any]]]:
    flat: list[tuple[str, NDArray[Any]]] = []
    for name, array in columns.items():
        if array.ndim == 1 or array.shape[1] == 1:
            flat.append((name, array.reshape(len(array))))
        else:
            flat += [(f"{name}[{column}]", array[:, column]) for column in range(array.shape[1])]
    return flat


_READERS: dict[str, Callable[[Path], pd.DataFrame]] = {".csv": _read_csv, ".parquet": _read_parquet, ".npz": _read_npz}


def _check_size(path: Path, table: pd.DataFrame) -> None:
    if not 2 <= len(table) <= MAX_ROWS:
        raise UsageError(f"{path}: {len(table):,} rows", f"a data file must have 2 to {MAX_ROWS:,} rows")
    if table.columns.has_duplicates:
        name = table.columns[table.columns.duplicated()][0]
        raise UsageError(f"{path}: column '{name}' occurs twice", "every column needs a name of its own")


def _features(path: Path, table: pd.DataFrame, target: str) -> FloatArray:
    if target not in table.columns:
        meant = nearest(target, map(str, table.columns))
        raise UsageError(
            f"{path}: no column '{target}'",
            f"data.target must be one of {_shortened(list(map(str, table.columns)))}",
            f"did you mean data.target={meant}?" if meant else "",
        )
    features = table.drop(columns=target)
    if features.empty:
        raise UsageError(f"{path}: no column besides '{target}'", "at least one feature is needed")
    return np.column_stack([_numbers(path, str(name), column) for name, column in features.items()])


def _labels(path: Path, table: pd.DataFrame, target: str) -> FloatArray:
    labels = _numbers(path, target, table[target])
    _refuse_rows(path, target, table[target], (labels != 0) & (labels != 1), "is no label", "labels must be 0 or 1")
    if len(np.unique(labels)) < 2:
        raise UsageError(f"{path}: every label in column '{target}' is {labels[0]:g}", "both 0 and 1 must occur")
    return labels


def _numbers(path: Path, name: str, column: pd.Series[Any]) -> FloatArray:
    """The column as finite numbers; true and false count as 1 and 0."""
    _refuse_rows(path, name, column, column.isna().to_numpy(), "marks a missing value", "no value may be missing")
    values = _as_float64(path, name, column)
    _refuse_rows(path, name, column, np.isnan(values), "is no number", "columns must hold numbers")
    _refuse_rows(path, name, column, np.isinf(values), "is infinite", "numbers must be finite")
    return values


def _as_float64(path: Path, name: str, column: pd.Series[Any]) -> FloatArray:
    """Text that is no number becomes NaN. Dates would turn into numbers too, and must not."""
    try:
        numbers = pd.to_numeric(column, errors="coerce") if column.dtype.kind == "O" else column
        if numbers.dtype.kind in "biuf":
            return numbers.to_numpy(dtype=np.float64)
    except OverflowError as error:
        raise UsageError(f"{path}: column '{name}' holds a number too large", "numbers must fit float64") from error
    raise UsageError(f"{path}: column '{name}' holds {column.dtype}", "columns must hold numbers")


def _refuse_rows(path: Path, name: str, column: pd.Series[Any], bad: NDArray[np.bool_], what: str, rule: str) -> None:
    if not bad.any():
        return
    row = int(np.flatnonzero(bad)[0])
    others = int(bad.sum()) - 1
    more = f" (and {others:,} more)" if others else ""
    # Row 1 is the first row of data: the header line of a CSV file has no number.
    raise UsageError(f"{path}: column '{name}', row {row + 1}{more}: {str(column.iloc[row])[:40]!r} {what}", rule)


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
