"""Whether there is room on the disk, asked before anything is begun that could not be finished without it.

What counts as free is what this user may still write (``shutil.disk_usage``: blocks kept back for the superuser are
not free). Quotas of a user or group are not in that figure on most file systems: where one is spent, the write itself
fails, and ``storage_error`` says so.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.errors import StorageError
from bench.store.writer import way_on
from bench.text import size_text

_RULE = "a run is begun only where its record, and the journal's line on it, can be written to the end"
_LEAST_FILES = 64


def require_space(path: Path, needed_bytes: int) -> None:
    """Raises unless ``needed_bytes`` are free where ``path`` lies, or, before it exists, where it is going to lie.

    Raises:
        StorageError: less is free, or nobody can say how much.
    """
    free, files = free_bytes(path), _free_files(nearest_existing(path))
    if free < needed_bytes:
        raise StorageError(
            f"too little room in {path}: {size_text(needed_bytes)} are needed, {size_text(free)} are free",
            _RULE,
            way_on(path, "free some space"),
        )
    if files is not None and files < _LEAST_FILES:
        raise StorageError(
            f"too little room in {path}: its file system takes only {files} more files, whatever their size",
            _RULE,
            way_on(path, "delete files"),
        )


def free_bytes(path: Path) -> int:
    """Bytes that can still be written where ``path`` lies, or at the nearest folder above it that exists.

    Raises:
        StorageError: the file system does not say.
    """
    folder = nearest_existing(path)
    try:
        return shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(
            f"cannot tell how much room there is in {folder}: {error.strerror or error}",
            "results go to a disk that can be asked",
            "choose another folder with sweep.dir=PATH",
        ) from error


def _free_files(folder: Path) -> int | None:
    """Files and folders that can still be made; None where the file system has no such limit, or does not say."""
    try:
        about = os.statvfs(folder)
    except (AttributeError, OSError):
        return None
    return about.f_favail if about.f_files else None


def nearest_existing(path: Path) -> Path:
    """The path itself or the closest folder above it."""
    absolute = path.absolute()
    return next((folder for folder in (absolute, *absolute.parents) if _is_folder(folder)), Path(absolute.anchor))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # not ours to look into
        return False
