"""Crossings: exact for exact lines, the same whoever stands first, nowhere but where it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.analysis.crossings import AGAIN, CROSSES, MEASURED, MODEL, NOWHERE, Pairs, crossings, crossings_table
from bench.analysis.curves import CURVE, Curves
from bench.analysis.models import fit_models
from bench.analysis.tables import build_tables
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES
from tests.unit.analysis.stepping import SIZES, Line, curves, noisy

t0s, slopes = st.floats(1.0, 1e4), st.floats(0.1, 100.0)
FLIPPED = {"faster": "slower", "slower": "faster"}


def table(found: Curves) -> pd.DataFrame:
    return crossings_table(found, fit_models(found))


def crossing(one: Line, other: Line, factors: float | NDArray[np.float64] = 1.0, rounds: int = 5) -> pd.Series[Any]:
    """The only pair there is: the first as PyTorch's, the other as Keras'."""
    return table(curves([one, other], factors, rounds=rounds)).iloc[0]


def knee(at: int, factor: float) -> NDArray[np.float64]:
    """Factors that change from a batch size on, for one curve."""
    return np.where(np.array(SIZES) >= at, factor, 1.0)[:, None]


def test_lines_cross_where_their_times_are_equal() -> None:
    row = crossing((400.0, 1.0), (100.0, 5.0))
    assert (row["verdict"], row["said_by"]) == (CROSSES, MODEL)
    assert row["at_batch_size"] == pytest.approx(75)
    assert (row["at_batch_size_low"], row["at_batch_size_high"]) == pytest.approx((75, 75), rel=1e-3)
    assert (row["at_smallest"], row["at_largest"]) == ("slower", "faster")
    assert (row["dispatch_ratio"], row["rate_ratio"]) == pytest.approx((4, 5))


def test_drift_that_both_share_cancels() -> None:
    drift = np.array([0.5, 0.8, 1.0, 1.5, 2.5])
    row = crossing((400.0, 1.0), (100.0, 5.0), drift)
    assert (row["at_batch_size_low"], row["at_batch_size_high"]) == pytest.approx((75, 75), rel=1e-3)
    assert (row["dispatch_ratio_low"], row["dispatch_ratio_high"]) == pytest.approx((4, 4))


def test_a_crossing_beyond_the_measured_batch_sizes_is_none() -> None:
    row = crossing((4000.0, 1.0), (100.0, 2.0))  # the lines meet at 3,900
    assert row["verdict"] == NOWHERE
    assert pd.isna(row["at_batch_size"])
    assert row["reason"] == "slower at every batch size from 1 to 1000"
    assert row["interval_reason"] == "there is no crossing"


def test_curves_within_the_margin_tie_however_surely_they_cross() -> None:
    row = crossing((100.0, 1.0), (98.0, 1.01))
    assert (row["verdict"], row["at_smallest"], row["at_largest"]) == ("tie", "tie", "tie")
    assert row["reason"] == "tied at every batch size from 1 to 1000"


def test_what_the_rounds_do_not_settle_is_inconclusive() -> None:
    noise = noisy(np.random.default_rng(1), 2, rounds=5, drift=0.3, scatter=0.05)
    row = crossing((100.0, 1.0), (103.0, 1.0), noise)
    assert row["verdict"] == "inconclusive"
    assert row["reason"] == "the rounds do not settle who is faster at which batch size"


def test_without_a_model_the_measured_ratios_say_between_which_batch_sizes() -> None:
    # Keras' curve jumps to twice the time at 250: no line, and from there on it is the slower one.
    factors = np.stack([knee(1, 1.0), knee(250, 2.2)])
    row = crossing((400.0, 1.0), (320.0, 0.8), factors)
    assert (row["verdict"], row["said_by"]) == (CROSSES, MEASURED)
    assert (row["at_batch_size_low"], row["at_batch_size_high"]) == (125, 250)
    # Joined on logarithmic axes: ln 1.25 before and ln 1.25 - ln 2.2 after.
    share = np.log(1.25) / np.log(2.2)
    assert row["at_batch_size"] == pytest.approx(125 * 2**share)
    assert pd.isna(row["dispatch_ratio"])


def test_models_that_contradict_the_runs_give_way_to_them() -> None:
    # Both are within 15 % of a line, but what tells them apart is less than that.
    factors = np.stack([knee(1, 1.0), np.where(np.isin(SIZES, (8, 16)), 1.14, 1.0)[:, None]])
    row = crossing((100.0, 1.0), (96.0, 0.96), factors)
    assert row["said_by"] == MEASURED
    assert (row["verdict"], row["reason"]) == (AGAIN, "they change places more than once")


def test_few_rounds_tell_by_their_medians_and_give_no_interval() -> None:
    row = crossing((400.0, 1.0), (100.0, 5.0), rounds=2)
    assert row["at_batch_size"] == pytest.approx(75)
    assert pd.isna(row["at_batch_size_low"])
    assert row["interval_reason"] == "2 rounds have both curves: an interval takes 3"


def test_curves_without_a_batch_size_in_common_are_not_weighed() -> None:
    both = curves([(400.0, 1.0), (100.0, 5.0)])
    logs = both.logs.copy()
    logs[0, 6:], logs[1, :6] = np.nan, np.nan
    row = table(Curves(names=both.names, sizes=both.sizes, rows=both.rows, logs=logs)).iloc[0]
    assert (row["verdict"], row["reason"]) == ("inconclusive", "no batch size was measured for both")
    assert pd.isna(row["smallest_batch_size"])


def test_flat_curves_have_a_ratio_of_dispatch_and_none_of_rates() -> None:
    noise = noisy(np.random.default_rng(1), 2, rounds=5)
    row = crossing((400.0, 1e-5), (100.0, 1e-6), noise)
    assert row["verdict"] == NOWHERE
    assert row["dispatch_ratio_low"] < 4 < row["dispatch_ratio_high"]
    assert row[["rate_ratio", "rate_ratio_low", "rate_ratio_high"]].isna().all()


def test_two_devices_of_one_loop_are_weighed_too() -> None:
    both = curves([(20.0, 1.0), (80.0, 0.1)])
    places = pd.DataFrame([["pytorch", "", "fused", device, "w", "s"] for device in ("cpu", "gpu")], columns=CURVE)
    row = table(Curves(names=places, sizes=both.sizes, rows=both.rows, logs=both.logs)).iloc[0]
    assert (row["device"], row["other_device"], row["at_smallest"]) == ("cpu", "gpu", "faster")
    assert row["at_batch_size"] == pytest.approx(60 / 0.9)


@settings(max_examples=30)
@given(t0s, slopes, t0s, slopes, st.integers(0, 100), st.sampled_from([2, 5]))
def test_who_stands_first_does_not_matter(
    t0: float, slope: float, other_t0: float, other_slope: float, seed: int, rounds: int
) -> None:
    lines, noise = [(t0, slope), (other_t0, other_slope)], noisy(np.random.default_rng(seed), 2, rounds=rounds)
    one = crossing(lines[0], lines[1], noise, rounds)
    other = crossing(lines[1], lines[0], noise[::-1], rounds)
    assert (one["verdict"], one["said_by"]) == (other["verdict"], other["said_by"])
    for name in ("at_smallest", "at_largest"):
        assert one[name] == FLIPPED.get(str(other[name]), other[name])
    for name in ("at_batch_size", "at_batch_size_low", "at_batch_size_high"):
        assert one[name] == pytest.approx(other[name], rel=1e-6, nan_ok=True)
    assert one["dispatch_ratio"] == pytest.approx(1 / other["dispatch_ratio"], nan_ok=True)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([1e-3, 7.0, 1e6]))
def test_a_unit_of_time_moves_no_crossing(seed: int, factor: float) -> None:
    noise = noisy(np.random.default_rng(seed), 2, rounds=5)
    one, scaled = (crossing((400.0, 1.0), (100.0, 5.0), noise * by) for by in (1.0, factor))
    names = ["at_batch_size", "at_batch_size_low", "at_batch_size_high", "dispatch_ratio", "rate_ratio"]
    assert one[names].tolist() == pytest.approx(scaled[names].tolist(), rel=1e-5)
    assert one["verdict"] == scaled["verdict"] == CROSSES


def test_intervals_of_crossings_cover_the_truth_as_often_as_they_say() -> None:
    n, rng = 1000, np.random.default_rng(4)
    shared = np.exp(rng.normal(0, 0.2, (n, 1, 5)))
    noise = np.concatenate([shared, shared]) * noisy(rng, 2 * n, rounds=5, drift=0.02)
    found = curves([(400.0, 1.0)] * n + [(100.0, 5.0)] * n, noise)
    pairs = Pairs(curves=found, models=fit_models(found), one=np.arange(n), other=np.arange(n) + n)
    seen, said_by = crossings(pairs)
    assert (said_by == MODEL).all()
    assert (seen.verdict == CROSSES).all()
    assert 0.93 <= float(np.mean((seen.low <= 75) & (seen.high >= 75))) <= 0.97


def test_every_two_curves_of_a_setting_meet_once(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s", loops=("idiomatic", "fused"), batch_sizes=(1, 4, 16, 64, 256, "full"), epochs=1,
        failures=False, devices=("cpu",), learning_rates=(1e-3, 1e-2),
    )  # fmt: skip
    found = build_tables(folder).crossings
    assert len(found) == 2 * 6  # learning rates, pairs of four curves
    fused = found[(found["loop"] == "fused") & (found["other_loop"] == "fused")]
    torch, keras = PACES["pytorch", "fused"], PACES["keras", "fused"]
    truth = (torch.t0_us - keras.t0_us) / (keras.us_per_sample - torch.us_per_sample)
    assert set(zip(fused["framework"], fused["other_framework"], strict=True)) == {("pytorch", "keras")}
    assert fused["at_batch_size"].tolist() == pytest.approx([truth, truth], rel=0.05)


def test_pairs_are_weighed_in_pieces_and_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    found = curves([(400.0 / (k + 1), float(k + 1)) for k in range(6)])
    whole = table(found)
    monkeypatch.setattr("bench.analysis.crossings._PAIRS_AT_ONCE", 4)
    pd.testing.assert_frame_equal(table(found), whole)
    assert len(whole) == 15
    assert not whole.duplicated(["loop", "other_loop"]).any()
