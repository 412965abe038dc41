"""The journal: whole lines in order, and the time between a sweep's start and end."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from bench.errors import StorageError
from bench.store import journal
from bench.store.layout import SweepFolder


def test_events_are_appended_as_whole_lines_whoever_writes(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)

    def write() -> None:
        for _ in range(20):
            journal.append(folder, "run_finished", text="x" * 500)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    # One who sees another's line half written ends it, and an empty line is what comes of it.
    lines = [line for line in folder.journal.read_text().splitlines() if line]
    assert len(lines) == 80
    assert {json.loads(line)["text"] for line in lines} == {"x" * 500}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        journal.append(SweepFolder(tmp_path / "nowhere"), "sweep_started")


def test_a_disk_that_fills_up_within_a_line_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:5]))
    with pytest.raises(StorageError, match="free some space"):
        journal.append(SweepFolder(tmp_path), "run_started")


def kinds(folder: SweepFolder) -> list[str]:
    return [event["event"] for event in journal.events(folder)]


@pytest.mark.parametrize("mended", [True, False])
def test_a_line_that_was_cut_anywhere_costs_that_line_and_no_other(tmp_path: Path, mended: bool) -> None:
    folder = SweepFolder(tmp_path)
    journal.append(folder, "first")
    journal.append(folder, "cut", text="é\u2028 and so on")
    whole = folder.journal.read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole)):
        folder.journal.write_bytes(whole[:end])
        if mended:
            journal.mend(folder)
        journal.append(folder, "after")
        journal.append(folder, "last")
        # Cut at its very end, before the line break, the event was there already, and stays.
        survives = ["cut"] if end == len(whole) - 1 else []
        assert kinds(folder) == ["first", *survives, "after", "last"]
        assert folder.journal.read_bytes().startswith(whole[:end])


def test_mending_what_is_whole_or_not_there_changes_nothing(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    journal.mend(folder)
    assert not folder.journal.exists()
    journal.append(folder, "first")
    before = folder.journal.read_bytes()
    journal.mend(folder)
    assert folder.journal.read_bytes() == before


def test_after_a_disk_that_was_full_the_next_event_is_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SweepFolder(tmp_path)
    journal.append(folder, "first")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:9]))
        with pytest.raises(StorageError):
            journal.append(folder, "lost")
    journal.append(folder, "sweep_stopped")
    assert kinds(folder) == ["first", "sweep_stopped"]


DAMAGED = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"\0" * 50,
    b'{"event": 3}',
    b'{"at": "now"}',
    b"[" * 50_000,
    b"\r",
    b"1e999",
]


@pytest.mark.parametrize("damage", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_line_in_the_middle_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    folder = SweepFolder(tmp_path)
    journal.append(folder, journal.ROUND_ADDED, round=2, cells=["a"])
    with folder.journal.open("ab") as file:
        file.write(damage + b"\n")
        file.write(json.dumps({"event": "of_a_later_version", "round_added": [1]}).encode() + b"\n")
        file.write(json.dumps({"event": "round_added", "round": "3", "cells": None}).encode() + b"\n")
    journal.append(folder, journal.ROUND_ADDED, round=3, cells=["b"])
    journal.append(folder, journal.SWEEP_FINISHED, stopped="done")
    assert journal.added_rounds(folder) == {2: ["a"], 3: ["b"]}
    assert journal.why_finished(folder) == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="looks a descriptor's path up in /proc")
def test_the_journals_name_lasts_and_every_event_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
    )
    folder = SweepFolder(tmp_path / "s")
    folder.path.mkdir()
    journal.append(folder, "first")
    assert synced == ["journal.jsonl", "s"]
    journal.append(folder, "second")
    assert synced == ["journal.jsonl", "s", "journal.jsonl"]


def test_text_that_is_no_unicode_is_journalled_all_the_same(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    journal.append(folder, "first", command="caf\udce9")
    assert [event["command"] for event in journal.events(folder)] == ["caf?"]
