"""What `bench plan` says of rounds that may be added: the least and the most, and what ends them."""

import io

import pytest
from rich.console import Console

from bench.plan.plan import Plan
from bench.sweep import show_plan
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
