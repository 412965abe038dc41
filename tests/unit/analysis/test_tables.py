"""The tables: their contracts, where their numbers come from, and what becomes of missing and damaged runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from bench.analysis import columns
from bench.analysis.caveats import voided
from bench.analysis.cells_table import SEVERITY
from bench.analysis.columns import Column
from bench.analysis.tables import Tables, build_tables
from bench.records import ParityRecord, RunResult, Status, SweepRecord
from bench.store.layout import SweepFolder
from bench.store.reader import read_results, read_sweep
from bench.store.trace_reader import read_trace
from bench.store.writer import TRACE_SCHEMA
from tests.rewriting import rewrite_result, rewrite_sweep, rewrite_trace
from tests.synthetic import make_sweep

STATUSES = [status.value for status in Status]

# What other programs rely on, whatever else the tables hold.
CONTRACT_CELLS = [
    "cell_id", "framework", "backend", "loop", "device", "device_name", "batch_size", "batch_size_label", "n_train",
    "optimizer", "lr_policy", "lr", "data", "n_runs", "n_ok", "status", "reason", "samples_per_s",
    "samples_per_s_low", "samples_per_s_high", "step_us", "step_us_low", "step_us_high", "first_step_s", "start_s",
    "updates", "epochs", "final_train_loss", "final_val_loss", "final_val_accuracy", "steps_to_target",
    "epochs_to_target", "time_to_target_s", "time_to_target_s_low", "time_to_target_s_high",
    "time_to_target_cold_s", "peak_rss_bytes", "rss_over_baseline_bytes", "device_peak_bytes", "model_bytes",
    "parity",
]  # fmt: skip
OF_MANY_RUNS_ONLY = {"n_runs", "n_ok", *(name for name in CONTRACT_CELLS if name.endswith(("_low", "_high")))}

CROSSING = ["crosses", "crosses again", "nowhere"]
positive, share = pandera.Check.gt(0), pandera.Check.in_range(0, 1)
CHECKS = {
    "status": pandera.Check.isin(STATUSES),
    "samples_per_s": positive,
    "step_us": positive,
    "time_to_target_s": positive,
    "time_to_target_cold_s": positive,
    "window_ns": positive,
    "samples": positive,
    "updates": positive,
    "batch_samples": positive,
    "model_bytes": positive,
    "ratio": positive,
    "parity": pandera.Check.ge(0),
    "parity_bar": positive,
    "parity_steps": pandera.Check.ge(0),
    "final_train_accuracy": share,
    "final_val_accuracy": share,
    "train_accuracy": share,
    "p": share,
    "p_holm": share,
    "p_tie_holm": share,
    "more_rounds": positive,
    "phase": pandera.Check.isin(["training", "steady"]),
    "timed_phase": pandera.Check.isin(["steady", "training", "mixed"]),
    "verdict": pandera.Check.isin(
        [
            "faster",
            "slower",
            "tie",
            "inconclusive",
            "at once",
            "later",
            "never",
            "quiet",
            "disturbed",
            "unknown",
            *CROSSING,
        ]
    ),
    "compile_cache": pandera.Check.isin(["cold", "warm", "anew", "nothing"]),
    "start": pandera.Check.isin(["cold", "warm"]),
    "after_steps_low": pandera.Check.ge(0),
    "dispatch_us_low": pandera.Check.ge(0),
    "half_batch_size_low": pandera.Check.ge(0),
    "lack_of_fit_p": share,
    "said_by": pandera.Check.isin(["model", "measured"]),
    "at_smallest": pandera.Check.isin(["faster", "slower", "tie", "inconclusive"]),
    "at_largest": pandera.Check.isin(["faster", "slower", "tie", "inconclusive"]),
    "others_share": share,
    "steal_share": share,
    "others_processors": pandera.Check.ge(0),
    "steal_processors": pandera.Check.ge(0),
    "floor": pandera.Check.ge(1),
}
NEVER_NULL = {
    "cell_id", "framework", "loop", "device", "batch_size", "batch_size_label", "n_train", "status", "round", "lr",
    "model_bytes", "workload", "setting", "n_runs", "n_ok", "window_ns", "batch_samples", "verdict",
    "fits", "said_by",
}  # fmt: skip


SIDE = ["framework", "backend", "loop", "device"]


def contract(declared: tuple[Column, ...], unique: list[str], **bounds: str) -> pandera.DataFrameSchema:
    """A table of exactly the declared columns; ``bounds``: this column is nowhere above that one."""
    return pandera.DataFrameSchema(
        {c.name: pandera.Column(c.dtype, CHECKS.get(c.name), nullable=c.name not in NEVER_NULL) for c in declared},
        checks=[pandera.Check(at_most(low, high)) for low, high in bounds.items()],
        unique=unique,
        strict=True,
        ordered=True,
    )


def at_most(low: str, high: str) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    """Wherever both are there; a comparison with null is no breach."""
    return lambda table: ~(table[low] > table[high])


CONTRACTS = {
    "runs": contract(columns.RUNS, ["cell_id", "round"], time_to_target_s="time_to_target_cold_s"),
    "cells": contract(
        columns.CELLS,
        ["cell_id"],
        n_ok="n_measured",
        n_measured="n_runs",
        samples_per_s_low="samples_per_s",
        samples_per_s="samples_per_s_high",
        step_us_low="step_us",
        step_us="step_us_high",
        time_to_target_s_low="time_to_target_s",
        time_to_target_s="time_to_target_s_high",
    ),
    "epochs": contract(columns.EPOCHS, ["cell_id", "round", "phase", "epoch"]),
    "steps": contract(columns.STEPS, ["cell_id", "round", "step"]),
    "comparisons": contract(
        columns.COMPARISONS,
        ["numerator", "denominator", "loop", "device", "batch_size", "setting"],
        low="ratio",
        ratio="high",
        p="p_holm",
    ),
    "payoffs": contract(
        columns.PAYOFFS,
        ["cell_id", "other_cell_id", "start"],
        after_steps_low="after_steps",
        after_steps="after_steps_high",
        n_starts="n_rounds",
    ),
    "models": contract(
        columns.MODELS,
        ["framework", "backend", "loop", "device", "workload", "setting"],
        dispatch_us_low="dispatch_us",
        dispatch_us="dispatch_us_high",
        asymptotic_samples_per_s_low="asymptotic_samples_per_s",
        asymptotic_samples_per_s="asymptotic_samples_per_s_high",
        half_batch_size_low="half_batch_size",
        half_batch_size="half_batch_size_high",
    ),
    "crossings": contract(
        columns.CROSSINGS,
        [*SIDE, *(f"other_{name}" for name in SIDE), "workload", "setting"],
        at_batch_size_low="at_batch_size",
        at_batch_size="at_batch_size_high",
        dispatch_ratio_low="dispatch_ratio",
        dispatch_ratio="dispatch_ratio_high",
        rate_ratio_low="rate_ratio",
        rate_ratio="rate_ratio_high",
    ),
    # What is asked of the whole sweep has no cell.
    "noise": contract(columns.NOISE, ["check", "control_cell_id"], low="value", value="high").update_columns(
        {name: {"nullable": True} for name in ("framework", "device", "cell_id")}
    ),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_every_table_keeps_its_contract(tables: Tables, name: str) -> None:
    table = getattr(tables, name)
    assert len(table) > 0
    CONTRACTS[name].validate(table)


def test_the_promised_columns_are_there(tables: Tables) -> None:
    assert set(CONTRACT_CELLS) <= set(tables.cells.columns)
    assert set(CONTRACT_CELLS) - OF_MANY_RUNS_ONLY <= set(tables.runs.columns)
    assert {"round", "order_in_round", "started_at", "wall_s"} <= set(tables.runs.columns)
    assert list(tables.steps.columns) == ["cell_id", "round", "step", "epoch", "batch_samples", "loss"]


@pytest.mark.parametrize(
    ("table", "value", "reason"),
    [
        ("cells", "samples_per_s", "samples_per_s_reason"),
        ("cells", "samples_per_s_low", "interval_reason"),
        ("cells", "time_to_target_s", "steps_to_target_reason"),
        ("cells", "time_to_target_s_low", "time_to_target_interval_reason"),
        ("cells", "first_step_cold_s", "first_step_cold_reason"),
        ("cells", "first_step_warm_s", "first_step_warm_reason"),
        ("cells", "peak_rss_bytes", "rss_reason"),
        ("cells", "device_peak_bytes", "device_peak_reason"),
        ("cells", "parity", "parity_reason"),
        ("runs", "samples_per_s", "samples_per_s_reason"),
        ("runs", "time_to_target_s", "steps_to_target_reason"),
        ("runs", "compile_cache", "compile_cache_reason"),
        ("runs", "peak_rss_bytes", "rss_reason"),
        ("runs", "device_peak_bytes", "device_peak_reason"),
        ("runs", "parity", "parity_reason"),
        ("runs", "others_share", "noise_reason"),
        ("comparisons", "low", "reason"),
        ("comparisons", "more_rounds", "more_rounds_reason"),
        ("payoffs", "after_steps", "reason"),
        ("payoffs", "after_steps_low", "interval_reason"),
        ("models", "dispatch_us", "reason"),
        ("models", "dispatch_us_low", "interval_reason"),
        ("models", "asymptotic_samples_per_s_high", "rate_reason"),
        ("models", "half_batch_size_high", "rate_reason"),
        ("crossings", "at_batch_size", "reason"),
        ("crossings", "at_batch_size_low", "interval_reason"),
    ],
)
def test_a_null_has_its_reason_and_a_value_has_none(tables: Tables, table: str, value: str, reason: str) -> None:
    frame = getattr(tables, table)
    assert (frame[value].isna() == frame[reason].notna()).all()
    assert frame[value].isna().any()


@pytest.mark.parametrize("table", ["runs", "cells"])
def test_every_status_but_ok_has_a_reason(tables: Tables, table: str) -> None:
    frame = getattr(tables, table)
    assert ((frame["status"] == "ok") == frame["reason"].isna()).all()


def test_there_is_a_row_for_every_cell_of_the_plan_in_its_order(tables: Tables, sweep: SweepRecord) -> None:
    assert tables.cells["cell_id"].tolist() == [cell.id for cell in sweep.cells]
    gpu = tables.cells[tables.cells["device"] == "gpu"]
    assert set(gpu["status"]) == {"unavailable"}
    assert gpu["reason"].str.startswith("no gpu").all()


def test_there_is_a_row_for_every_run(tables: Tables, folder: SweepFolder) -> None:
    results = read_results(folder)
    assert list(zip(tables.runs["cell_id"], tables.runs["round"], tables.runs["status"], strict=True)) == [
        (result.cell_id, result.round, result.status.value) for result in results
    ]
    assert set(tables.runs["status"]) >= {"ok", "diverged", "timeout", "crashed", "oom", "error", "unavailable"}


def test_a_runs_speed_is_the_median_of_its_steady_epochs(tables: Tables, folder: SweepFolder) -> None:
    run = tables.runs[tables.runs["status"] == "ok"].iloc[0]
    trace = read_trace(folder.run(run["cell_id"], run["round"])).to_pandas()
    steady = trace[trace["phase"] == "steady"]
    assert run["samples_per_s"] == pytest.approx((steady["samples"] / steady["window_ns"] * 1e9).median())
    assert run["step_us"] == pytest.approx((steady["window_ns"] / steady["updates"] / 1e3).median())
    assert run["timed_phase"] == "steady"
    assert run["timed_epochs"] == len(steady)


def test_a_cells_speed_is_the_median_of_its_measured_runs(tables: Tables) -> None:
    runs = tables.runs[tables.runs["status"].isin(["ok", "target_not_reached"])]
    expected = runs.groupby("cell_id")["samples_per_s"].median()
    seen = tables.cells.set_index("cell_id")["samples_per_s"].dropna()
    assert seen.to_dict() == pytest.approx(expected.to_dict())


def test_a_cell_is_as_good_as_its_worst_run(tables: Tables) -> None:
    rank = {status.value: position for position, status in enumerate(SEVERITY)}
    worst = tables.runs["status"].map(rank).groupby(tables.runs["cell_id"]).max()
    complete = tables.cells[(tables.cells["n_runs"] >= tables.cells["n_planned"])].set_index("cell_id")
    assert complete["status"].map(rank).to_dict() == worst[complete.index].to_dict()
    assert set(SEVERITY) == set(Status)


def test_missing_runs_are_said(tables: Tables) -> None:
    short = tables.cells[tables.cells["n_runs"] < tables.cells["n_planned"]]
    assert len(short) == 2
    assert "4 of 5 runs are there" in short["reason"].tolist()


def test_training_epochs_stand_in_where_no_steady_one_was_timed(tmp_path: Path) -> None:
    folder = small(tmp_path)
    result = read_results(folder)[0]
    run = folder.run(result.cell_id, result.round)
    trace = read_trace(run).to_pandas()
    trace = trace[trace["phase"] == "training"]
    write_trace(folder, result, trace)
    row = build_tables(folder).runs.iloc[0]
    windows = trace.loc[trace["kind"] == "epoch", "window_ns"]
    assert row["timed_phase"] == "training"
    assert row["samples_per_s"] == pytest.approx((1000 / windows * 1e9).median())


def test_what_training_reached(tables: Tables, folder: SweepFolder) -> None:
    run = tables.runs[tables.runs["status"] == "ok"].iloc[0]
    trace = read_trace(folder.run(run["cell_id"], run["round"])).to_pandas()
    epochs = trace[(trace["kind"] == "epoch") & (trace["phase"] == "training")].reset_index()
    first = int((epochs["train_loss"] <= run["target_loss"]).idxmax())
    assert run["epochs_to_target"] == first + 1
    assert run["steps_to_target"] == epochs["updates"][: first + 1].sum()
    assert run["time_to_target_s"] == pytest.approx(epochs["window_ns"][: first + 1].sum() / 1e9)
    assert run["time_to_target_cold_s"] == pytest.approx(run["time_to_target_s"] + run["first_step_s"])
    assert run["final_val_loss"] == epochs["val_loss"].iloc[-1]


def test_a_censored_run_counts_as_later_than_any_other(tmp_path: Path) -> None:
    folder = small(tmp_path, rounds=5, batch_sizes=[32], target_loss=None)
    results = read_results(folder)
    for result in results:
        target = 0.0 if result.round < 2 else 0.6  # two of five runs can never get there
        rewrite_result(folder.run(result.cell_id, result.round), dataclasses.replace(result, target_loss=target))
    tables = build_tables(folder)
    times = tables.runs["time_to_target_s"].dropna().sort_values()
    cell = tables.cells.iloc[0]
    assert (cell["n_reached"], cell["n_censored"]) == (3, 2)
    assert cell["time_to_target_s"] == times.iloc[2]
    assert cell["time_to_target_interval_reason"] == "2 of 5 runs did not reach the target"


def test_cold_and_warm_first_steps_are_told_apart(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", batch_sizes=(32,), loops=("eager", "fused"), devices=("cpu",), failures=False)
    tables = build_tables(folder)
    cells = {(str(row["framework"]), str(row["loop"])): row for _, row in tables.cells.iterrows()}
    runs = tables.runs[(tables.runs["framework"] == "pytorch") & (tables.runs["loop"] == "fused")].sort_values("round")
    first = runs["first_step_s"].to_numpy()
    cached = cells["pytorch", "fused"]
    assert cached["first_step_cold_s"] == first[0]
    assert cached["first_step_warm_s"] == pytest.approx(np.median(first[1:]))
    assert cached["first_step_s"] == pytest.approx(np.median(first))
    for loop, why in (("fused", "compiled anew in every run"), ("eager", "nothing to compile")):
        cell = cells["keras", loop]
        reasons = (cell["first_step_cold_reason"], cell["first_step_warm_reason"])
        assert reasons == (f"{why}: see first_step_s",) * 2


def test_a_start_that_no_measured_run_had_is_said(tmp_path: Path) -> None:
    folder = small(tmp_path, rounds=2, loops=["fused"], batch_sizes=[32])
    first, second = read_results(folder)
    rewrite_result(folder.run(first.cell_id, 0), dataclasses.replace(first, status=Status.CRASHED, reason="gone"))
    cell = build_tables(folder).cells.iloc[0]
    assert cell["first_step_cold_reason"] == "no measured run was cold"
    assert cell["first_step_warm_s"] == second.phases.first_step_s


def test_runs_of_the_first_version_have_no_word_on_the_cache(tmp_path: Path) -> None:
    folder = small(tmp_path, batch_sizes=[32])
    (result,) = read_results(folder)
    old = dataclasses.replace(result, schema_version=1, compile_cache=None)
    rewrite_result(folder.run(result.cell_id, 0), old)
    tables = build_tables(folder)
    assert tables.runs["compile_cache_reason"].tolist() == ["recorded before there was a cache"]
    assert tables.cells["first_step_warm_reason"].tolist() == ["recorded before there was a cache: see first_step_s"]


def test_memory_is_that_of_the_pass_in_the_first_round(tables: Tables) -> None:
    cells = tables.cells[tables.cells["peak_rss_bytes"].notna()]
    first = tables.runs[tables.runs["round"] == 0].set_index("cell_id")
    assert len(cells) > 0
    assert (cells["peak_rss_bytes"].to_numpy() == first.loc[cells["cell_id"], "peak_rss_bytes"].to_numpy()).all()
    later = tables.runs[(tables.runs["round"] > 0) & (tables.runs["status"] == "ok")]
    assert set(later["rss_reason"]) == {"memory is measured in the first round only"}


def test_the_analytic_model_rises_with_the_batch_size(tables: Tables) -> None:
    step = tables.cells.drop_duplicates("batch_size").sort_values("batch_size")["model_step_bytes"]
    assert (np.diff(step) > 0).all()
    assert (tables.cells["model_state_bytes"] == 16 * 1409).all()


def test_cells_of_one_curve_share_a_setting_and_others_do_not(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", batch_sizes=(8, 64), rounds=1, learning_rates=(0.001, 0.01))
    cells = build_tables(folder).cells
    assert (cells.groupby("lr")["setting"].nunique() == 1).all()
    assert cells["setting"].nunique() == 2


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema_version": 1}', b"\xff\xfe", b"[]"])
def test_a_damaged_record_becomes_an_invalid_row(tmp_path: Path, damage: bytes) -> None:
    folder = small(tmp_path, rounds=2)
    before = build_tables(folder)
    victim = before.runs.iloc[0]
    folder.run(victim["cell_id"], victim["round"]).result.write_bytes(damage)
    after = build_tables(folder)
    row = after.runs.iloc[0]
    assert row["status"] == "invalid"
    assert row["reason"].startswith("result.json is damaged")
    assert after.cells.set_index("cell_id").loc[victim["cell_id"], "status"] == "invalid"
    assert not ((after.steps["cell_id"] == victim["cell_id"]) & (after.steps["round"] == victim["round"])).any()
    pd.testing.assert_frame_equal(after.runs.iloc[1:], before.runs.iloc[1:])


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "other columns", "no window"])
def test_a_measured_run_without_a_trace_to_trust_becomes_an_invalid_row(tmp_path: Path, damage: str) -> None:
    folder = small(tmp_path, rounds=2)
    before = build_tables(folder)
    result = read_results(folder)[0]
    break_trace(folder, result, damage)
    after = build_tables(folder)
    assert after.runs["status"].iloc[0] == "invalid"
    assert after.runs["reason"].iloc[0].startswith("trace.parquet: ")
    assert np.isnan(after.runs["samples_per_s"].iloc[0])
    pd.testing.assert_frame_equal(after.runs.iloc[1:], before.runs.iloc[1:])


def test_a_run_that_fails_the_parity_gate_voids_its_cell(tmp_path: Path) -> None:
    tables = build_tables(small(tmp_path, rounds=3, wrong=[("pytorch", "eager", 32)]))
    runs = tables.runs[tables.runs["batch_size"] == 32]
    assert runs["status"].tolist() == ["invalid"] * 3
    assert runs["reason"].iloc[2].startswith("not the reference's training: at step 7 of 50")
    assert runs["reason"].iloc[0] == f"the parity gate voids the cell, round 2 failed it: {runs['reason'].iloc[2]}"
    cell, other = (tables.cells[tables.cells["batch_size"] == size].iloc[0] for size in (32, 64))
    assert (cell["status"], cell["n_measured"]) == ("invalid", 0)
    assert np.isnan(cell["samples_per_s"])
    assert "the parity gate voids the cell" in cell["samples_per_s_reason"]
    assert other["n_measured"] == 3
    assert voided(tables.cells).tolist() == (tables.cells["batch_size"] == 32).tolist()


def test_a_damaged_record_voids_only_itself(tmp_path: Path) -> None:
    folder = small(tmp_path, rounds=3)
    break_trace(folder, read_results(folder)[0], "missing")
    cells = build_tables(folder).cells.set_index("batch_size")
    assert (cells["status"] == "invalid").sum() == 1
    assert sorted(cells["n_measured"]) == [2, 3]
    assert not voided(cells).any()


def test_a_cells_parity_is_that_of_its_worst_run(tmp_path: Path) -> None:
    folder = small(tmp_path, rounds=4, batch_sizes=[32])
    records = [
        ParityRecord(difference=2e-7, bar=5e-6, control=1e-7, flips=0.0, steps=50, step=3),
        # Further away than the next one, and yet the better of the two by its bar.
        ParityRecord(difference=6e-6, bar=1e-4, control=5e-6, flips=0.0, steps=50, step=9),
        ParityRecord(difference=4e-6, bar=5e-6, control=2e-7, flips=1e-6, undecided=2, steps=50, step=41),
        None,
    ]
    for result, record in zip(read_results(folder), records, strict=True):
        reason = None if record else "no parity gate ran"
        changed = dataclasses.replace(result, parity=record, parity_reason=reason)
        rewrite_result(folder.run(result.cell_id, result.round), changed)
    tables = build_tables(folder)
    cell = tables.cells.iloc[0]
    assert (cell["parity"], cell["parity_bar"], cell["parity_control"], cell["parity_flips"]) == (
        4e-6,
        5e-6,
        2e-7,
        1e-6,
    )
    assert (cell["parity_undecided"], cell["parity_steps"], cell["parity_step"]) == (2, 50, 41)
    assert pd.isna(cell["parity_reason"])
    assert tables.runs["parity_reason"].dropna().tolist() == ["no parity gate ran"]


def test_a_sweep_without_a_gate_says_why(tmp_path: Path) -> None:
    tables = build_tables(small(tmp_path, parity_steps=0))
    for table in (tables.runs, tables.cells):
        assert table["parity"].isna().all()
        assert set(table["parity_reason"]) == {"protocol.parity_steps is 0: the gate is off"}


def test_numeric_flags_stand_in_runs_and_cells(tables: Tables) -> None:
    assert "oneDNN on, jit compile off, threads 1" in set(tables.runs["numeric_flags"].dropna())
    assert set(tables.cells["numeric_flags"].dropna()) == set(tables.runs["numeric_flags"].dropna())


def test_a_run_of_no_planned_cell_is_named(tmp_path: Path) -> None:
    folder = small(tmp_path)
    sweep = read_sweep(folder)
    gone = sweep.cells[0].id
    rounds = [[id_ for id_ in round_ if id_ != gone] for round_ in sweep.rounds]
    rewrite_sweep(folder, dataclasses.replace(sweep, cells=sweep.cells[1:], rounds=rounds))
    tables = build_tables(folder)
    assert tables.problems == (f"runs/{gone}/r0 is in the folder, but no cell of the plan: left out",)
    assert gone not in set(tables.runs["cell_id"])


def test_a_larger_sweep_keeps_every_kth_step_and_says_so(folder: SweepFolder, tables: Tables) -> None:
    thin = build_tables(folder, most_step_rows=len(tables.steps) // 3)
    assert tables.step_stride == 1
    assert thin.step_stride > 2
    assert len(thin.steps) <= len(tables.steps) // 3 + len(tables.runs)
    kept = tables.steps[tables.steps["step"] % thin.step_stride == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(thin.steps, kept)
    pd.testing.assert_frame_equal(thin.cells, tables.cells)


@pytest.mark.parametrize(
    "recipe",
    [
        {"devices": ("gpu",)},
        {"devices": ("cpu",), "rounds": 0},
        {"devices": ()},
        {"frameworks": ("pytorch",), "batch_sizes": (8,), "rounds": 1, "failures": False},
        {"frameworks": ("keras",), "batch_sizes": (8,), "rounds": 1},
        {"batch_sizes": (8,), "rounds": 3, "unfinished": 12},
        {"batch_sizes": (8,), "target_loss": None, "rounds": 2},
    ],
)
def test_degenerate_sweeps_have_tables_of_the_same_columns(tmp_path: Path, recipe: dict[str, object]) -> None:
    tables = build_tables(make_sweep(tmp_path / "s", **recipe))
    for name, schema in CONTRACTS.items():
        schema.validate(getattr(tables, name))


def test_a_cell_that_never_ran_says_so(tmp_path: Path) -> None:
    tables = build_tables(make_sweep(tmp_path / "s", batch_sizes=(8,), devices=("cpu",), rounds=2, unfinished=8))
    assert len(tables.runs) == 0
    assert set(tables.cells["status"]) == {"interrupted"}
    assert set(tables.cells["reason"]) == {"0 of 2 runs are there"}
    assert set(tables.cells["rss_reason"]) == {"interrupted: 0 of 2 runs are there"}


def small(path: Path, **recipe: object) -> SweepFolder:
    wanted = {"frameworks": ["pytorch"], "batch_sizes": [32, 64], "devices": ["cpu"], "rounds": 1, "failures": False}
    return make_sweep(path / "s", **(wanted | {"loops": ["eager"]} | recipe))


def write_trace(folder: SweepFolder, result: RunResult, trace: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(trace, preserve_index=False).select(TRACE_SCHEMA.names).cast(TRACE_SCHEMA)
    rewrite_trace(folder.run(result.cell_id, result.round), table)


def break_trace(folder: SweepFolder, result: RunResult, damage: str) -> None:
    run = folder.run(result.cell_id, result.round)
    content, trace = run.trace.read_bytes(), read_trace(run)
    if damage == "missing":
        run.trace.unlink()
    elif damage == "cut":
        run.trace.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        middle = len(content) // 3
        run.trace.write_bytes(content[:middle] + bytes([content[middle] ^ 0x40]) + content[middle + 1 :])
    elif damage == "other columns":
        rewrite_trace(run, trace.drop_columns(["loss"]))
    else:
        write_trace(folder, result, trace.to_pandas().assign(window_ns=0))
