"""Drift and steps in the course of a sweep are found where they are, and nowhere else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.judge import ALPHA
from bench.analysis.run_order import MOST_OF_A_CELL, drift, least_p_of_step, step, timeline
from bench.analysis.tables import build_tables
from tests.synthetic import make_sweep


def line_of(relative: Any, cells: int) -> pd.DataFrame:
    """Runs of so many cells in turn, as ``timeline`` gives them."""
    n = len(relative)
    return pd.DataFrame(
        {
            "cell_id": [f"c{k % cells}" for k in range(n)],
            "round": np.arange(n) // cells,
            "relative": relative,
            "passed": np.arange(n) / (n - 1),
            "disturbance": None,
        }
    )


@settings(deadline=None)
@given(change=st.floats(-0.5, 0.5), cells=st.integers(1, 7), rounds=st.integers(2, 6), data=st.data())
def test_drift_is_read_off_exactly_whatever_speeds_the_cells_have(
    change: float, cells: int, rounds: int, data: st.DataObject
) -> None:
    speeds = np.array(data.draw(st.lists(st.floats(-3, 3), min_size=cells, max_size=cells)))
    n = cells * rounds
    logs = change * np.arange(n) / max(n - 1, 1) + np.tile(speeds, rounds)
    seen = drift(line_of(np.exp(logs), cells))
    assert math.log(seen.ratio) == pytest.approx(change, abs=1e-9)
    assert not seen.ratio < seen.low
    assert not seen.ratio > seen.high


@pytest.mark.parametrize("change", [-0.2, 0.0, 0.2])
def test_drift_shrugs_at_stray_runs(change: float) -> None:
    rng, n = np.random.default_rng(5), 100
    logs = change * np.arange(n) / (n - 1) + rng.normal(0, 0.01, n)
    logs[rng.choice(n, 12, replace=False)] += 2.0
    seen = drift(line_of(np.exp(logs), 20))
    assert math.log(seen.ratio) == pytest.approx(change, abs=0.03)
    assert seen.alarming == (change != 0)


def test_the_interval_of_the_drift_covers_as_it_says() -> None:
    rng, n, change = np.random.default_rng(7), 60, 0.1
    seen = [
        drift(line_of(np.exp(change * np.arange(n) / (n - 1) + rng.standard_t(3, n) * 0.02), 12)) for _ in range(300)
    ]
    covered = np.mean([math.log(d.low) <= change <= math.log(d.high) for d in seen])
    assert covered == pytest.approx(0.95, abs=0.035)
    quiet = [drift(line_of(np.exp(rng.standard_t(3, n) * 0.02), 12)).p <= 0.05 for _ in range(300)]
    assert np.mean(quiet) <= 0.08


def test_a_steady_sweep_of_few_runs_has_no_interval_and_no_alarm() -> None:
    seen = drift(line_of([1.0, 1.0, 1.0, 1.0], 2))
    assert (seen.ratio, seen.alarming) == (1.0, False)
    assert math.isnan(drift(line_of([1.0, 1.0], 2)).ratio)


def test_thousands_of_runs_of_one_cell_are_thinned() -> None:
    n = 9_000
    seen = drift(line_of(np.exp(0.1 * np.arange(n) / (n - 1)), 1))
    assert math.log(seen.ratio) == pytest.approx(0.1)
    assert seen.n <= MOST_OF_A_CELL


def test_a_step_is_found_where_it_is() -> None:
    rng = np.random.default_rng(9)
    logs = rng.normal(0, 0.02, 80) + np.where(np.arange(80) >= 50, math.log(1.2), 0.0)
    seen = step(line_of(np.exp(logs), 8))
    assert seen.position is not None
    assert abs(seen.position - 50) <= 2
    assert seen.ratio == pytest.approx(1.2, abs=0.02)
    assert seen.alarming
    assert not step(line_of(np.exp(rng.normal(0, 0.02, 80)), 8)).alarming


def test_the_timeline_follows_the_starts(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", devices=("cpu",), batch_sizes=(8, 32, "full"), failures=False, controls=True)
    runs = build_tables(folder).every_run
    line = timeline(runs)
    order = runs.sort_values(["round", "order_in_round"])
    assert line["cell_id"].tolist() == order["cell_id"].tolist()
    assert (line["passed"].iloc[0], line["passed"].iloc[-1]) == (0.0, 1.0)
    assert (line.groupby("cell_id")["relative"].median() == 1.0).all()


@pytest.mark.parametrize("n", [2, 8, 13, 40])
def test_no_step_is_surer_than_one_in_the_middle(n: int) -> None:
    sure = step(line_of([*[1.0] * (n // 2), *[2.0] * (n - n // 2)], 1))
    assert sure.p >= least_p_of_step(n) * (1 - 1e-9)


def test_a_handful_of_runs_can_show_no_step() -> None:
    assert least_p_of_step(8) > ALPHA > least_p_of_step(40)
