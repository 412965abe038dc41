"""The journal: whole lines in order, and the time between a sweep's start and end."""

from __future__ import annotations

import json
import os
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
    lines = folder.journal.read_text().splitlines()
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
