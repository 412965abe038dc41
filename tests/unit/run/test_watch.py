"""Processor time as a sign of life: what counts as used between two looks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.cell import ProtocolSpec
from bench.run import watch
from bench.run.keeping import Exit
from bench.run.watch import processor_times_s, see_to_its_end, used_since_s

ME, CHILD, NEW = (100, 1.0), (101, 2.0), (102, 3.0)


def test_what_every_process_used_is_added_up() -> None:
    assert used_since_s({ME: 1.0, CHILD: 2.0}, {ME: 1.5, CHILD: 3.0, NEW: 0.25}) == 1.75


def test_a_compiler_that_ended_unseen_takes_nothing_away() -> None:
    assert used_since_s({ME: 1.0, CHILD: 100.0}, {ME: 1.5}) == 0.5


def test_a_number_that_came_again_is_another_process() -> None:
    assert used_since_s({(100, 1.0): 50.0}, {(100, 9.0): 0.5}) == 0.5


def test_what_is_gone_has_used_nothing() -> None:
    assert used_since_s({ME: 1.0}, {}) == 0.0
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    assert processor_times_s(gone.pid) == {}


def test_children_are_looked_at_as_well() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    try:
        before = processor_times_s(os.getpid())
        assert {pid for pid, _ in before} >= {os.getpid(), child.pid}
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            now = processor_times_s(os.getpid())
            if (
                used_since_s(
                    {k: v for k, v in before.items() if k[0] == child.pid},
                    {k: v for k, v in now.items() if k[0] == child.pid},
                )
                > 0.1
            ):
                return
        raise AssertionError("a child that works was not seen to")
    finally:
        child.kill()
        child.wait()


@dataclass
class Clock:
    """Time that passes only where it is told to."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@dataclass
class Process:
    """A worker that ends after so many waits, each of which takes longer than was asked for by ``late_s``."""

    clock: Clock
    waits: int
    late_s: float
    pid: int = 2**22 + 1  # nobody's
    killed: bool = False

    def wait(self, timeout_s: float) -> Exit | None:
        self.clock.now_s += timeout_s + self.late_s
        self.waits -= 1
        return Exit(code=0) if self.waits < 0 or self.killed else None

    def kill(self) -> None:
        self.killed = True


@pytest.mark.parametrize(("late_s", "ended"), [(0.5, True), (3600.0, False)])
@pytest.mark.parametrize(
    ("limits", "setting"),
    [(ProtocolSpec(timeout_s=60.0, stall_s=600.0), "timeout_s"), (ProtocolSpec(stall_s=60.0), "stall_s")],
)
def test_time_in_which_the_watcher_was_stopped_itself_counts_for_no_limit(
    limits: ProtocolSpec, setting: str, late_s: float, ended: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(watch, "time", clock)
    process = Process(clock, waits=1, late_s=late_s)
    _, overdue = see_to_its_end(process, limits, tmp_path / "heartbeat")
    assert (overdue is not None) is ended
    assert process.killed is ended
    if ended:
        assert f"protocol.{setting} = 60 s, in its start" in (overdue or "")
