"""Takes a folder for one sweep: a name, a lock while it is written, and the link ``latest``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import FolderInUse
from bench.store.holder import Holder, locks_stay_here, read_holder, this_process, write_holder
from bench.store.layout import SweepFolder
from bench.store.writer import make_folder, storage_error, sync_folder

LATEST = "latest"
_PATIENCE_S = 0.1


def new_folder(results: Path, name: str | None) -> SweepFolder:
    """The folder of a sweep, named by the user, who may have used the name before, or else by the time.

    Raises:
        StorageError: it cannot be made.
    """
    path = results / (name or _time_name())
    try:
        make_folder(results)
        folder = SweepFolder(_made(path) if name else _made_anew(path))
        sync_folder(results)
    except OSError as error:
        raise storage_error(path, error) from error
    return folder


@contextmanager
def locked(folder: SweepFolder) -> Iterator[Holder | None]:
    """Holds the folder while the block runs; afterwards no trace of the lock is left.

    A lock whose process has ended without leaving, by SIGKILL or with its machine, is taken over, and that process is
    what the block gets; else None.

    Raises:
        FolderInUse: somebody else holds it.
        StorageError: the folder cannot be written.
    """
    # Not at once: a process that leaves just now takes the file with it, and the next try makes another.
    lock = FileLock(folder.lock, timeout=_PATIENCE_S, poll_interval=_PATIENCE_S / 5)
    try:
        lock.acquire()
    except Timeout as error:
        raise _in_use(folder) from error
    except OSError as error:
        raise storage_error(folder.lock, error) from error
    try:
        left = read_holder(folder.holder)
        if left is not None and not left.is_here and locks_stay_here(folder.path):
            raise _perhaps_in_use(folder, left)
        try:
            write_holder(folder.holder, this_process())
            yield left
        finally:
            _unlink(folder.holder)
            _unlink(folder.lock)  # while it is held: whoever waits for it finds that it has no name, and makes another
    finally:
        lock.release()


def _in_use(folder: SweepFolder) -> FolderInUse:
    holder = read_holder(folder.holder)
    who = "" if holder is None else f": {holder}"
    end = f", or end it with: kill {holder.pid}" if holder is not None and holder.is_here else ""
    return FolderInUse(
        f"{folder.path} is in use by another sweep{who}",
        "one sweep writes to a folder",
        f"wait for it{end}, or choose another folder",
    )


def _perhaps_in_use(folder: SweepFolder, holder: Holder) -> FolderInUse:
    return FolderInUse(
        f"{folder.path} may be in use by another sweep: {holder}",
        "one sweep writes to a folder, and this file system does not show the locks of other machines",
        f"wait for it there; if it has ended, delete {folder.holder}",
    )


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def link_latest(folder: SweepFolder) -> str | None:
    """Points ``results/latest`` at the sweep in one step; returns why not where the file system has no links."""
    link, aside = folder.path.parent / LATEST, link_aside(folder)
    try:
        aside.unlink(missing_ok=True)
        aside.symlink_to(folder.name, target_is_directory=True)
        aside.replace(link)
    except OSError as error:
        aside.unlink(missing_ok=True)
        return f"no link {link}: {error.strerror or error}"
    return None


def link_aside(folder: SweepFolder) -> Path:
    """That link before it is renamed into place."""
    return folder.path.parent / f".{LATEST}.{folder.name}"


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
