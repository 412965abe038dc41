"""Signs of life: rare, by the monotonic clock, and never worth a run."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from bench.cell import BudgetSpec, Cell, DataSpec, ProtocolSpec
from bench.records import Status
from bench.run import heartbeat
from bench.run.heartbeat import Heartbeat, last_beat_s, phase_in_words
from bench.run.measure import Conditions, Recorder, measure
from bench.run.worker import make_engine
from bench.workload.data import generate


def test_signs_of_life_have_the_monotonic_time_and_are_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now_ns = tmp_path / "heartbeat", 5_000_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    alive = Heartbeat(path)
    assert last_beat_s(path) == 5
    now_ns += 999_999_999
    alive()
    assert last_beat_s(path) == 5
    now_ns += 1
    alive()
    assert last_beat_s(path) == 6


def test_a_phase_that_begins_is_a_sign_of_life_and_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now_ns = tmp_path / "heartbeat", 5_000_000_000
    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns)
    alive = Heartbeat(path)
    assert phase_in_words(path) == "its start"
    now_ns += 1_000_000
    alive.enter("first_step_s")
    assert last_beat_s(path) == pytest.approx(5.001)
    assert phase_in_words(path) == "its first step (trace and compile)"
    alive.enter("steady")
    assert phase_in_words(path) == "steady timing"


def test_what_else_a_worker_says_of_itself_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    alive = Heartbeat(path, {"rss": 7})
    for phase in ("data_to_device_s", "steady", "build_s"):
        alive.enter(phase)
        said = json.loads(path.read_text())
        assert (said["rss"], said["phase"].strip()) == (7, phase)


def test_before_anything_was_said_a_worker_is_starting(tmp_path: Path) -> None:
    assert last_beat_s(tmp_path / "none") == 0
    assert phase_in_words(tmp_path / "none") == "its start"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 9_000, b'{"phase": "<script>"}', b'{"phase": 7}', b"7"])
def test_what_no_worker_writes_is_not_repeated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "heartbeat"
    path.write_bytes(content)
    assert phase_in_words(path) == "a phase it did not tell"


def test_a_full_disk_takes_nothing_from_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "not there" / "heartbeat"
    alive = Heartbeat(path)
    alive()
    alive.enter("training")
    assert last_beat_s(path) == 0
    monkeypatch.setattr(os, "write", refuse)
    monkeypatch.setattr(os, "utime", refuse)
    Heartbeat(tmp_path / "heartbeat").enter("training")


def test_every_phase_is_entered_before_it_is_timed() -> None:
    data = DataSpec(name="teacher", n_train=40, n_val=10, features=4, noise=0.0, distribution="normal")
    protocol = ProtocolSpec(steady_min_s=0.0, steady_min_epochs=1, parity_steps=2)
    cell = Cell(
        framework="reference", loop="eager", device="cpu", batch_size=16, batch_size_label="16", data=data,
        budget=BudgetSpec(epochs=2), protocol=protocol,
    )  # fmt: skip
    entered: list[str] = []
    recorder = Recorder()
    conditions = Conditions(cell=cell, round_=0, entered=entered.append)
    measure(make_engine(cell, 0), generate(data, cell.seed), conditions, recorder)
    assert recorder.status is Status.OK
    assert entered == ["build_s", "data_to_device_s", "first_step_s", "parity_s", "training", "steady"]
    assert set(entered) <= set(heartbeat._WORDS)
