"""Step-time models: exact where the data is, free of units, honest in their intervals, silent where they miss."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.curves import Curves, curves_of
from bench.analysis.models import Bounds, fit_lines, fit_models, half_batch_bounds, half_width, positive_bounds
from bench.analysis.tables import build_tables
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES
from tests.unit.analysis.stepping import SIZES, curves, models, noisy

nan = math.nan
t0s, slopes = st.floats(0.1, 1e5), st.floats(1e-2, 1e3)


@given(t0s, slopes)
def test_an_exact_line_is_found_exactly(t0: float, slope: float) -> None:
    row = models(curves([(t0, slope)])).iloc[0]
    # Where one term is lost beside the other, its digits are too: what is sure is the step time itself.
    assert abs(row["deviation"]) < 1e-6
    if 0.01 < t0 / slope < 1e5:
        assert row["dispatch_us"] == pytest.approx(t0, rel=1e-4)
        assert row["asymptotic_samples_per_s"] == pytest.approx(1e6 / slope, rel=1e-4)
        assert row["half_batch_size"] == pytest.approx(t0 / slope, rel=1e-4)
    assert row["fits"]


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([1e-3, 0.5, 7.0, 1e6]))
def test_a_longer_unit_scales_times_and_leaves_batch_sizes(seed: int, factor: float) -> None:
    noise = noisy(np.random.default_rng(seed), 1, rounds=5)
    one, scaled = (models(curves([(400.0, 3.0)], noise * by)).iloc[0] for by in (1.0, factor))
    for end in ("", "_low", "_high"):
        assert scaled[f"dispatch_us{end}"] == pytest.approx(one[f"dispatch_us{end}"] * factor, rel=1e-4)
        rate = f"asymptotic_samples_per_s{end}"
        assert scaled[rate] == pytest.approx(one[rate] / factor, rel=1e-4)
        assert scaled[f"half_batch_size{end}"] == pytest.approx(one[f"half_batch_size{end}"], rel=1e-4)
    assert scaled["deviation"] == pytest.approx(one["deviation"], abs=1e-5)


def test_the_fit_is_that_of_least_squares_on_logarithms() -> None:
    # Three points off 1 + B by known factors: the sum of squares has no lower value nearby.
    rows, off = np.array([[1.0, 3.0, 9.0, 27.0]]), np.array([0.05, -0.02, -0.07, 0.04])
    logs = np.log(1 + rows) + off
    line = fit_lines(rows, logs)

    def squares(t0: float, slope: float) -> float:
        return float(np.sum((np.log(t0 + slope * rows) - logs) ** 2))

    best = squares(line.t0[0], line.slope[0])
    for a, b in ((1.01, 1.0), (0.99, 1.0), (1.0, 1.01), (1.0, 0.99), (1.01, 0.99)):
        assert squares(line.t0[0] * a, line.slope[0] * b) > best


@pytest.mark.parametrize(("power", "t0", "slope"), [(0.0, 7.0, 0.0), (-0.1, 7.0, 0.0), (1.1, 0.0, 7.0)])
def test_neither_term_is_ever_negative(power: float, t0: float, slope: float) -> None:
    # Times that fall with the batch size, or rise faster than it, are met with a term of 0 rather than below.
    rows = np.array([[1.0, 2.0, 4.0, 8.0]])
    line = fit_lines(rows, np.log(7 * rows**power))
    assert (line.t0[0] == 0) == (t0 == 0)
    assert (line.slope[0] == 0) == (slope == 0)


def test_the_short_last_batch_counts_with_its_mean() -> None:
    cells = pd.DataFrame(
        {"framework": "pytorch", "backend": None, "loop": "eager", "device": "cpu", "workload": "w", "setting": "s",
         "batch_size": [1, 300, 600, 1000], "n_train": 1000, "cell_id": list("abcd"), "n_measured": 1}
    )  # fmt: skip
    mean_rows = np.array([1.0, 250.0, 500.0, 1000.0])
    runs = pd.DataFrame({"cell_id": list("abcd"), "round": 0, "step_us": 90 + 2 * mean_rows})
    found = curves_of(cells, runs)
    assert found.rows[0].tolist() == mean_rows.tolist()
    row = models(found).iloc[0]
    assert (row["dispatch_us"], row["half_batch_size"]) == pytest.approx((90, 45), rel=1e-6)


def test_drift_that_rounds_share_widens_costs_and_not_the_half_throughput_batch() -> None:
    drift = np.array([0.8, 0.9, 1.0, 1.1, 1.3])
    row = models(curves([(400.0, 4.0)], drift)).iloc[0]
    # One number per round: the interval of t0 is Student's t on the logarithms of the five levels.
    levels = np.log(400 * drift)
    half = 2.7764 * np.std(levels, ddof=1) / math.sqrt(5)
    assert row["dispatch_us"] == pytest.approx(400)
    assert row["dispatch_us_low"] == pytest.approx(math.exp(levels.mean() - half), rel=1e-3)
    assert row["dispatch_us_high"] == pytest.approx(math.exp(levels.mean() + half), rel=1e-3)
    assert (row["half_batch_size_low"], row["half_batch_size_high"]) == pytest.approx((100, 100), rel=1e-4)


def test_rounds_that_agree_leave_no_doubt() -> None:
    row = models(curves([(400.0, 4.0)])).iloc[0]
    assert (row["dispatch_us_low"], row["dispatch_us_high"]) == pytest.approx((400, 400))


def test_a_curve_that_bends_elsewhere_has_no_numbers_and_says_why() -> None:
    knee = np.where(np.array(SIZES) >= 250, 2.0, 1.0)[None, :, None]
    row = models(curves([(400.0, 4.0)], knee)).iloc[0]
    assert not row["fits"]
    assert row["reason"] == "a step at batch 125 lies 30% below the model, more than 15%"
    assert row[["dispatch_us", "dispatch_us_low", "asymptotic_samples_per_s", "half_batch_size"]].isna().all()
    assert row["interval_reason"] == row["rate_reason"] == "there is no model"


def test_scatter_that_would_explain_a_bad_fit_is_named() -> None:
    noise = noisy(np.random.default_rng(5), 1, rounds=2, scatter=0.25)
    row = models(curves([(400.0, 4.0)], noise, rounds=2)).iloc[0]
    assert row["reason"].endswith("more than 15%, though the scatter of the runs would explain it")
    assert row["lack_of_fit_p"] > 0.05


@pytest.mark.parametrize(("sizes", "reason"), [((8,), "1 batch size"), ((1, 8, 64), "3 batch sizes")])
def test_too_few_batch_sizes_have_no_model(sizes: tuple[int, ...], reason: str) -> None:
    row = models(curves([(400.0, 4.0)], sizes=sizes)).iloc[0]
    assert (row["fits"], row["reason"]) == (False, f"{reason}: a fit takes 4")
    assert pd.isna(row["deviation"])
    assert pd.isna(row["deviation_batch_size"])


def test_batch_sizes_of_equal_mean_rows_count_once() -> None:
    found = curves([(400.0, 4.0)], sizes=(1, 8, 64, 1000))
    rows = found.rows.copy()
    rows[0, 1] = 64.0
    assert Curves(names=found.names, sizes=found.sizes, rows=rows, logs=found.logs).n_sizes[0] == 3


def test_too_few_rounds_have_numbers_without_an_interval() -> None:
    row = models(curves([(400.0, 4.0)], rounds=4)).iloc[0]
    assert row["dispatch_us"] == pytest.approx(400)
    assert np.isnan(row["dispatch_us_low"])
    assert row["interval_reason"] == row["rate_reason"] == "4 rounds: an interval takes 5"


def test_a_flat_curve_has_a_dispatch_cost_and_no_upper_end_to_its_rate() -> None:
    noise = noisy(np.random.default_rng(1), 1, rounds=5)
    row = models(curves([(400.0, 1e-5)], noise)).iloc[0]
    assert row["dispatch_us"] == pytest.approx(400, rel=0.1)
    assert row["dispatch_us_low"] < 400 < row["dispatch_us_high"]
    assert row["asymptotic_samples_per_s_low"] > 1e6 * 1000 / 400  # faster than the largest batch was
    assert np.isnan(row["asymptotic_samples_per_s_high"])
    assert np.isnan(row["half_batch_size_high"])
    assert row["rate_reason"] == "the step time does not clearly grow with the batch size"


def test_a_failed_run_silences_nothing() -> None:
    noise = noisy(np.random.default_rng(2), 1, rounds=5)
    noise[0, 3, 4] = nan
    row = models(curves([(400.0, 4.0)], noise)).iloc[0]
    assert (row["n_runs"], row["n_rounds"]) == (54, 5)
    assert row["dispatch_us_low"] < row["dispatch_us"] < row["dispatch_us_high"]


def test_the_same_runs_give_the_same_table_in_any_company() -> None:
    noise = noisy(np.random.default_rng(3), 3, rounds=5)
    lines = [(400.0, 4.0), (10.0, 0.2), (1.0, 5.0)]
    together = models(curves(lines, noise))
    pd.testing.assert_frame_equal(together, models(curves(lines, noise)))
    for k in range(3):
        alone = models(curves(lines[k : k + 1], noise[k : k + 1]))
        pd.testing.assert_frame_equal(alone.iloc[:, 6:], together.iloc[k : k + 1, 6:].reset_index(drop=True))


@pytest.mark.parametrize("line", [(400.0, 3.0), (2.0, 5.0), (1000.0, 0.05)])
@pytest.mark.parametrize(("rounds", "drift"), [(5, 0.05), (5, 0.3), (10, 0.05)])
def test_intervals_cover_the_truth_as_often_as_they_say(line: tuple[float, float], rounds: int, drift: float) -> None:
    noise = noisy(np.random.default_rng(11), 1500, rounds=rounds, drift=drift)
    found = fit_models(curves([line] * 1500, noise, rounds=rounds))
    t0 = positive_bounds(found.centre.t0, half_width(found.pulls[:, :, 0], found.n))
    slope = positive_bounds(found.centre.slope, half_width(found.pulls[:, :, 1], found.n))
    for bounds, truth in ((t0, line[0]), (slope, line[1]), (half_batch_bounds(found), line[0] / line[1])):
        assert 0.93 <= covered(bounds, truth) <= 0.97


def covered(bounds: Bounds, truth: float) -> float:
    return float(np.mean((bounds.low <= truth) & (truth <= bounds.high)))


def test_lines_are_accepted_by_the_test_of_fit_as_often_as_it_says() -> None:
    noise = noisy(np.random.default_rng(12), 2000, rounds=5, drift=0.2)
    p = models(curves([(400.0, 3.0)] * 2000, noise))["lack_of_fit_p"]
    assert float((p < 0.05).mean()) == pytest.approx(0.05, abs=0.015)


def test_a_sweep_gives_the_paces_that_it_was_made_of(tmp_path: Path) -> None:
    loops, sizes = ("idiomatic", "fused"), (1, 4, 16, 64, 256, "full")
    folder = make_sweep(tmp_path / "s", loops=loops, batch_sizes=sizes, epochs=1, failures=False)
    table = build_tables(folder).models
    assert set(table["device"]) == {"cpu"}  # the planned gpu was not there: no curve
    assert len(table) == 4
    assert table["fits"].all()
    for _, row in table.iterrows():
        pace = PACES[str(row["framework"]), str(row["loop"])]
        assert row["dispatch_us"] == pytest.approx(pace.t0_us, rel=0.05)
        assert row["asymptotic_samples_per_s"] == pytest.approx(1e6 / pace.us_per_sample, rel=0.1)
