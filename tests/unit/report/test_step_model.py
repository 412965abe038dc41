"""The step-time model in the report: a table, sentences that follow from intervals, lines where it fits."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.report import step_model
from bench.report.figures.step_time import STEP_TIME
from bench.report.view import View
from bench.store.layout import SweepFolder
from tests.synthetic import make_sweep
from tests.unit.report.conftest import look_at

nan = math.nan
SMOKE = Path(__file__).parents[3] / "results" / "reference" / "smoke"
RECIPE: dict[str, Any] = dict(
    loops=("idiomatic", "fused"), batch_sizes=(1, 4, 16, 64, 256, "full"), devices=("cpu",), epochs=1, failures=False
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> View:
    return look_at(make_sweep(Path(tmp_path_factory.mktemp("model")) / "s", **RECIPE))


def row(**changes: Any) -> step_model.Row:
    usual = {
        "dispatch_us": 400.0, "dispatch_us_low": 390.0, "dispatch_us_high": 410.0, "asymptotic_samples_per_s": 4e6,
        "asymptotic_samples_per_s_low": 3.9e6, "asymptotic_samples_per_s_high": 4.1e6, "half_batch_size": 100.0,
        "half_batch_size_low": 95.2, "half_batch_size_high": 104.1, "smallest_batch_size": 1,
        "largest_batch_size": 1000, "fits": True, "deviation": 0.02, "deviation_batch_size": 4, "n_rounds": 5,
        "reason": None,
    }  # fmt: skip
    return usual | changes


def pair(**changes: Any) -> step_model.Row:
    usual = {
        "framework": "pytorch", "backend": None, "loop": "fused", "device": "cpu", "other_framework": "keras",
        "other_backend": "tensorflow", "other_loop": "fused", "other_device": "cpu", "workload": "w", "setting": "s",
        "smallest_batch_size": 1, "largest_batch_size": 1000, "said_by": "model", "verdict": "crosses",
        "at_batch_size": 34.0, "at_batch_size_low": 33.0, "at_batch_size_high": 35.0, "at_smallest": "slower",
        "at_largest": "faster", "n_rounds": 5,
    }  # fmt: skip
    return usual | changes


def test_the_table_has_every_curve_with_its_interval(seen: View) -> None:
    found = step_model.step_model(seen)
    assert found is not None
    rows = {line[0]: list(line[1:]) for line in found.table.rows}
    assert set(rows) == {"Keras fused", "Keras idiomatic", "PyTorch fused", "PyTorch idiomatic"}
    assert rows["PyTorch fused"][0] == "fits"
    assert rows["PyTorch fused"][1].endswith(" µs")
    assert " to " in rows["PyTorch fused"][1]
    assert rows["PyTorch fused"][2].endswith("samples/s")


def test_frameworks_meet_loop_by_loop(seen: View) -> None:
    found = step_model.step_model(seen)
    assert found is not None
    fused, idiomatic = found.crossings
    assert fused.startswith("Keras fused is the faster below batch 3")
    assert fused.endswith("PyTorch fused above it.")
    assert idiomatic == "PyTorch idiomatic is faster than Keras idiomatic at every batch size from 1 to 1,000."
    assert found.left_out == 4  # of the six pairs of four curves


def test_loops_that_one_framework_lacks_meet_each_other(view: View) -> None:
    loops = [(found["loop"], found["other_loop"]) for found in step_model.asked_for(view)]
    assert loops == [("eager", "compiled"), ("idiomatic", "idiomatic")]


def test_a_loop_on_two_devices_is_told_with_its_devices(seen: View) -> None:
    cell, models = seen.cells.iloc[0], seen.tables.models
    devices = pd.concat([models, models.assign(device="gpu")])
    row = pair(
        workload=cell["workload"], setting=cell["setting"], other_framework="pytorch", other_backend=None,
        other_device="gpu", at_smallest="faster", at_largest="slower",
    )  # fmt: skip
    tables = dataclasses.replace(seen.tables, models=devices, crossings=pd.DataFrame([row]))
    both = dataclasses.replace(seen, tables=tables)
    (asked,) = step_model.asked_for(both)
    said = "PyTorch fused (CPU) is the faster below batch 34 (33 to 35), PyTorch fused (GPU) above it."
    assert step_model.said_of(both, asked) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Keras fused is the faster below batch 34 (33 to 35), PyTorch fused above it."),
        (
            {"at_smallest": "tie"},
            "Keras fused and PyTorch fused change places at batch 34 (33 to 35): Keras fused is the faster before.",
        ),
        (
            {"at_smallest": "inconclusive", "at_largest": "inconclusive"},
            "PyTorch fused and Keras fused change places at batch 34 (33 to 35).",
        ),
        (
            {"said_by": "measured", "at_batch_size_low": 32.0, "at_batch_size_high": 64.0},
            "Keras fused and PyTorch fused change places between batch 32 and batch 64: "
            "Keras fused is the faster before.",
        ),
        (
            {"verdict": "inconclusive", "n_rounds": 2},
            "Whether PyTorch fused or Keras fused is faster is open, in too few rounds to say (2).",
        ),
        ({"verdict": "nowhere"}, "Keras fused is faster than PyTorch fused at every batch size from 1 to 1,000."),
        ({"verdict": "tie"}, "PyTorch fused and Keras fused tie at every batch size from 1 to 1,000."),
        ({"verdict": "crosses again"}, "PyTorch fused and Keras fused change places more than once."),
        (
            {"verdict": "inconclusive", "at_largest": "tie"},
            "Where PyTorch fused and Keras fused change places, if they do, is open: "
            "at batch 1 Keras fused is faster and at batch 1,000 they tie.",
        ),
        (
            {"verdict": "inconclusive", "smallest_batch_size": pd.NA, "largest_batch_size": pd.NA},
            "PyTorch fused and Keras fused share no batch size.",
        ),
    ],
)
def test_a_crossing_in_words(seen: View, changes: dict[str, Any], said: str) -> None:
    cell = seen.cells.iloc[0]
    here = {"workload": cell["workload"], "setting": cell["setting"]}
    assert step_model.said_of(seen, pair(**here, **changes)) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "more than half of a step is dispatch up to batch 95, arithmetic from batch 105 on"),
        ({"half_batch_size_low": nan, "half_batch_size_high": nan}, ""),
        ({"half_batch_size_low": 0.2}, "more than half of a step is arithmetic from batch 105 on"),
        ({"half_batch_size_high": 1200.0}, "more than half of a step is dispatch up to batch 95"),
        ({"half_batch_size_high": nan}, "more than half of a step is dispatch up to batch 95"),
        (
            {"half_batch_size_low": 1100.0, "half_batch_size_high": 1200.0},
            "more than half of a step is dispatch at every batch size up to 1,000",
        ),
    ],
)
def test_where_the_time_goes_follows_from_the_interval(changes: dict[str, Any], said: str) -> None:
    assert step_model.mostly(row(**changes)) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "100 (95 to 104)"),
        ({"half_batch_size": 2000.0, "half_batch_size_low": 1900.0}, "over 1,000"),
        ({"half_batch_size": 1100.0, "half_batch_size_low": 900.0}, "over 900"),
        ({"half_batch_size": 0.5}, "under 1"),
        ({"half_batch_size": nan, "half_batch_size_low": 700.0, "half_batch_size_high": nan}, "over 700"),
        ({"dispatch_us": nan}, "–"),
    ],
)
def test_a_half_throughput_batch_that_was_not_measured_is_no_number(changes: dict[str, Any], said: str) -> None:
    assert step_model.half_batch(row(**changes)) == said


def test_a_rate_without_an_upper_end_is_told_by_its_lower() -> None:
    assert step_model.rate(row()) == "4.0M (3.9M to 4.1M) samples/s"
    assert step_model.rate(row(asymptotic_samples_per_s_high=nan)) == "over 3.9M samples/s"


def test_where_the_model_does_not_fit_the_report_says_so_and_draws_no_line(seen: View) -> None:
    models = seen.tables.models.copy()
    bad = models["loop"] == "fused"
    models.loc[bad, "fits"] = False
    models.loc[bad, ["dispatch_us", "asymptotic_samples_per_s", "half_batch_size"]] = nan
    models.loc[bad, ["deviation", "deviation_batch_size"]] = [0.28, 4]
    changed = dataclasses.replace(seen, tables=dataclasses.replace(seen.tables, models=models))
    said = STEP_TIME.finding(changed)
    assert "does not fit Keras fused (+28% at 4) and PyTorch fused (+28% at 4)" in said
    assert (
        "A step costs at most 1.5 times the smallest batch's: Keras fused up to 1 and PyTorch fused up to 16." in said
    )
    assert _model_lines(changed) == 2
    assert _model_lines(seen) == 4


def test_a_finding_weighs_dispatch_against_dispatch(seen: View) -> None:
    said = STEP_TIME.finding(seen)
    assert said.startswith("To within 15%, a step of every loop takes t0 + B / r.")
    assert "as much in Keras idiomatic as in PyTorch idiomatic" in said


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        ((2.0, 1.9, 2.1), "Dispatch costs 2.0× (1.9× to 2.1×) as much in PyTorch fused as in Keras fused."),
        ((0.5, 0.475, 0.525), "Dispatch costs 2.0× (1.9× to 2.1×) as much in Keras fused as in PyTorch fused."),
        ((1.04, 0.9, 1.2), "What dispatch costs does not clearly differ between PyTorch fused and Keras fused."),
        (
            (0.5, nan, nan),
            "Dispatch costs about 2.0× as much in Keras fused as in PyTorch fused, in too few rounds to be sure.",
        ),
    ],
)
def test_dispatch_is_said_to_cost_more_only_where_the_interval_says_so(
    seen: View, ratio: tuple[float, float, float], said: str
) -> None:
    crossings = seen.tables.crossings.copy()
    crossings = crossings[(crossings["loop"] == "fused") & (crossings["other_loop"] == "fused")]
    crossings[["dispatch_ratio", "dispatch_ratio_low", "dispatch_ratio_high"]] = ratio
    changed = dataclasses.replace(seen, tables=dataclasses.replace(seen.tables, crossings=crossings))
    assert said in step_model.finding(changed)


def test_the_two_rounds_of_the_reference_smoke_sweep_claim_nothing() -> None:
    found = step_model.step_model(look_at(SweepFolder(SMOKE)))
    assert found is not None
    assert list(found.crossings) == [
        "Whether PyTorch eager or Keras compiled is faster is open, in too few rounds to say (2)."
    ]


def test_too_few_batch_sizes_leave_the_figure_as_it_was(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", **(RECIPE | {"batch_sizes": (8, 32, "full"), "rounds": 2}))
    few = look_at(folder)
    assert STEP_TIME.finding(few).startswith("No loop has 4 batch sizes, which a model of step times takes.")
    assert _model_lines(few) == 0
    found = step_model.step_model(few)
    assert found is not None
    assert not found.table.rows
    assert found.crossings  # by what was measured


def test_the_page_has_the_table_beside_the_figure_and_its_method(folder: SweepFolder) -> None:
    html, markdown = (path.read_text(encoding="utf-8") for path in (folder.report_html, folder.report_md))
    assert html.index('<figure id="step_time">') < html.index('<div id="step-model">')
    assert "<dt>Step-time model</dt>" in html
    assert "## Step-time model" in markdown
    assert "| --- | --- | ---: |" in markdown


def _model_lines(view: View) -> int:
    drawn = STEP_TIME.draw(view)
    assert not isinstance(drawn, str)
    (axes,) = drawn.get_axes()
    return sum(np.size(line.get_xdata()) == 100 for line in axes.get_lines())
