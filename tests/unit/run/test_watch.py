"""Processor time as a sign of life: what counts as used between two looks."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench.run.watch import processor_times_s, used_since_s

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
