"""The writer: a record appears whole or not at all, is never replaced, and its name lasts."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.errors import StorageError
from bench.records import RunResult, Status, to_plain
from bench.store.layout import RunFolder, SweepFolder
from bench.store.leftovers import remove_leftovers
from bench.store.reader import read_result, read_results, read_sweep
from bench.store.sealing import CHECKSUM, checksum, opened, sealed
from bench.store.trace_reader import read_trace, read_traces, why_damaged
from bench.store.writer import TRACE_SCHEMA, write_aside, write_bytes, write_result, write_sweep
from tests.synthetic import make_sweep
from tests.unit.store.crashes import crash_at

RESULT = RunResult(cell_id="a", round=0, order_in_round=0, status=Status.OK, started_at="now")


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return make_sweep(
        tmp_path / "s", frameworks=["pytorch"], loops=["eager"], batch_sizes=[256], devices=["cpu"], failures=False
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return SweepFolder(tmp_path / "s").run("a", 0)


def test_a_record_is_never_replaced(folder: SweepFolder) -> None:
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    for result in read_results(folder):
        with pytest.raises(StorageError, match="is there already"):
            write_result(folder.run(result.cell_id, result.round), result)
    with pytest.raises(StorageError, match="is there already"):
        write_sweep(folder, read_sweep(folder))
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_the_record_knows_its_trace(folder: SweepFolder) -> None:
    for result in read_results(folder):
        run = folder.run(result.cell_id, result.round)
        assert result.trace_sha256 == hashlib.sha256(run.trace.read_bytes()).hexdigest()


def test_the_trace_of_an_interrupted_attempt_is_never_taken_for_this_runs(folder: SweepFolder) -> None:
    first = read_results(folder)[0]
    run = folder.run(first.cell_id, first.round)
    stale = run.trace.read_bytes()
    run.result.unlink()
    written = write_result(run, first)
    assert (written.trace_sha256, run.trace.exists()) == (None, False)
    run.trace.write_bytes(stale)
    found = read_traces(folder, read_results(folder))
    assert found.problems == {0: "trace.parquet: not of this run: its record knows of none"}
    assert 0 not in found.steps["run"].to_pylist()


def test_the_trace_of_another_run_is_noticed(folder: SweepFolder) -> None:
    results = read_results(folder)
    one, other = (folder.run(result.cell_id, result.round).trace for result in results[:2])
    one.write_bytes(other.read_bytes())
    assert pq.read_table(one).num_rows > 0  # nothing is wrong with the file itself
    assert list(read_traces(folder, results).problems) == [0]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), SystemExit(143), ValueError()])
@pytest.mark.parametrize("step", ["fill", "fsync", "replace"])
def test_what_was_written_aside_never_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def fail(*_: Any) -> None:
        raise error

    if step != "fill":
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
        write_aside(path, fail if step == "fill" else lambda file: file.write(b"after"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert path.read_text() == "before"


def test_a_crash_at_any_step_leaves_no_record_or_the_whole_one(folder: SweepFolder, tmp_path: Path) -> None:
    first = read_results(folder)[0]
    trace = read_trace(folder.run(first.cell_id, first.round)).cast(TRACE_SCHEMA)
    step, seen = 0, set[bool]()
    while True:
        step += 1
        crashed = SweepFolder(tmp_path / f"crash-{step}")
        run = crashed.run(first.cell_id, first.round)
        with crash_at(step) as happened:
            write_result(run, first, trace)
        seen.add(run.result.exists())
        if run.result.exists():
            assert read_result(run) == first
            assert why_damaged(run) is None
        else:
            remove_leftovers(crashed)
            assert not [path for path in crashed.path.rglob("*") if path.is_file()]
            write_result(run, first, trace)
            assert why_damaged(run) is None
        if not happened:
            break
    assert step > 10
    assert seen == {True, False}


@pytest.mark.skipif(sys.platform != "linux", reason="looks a descriptor's path up in /proc")
def test_the_file_its_name_and_every_new_folder_are_synced_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink().relative_to(tmp_path)))

    monkeypatch.setattr(os, "fsync", fsync)
    write_bytes(tmp_path / "a" / "b" / "file", b"content")
    assert synced == [".", "a", f"a/b/.file.{os.getpid()}.part", "a/b"]


def test_words_that_are_no_unicode_are_stored_with_question_marks(run: RunFolder) -> None:
    write_result(run, RunResult(**(vars(RESULT) | {"reason": "caf\udce9"})))
    result = read_result(run)
    assert result is not None
    assert (result.status, result.reason) == (Status.OK, "caf?")


def test_a_record_may_be_indented_anew_and_its_keys_reordered(run: RunFolder) -> None:
    written = write_result(run, RESULT)
    plain = json.loads(run.result.read_bytes())
    for text in (
        json.dumps(plain),
        json.dumps(dict(reversed(plain.items())), indent=4, ensure_ascii=True),
        json.dumps(plain, indent="\t", separators=(" ,", " : ")).replace("\n", "\r\n"),
    ):
        run.result.write_bytes(text.encode())
        assert read_result(run) == written


@pytest.mark.parametrize("name", [*to_plain(RESULT), CHECKSUM])
def test_no_value_can_be_altered_removed_or_given_twice(run: RunFolder, name: str) -> None:
    write_result(run, RESULT)
    plain = opened(run.result.read_bytes())
    other = {"schema_version": 3, "round": 1, "status": "crashed", "phases": {}, "environment": {"a": 1}}
    altered = plain | {name: other.get(name, "other")}
    removed = {key: value for key, value in plain.items() if key != name}
    twice = json.dumps(plain)[:-1] + f', "{name}": {json.dumps(plain[name])}}}'
    for text in (json.dumps(altered), json.dumps(removed), twice):
        run.result.write_text(text)
        result = read_result(run)
        assert result is not None
        assert result.status is Status.INVALID, (name, text)


def test_a_checksum_is_of_the_values_alone() -> None:
    plain = {"b": [1, 2.5, None, "é"], "a": {"y": True, "x": 1e-300}}
    record = sealed(plain)
    assert record[CHECKSUM] == checksum(record) == checksum(plain)
    # Pinned: other programs may check it, and records of today must fit it for ever.
    assert checksum({"b": [1, 2.5, None, "é"], "a": {}}) == PINNED


PINNED = "sha256:" + hashlib.sha256(b'{"a":{},"b":[1,2.5,null,"\\u00e9"]}').hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        sealed({"wall_s": value})
