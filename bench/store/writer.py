"""Writes records so that a crash at any moment leaves either the old file or the whole new one."""

from __future__ import annotations

import errno
import json
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import StorageError
from bench.records import RunResult, SweepRecord, to_plain
from bench.store.layout import RunFolder, SweepFolder

TRACE_SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("phase", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("step", pa.int64()),
        pa.field("batch_samples", pa.int32()),
        pa.field("loss", pa.float64()),
        pa.field("samples", pa.int64()),
        pa.field("updates", pa.int64()),
        pa.field("window_ns", pa.int64()),
        pa.field("train_loss", pa.float64()),
        pa.field("train_accuracy", pa.float64()),
        pa.field("val_loss", pa.float64()),
        pa.field("val_accuracy", pa.float64()),
    ]
)


def write_sweep(folder: SweepFolder, record: SweepRecord) -> None:
    """Writes ``sweep.json``.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_json(folder.sweep_json, to_plain(record))


def write_result(folder: RunFolder, result: RunResult, trace: pa.Table | None = None) -> None:
    """Writes ``trace.parquet`` and then ``result.json``, whose presence says that the run is complete.

    Raises:
        StorageError: the folder cannot be written.
    """
    if trace is not None:
        write_parquet(folder.trace, trace.cast(TRACE_SCHEMA))
    write_json(folder.result, to_plain(result))


def write_json(path: Path, plain: Mapping[str, Any]) -> None:
    """Writes JSON aside, syncs it and renames it; NaN and infinity are refused, being no JSON.

    Raises:
        StorageError: the path cannot be written.
    """
    write_bytes(path, (json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def write_parquet(path: Path, table: pa.Table) -> None:
    """Writes Parquet with page checksums: a flipped byte is noticed on a checked read.

    Raises:
        StorageError: the path cannot be written.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_bytes(path, memoryview(sink.getvalue()))


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a file aside, syncs it and renames it into place.

    Raises:
        StorageError: the path cannot be written.
    """
    write_aside(path, lambda file: file.write(content))


def write_aside(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Has a file filled aside, syncs it, renames it into place and syncs its folder.

    Raises:
        StorageError: the path cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise storage_error(path, error) from error


def sync_folder(path: Path) -> None:
    """Makes a rename inside the folder last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def storage_error(path: Path, error: OSError) -> StorageError:
    """The user's words for a failed write, with the command that goes on with a sweep that had begun."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StorageError(
        f"cannot write {path}: {error.strerror or error}",
        "every record must reach the disk before the sweep goes on",
        way_on(path, "free some space" if full else "make it writable"),
    )


def way_on(path: Path, remedy: str) -> str:
    """The next step: the remedy, and then, where the path lies in a sweep that has begun, what finishes that one."""
    sweep = _sweep_of(path)
    if sweep is None:
        return f"{remedy} and run again, or choose another folder with sweep.dir=PATH"
    return f"{remedy}; nothing that was recorded is lost, go on with: bench sweep --resume {shlex.quote(str(sweep))}"


def _sweep_of(path: Path) -> Path | None:
    return next((folder for folder in (path, *path.parents) if _holds_sweep(folder)), None)


def _holds_sweep(folder: Path) -> bool:
    try:
        return SweepFolder(folder).sweep_json.is_file()
    except OSError:  # a disk that cannot be written may not be readable either
        return False


def unreadable(path: Path, error: OSError) -> StorageError:
    """The user's words for a failed read."""
    return StorageError(
        f"cannot read {path}: {error.strerror or error}",
        "every record of a sweep must be readable",
        "check its permissions and its disk",
    )
