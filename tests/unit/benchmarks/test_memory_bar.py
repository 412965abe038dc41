"""The benchmark of memory: what its process measures, and what its bar says."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks import memory
from tests.benchmarks.memory import ALLOWANCE_BYTES, bar_bytes, judge, measured, memory_cell
from tests.benchmarks.timing import Family

MIB = 2**20
FUSED, EAGER = Family("pytorch", None, "fused"), Family("reference", None, "eager")


def test_the_bar_is_the_training_split_twice_and_the_allowance() -> None:
    assert bar_bytes(memory_cell(FUSED, 1_000_000, 1_024)) == 2 * 84_000_000 + ALLOWANCE_BYTES


def test_only_fused_loops_are_held_to_the_bar() -> None:
    fused, eager = (memory_cell(family, 1_000, 32) for family in (FUSED, EAGER))
    bar = bar_bytes(fused)
    assert [judge(fused, need) for need in (bar, bar + 1)] == ["met", "MISSED"]
    assert [judge(eager, need) for need in (bar, bar + 1)] == ["within", "over, not held to it"]


@pytest.mark.skipif(sys.platform != "linux", reason="the resident set's peak can be reset on Linux only")
def test_the_data_is_part_of_the_need_and_the_framework_is_not() -> None:
    found = measured(EAGER, 200_000, 1_024)
    data_bytes = 200_000 * 84
    assert data_bytes < found["need_bytes"] < 2 * data_bytes
    assert found["framework_bytes"] > 10 * MIB


def test_a_loop_that_fails_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    missing = Family("reference", None, "fused")
    assert "reference has no loop fused" in measured(missing, 1_000, 32)["reason"]
    assert memory._show(missing, 1_000, 32) is False
    assert "ended with 1" in capsys.readouterr().out
