"""The journal tells in how many calls a sweep was run, how long they took, and whether the last one finished it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.store.layout import SweepFolder
from bench.store.sessions import calls_of, is_finished, last_resumed, planned_rounds
from tests.scripted import plan_of, record_of


def event(name: str, at: str = "10:00:00", **details: Any) -> str:
    return json.dumps({"event": name, "at": f"2026-01-01T{at}.000+00:00", **details})


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path)


def write(folder: SweepFolder, *lines: str) -> None:
    folder.journal.write_text("\n".join(lines))


START, RUN, END = event("sweep_started"), event("run_started", "10:00:01"), event("sweep_finished", "10:06:10")


@pytest.mark.parametrize(
    ("lines", "seconds", "end"),
    [
        ([START, RUN, END], [370], "finished"),
        ([START, RUN], [1], None),
        ([START, RUN, END[:-9]], [1], None),
        ([START, RUN, event("sweep_resumed", "11:00:00"), event("sweep_finished", "11:00:05")], [1, 5], "finished"),
        ([START, END, event("sweep_resumed", "11:00:00"), RUN.replace("10:", "11:")], [370, 1], None),
        ([START, event("sweep_stopped", "10:00:07", why="budget")], [7], "budget"),
        ([event("sweep_started", "12:00:00"), event("sweep_finished", "11:00:00")], [0], "finished"),
        ([START.replace("2026", "the year 26"), END], [0], "finished"),
        ([START.replace("+00:00", ""), END], [0], "finished"),
        (["[]", "[]"], [], None),
        ([], [], None),
    ],
)  # fmt: skip
def test_every_call_counts_from_its_first_event_to_its_last(
    folder: SweepFolder, lines: list[str], seconds: list[float], end: str | None
) -> None:
    write(folder, *lines)
    calls = calls_of(folder)
    assert [call.seconds for call in calls] == seconds
    assert [call.end for call in calls][-1:] == ([end] if calls else [])
    assert is_finished(folder) is (end == "finished")


def test_a_sweep_without_a_journal_was_run_in_no_call(folder: SweepFolder) -> None:
    assert calls_of(folder) == []
    assert not is_finished(folder)
    assert last_resumed(folder) == {}


def test_the_last_resumption_is_the_one_in_force(folder: SweepFolder) -> None:
    write(folder, START, event("sweep_resumed", timeout_s=5.0), event("sweep_resumed", timeout_s=9.0), RUN)
    assert last_resumed(folder)["timeout_s"] == 9.0


def test_added_rounds_are_not_among_the_planned_ones(folder: SweepFolder) -> None:
    record = record_of(plan_of(8), folder)
    assert planned_rounds(folder, record) == record.rounds
    write(folder, START, event("round_added", round=8, cells=[]), event("round_added", round=9, cells=[]))
    assert planned_rounds(folder, record) == record.rounds[:8]
