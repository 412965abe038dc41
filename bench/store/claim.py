"""Takes a folder for one sweep: a name, a lock while it is written, and the link ``latest``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import FolderInUse
from bench.store.layout import SweepFolder
from bench.store.writer import storage_error

LATEST = "latest"


def new_folder(results: Path, name: str | None) -> SweepFolder:
    """The folder of a sweep, named by the user, who may have used the name before, or else by the time.

    Raises:
        StorageError: it cannot be made.
    """
    path = results / (name or _time_name())
    try:
        results.mkdir(parents=True, exist_ok=True)
        return SweepFolder(_made(path) if name else _made_anew(path))
    except OSError as error:
        raise storage_error(path, error) from error


@contextmanager
def locked(folder: SweepFolder) -> Iterator[None]:
    """Holds the folder while the block runs.

    Raises:
        FolderInUse: somebody else holds it.
        StorageError: the folder cannot be written.
    """
    lock = FileLock(folder.lock, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise FolderInUse(
            f"{folder.path} is in use by another sweep",
            "one sweep writes to a folder",
            "wait for it, or choose another",
        ) from error
    except OSError as error:
        raise storage_error(folder.lock, error) from error
    try:
        yield
    finally:
        lock.release()


def link_latest(folder: SweepFolder) -> str | None:
    """Points ``results/latest`` at the sweep in one step; returns why not where the file system has no links."""
    link, aside = folder.path.parent / LATEST, folder.path.parent / f".{LATEST}.{folder.name}"
    try:
        aside.unlink(missing_ok=True)
        aside.symlink_to(folder.name, target_is_directory=True)
        aside.replace(link)
    except OSError as error:
        aside.unlink(missing_ok=True)
        return f"no link {link}: {error.strerror or error}"
    return None


def _time_name() -> str:
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


def _made(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


def _made_anew(path: Path) -> Path:
    """The first free name: ``mkdir`` tells two sweeps of the same second apart."""
    number = 1
    while True:
        candidate = path if number == 1 else path.with_name(f"{path.name}_{number}")
        try:
            candidate.mkdir()
        except FileExistsError:
            number += 1
        else:
            return candidate
