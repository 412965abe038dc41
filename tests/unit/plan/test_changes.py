"""A plan is told apart from the one a sweep was begun with, in the settings that differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.plan.changes import changes
from bench.plan.place import moved, other_code
from bench.plan.plan import Plan
from bench.store.layout import SweepFolder
from tests.scripted import plan_of, record_of

RECORD = record_of(plan_of(8, 32), SweepFolder(Path("mine")))


def test_the_same_plan_is_the_same() -> None:
    assert changes(RECORD, plan_of(8, 32)) == []
    assert changes(RECORD, plan_of(32, 8)) == []


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (plan_of(8, 16, 32), ["batch_size: planned 8, 32; now 8, 16, 32"]),
        (plan_of(8), ["batch_size: planned 8, 32; now 8"]),
        (plan_of(8, 32, frameworks=("keras",)), [
            "framework: planned keras, pytorch; now keras", "backend: planned null, tensorflow; now tensorflow",
        ]),
        (plan_of(8, 32, rounds=12), ["protocol.rounds: planned 10; now 12"]),
        (plan_of(8, 32, threads=2), ["protocol.threads: planned 1; now 2"]),
        (plan_of(8, 32, memory=False), ["protocol.memory: planned True; now False"]),
        (plan_of(8, 32, precision=0.01), ["protocol.precision: planned 0.02; now 0.01"]),
    ],
)  # fmt: skip
def test_what_differs_is_said_in_settings(plan: Plan, lines: list[str]) -> None:
    assert sorted(changes(RECORD, plan)) == sorted(lines)


def test_how_long_a_run_is_waited_for_is_no_difference() -> None:
    assert changes(RECORD, plan_of(8, 32, timeout_s=7.0, stall_s=3.0)) == []


def test_cells_are_named_where_every_setting_has_the_same_values() -> None:
    plan = plan_of(8, 32)
    fewer = replace(plan, runs=[run for run in plan.runs if (run.cell.framework, run.cell.batch_size) != ("keras", 8)])
    (line,) = changes(RECORD, fewer)
    assert line.startswith("no longer asked for: keras-tensorflow-compiled-cpu-b8-")


# --- the machine ------------------------------------------------------------------------------------------------------

MACHINE: dict[str, Any] = {"processor": "A", "logical_cores": 4, "load_average": [1, 2, 3], "nvidia_gpus": None}
SOFTWARE: dict[str, Any] = {"python": "3.12.1", "packages": {"torch": "2.13.0", "matplotlib": "3.11", "jax": None}}
BEGUN = replace(RECORD, machine=MACHINE, software=SOFTWARE)


def test_load_and_what_draws_are_not_the_machine() -> None:
    packages = SOFTWARE["packages"] | {"matplotlib": "4"}
    assert moved(BEGUN, MACHINE | {"load_average": [9, 9, 9]}, SOFTWARE | {"packages": packages}) == []


def test_what_can_change_a_measurement_is_said() -> None:
    packages = {"torch": "2.14.0", "matplotlib": "3.11", "jax": "1.0"}
    assert moved(BEGUN, MACHINE | {"processor": "B"}, {"python": "3.13.0", "packages": packages}) == [
        "processor: was A, is B",
        "python: was 3.12.1, is 3.13.0",
        "torch: was 2.13.0, is 2.14.0",
        "jax: was not there, is 1.0",
    ]


@pytest.mark.parametrize(
    ("version", "git", "words"),
    [
        ("0.1.0", {"commit": "a" * 40, "dirty": False}, None),
        ("0.2.0", {"commit": "a" * 40, "dirty": False}, "version 0.1.0 of bench, this is 0.2.0"),
        ("0.1.0", {"commit": "b" * 40, "dirty": False}, "commit aaaaaaaaaa of bench, this is commit bbbbbbbbbb"),
        ("0.1.0", {"commit": "a" * 40, "dirty": True}, "with changes that no commit holds"),
        ("0.1.0", None, "commit aaaaaaaaaa of bench, this is no checkout"),
    ],
)
def test_other_code_is_said(version: str, git: dict[str, Any] | None, words: str | None) -> None:
    told = other_code(replace(BEGUN, git={"commit": "a" * 40, "dirty": False}), version, git)
    assert told is None if words is None else told is not None and words in told


def test_what_an_older_record_does_not_hold_is_not_compared() -> None:
    assert moved(RECORD, MACHINE, SOFTWARE) == []
