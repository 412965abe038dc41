"""Sets the record of a run aside, so that the run can be made again and nothing of the earlier one is lost."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from bench.store import journal
from bench.store.layout import ASIDE, RunFolder, SweepFolder
from bench.store.writer import make_folder, storage_error, sync_folder, write_bytes

REASON = "reason.txt"


def set_aside(folder: SweepFolder, cell_id: str, round_: int, reason: str) -> Path:
    """Moves everything of a run's record into ``aside/<n>/`` of its folder, with the reason, and journals it.

    The record's own file is moved last, in one step. A crash before leaves the run as it was, with an unfinished copy
    beside it, which the next call takes up; a crash after it leaves doubles, which are leftovers of a run to come.

    Returns:
        The folder it lies in now.

    Raises:
        StorageError: it cannot be written, or there is no record.
    """
    run = folder.run(cell_id, round_)
    try:
        others = [path for path in sorted(run.path.iterdir()) if path.name not in (ASIDE, run.result.name)]
        place = _place(run)
        for path in others:
            _double(path, place / path.name)
        write_bytes(place / REASON, f"{reason}\n".encode(errors="replace"))
        run.result.rename(place / run.result.name)
        sync_folder(place)
        sync_folder(run.path)
        for path in others:
            _remove(path)
    except OSError as error:
        raise storage_error(run.result, error) from error
    journal.append(
        folder,
        journal.RECORD_SET_ASIDE,
        cell_id=cell_id,
        round=round_,
        reason=reason,
        to=str(place.relative_to(folder.path)),
    )
    return place


def _place(run: RunFolder) -> Path:
    """An empty folder under the next number; an unfinished one is begun again, for all it holds is still in place."""
    number = 1
    while (run.path / ASIDE / str(number) / run.result.name).exists():
        number += 1
    place = run.path / ASIDE / str(number)
    shutil.rmtree(place, ignore_errors=True)
    make_folder(place)
    return place


def _double(source: Path, target: Path) -> None:
    """A second name for a file where the file system has such, else a copy; of a folder, of all that is in it."""
    if source.is_dir() and not source.is_symlink():
        target.mkdir()
        for path in source.iterdir():
            _double(path, target / path.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Doubles that stay behind do no harm."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
