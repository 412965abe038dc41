"""What a plan needs on the disk follows its steps and epochs, and is never less than a real sweep took."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis.tables import MOST_STEP_ROWS
from bench.cell import BudgetSpec, Cell, DataSpec
from bench.config import read_config
from bench.config.schema import Config, DataConfig
from bench.plan import space
from bench.plan.plan import Plan, PlannedRun, make_plan
from bench.plan.space import RESERVE_BYTES, bytes_needed, bytes_of_run
from bench.run.measure import MAX_STEPS_STORED

REFERENCE = Path(__file__).parents[3] / "results" / "reference" / "smoke"


def plan(*sizes: int | str, rounds: int = 2, loop: str = "eager", epochs: int = 10) -> Plan:
    points = [
        read_config(
            {
                "batch_size": size,
                "loop": {"name": loop},
                "budget": {"epochs": epochs},
                "protocol": {"rounds": rounds},
            }
        )
        for size in sizes or (1, 32, "full")
    ]
    return make_plan(points, why_not=lambda _: None)


def test_a_real_sweep_took_no_more_and_not_much_less() -> None:
    recorded = json.loads((REFERENCE / "sweep.json").read_text())
    cells = {planned["id"]: Cell.from_plain(planned["cell"]) for planned in recorded["cells"]}
    runs = [
        PlannedRun(cells[planned["id"]], DataConfig(), planned["unavailable_reason"]) for planned in recorded["cells"]
    ]
    rounds = [[cells[cell_id].id for cell_id in order] for order in recorded["rounds"]]
    seen = sum(-(-file.stat().st_size // 4096) * 4096 for file in REFERENCE.rglob("*") if file.is_file())
    needed = bytes_needed(Plan(Config(), runs, rounds)) - RESERVE_BYTES
    assert 1.1 * seen < needed < 2.5 * seen


def test_more_of_anything_needs_more() -> None:
    usual = bytes_needed(plan())
    assert bytes_needed(plan(rounds=5)) > usual
    assert bytes_needed(plan(epochs=100)) > usual
    assert bytes_needed(plan(1, 2, 32, "full")) > usual
    assert bytes_needed(plan(loop="fused")) > usual + 3 * 4_000_000  # programs are kept until the end


def test_a_run_needs_what_its_steps_take() -> None:
    (one,), (full,) = plan(1).runs, plan("full").runs
    steps = 1000 * 10 - 10
    assert bytes_of_run(one.cell) - bytes_of_run(full.cell) > 20 * steps
    assert bytes_of_run(full.cell) > RESERVE_BYTES


def test_a_run_of_countless_steps_keeps_a_bounded_number() -> None:
    (run,) = plan(1).runs
    long = replace(run.cell, budget=BudgetSpec(epochs=1_000_000))
    most = bytes_of_run(replace(run.cell, data=replace(run.cell.data, n_train=10_000_000), budget=BudgetSpec(epochs=1)))
    assert most < RESERVE_BYTES + 50 * MAX_STEPS_STORED
    assert bytes_of_run(long) < RESERVE_BYTES + 50 * MAX_STEPS_STORED + 1_000_000 * 200
    assert (space.MOST_STEPS_STORED, space._MOST_STEP_ROWS) == (MAX_STEPS_STORED, MOST_STEP_ROWS)


def test_finished_runs_need_nothing_more() -> None:
    whole = plan(1, rounds=3)
    (cell_id,) = whole.by_id
    some = bytes_needed(whole, finished=[(cell_id, 0)])
    assert some < bytes_needed(whole)
    assert bytes_needed(whole, finished=[(cell_id, round_) for round_ in range(3)]) < some


def test_stored_data_counts_once() -> None:
    usual = plan(1, 32)
    stored = DataSpec(name="file", n_train=900, n_val=100, features=999, sha256="0" * 64)
    runs = [replace(run, cell=replace(run.cell, data=stored)) for run in usual.runs]
    fewer = [replace(run, cell=replace(run.cell, data=replace(stored, sha256=None))) for run in usual.runs]
    with_data, without = (
        bytes_needed(Plan(usual.config, these, [[run.cell.id for run in these]])) for these in (runs, fewer)
    )
    assert with_data - without == pytest.approx(space.MARGIN * 4 * 1000 * 1000, rel=0.01)


def test_a_plan_that_runs_nothing_needs_little() -> None:
    nothing = make_plan([read_config({})], why_not=lambda _: "not here")
    assert bytes_needed(nothing) < RESERVE_BYTES + 5_000_000
