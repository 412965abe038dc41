"""Crossings: exact for exact lines, the same whoever stands first, nowhere but where it was measured and judged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.analysis.crossings import (
    AGAIN,
    CROSSES,
    MEASURED,
    MODEL,
    NOWHERE,
    Pairs,
    crossings,
    crossings_table,
    judged,
)
from bench.analysis.curves import CURVE, Curves
from bench.analysis.models import fit_models
from bench.analysis.tables import build_tables
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES
from tests.unit.analysis.stepping import SIZES, Line, curves, noisy

t0s, slopes = st.floats(1.0, 1e4), st.floats(0.1, 100.0)
ENDS = ("smallest", "largest")
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
    assert row["reason"] == "neither is clearly faster at every batch size, and they are not seen to change places"


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
    row = crossing((100.0, 1.0), (94.0, 0.94), factors)
    assert row["said_by"] == MEASURED
    assert (row["verdict"], row["reason"]) == (AGAIN, "they change places more than once")


@pytest.mark.parametrize(("rounds", "said"), [(1, "1 round has"), (2, "2 rounds have")])
@pytest.mark.parametrize("other", [(100.0, 5.0), (4000.0, 10.0), (400.0, 1.0)])
def test_too_few_rounds_claim_nothing(rounds: int, said: str, other: Line) -> None:
    row = crossing((400.0, 1.0), other, rounds=rounds)
    assert set(row[["verdict", "at_smallest", "at_largest"]]) == {"inconclusive"}
    assert row[["at_batch_size", "at_batch_size_low", "at_batch_size_high"]].isna().all()
    assert row["reason"] == f"{said} both curves: a verdict takes 3"


def test_a_clear_lead_is_found_in_five_rounds() -> None:
    noise = noisy(np.random.default_rng(1), 6, rounds=5)
    found = table(curves([(400.0, 1.0), *[(400.0 * k, float(k)) for k in (2, 4, 8, 16, 32)]], noise))
    assert (found["verdict"] == NOWHERE).all()
    assert (found["at_smallest"] == "faster").all()
    assert found.loc[0, "reason"] == "faster at every batch size from 1 to 1000"


def test_curves_that_are_equal_are_rarely_told_apart() -> None:
    # Six curves are 15 pairs at 11 batch sizes: 165 ratios that are 1, of which any may be claimed in 1 sweep of 20.
    rng, claimed = np.random.default_rng(5), 0
    (one, other), models = np.triu_indices(6, 1), fit_models(curves([(100.0, 1.0)] * 6))
    for _ in range(200):
        found = curves([(100.0, 1.0)] * 6, noisy(rng, 6, rounds=5))
        claimed += int(judged(Pairs(curves=found, models=models, one=one, other=other)).sign.any())
    assert claimed <= 20  # 10 are expected at most, give or take 3


def test_a_model_does_not_outrun_what_was_measured() -> None:
    # Both fit, and the lines leave no doubt; but in one round in two the largest batch says the opposite.
    wild = np.array([1.6, 0.62, 1.0, 0.62, 1.6])
    factors = np.stack([np.ones((len(SIZES), 5)), np.where(knee(1000, 2.0) > 1, wild, 1.0)])
    found = curves([(100.0, 1.0), (110.0, 1.1)], factors)
    assert fit_models(found).fits.all()
    row = table(found).iloc[0]
    assert (row["verdict"], row["at_smallest"], row["at_largest"]) == ("inconclusive", "faster", "inconclusive")


def test_one_measured_ratio_is_enough_to_object_to_a_model() -> None:
    found = curves([(400.0, 1.0), (100.0, 5.0)])
    pairs = Pairs(curves=found, models=fit_models(found), one=np.array([0]), other=np.array([1]))
    seen = judged(pairs)
    assert crossings(pairs, seen).said_by.tolist() == [MODEL]
    otherwise = seen.alone.copy()
    otherwise[0, 3] *= -1
    assert crossings(pairs, dataclasses.replace(seen, alone=otherwise)).said_by.tolist() == [MEASURED]


def test_what_is_faster_here_is_not_open_among_the_comparisons(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s", loops=("idiomatic", "eager", "fused"), batch_sizes=(1, 16, 128, "full"), epochs=1,
        failures=False, devices=("cpu",), noise=0.4,
    )  # fmt: skip
    tables = build_tables(folder)
    names = ["numerator_loop", "denominator_loop", "batch_size"]
    # A loop that is the fastest of its framework stands there twice.
    compared = tables.comparisons.drop_duplicates(names).set_index(names)["verdict"].to_dict()
    found = tables.crossings[tables.crossings["framework"] == "pytorch"].to_dict("records")
    places = [(row, end, (row["loop"], row["other_loop"], row[f"{end}_batch_size"])) for row in found for end in ENDS]
    seen = {(row[f"at_{end}"], compared[pair]) for row, end, pair in places if pair in compared}
    assert {"faster", "inconclusive"} & {here for here, _ in seen} == {"faster", "inconclusive"}
    for word in ("faster", "slower"):
        assert {there for here, there in seen if here == word} <= {word, "tie"}


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
    # Little noise of their own, or some of a thousand pairs in one family would be left open.
    noise = np.concatenate([shared, shared]) * noisy(rng, 2 * n, rounds=5, drift=0.004, scatter=0.006)
    found = curves([(400.0, 1.0)] * n + [(100.0, 5.0)] * n, noise)
    pairs = Pairs(curves=found, models=fit_models(found), one=np.arange(n), other=np.arange(n) + n)
    seen = crossings(pairs, judged(pairs))
    assert (seen.said_by == MODEL).all()
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
