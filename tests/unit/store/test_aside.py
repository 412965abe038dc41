"""A record is set aside whole, and a crash at any step of it loses nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.errors import StorageError
from bench.records import RunResult
from bench.store import journal
from bench.store.aside import set_aside
from bench.store.layout import RunFolder, SweepFolder
from bench.store.leftovers import remove_leftovers
from bench.store.reader import read_result, read_results
from bench.store.trace_reader import read_traces, why_damaged
from tests.synthetic import make_sweep
from tests.unit.store.crashes import crash_at


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    folder = make_sweep(
        tmp_path / "s", frameworks=["pytorch"], loops=["eager"], batch_sizes=[256], devices=["cpu"], failures=False
    )
    run = folder.run_folders()[0]
    run.log.write_text("last words")
    (run.path / "memory").mkdir()
    (run.path / "memory" / "request.json").write_text("{}")
    return folder


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def set_first_aside(folder: SweepFolder, reason: str = "to be retried") -> Path:
    first = read_results(folder)[0]
    return set_aside(folder, first.cell_id, first.round, reason)


def test_everything_of_the_run_moves_with_its_reason(folder: SweepFolder) -> None:
    run = folder.run_folders()[0]
    before, others = content(run.path), read_results(folder)[1:]
    place = set_first_aside(folder)
    assert place == run.path / "aside" / "1"
    assert content(place) == before | {"reason.txt": b"to be retried\n"}
    assert [path.name for path in run.path.iterdir()] == ["aside"]
    assert read_result(run) is None
    assert read_results(folder) == others
    (event,) = journal.events(folder, "record_set_aside")
    assert (event["reason"], event["round"]) == ("to be retried", 0)
    assert folder.path / event["to"] == place


def test_a_run_set_aside_again_keeps_both_records(folder: SweepFolder) -> None:
    run = folder.run_folders()[0]
    record, log = run.result.read_bytes(), run.log.read_bytes()
    for number in (1, 2, 3):
        place = set_first_aside(folder)
        assert place.name == str(number)
        assert ((place / "result.json").read_bytes(), (place / "worker.log").read_bytes()) == (record, log)
        run.result.write_bytes(record)
        run.log.write_bytes(log)


def test_without_hard_links_a_copy_serves(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise OSError("no links on this file system")

    before = content(folder.run_folders()[0].path)
    monkeypatch.setattr(os, "link", no_links)
    assert content(set_first_aside(folder)) == before | {"reason.txt": b"to be retried\n"}


def test_no_record_no_move(folder: SweepFolder) -> None:
    first = read_results(folder)[0]
    folder.run(first.cell_id, first.round).result.unlink()
    with pytest.raises(StorageError, match=r"result\.json"):
        set_aside(folder, first.cell_id, first.round, "why")


def test_a_crash_at_any_step_leaves_the_record_where_it_was_or_aside(folder: SweepFolder, tmp_path: Path) -> None:
    first = read_results(folder)[0]
    whole = folder.run(first.cell_id, first.round)
    record, trace = whole.result.read_bytes(), whole.trace.read_bytes()
    crashed = 0
    while True:
        copy = SweepFolder(tmp_path / f"crash-{crashed}")
        shutil.copytree(folder.path, copy.path)
        with crash_at(crashed + 1) as happened:
            set_aside(copy, first.cell_id, first.round, "why")
        run = copy.run(first.cell_id, first.round)
        assert_kept(copy, run, first, record, trace)
        if not happened:
            break
        crashed += 1
    assert crashed > 10


def assert_kept(folder: SweepFolder, run: RunFolder, first: RunResult, record: bytes, trace: bytes) -> None:
    """In place and whole, or aside and whole; and the next resume finishes what was begun."""
    if run.result.exists():
        assert why_damaged(run) is None
        assert read_traces(folder, read_results(folder)).problems == {}
        remove_leftovers(folder)
        set_aside(folder, first.cell_id, first.round, "why")
    remove_leftovers(folder)
    assert not run.trace.exists()
    place = run.path / "aside" / "1"
    assert sorted(path.name for path in (run.path / "aside").iterdir()) == ["1"]
    assert ((place / "result.json").read_bytes(), (place / "trace.parquet").read_bytes()) == (record, trace)
    assert (place / "reason.txt").read_text() == "why\n"
