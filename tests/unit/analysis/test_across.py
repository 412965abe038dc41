"""Sweeps against each other: what is compared, what is set apart and why, and when a regression is proven."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from bench.analysis.across.align import (
    ANOTHER_PROTOCOL,
    ANOTHER_VERSION,
    ANOTHER_WORKLOAD,
    NEITHER_MEASURED,
    TIMED_OTHERWISE,
    Side,
    align,
    read_side,
)
from bench.analysis.across.judging import judged
from bench.analysis.across.knee import knee
from bench.analysis.across.tables import Across, compare_sides
from bench.cell import Cell
from bench.records import Status
from bench.store.layout import SweepFolder
from tests import synthetic
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES
from tests.unit.analysis.failing import fail, run_out_of_memory

SMALL: dict[str, Any] = {
    "devices": ("cpu",), "loops": ("fastest",), "batch_sizes": (8, 64, "full"), "epochs": 2, "failures": False,
    "noise": 0.005,
}  # fmt: skip
SLOWED = PACES | {("pytorch", "eager"): PACES["pytorch", "eager"]._replace(t0_us=300.0, us_per_sample=0.384)}


def side(path: Path, letter: str, name: str, **recipe: Any) -> Side:
    return read_side(letter, make_sweep(path / name, **(SMALL | recipe)))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Side:
    return side(tmp_path_factory.mktemp("base"), "A", "old")


@pytest.fixture(scope="module")
def slowed(base: Side, tmp_path_factory: pytest.TempPathFactory) -> Across:
    return compare_sides([base, side(tmp_path_factory.mktemp("slowed"), "B", "new", paces=SLOWED)])


def compared(base: Side, path: Path, **recipe: Any) -> Across:
    return compare_sides([base, side(path, "B", "new", **recipe)])


def kinds(across: Across) -> set[tuple[str, str]]:
    return {(str(row["of"]), str(row["kind"])) for _, row in across.apart.iterrows()}


def test_a_planted_slowdown_is_a_regression_and_nothing_else_is(slowed: Across) -> None:
    pytorch, keras = (slowed.cells[slowed.cells["framework"] == name] for name in ("pytorch", "keras"))
    assert pytorch["regression"].all()
    assert (pytorch["verdict"] == "slower").all()
    assert pytorch["ratio"].tolist() == pytest.approx([1 / 1.2] * 3, rel=0.02)
    assert not keras["regression"].any()
    assert (keras["verdict"] == "tie").all()


def test_a_slowdown_within_the_margin_is_no_regression_and_no_tie(slowed: Across) -> None:
    wider = compare_sides(slowed.sides, margin=0.3)
    assert not wider.cells["regression"].any()
    assert (wider.cells["margin"] == 0.3).all()
    pd.testing.assert_series_equal(wider.cells["verdict"], slowed.cells["verdict"])
    assert wider.best == slowed.best


def test_a_sweep_against_itself_gives_ties_alone(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "one", **(SMALL | {"noise": 0.2}))
    across = compare_sides([read_side("A", folder), read_side("B", folder)])
    assert (across.cells["verdict"] == "tie").all()
    assert (across.cells["ratio"] == 1).all()
    assert not across.cells["regression"].any()
    assert across.apart.empty
    assert (across.knees["moved"] == "no").all()


def test_every_other_sweep_is_compared_with_the_first(tmp_path: Path, slowed: Across) -> None:
    again = dataclasses.replace(slowed.others[0], letter="C")
    across = compare_sides([*slowed.sides, again])
    of_c = across.cells[across.cells["sweep"] == "C"].drop(columns="sweep").reset_index(drop=True)
    pd.testing.assert_frame_equal(of_c, slowed.cells.drop(columns="sweep"))
    assert list(across.best) == ["B", "C"]


def test_the_best_of_each_sweep_is_its_fastest_cell(slowed: Across) -> None:
    best = slowed.best["B"]
    assert best.cell_id_base.startswith("pytorch-eager-cpu-b1000")
    assert best.cell_id == best.cell_id_base
    assert best.low is not None
    assert best.high is not None
    assert best.low < best.ratio < best.high
    assert best.verdict == "slower"


def test_too_few_runs_give_a_ratio_and_nothing_else(base: Side, tmp_path: Path) -> None:
    across = compared(base, tmp_path, rounds=4, paces=SLOWED)
    assert across.cells["ratio"].notna().all()
    assert across.cells[["low", "high", "p_holm", "verdict"]].isna().all(axis=None)
    assert not across.cells["regression"].any()
    assert set(across.cells["reason"]) == {"5 and 4 runs: a verdict takes 5 on either side"}
    assert across.best["B"].verdict is None
    assert across.knees["moved"].isna().all()


def test_cells_that_only_one_sweep_has_are_set_apart(base: Side, tmp_path: Path) -> None:
    across = compared(base, tmp_path, batch_sizes=(8, 32, "full"))
    assert kinds(across) == {("A", "in A only"), ("B", "in B only")}
    assert set(across.cells["batch_size"]) == {8, 1000}


def test_another_workload_is_set_apart_and_named(base: Side, tmp_path: Path) -> None:
    across = compared(base, tmp_path, n_train=2000)
    assert across.cells.empty
    assert kinds(across) == {("A", ANOTHER_WORKLOAD), ("B", ANOTHER_WORKLOAD)}
    assert any("data.n_train is 2000 in B, 1000 in A" in detail for detail in across.apart["detail"])
    assert across.best == {}
    assert across.knees.empty


def test_another_protocol_is_set_apart_and_named(base: Side, tmp_path: Path) -> None:
    across = compared(base, tmp_path, parity_steps=0)
    assert kinds(across) == {("A", ANOTHER_PROTOCOL), ("B", ANOTHER_PROTOCOL)}
    assert "protocol.parity_steps is 0 in B, 50 in A" in set(across.apart["detail"])


def test_cells_of_another_measurement_version_are_set_apart(base: Side, tmp_path: Path) -> None:
    with patch("bench.cell.MEASUREMENT_VERSION", -1):
        other = side(tmp_path, "B", "new")
    across = compare_sides([base, other])
    assert across.cells.empty
    assert kinds(across) == {("A", ANOTHER_VERSION), ("B", ANOTHER_VERSION)}


def test_cells_that_were_not_measured_say_where_and_why(base: Side, tmp_path: Path) -> None:
    across = compared(base, tmp_path, wrong=[("pytorch", "eager", 8)])
    lost = across.apart[across.apart["kind"] == "not measured in B"]
    assert lost["cell_id"].str.startswith("pytorch-eager-cpu-b8-").all()
    assert "parity gate" in lost["detail"].iloc[0]
    gpu = side(tmp_path, "A", "gpu", devices=("cpu", "gpu"), batch_sizes=(64,), rounds=1)
    assert kinds(compare_sides([gpu, dataclasses.replace(gpu, letter="B")])) == {("A", NEITHER_MEASURED)}


def ended(base: Side, folder: SweepFolder) -> dict[tuple[str, int], str]:
    """How the runs ended of the cells that no longer run, by framework and batch size."""
    apart = compare_sides([base, read_side("B", folder)]).apart
    lost = apart[apart["ended"].notna()]
    assert (lost["of"] == "A").all()
    return {(str(r["framework"]), int(r["batch_size"])): str(r["ended"]) for _, r in lost.iterrows()}


def test_a_cell_that_fails_in_every_run_no_longer_runs(base: Side, tmp_path: Path) -> None:
    new = make_sweep(tmp_path / "new", **SMALL)
    fail(new, "pytorch", 8, Status.CRASHED, rounds=range(3))
    fail(new, "pytorch", 8, Status.TIMEOUT, rounds=(3, 4))
    fail(new, "keras", 8, Status.DIVERGED)
    run_out_of_memory(new, "pytorch", 64, 1000)
    assert ended(base, new) == {
        ("pytorch", 8): "crashed, timeout",
        ("keras", 8): "diverged",
        ("pytorch", 64): "oom",
        ("pytorch", 1000): "skipped after oom",
    }


def test_a_cell_that_the_parity_gate_voids_no_longer_runs(base: Side, tmp_path: Path) -> None:
    assert ended(base, make_sweep(tmp_path / "new", **(SMALL | {"wrong": [("pytorch", "eager", 8)]}))) == {
        ("pytorch", 8): "invalid"
    }


def test_what_was_measured_once_is_absent_or_was_not_tried_has_not_stopped_running(base: Side, tmp_path: Path) -> None:
    new = make_sweep(tmp_path / "new", **(SMALL | {"batch_sizes": (8, 64)}))
    fail(new, "pytorch", 8, Status.CRASHED, rounds=range(4))
    fail(new, "keras", 8, Status.UNAVAILABLE, reason="no keras here")
    fail(new, "keras", 64, Status.CRASHED, rounds=range(4))
    fail(new, "keras", 64, Status.UNAVAILABLE, reason="no keras here", rounds=(4,))
    assert ended(base, new) == {}
    assert ended(base, make_sweep(tmp_path / "cut-short", **(SMALL | {"unfinished": 30}))) == {}


def test_what_the_baseline_did_not_measure_cannot_stop_running(tmp_path: Path) -> None:
    old, new = (fail(make_sweep(tmp_path / n, **SMALL), "pytorch", 8, Status.CRASHED) for n in ("old", "new"))
    assert ended(read_side("A", old), new) == {}


def test_windows_of_another_phase_are_not_compared(slowed: Across) -> None:
    base, other = slowed.sides
    cells = other.cells.assign(timed_phase="training")
    ids, apart = align(base, dataclasses.replace(other, cells=cells))
    assert ids == []
    assert {item.kind for item in apart} == {TIMED_OTHERWISE}


def test_what_differs_between_machines_does_not_set_cells_apart(slowed: Across) -> None:
    base, other = slowed.sides
    moved = {id_: dataclasses.replace(cell, python="/elsewhere/python") for id_, cell in other.plans.items()}
    cells = other.cells.assign(device_name="Another CPU")
    ids, _ = align(base, dataclasses.replace(other, cells=cells, plans=moved))
    assert ids == list(base.plans)


def test_identity_is_the_content_and_nothing_else() -> None:
    cell = synthetic.grid(synthetic.Recipe(devices=("cpu",)))[0]
    assert dataclasses.replace(cell, python="x").content() == cell.content()
    assert dataclasses.replace(cell, seed=1).content() != cell.content()
    assert isinstance(cell, Cell)


def test_times_to_different_targets_are_not_compared(slowed: Across) -> None:
    base, other = slowed.sides
    elsewhere = dataclasses.replace(other, cells=other.cells.assign(target_loss=0.6))
    table = compare_sides([base, elsewhere]).cells
    assert table["time_to_target_ratio"].isna().all()
    assert table["time_to_target_reason"].str.contains("another target").all()


def test_memory_of_forked_and_spawned_processes_is_not_compared(slowed: Across) -> None:
    base, other = slowed.sides
    spawned = dataclasses.replace(other, cells=other.cells.assign(memory_isolation="spawn"))
    reasons = compare_sides([base, spawned]).cells["rss_reason"]
    assert (reasons == "fork and spawn: such processes cannot be compared").all()


def rounds_of(*means: float) -> pd.DataFrame:
    """Ten runs of each cell, spread evenly around its mean on the logarithmic scale."""
    logs = np.add.outer(means, np.linspace(-0.015, 0.015, 10))
    return pd.DataFrame(np.exp(logs), index=[f"c{place}" for place in range(len(means))])


def test_a_regression_needs_the_whole_corrected_interval_beyond_the_margin() -> None:
    base, ours = rounds_of(0.0, 0.0, 0.0), rounds_of(-0.055, -0.12, 0.3)
    table = judged(ours, base, list(base.index), margin=0.05)
    assert table["verdict"].tolist() == ["slower", "slower", "faster"]
    assert table["regression"].tolist() == [False, True, False]
    assert table["high"].iloc[1] < 1 / 1.05 < table["high"].iloc[0]


def test_the_loss_that_would_be_found_is_of_the_margin_and_of_the_family() -> None:
    base = rounds_of(*[0.0] * 40)
    alone, together = judged(base, base, ["c0"], margin=0.05), judged(base, base, list(base.index), margin=0.05)
    wider = judged(base, base, ["c0"], margin=0.2)
    first = [float(table["detectable_loss"].iloc[0]) for table in (alone, together, wider)]
    assert 0.05 < first[0] < first[1]
    assert 1 + first[2] == pytest.approx((1 + first[0]) * 1.2 / 1.05)
    assert judged(base.iloc[:, :4], base, ["c0"])["detectable_loss"].isna().all()


def test_a_loss_of_that_size_is_found_about_four_times_in_five() -> None:
    rng, ids = np.random.default_rng(5), [f"c{place}" for place in range(10)]

    def compared_after(lost: float) -> pd.Series[Any]:
        """The first of ten cells, of which it alone has lost."""
        logs = rng.normal(0.0, 0.03, (2, len(ids), 8))
        logs[0, 0] -= np.log1p(lost)
        ours, theirs = (pd.DataFrame(np.exp(each), index=ids) for each in logs)
        return judged(ours, theirs, ids, margin=0.1).iloc[0]

    size = float(np.median([compared_after(0.0)["detectable_loss"] for _ in range(100)]))
    found = np.mean([bool(compared_after(size)["regression"]) for _ in range(200)])
    assert 0.68 < found < 0.9


def test_the_correction_grows_with_the_family() -> None:
    base, ours = rounds_of(*[0.0] * 40), rounds_of(*[-0.07] * 40)
    alone = judged(ours, base, ["c0"], margin=0.05)
    together = judged(ours, base, list(base.index), margin=0.05)
    assert together["p_regression_holm"].iloc[0] == pytest.approx(40 * alone["p_regression_holm"].iloc[0])


def test_false_regressions_are_rare_at_the_edge_of_the_margin() -> None:
    """The hardest case: every cell is slower by exactly the margin. One family in twenty may claim a regression."""
    rng = np.random.default_rng(7)
    ids, families, wrong = [f"c{place}" for place in range(20)], 40, 0
    for _ in range(families):
        base = pd.DataFrame(np.exp(rng.normal(0, 0.02, (20, 8))), index=ids)
        ours = pd.DataFrame(np.exp(rng.normal(-np.log1p(0.05), 0.02, (20, 8))), index=ids)
        wrong += bool(judged(ours, base, ids, margin=0.05)["regression"].any())
    assert wrong <= 6  # the binomial limit of 5 % in 40 at 1 in 100


def test_the_knee_is_where_nine_tenths_of_the_best_are_reached() -> None:
    sizes, rate = pd.Series([1, 8, 64, 512]), pd.Series([10.0, 60.0, 95.0, 100.0])
    found = knee(sizes, rate, rate * 0.99, rate * 1.01)
    assert (found.at, found.low, found.high) == (64, 64, 64)


def test_wide_intervals_leave_the_knee_a_range() -> None:
    sizes, rate = pd.Series([1, 8, 64, 512]), pd.Series([10.0, 85.0, 95.0, 100.0])
    found = knee(sizes, rate, rate * 0.9, rate * 1.1)
    assert (found.at, found.low, found.high) == (64, 8, 512)


def test_a_knee_that_moves_is_told(tmp_path: Path) -> None:
    flat = PACES | {("pytorch", "eager"): PACES["pytorch", "eager"]._replace(t0_us=1.0)}
    sizes = {"frameworks": ("pytorch",), "batch_sizes": (1, 8, 64, 256, "full")}
    across = compare_sides([side(tmp_path, "A", "old", **sizes), side(tmp_path, "B", "new", paces=flat, **sizes)])
    row = across.knees.iloc[0]
    assert (row["knee_base"], row["knee"], row["moved"]) == (1000, 64, "down")
