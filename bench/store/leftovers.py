"""What a sweep that was killed leaves behind and nobody needs: files half written, and what its workers left for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.store.claim import link_aside
from bench.store.layout import ASIDE, RunFolder, SweepFolder
from bench.store.writer import PART, storage_error

# As workers and their supervisor name them: `bench.run` stands above this package.
_OF_WORKERS = ("outcome.json", "trace.npz", "heartbeat")
_MEMORY = "memory"


def remove_leftovers(folder: SweepFolder) -> list[Path]:
    """Removes them, and returns what was removed. Whoever calls holds the folder's lock.

    A run without a final record loses its trace as well, which was written just before the record would have been.
    Requests and logs stay: they say what was under way, and the run's next attempt replaces them.

    Raises:
        StorageError: one of them cannot be removed.
    """
    found = [*_half_written(folder), *_of_workers(folder), *_half_made_link(folder)]
    for path in found:
        try:
            _remove(path)
        except OSError as error:
            raise storage_error(path, error) from error
    return found


def _half_written(folder: SweepFolder) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder.path):
        if ASIDE in folders:
            folders.remove(ASIDE)
        yield from (Path(parent, name) for name in sorted(files) if name.startswith(".") and name.endswith(PART))


def _half_made_link(folder: SweepFolder) -> Iterator[Path]:
    if link_aside(folder).is_symlink():
        yield link_aside(folder)


def _of_workers(folder: SweepFolder) -> Iterator[Path]:
    for run in folder.run_folders():
        yield from (path for path in _unneeded(run) if path.exists() or path.is_symlink())


def _unneeded(run: RunFolder) -> Iterator[Path]:
    memory = run.path / _MEMORY
    yield from (path / name for path in (run.path, memory) for name in _OF_WORKERS)
    if not run.result.exists():
        yield run.trace
        yield memory
    else:
        yield from _unfinished(run)


def _unfinished(run: RunFolder) -> Iterator[Path]:
    """Doubles of a record that was to be set aside and is still in its place."""
    places = sorted((run.path / ASIDE).glob("*"))
    unfinished = [place for place in places if place.name.isdigit() and not (place / run.result.name).exists()]
    yield from unfinished if len(unfinished) < len(places) else [run.path / ASIDE]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
