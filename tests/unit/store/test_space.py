"""Room on the disk: asked before anything is begun, and what is said where there is too little."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.errors import StorageError
from bench.store.layout import SweepFolder
from bench.store.space import nearest_existing, require_space
from bench.store.writer import storage_error


def free(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> list[Path]:
    asked: list[Path] = []

    def usage(path: Path) -> shutil._ntuple_diskusage:
        asked.append(path)
        return shutil._ntuple_diskusage(10**12, 10**12 - free_bytes, free_bytes)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return asked


def test_enough_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 1000)
    require_space(tmp_path, 1000)
    with pytest.raises(StorageError):
        require_space(tmp_path, 1001)


def test_too_little_says_what_is_needed_what_is_there_and_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 12_000_000)
    with pytest.raises(StorageError) as raised:
        require_space(tmp_path / "results", 51_000_000)
    thing, _, next_step = str(raised.value).splitlines()
    assert thing == f"too little room in {tmp_path / 'results'}: 51 MB are needed, 12 MB are free"
    assert "sweep.dir=PATH" in next_step
    assert raised.value.exit_code == 4


@pytest.mark.parametrize("name", ["sweep", "a sweep; with 'odd' $words"])
def test_a_sweep_that_had_begun_is_told_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = SweepFolder(tmp_path / name)
    folder.path.mkdir()
    folder.sweep_json.touch()
    free(monkeypatch, 0)
    shown = str(folder.path) if name == "sweep" else "'" + str(folder.path).replace("'", "'\"'\"'") + "'"
    with pytest.raises(StorageError, match="too little room") as raised:
        require_space(folder.path, 1)
    full = storage_error(folder.run("cell", 0).result, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    readonly = storage_error(folder.journal, OSError(errno.EROFS, os.strerror(errno.EROFS)))
    for error, remedy in ((raised.value, "free some space"), (full, "free some space"), (readonly, "make it writable")):
        assert error.next_step.startswith(remedy)
        assert error.next_step.endswith(f"bench sweep --resume {shown}")


def test_before_a_sweep_there_is_nothing_to_resume(tmp_path: Path) -> None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        error = storage_error(tmp_path / "results" / "x", OSError(number, os.strerror(number)))
        assert "--resume" not in error.next_step
        assert "sweep.dir=PATH" in error.next_step


def test_a_folder_that_is_not_there_yet_lies_where_its_parent_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = free(monkeypatch, 1)
    require_space(tmp_path / "not" / "there" / "yet", 1)
    assert asked == [tmp_path]
    (tmp_path / "file").touch()
    assert nearest_existing(tmp_path / "file" / "below") == tmp_path
    monkeypatch.chdir(tmp_path)
    assert nearest_existing(Path("results")) == tmp_path


@pytest.mark.parametrize(("files", "left", "enough"), [(1000, 500, True), (1000, 3, False), (0, 0, True)])
def test_a_file_system_that_takes_no_more_files_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, left: int, enough: bool
) -> None:
    free(monkeypatch, 10**9)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_files=files, f_favail=left))
    if enough:
        require_space(tmp_path, 1)
    else:
        with pytest.raises(StorageError, match="takes only 3 more files"):
            require_space(tmp_path, 1)


def test_a_disk_that_does_not_answer_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(path: Path) -> None:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(StorageError, match="cannot tell how much room"):
        require_space(tmp_path, 1)
