"""Reads the three kinds of data file into named columns, without trusting what a file says of itself.

Sizes are checked before anything is loaded: the rows and columns that a header claims against the bytes that are there
and the memory that is free. No pickle is opened, no text column expanded, no name dropped or altered.
"""

from __future__ import annotations

import os
import stat
import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.config.schema import MAX_FEATURES, MAX_ROWS
from bench.errors import UsageError
from bench.plan.room import require_room_for_table

Columns = Mapping[str, NDArray[Any]]

_CHUNK_BYTES = 1 << 20
_MOST_HEADER_BYTES = 1 << 24
_CSV_COPIES = 3
_DAMAGED = (
    ValueError, KeyError, EOFError, MemoryError, SyntaxError, OverflowError, RecursionError, RuntimeError,
    tokenize.TokenError, pa.ArrowException, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_columns(path: Path) -> Columns:
    """The columns of a file by their names, in their order.

    Raises:
        UsageError: the file cannot be read, or does not fit here.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UsageError(f"data.path={path}: unknown kind of file", f"data.path must end in {', '.join(_READERS)}")
    with _opened(path) as file:
        try:
            return read(path, file)
        except UsageError:
            raise
        except OSError as error:
            raise _unreadable(path, error) from error
        except _DAMAGED as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"{path}: not a readable {path.suffix} file: {reason}",
                "the file is damaged, cut short or of another kind",
                "write it again and check it with another program",
            ) from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, and no device or pipe, which would be read for ever or waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"data.path={path}: no such file", "data.path must be a file that can be read") from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(f"data.path={path}: no such file", "data.path must be a file, no folder, pipe or device")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _unreadable(path: Path, error: OSError | ValueError) -> UsageError:
    why = getattr(error, "strerror", None) or error
    return UsageError(f"data.path={path}: cannot be read: {why}", "data.path must be a file that can be read")


# --- csv --------------------------------------------------------------------------------------------------------------


def _read_csv(path: Path, file: BinaryIO) -> Columns:
    lines = _lines(path, file)
    names = _csv_names(path, file)
    _check_names(path, names)
    file.seek(0)
    size = os.fstat(file.fileno()).st_size
    require_room_for_table(str(path), lines, len(names), beside_bytes=_CSV_COPIES * size)
    with warnings.catch_warnings():
        # Surplus fields would be taken for row names, or else dropped with no more than this warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            table = pd.read_csv(file, skipinitialspace=True, low_memory=False, index_col=False)
        except pd.errors.ParserWarning as warning:
            rule = "every column needs a name"
            raise UsageError(f"{path}: rows have more fields than the first line has names", rule) from warning
    return {name: table.iloc[:, place].to_numpy() for place, name in enumerate(names)}


def _lines(path: Path, file: BinaryIO) -> int:
    """Lines of the file, refused where there are too many or where it is no text."""
    lines = 1
    while chunk := file.read(_CHUNK_BYTES):
        if b"\0" in chunk:
            raise UsageError(f"{path}: not a readable .csv file: it holds NUL bytes", "a CSV file is UTF-8 text")
        lines += max(chunk.count(b"\n"), chunk.count(b"\r"))
        if lines > MAX_ROWS + 2:
            raise UsageError(f"{path}: more than {MAX_ROWS:,} rows", f"a data file must have 2 to {MAX_ROWS:,} rows")
    return lines


def _csv_names(path: Path, file: BinaryIO) -> list[str]:
    file.seek(0)
    first = file.readline(_MOST_HEADER_BYTES)
    if len(first) == _MOST_HEADER_BYTES or first.count(b",") > MAX_FEATURES:
        raise UsageError(f"{path}: its first line is too long", f"a data file has at most {MAX_FEATURES:,} features")
    file.seek(0)
    # As they stand: with a header pandas renames the second of two equal names.
    names = pd.read_csv(file, skipinitialspace=True, header=None, nrows=1, dtype=str, na_filter=False)
    return [str(name) for name in names.iloc[0]]


# --- parquet ----------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path, file: BinaryIO) -> Columns:
    import pyarrow.parquet as pq

    # Through Arrow and with checksums: pandas metadata in a stranger's file has no say, and a flipped byte is noticed.
    with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
        schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
        _check_names(path, schema.names)
        for field in schema:
            # Text, lists and dictionaries can be a thousand times what they are on disk.
            if not _is_number(field.type):
                raise UsageError(f"{path}: column '{field.name}' holds {field.type}", "columns must hold numbers")
        _check_rows(path, rows)
        require_room_for_table(str(path), rows, len(schema))
        table = parquet.read()
    return {name: table.column(place).to_pandas().to_numpy() for place, name in enumerate(schema.names)}


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


# --- npz --------------------------------------------------------------------------------------------------------------


def _read_npz(path: Path, file: BinaryIO) -> Columns:
    if not zipfile.is_zipfile(file):
        file.seek(0)
        if file.read(6) == np.lib.format.MAGIC_PREFIX:
            raise UsageError(f"{path}: holds one array without a name", "an .npz file holds named arrays (numpy.savez)")
        raise zipfile.BadZipFile("File is not a zip file")
    with zipfile.ZipFile(file) as archive:
        shapes = _npz_shapes(path, archive)
        _check_shapes(path, shapes)
        arrays = {name: _npz_array(archive, name) for name in shapes}
    flat = _flat(arrays)
    _check_names(path, [name for name, _ in flat])
    return dict(flat)


def _npz_shapes(path: Path, archive: zipfile.ZipFile) -> dict[str, tuple[int, ...]]:
    """The shape that each array claims, where as many bytes are there."""
    members = archive.infolist()
    _check_names(path, [member.filename for member in members])
    shapes: dict[str, tuple[int, ...]] = {}
    for member in members:
        name, dot, kind = member.filename.rpartition(".")
        if (dot + kind) != ".npy":
            raise UsageError(f"{path}: '{member.filename}' is no array", "an .npz file holds arrays and nothing else")
        with archive.open(member) as stream:
            shape, dtype, header = _npy_header(stream)
        if dtype.hasobject:
            raise ValueError(f"'{name}' holds Python objects, which only a pickle can store")
        if dtype.kind not in "biuf":
            raise UsageError(f"{path}: column '{name}' holds {dtype}", "columns must hold numbers")
        if any(length < 0 for length in shape) or _count(shape) * dtype.itemsize + header != member.file_size:
            raise ValueError(f"'{name}' claims the shape {shape} of {dtype}, which is not what it holds")
        shapes[name] = shape
    return shapes


def _npy_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and length of the header of an array.

    Of format 1.0 alone, whose headers are at most 64 kB long: it is the one that arrays of numbers are written in, and
    a longer header would be read into memory before anybody looked at it.
    """
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"arrays of numbers have format 1.0, not {version[0]}.{version[1]}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, dtype, stream.tell()


def _npz_array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # to its end, where the checksum is compared
    return array


def _check_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    rows = {shape[:1] for shape in shapes.values()}
    if len(rows) != 1 or not all(len(shape) in (1, 2) for shape in shapes.values()):
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "it is empty"
        rule = "all arrays must have one row per sample, in 1 or 2 dimensions"
        raise UsageError(f"{path}: arrays do not fit together: {told}", rule)
    [(count,)] = rows
    _check_rows(path, count)
    columns = sum(shape[1] if len(shape) == 2 else 1 for shape in shapes.values())
    _check_columns(path, columns)
    require_room_for_table(str(path), count, columns)


def _count(shape: Sequence[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _flat(columns: Mapping[str, NDArray[Any]]) -> list[tuple[str, NDArray[Any]]]:
    flat: list[tuple[str, NDArray[Any]]] = []
    for name, array in columns.items():
        if array.ndim == 1 or array.shape[1] == 1:
            flat.append((name, array.reshape(len(array))))
        else:
            flat += [(f"{name}[{column}]", array[:, column]) for column in range(array.shape[1])]
    return flat


_READERS: dict[str, Callable[[Path, BinaryIO], Columns]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}


# --- what all of them must hold ---------------------------------------------------------------------------------------


def _check_names(path: Path, names: Sequence[str]) -> None:
    _check_columns(path, len(names))
    for place, name in enumerate(names, start=1):
        if not name.strip():
            raise UsageError(
                f"{path}: column {place} has no name",
                "every column needs a name of its own",
                "row numbers are no feature: write the file without them (pandas: index=False)",
            )
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        raise UsageError(f"{path}: column '{twice[0]}' occurs twice", "every column needs a name of its own")


def _check_columns(path: Path, number: int) -> None:
    if number > MAX_FEATURES + 1:
        rule = f"a data file has at most {MAX_FEATURES:,} features and the label"
        raise UsageError(f"{path}: {number:,} columns", rule)


def _check_rows(path: Path, number: int) -> None:
    if not 2 <= number <= MAX_ROWS:
        raise UsageError(f"{path}: {number:,} rows", f"a data file must have 2 to {MAX_ROWS:,} rows")
