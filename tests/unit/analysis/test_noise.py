"""The machine's noise: controls judged as all ratios are, drift and steps found where they are, runs counted."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis import noise
from bench.analysis.compare import compare
from bench.analysis.export import write_tables
from bench.analysis.tables import Tables, build_tables
from bench.analysis.verdict import verdict
from bench.cell import Cell
from bench.records import NoiseRecord
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from tests.synthetic import QUIET_NOISE, make_sweep

BUSY = dataclasses.replace(QUIET_NOISE, others_share=0.4, others_processors=0.8)


def swept(path: Path, **recipe: Any) -> Tables:
    small = dict(devices=("cpu",), batch_sizes=(8, 32, "full"), failures=False, controls=True)
    return build_tables(make_sweep(path / "sweep", **(small | recipe)))


def check(tables: Tables, name: str) -> dict[str, Any]:
    (row,) = tables.noise[tables.noise["check"] == name].to_dict("records")
    return {str(key): value for key, value in row.items()}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return swept(tmp_path_factory.mktemp("quiet"), machine_noise=lambda _cell, _passed: QUIET_NOISE)


# Controls


def test_every_framework_is_checked_against_itself_and_a_quiet_machine_is_quiet(quiet: Tables) -> None:
    rows = noise.controls_of(quiet.noise)
    assert rows["framework"].tolist() == ["pytorch", "keras"]
    assert (rows["n"] == 5).all()
    assert not rows["alarm"].any()
    assert noise.verdict_of(quiet.noise) == noise.QUIET
    assert noise.disturbances(quiet.noise) == []


def test_a_control_is_compared_as_any_two_cells_are(quiet: Tables) -> None:
    speeds = quiet.every_run.pivot(index="cell_id", columns="round", values="samples_per_s")
    rows = noise.controls_of(quiet.noise)
    seen = compare(speeds, rows["control_cell_id"].tolist(), rows["cell_id"].tolist())
    assert rows["value"].tolist() == pytest.approx(seen.ratio.tolist())
    assert rows["low"].tolist() == pytest.approx(seen.low.tolist())
    assert rows["verdict"].tolist() == seen.verdict
    by_round = noise.control_ratios(quiet.every_run, *rows[["cell_id", "control_cell_id"]].iloc[0])
    assert math.exp(float(np.log(by_round).mean())) == pytest.approx(seen.ratio[0])


def test_where_cells_look_alike_a_control_belongs_to_the_first(quiet: Tables) -> None:
    """Cells that differ in the optimizer's epsilon alone share a setting."""
    original = quiet.cells[quiet.cells["cell_id"].isin(noise.control_pairs(quiet.every_cell)["cell_id"])].iloc[:1]
    alike = pd.concat([original, original.assign(cell_id="other"), quiet.controls.cells], ignore_index=True)
    assert noise.control_pairs(alike)["cell_id"].tolist() == original["cell_id"].tolist()


def test_a_control_that_comes_out_slower_is_an_alarm(tmp_path: Path) -> None:
    tables = swept(tmp_path, slowdown=lambda cell, _: 1.5 if cell.control and cell.framework == "keras" else 1.0)
    rows = noise.controls_of(tables.noise)
    assert rows["verdict"].tolist()[1] == "slower"
    assert rows["alarm"].tolist() == [False, True]
    (reason,) = noise.disturbances(tables.noise)
    assert reason.startswith("the same keras-tensorflow cell came out ")
    assert reason.endswith("% slower under another name")


def test_controls_take_part_in_nothing_else(tmp_path: Path) -> None:
    """A control far faster than every cell wins nothing, and without controls all other tables are the same."""
    recipe: dict[str, Any] = dict(batch_sizes=(8, "full"), slowdown=lambda cell, _: 0.01 if cell.control else 1.0)
    with_controls, without = swept(tmp_path / "a", **recipe), swept(tmp_path / "b", controls=False, **recipe)
    for name in ("cells", "comparisons", "payoffs"):
        pd.testing.assert_frame_equal(getattr(with_controls, name), getattr(without, name))
    places = ["order_in_round"]  # a control takes a place in the order
    pd.testing.assert_frame_equal(with_controls.runs.drop(columns=places), without.runs.drop(columns=places))
    sweeps = [read_sweep(SweepFolder(tmp_path / name / "sweep")) for name in ("a", "b")]
    first, second = (verdict(t, s) for t, s in zip((with_controls, without), sweeps, strict=True))
    assert first.findings == second.findings
    assert first.best_per_framework == second.best_per_framework


def test_files_hold_the_controls_with_a_mark(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", devices=("cpu",), batch_sizes=(8, 32), rounds=2, failures=False, controls=True)
    tables = build_tables(folder)
    write_tables(tables, folder)
    for name, each in (("runs", 2), ("cells", 1)):
        written = pd.read_parquet(folder.tables / f"{name}.parquet")
        assert written["control"].dtype == bool
        assert written["control"].sum() == 2 * each
        assert len(written) == len(getattr(tables, name)) + 2 * each
        assert "control" in pd.read_csv(folder.tables / f"{name}.csv").columns
    assert len(pd.read_parquet(folder.tables / "noise.parquet")) == len(tables.noise) == 2 + 3


def test_a_control_in_two_rounds_has_a_ratio_and_the_reason_for_no_interval(tmp_path: Path) -> None:
    rows = noise.controls_of(swept(tmp_path, rounds=2).noise)
    assert rows["value"].notna().all()
    assert rows[["low", "floor"]].isna().all(axis=None)
    assert rows["reason"].str.contains("an interval takes").all()


def test_two_rounds_of_a_control_are_too_few_to_call_the_machine_quiet(tmp_path: Path) -> None:
    tables = swept(tmp_path, rounds=2, machine_noise=lambda _cell, _passed: QUIET_NOISE)
    assert noise.verdict_of(tables.noise) == noise.UNKNOWN
    assert "too few rounds to tell the same pytorch cell from itself: 2, and it takes 3" in noise.doubts(tables.noise)


def test_a_control_that_scatters_widely_leaves_a_doubt(tmp_path: Path) -> None:
    tables = swept(tmp_path, noise=0.15, machine_noise=lambda _cell, _passed: QUIET_NOISE)
    assert not tables.noise["alarm"].any()
    assert noise.verdict_of(tables.noise) == noise.UNKNOWN
    assert any("under two names may lie 10% apart" in words for words in noise.doubts(tables.noise))


def test_without_a_control_the_other_checks_decide(tmp_path: Path) -> None:
    looked = swept(tmp_path / "looked", controls=False, machine_noise=lambda _cell, _passed: QUIET_NOISE)
    assert (noise.verdict_of(looked.noise), noise.doubts(looked.noise)) == (noise.QUIET, [])
    blind = swept(tmp_path / "blind", controls=False)
    assert noise.verdict_of(blind.noise) == noise.UNKNOWN
    assert noise.doubts(blind.noise) == ["what else the machine did is not known (the machine was not looked at)"]


def test_a_handful_of_runs_tells_neither_drift_nor_steps(tmp_path: Path) -> None:
    recipe: dict[str, Any] = dict(controls=False, rounds=2, batch_sizes=(8,), loops=("idiomatic",))
    tables = swept(tmp_path, **recipe, machine_noise=lambda _cell, _passed: QUIET_NOISE)
    assert [check(tables, name)["verdict"] for name in (noise.DRIFT, noise.STEP)] == [noise.UNKNOWN] * 2
    assert noise.doubts(tables.noise) == ["too few runs to tell drift", "too few runs to tell a step"]


def test_where_no_check_was_made_nothing_is_quiet(quiet: Tables) -> None:
    assert noise.verdict_of(quiet.noise.iloc[:0]) == noise.UNKNOWN


@given(n=st.integers(3, 40), half=st.floats(0.001, 1.0))
def test_the_floor_lies_beyond_the_half_width_of_the_interval(n: int, half: float) -> None:
    assert half < math.log(noise.floor(math.exp(-half), math.exp(half), n)) < 2 * half


def test_the_floor_is_the_textbooks_for_many_rounds() -> None:
    """Facts: (z + z) * CV * sqrt(2 / n), with a spread of ratios of CV * sqrt(2)."""
    n, spread = 400, 0.01 * math.sqrt(2)
    half = 1.9659 * spread / math.sqrt(n)
    expected = (1.96 + 1.2816) * 0.01 * math.sqrt(2 / n)
    assert math.log(noise.floor(math.exp(-half), math.exp(half), n)) == pytest.approx(expected, rel=0.01)


def test_from_ten_rounds_on_the_floor_has_the_degrees_of_the_trimmed_interval() -> None:
    """Of ten rounds eight stay: t with 7 degrees is 2.3646 and 1.4149."""
    assert math.log(noise.floor(math.exp(-0.1), math.exp(0.1), 10)) == pytest.approx(
        0.1 * (1 + 1.4149 / 2.3646), rel=1e-4
    )


def test_a_difference_of_the_floors_size_is_found_nine_times_in_ten() -> None:
    rng, n, spread = np.random.default_rng(3), 8, 0.02
    smallest = (2.3646 + 1.4149) * spread / math.sqrt(n)
    ids = [f"{side}{k}" for side in "ab" for k in range(2_000)]
    logs = np.vstack([smallest + rng.normal(0, spread, (2_000, n)), np.zeros((2_000, n))])
    p = compare(pd.DataFrame(np.exp(logs), index=ids), ids[:2_000], ids[2_000:]).p
    assert np.mean(p <= 0.05) == pytest.approx(0.9, abs=0.03)


# Changes in run order


def test_a_drifting_machine_disturbs_the_sweep(tmp_path: Path) -> None:
    tables = swept(tmp_path, slowdown=lambda _cell, passed: 1.0 + 0.4 * passed)
    assert check(tables, noise.DRIFT)["value"] == pytest.approx(1.4, abs=0.06)
    assert noise.verdict_of(tables.noise) == noise.DISTURBED
    assert any("from the first run to the last" in reason for reason in noise.disturbances(tables.noise))


# Other programs


def busy_from(share: float) -> Any:
    def seen(_cell: Cell, passed: float) -> NoiseRecord:
        return BUSY if passed >= share else QUIET_NOISE

    return seen


def test_a_few_disturbed_runs_are_counted_and_many_disturb_the_sweep(tmp_path: Path) -> None:
    few, many = (swept(tmp_path / str(share), machine_noise=busy_from(share)) for share in (0.95, 0.5))
    assert 0 < check(few, noise.DISTURBED_RUNS)["value"] <= noise.RUNS_LIMIT
    assert noise.verdict_of(few.noise) == noise.QUIET
    assert check(many, noise.DISTURBED_RUNS)["verdict"] == noise.DISTURBED
    (reason,) = noise.disturbances(many.noise)
    assert "runs were disturbed, by other programs" in reason
    assert set(many.runs["disturbance"].dropna()) == {"others"}


def test_the_verdict_says_that_the_machine_was_disturbed(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s", devices=("cpu",), batch_sizes=(8, "full"), failures=False, machine_noise=busy_from(0.0)
    )
    found = verdict(build_tables(folder), read_sweep(folder))
    caveat = next(c for c in found.recommendations[0].caveats if c.kind == "disturbed_machine")
    assert caveat.text.startswith("measured on a disturbed machine: ")
    assert caveat.count == 1


def test_where_nobody_looked_it_says_why_and_claims_nothing(tmp_path: Path) -> None:
    tables = swept(tmp_path, controls=False, rounds=1)
    assert noise.verdict_of(tables.noise) == noise.UNKNOWN
    row = check(tables, noise.DISTURBED_RUNS)
    assert (row["verdict"], row["reason"]) == ("unknown", "the machine was not looked at")
    assert {check(tables, name)["reason"] for name in (noise.DRIFT, noise.STEP)} == {"no cell was measured twice"}
