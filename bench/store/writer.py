"""Writes records so that a crash at any moment leaves either the old file or the whole new one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import StorageError
from bench.records import RunResult, SweepRecord, to_plain
from bench.store.layout import RunFolder, SweepFolder
from bench.store.sealing import sealed

PART = ".part"
"""How the name of a file ends that is being written aside."""

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
    """Writes ``sweep.json``, once.

    Raises:
        StorageError: the folder cannot be written, or holds a plan already.
    """
    _refuse_to_replace(folder.sweep_json)
    write_json(folder.sweep_json, sealed(to_plain(record)))


def write_result(folder: RunFolder, result: RunResult, trace: pa.Table | None = None) -> RunResult:
    """Writes ``trace.parquet`` and then ``result.json``, once, whose presence says that the run is complete.

    Returns:
        The record as it was written, with the hash of its trace.

    Raises:
        StorageError: the folder cannot be written, or holds the run's record already.
    """
    _refuse_to_replace(folder.result)
    written = replace(result, trace_sha256=_write_trace(folder.trace, trace))
    write_json(folder.result, sealed(to_plain(written)))
    return written


def _write_trace(path: Path, trace: pa.Table | None) -> str | None:
    if trace is not None:
        return write_parquet(path, trace.cast(TRACE_SCHEMA))
    try:
        path.unlink(missing_ok=True)  # of a run that was interrupted just before its record
    except OSError as error:
        raise storage_error(path, error) from error
    return None


def _refuse_to_replace(path: Path) -> None:
    if path.exists():
        raise StorageError(
            f"{path} is there already",
            "a record is written once and never altered",
            "to run it again: bench sweep --resume DIR, which sets what is damaged or to be retried aside",
        )


def write_json(path: Path, plain: Mapping[str, Any]) -> None:
    """Writes JSON aside, syncs it and renames it; NaN and infinity are refused, being no JSON.

    Raises:
        StorageError: the path cannot be written.
    """
    write_bytes(path, (json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def write_parquet(path: Path, table: pa.Table) -> str:
    """Writes Parquet with page checksums: a flipped byte is noticed on a checked read. Returns the file's SHA-256.

    Raises:
        StorageError: the path cannot be written.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    content = memoryview(sink.getvalue())
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


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
    aside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        make_folder(path.parent)
        with aside.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise storage_error(path, error) from error
        raise


def make_folder(path: Path) -> None:
    """Makes a folder and those it lies in, so that their names last through a power cut.

    Raises:
        OSError: it cannot be made.
    """
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


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
    return f"{remedy}; nothing that was recorded is lost, go on with: {sweep.resume_command()}"


def _sweep_of(path: Path) -> SweepFolder | None:
    return next((SweepFolder(folder) for folder in (path, *path.parents) if _holds_sweep(folder)), None)


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
