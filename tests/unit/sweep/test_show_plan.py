"""What `bench plan` says of rounds that may be added: the least and the most, and what ends them."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import StorageError
from bench.plan.plan import Plan
from bench.sweep import show, show_plan
from tests.scripted import plan_of


def said(plan: Plan) -> str:
    console = Console(file=io.StringIO(), width=400)
    show_plan(plan, console, estimate=lambda plan: 100.0 * len(plan.rounds))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_fixed_number_of_rounds_is_one_number() -> None:
    text = said(plan_of(8, 32, rounds=3, precision=None, max_rounds=None))
    assert "4 cells x 3 rounds = 12 runs, order seeded by 0; 0 cells cannot run here.\n" in text
    assert "Estimated time: about 5 min (" in text


def test_rounds_that_may_be_added_are_a_range() -> None:
    text = said(plan_of(8, 32, max_rounds=30))
    assert "4 cells x 10 to 30 rounds = 40 to 120 runs" in text
    assert "until every cell is known to ±2%, at most 30 rounds in all." in text
    assert "Estimated time: about 17 min to 50 min (" in text


@pytest.mark.parametrize(
    ("budget_s", "time"), [(1800, "17 min to 30 min"), (60, "17 min to 17 min"), (9000, "17 min to 50 min")]
)
def test_the_budget_bounds_the_most_and_never_the_least(budget_s: int, time: str) -> None:
    assert f"about {time} (" in said(plan_of(8, 32, max_rounds=30, budget_s=budget_s))


def test_without_a_most_the_budget_is_the_end() -> None:
    text = said(plan_of(8, max_rounds=None, budget_s=3000, precision_of="comparisons", precision=0.015))
    assert "2 cells x 10 rounds or more = 20 runs or more" in text
    assert "until every comparison is known to ±1.5%, no longer than 50 min." in text
    assert "about 17 min to 50 min (" in text


def free(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    monkeypatch.setattr(show, "free_bytes", lambda path: free_bytes)


def test_the_room_it_takes_is_said_beside_what_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    free(monkeypatch, 72 * 10**9)
    fixed = said(plan_of(8, 32, rounds=3, precision=None, max_rounds=None)).splitlines()[-1]
    assert re.fullmatch(
        rf"Disk space: about \d+ MB while it runs, 72 GB are free in {re.escape(str(tmp_path))}\.", fixed
    )
    open_end = said(plan_of(8, 32, 64, 128, max_rounds=30)).splitlines()[-1]
    assert re.match(r"Disk space: about \d+ MB to \d+ MB while it runs", open_end)


def test_too_little_room_is_said_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 10**6)
    assert "1.0 MB are free" in said(plan_of(8))
    assert said(plan_of(8)).rstrip().endswith("too little, free some or choose another folder with sweep.dir=PATH.")


def test_a_disk_that_does_not_answer_is_no_failure_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> int:
        raise StorageError("cannot tell how much room there is in /x: Stale file handle")

    monkeypatch.setattr(show, "free_bytes", refuse)
    assert "cannot tell how much room there is in /x: Stale file handle." in said(plan_of(8))
