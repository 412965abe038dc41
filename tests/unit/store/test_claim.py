"""A sweep's folder is its own: nobody else's name, nobody else's lock, and ``latest`` points at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.errors import FolderInUse, StorageError
from bench.store import claim
from bench.store.claim import link_latest, locked, new_folder
from bench.store.holder import Holder, locks_stay_here, read_holder, this_process, write_holder
from bench.store.layout import SweepFolder


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


def test_the_second_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "mine")
    with locked(folder), pytest.raises(FolderInUse) as refusal, locked(folder):
        pass
    said = str(refusal.value)
    assert f"process {os.getpid()} since 20" in said
    assert "pytest" in said
    assert f"kill {os.getpid()}" in said


def test_a_contender_neither_takes_nor_alters_the_lock(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "mine")
    with locked(folder):
        before = read_holder(folder.holder)
        for _ in range(3):
            with pytest.raises(FolderInUse), locked(folder):
                pass
        assert read_holder(folder.holder) == before is not None
        assert folder.lock.exists()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b'{"pid": "1"}', b"[" * 100_000])
def test_a_holder_that_cannot_be_read_is_somebody(tmp_path: Path, damage: bytes) -> None:
    folder = new_folder(tmp_path, "mine")
    with locked(folder):
        folder.holder.write_bytes(damage)
        with pytest.raises(FolderInUse, match=r"in use by another sweep\n"), locked(folder):
            pass


@pytest.mark.parametrize("end", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_lock_is_free_again_afterwards_and_leaves_nothing(tmp_path: Path, end: type[BaseException] | None) -> None:
    folder = new_folder(tmp_path, "mine")
    for _ in range(2):
        with suppress(*([end] if end else [])), locked(folder):
            if end:
                raise end
        assert list(folder.path.iterdir()) == []


HOLD = """
import signal, sys
from pathlib import Path
from bench.store.claim import locked
from bench.store.layout import SweepFolder
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with locked(SweepFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[SweepFolder, subprocess.Popen[str]]]:
    """A folder, and the process that holds it."""
    folder = new_folder(tmp_path, "mine")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(claim.__file__).parents[2])},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield folder, process
        process.kill()


def test_a_process_that_is_terminated_leaves_no_lock(other: tuple[SweepFolder, subprocess.Popen[str]]) -> None:
    folder, process = other
    with pytest.raises(FolderInUse, match=f"process {process.pid} since"), locked(folder):
        pass
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert list(folder.path.iterdir()) == []


def test_the_lock_of_a_process_that_was_killed_is_taken_over(other: tuple[SweepFolder, subprocess.Popen[str]]) -> None:
    folder, process = other
    process.kill()
    process.wait(60)
    assert folder.lock.exists()
    with locked(folder) as left:
        assert left is not None
        assert (left.pid, left.is_here) == (process.pid, True)
        with pytest.raises(FolderInUse, match=f"process {os.getpid()} since"), locked(folder):
            pass
    assert list(folder.path.iterdir()) == []


def elsewhere(folder: SweepFolder) -> None:
    """What a sweep on another machine left in the folder, or holds it by."""
    folder.lock.touch()
    write_holder(folder.holder, replace(this_process(), host="node7", pid=4711))


def test_a_lock_left_on_another_machine_is_taken_over_where_locks_reach_it(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "mine")
    elsewhere(folder)
    with locked(folder) as left:
        assert "process 4711 on node7 since 20" in str(left)


def test_where_they_do_not_the_user_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "locks_stay_here", lambda _: True)
    folder = new_folder(tmp_path, "mine")
    elsewhere(folder)
    before = folder.holder.read_bytes()
    said = r"may be in use by another sweep: process 4711 on node7"
    with pytest.raises(FolderInUse, match=said) as refusal, locked(folder):
        pass
    assert f"delete {folder.holder}" in str(refusal.value)
    assert folder.holder.read_bytes() == before
    folder.holder.unlink()
    with locked(folder) as left:
        assert left is None


@pytest.mark.parametrize(
    ("type_", "options", "stay"),
    [
        ("ext4", "rw,relatime", False),
        ("nfs4", "rw,vers=4.2,local_lock=none", False),
        ("nfs", "rw,vers=3,nolock,local_lock=all", True),
        ("lustre", "rw,flock", False),
        ("lustre", "rw,localflock", True),
        ("fuse.sshfs", "rw", True),
    ],
)
def test_whether_locks_reach_other_machines_is_the_mounts_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_: str, options: str, stay: bool
) -> None:
    def mount(point: str, type_: str, options: str) -> SimpleNamespace:
        return SimpleNamespace(mountpoint=point, fstype=type_, opts=options)

    mounts = [mount(str(tmp_path), type_, options), mount("/", "fuse", "nolock"), mount("/elsewhere", "fuse", "nolock")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    assert locks_stay_here(tmp_path / "results") is stay


def test_a_command_of_many_lines_is_told_in_one(tmp_path: Path) -> None:
    holder = Holder(pid=1, host="a\x1b[31m", since="now", command=["bench", "a\nb", "x" * 1000])
    write_holder(tmp_path / "holder", holder)
    assert read_holder(tmp_path / "holder") == holder
    assert str(holder).isprintable()
    assert len(str(holder)) <= 300


def test_a_folder_that_cannot_be_locked_is_a_storage_error(tmp_path: Path) -> None:
    folder = new_folder(tmp_path, "mine")
    folder.lock.mkdir()
    with pytest.raises(StorageError, match="cannot write"), locked(folder):
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
