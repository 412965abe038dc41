"""A sweep's folder is its own: nobody else's name, nobody else's lock, and ``latest`` points at it."""

import threading
from datetime import datetime
from pathlib import Path

import pytest

from bench.errors import FolderInUse, StorageError
from bench.store import claim
from bench.store.claim import link_latest, locked, new_folder


def test_two_sweeps_of_the_same_second_get_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_time_name", lambda: "2026-11-23_10-00-00")
    names = [new_folder(tmp_path, None).name for _ in range(3)]
    assert names == ["2026-11-23_10-00-00", "2026-11-23_10-00-00_2", "2026-11-23_10-00-00_3"]


def test_sweeps_started_at_once_never_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_time_name", lambda: "now")
    names: list[str] = []
    threads = [threading.Thread(target=lambda: names.append(new_folder(tmp_path, None).name)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 8


def test_the_name_of_the_time_sorts_like_time(tmp_path: Path) -> None:
    assert datetime.strptime(new_folder(tmp_path, None).name, "%Y-%m-%d_%H-%M-%S")


def test_a_name_that_was_used_before_leads_to_the_same_folder(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "mine")
    folder.sweep_json.write_text("{}")
    assert new_folder(tmp_path, "mine") == folder
    assert folder.sweep_json.read_text() == "{}"


def test_a_folder_is_one_sweeps_at_a_time(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "mine")
    with locked(folder), pytest.raises(FolderInUse, match="in use by another sweep") as refusal, locked(folder):
        raise AssertionError
    assert refusal.value.exit_code == 5


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "mine")
    for _ in range(2):
        with locked(folder):
            pass


def test_latest_moves_to_the_newest_sweep_in_one_step(tmp_path: Path) -> None:
    for name in ("first", "second"):
        folder = new_folder(tmp_path, name)
        assert link_latest(folder) is None
        assert (tmp_path / "latest").resolve() == folder.path
    assert (tmp_path / "latest").readlink() == Path("second")
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", "latest"}


def test_where_no_link_can_be_made_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    assert "latest" in (link_latest(new_folder(tmp_path, "mine")) or "")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "latest"}


def test_results_that_cannot_be_written_are_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(StorageError, match=r"cannot write .*results") as refusal:
        new_folder(tmp_path / "results", None)
    assert refusal.value.exit_code == 4
