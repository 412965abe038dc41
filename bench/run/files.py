"""What the supervisor does to files beside writing records: each failure is the storage's, and said in its words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.store.writer import make_folder, storage_error


def remove(*paths: Path) -> None:
    """Removes files that may be there.

    Raises:
        StorageError: one is there and cannot be removed.
    """
    for path in paths:
        with _storage(path):
            path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Removes a folder that may be there, with all that is in it.

    Raises:
        StorageError: it is there and cannot be removed.
    """
    with _storage(path):
        if path.exists():
            shutil.rmtree(path)


def make(path: Path) -> None:
    """Makes a folder that may be there.

    Raises:
        StorageError: it cannot be made.
    """
    with _storage(path):
        make_folder(path)


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error
