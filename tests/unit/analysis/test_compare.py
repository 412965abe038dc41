"""Ratios: paired inside rounds or of two sweeps, antisymmetric, corrected by Holm; the comparisons table."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.compare import (
    FASTER,
    INCONCLUSIVE,
    SLOWER,
    TIE,
    compare,
    compare_independent,
    framework_comparisons,
    holm,
    why_no_ratio,
)
from bench.analysis.tables import Tables

positive = st.floats(1e-3, 1e3)
p_values = st.lists(st.floats(0, 1), max_size=12)


def by_round(**cells: list[float]) -> pd.DataFrame:
    return pd.DataFrame(cells).T


def test_the_machines_drift_cancels_inside_rounds() -> None:
    drift = [1.0, 3.0, 0.2, 9.0, 0.05]
    values = by_round(a=[2.0 * d for d in drift], b=[1.0 * d for d in drift])
    seen = compare(values, ["a"], ["b"])
    assert seen.ratio[0] == pytest.approx(2.0)
    assert seen.low[0] == pytest.approx(2.0)
    assert seen.verdict == [FASTER]
    assert compare(values, ["b"], ["a"]).verdict == [SLOWER]


def test_ratio_and_interval_pinned_by_hand() -> None:
    # Logarithms of the ratios -1, 0, 1, 2, 3: mean 1, standard error sqrt(0.5), t(4) = 2.776.
    values = by_round(a=[math.exp(k) for k in (-1, 0, 1, 2, 3)], b=[1.0] * 5)
    seen = compare(values, ["a"], ["b"])
    assert seen.ratio[0] == pytest.approx(math.e)
    assert seen.low[0] == pytest.approx(math.exp(1 - 2.776 * math.sqrt(0.5)), rel=1e-3)
    assert seen.high[0] == pytest.approx(math.exp(1 + 2.776 * math.sqrt(0.5)), rel=1e-3)
    assert seen.p[0] == pytest.approx(0.2302, abs=1e-4)  # t = 1.414 with 4 degrees of freedom
    assert seen.verdict == [INCONCLUSIVE]


def test_only_rounds_with_both_count() -> None:
    nan = math.nan
    values = by_round(a=[2.0, nan, 2.0, 2.0, nan], b=[1.0, 1.0, nan, 1.0, nan])
    seen = compare(values, ["a"], ["b"])
    assert seen.n_pairs[0] == 2
    assert seen.ratio[0] == pytest.approx(2.0)
    assert np.isnan([seen.low[0], seen.high[0], seen.p[0]]).all()
    assert seen.verdict == [INCONCLUSIVE]


@pytest.mark.parametrize(
    ("n", "reason"),
    [
        (0, "0 rounds have both cells: an interval takes 3"),
        (1, "1 round has both cells: an interval takes 3"),
        (3, None),
    ],
)
def test_a_missing_interval_has_its_reason(n: int, reason: str | None) -> None:
    assert why_no_ratio(n) == reason


def test_a_cell_nobody_measured_has_no_pairs() -> None:
    seen = compare(by_round(a=[1.0] * 5), ["a"], ["absent"])
    assert seen.n_pairs[0] == 0
    assert np.isnan(seen.ratio[0])
    assert seen.verdict == [INCONCLUSIVE]


def test_a_certain_but_tiny_difference_is_a_tie() -> None:
    values = by_round(a=[1.01, 1.011, 1.01, 1.009, 1.01], b=[1.0] * 5)
    seen = compare(values, ["a"], ["b"])
    assert seen.p_holm[0] < 0.001
    assert seen.verdict == [TIE]


def test_a_small_difference_that_may_be_large_is_no_tie() -> None:
    values = by_round(a=[0.9, 1.2, 1.0, 1.1, 0.85], b=[1.0] * 5)
    assert compare(values, ["a"], ["b"]).verdict == [INCONCLUSIVE]


def test_a_larger_family_asks_for_more() -> None:
    rounds = [1.05, 1.12, 1.2, 1.09, 1.16]
    alone = compare(by_round(a=rounds, b=[1.0] * 5), ["a"], ["b"])
    assert alone.verdict == [FASTER]
    idle = {f"idle{k}": [1.0, 1.3, 0.8, 1.1, 0.9] for k in range(60)}
    crowd = compare(by_round(a=rounds, b=[1.0] * 5, **idle), ["a", *idle], ["b"] * 61)
    assert crowd.p[0] == pytest.approx(alone.p[0])
    assert crowd.verdict[0] == INCONCLUSIVE


@given(st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=8), st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5))
def test_swapping_sides_inverts_the_ratio(ours: list[float], theirs: list[float]) -> None:
    values = by_round(a=ours[:5], b=theirs)
    up, down = compare(values, ["a"], ["b"]), compare(values, ["b"], ["a"])
    assert up.ratio[0] * down.ratio[0] == pytest.approx(1.0)
    assert up.low[0] * down.high[0] == pytest.approx(1.0)
    assert up.low[0] <= up.ratio[0] * (1 + 1e-12)
    assert up.p[0] == pytest.approx(down.p[0], nan_ok=True)


@given(st.lists(st.floats(1e-3, 1e3), min_size=5, max_size=5), st.permutations(range(5)))
def test_the_order_of_rounds_does_not_matter(ours: list[float], order: list[int]) -> None:
    values = by_round(a=ours, b=[1.0, 2.0, 3.0, 4.0, 5.0])
    one, other = compare(values, ["a"], ["b"]), compare(values[order], ["a"], ["b"])
    assert other.ratio[0] == pytest.approx(one.ratio[0])
    assert other.high[0] == pytest.approx(one.high[0])


@given(st.lists(positive, min_size=3, max_size=9), st.lists(positive, min_size=3, max_size=9))
def test_two_sweeps_are_compared_by_welchs_test(ours: list[float], theirs: list[float]) -> None:
    assume(len({*ours}) > 1 and len({*theirs}) > 1)
    seen = compare_independent(by_round(a=ours), by_round(b=theirs), ["a"], ["b"])
    expected = stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False)
    assert seen.p[0] == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    interval = expected.confidence_interval(0.95)
    assert (np.log(seen.low[0]), np.log(seen.high[0])) == pytest.approx(tuple(interval), rel=1e-6, abs=1e-9)
    assert seen.n_pairs[0] == min(len(ours), len(theirs))


def test_two_sweeps_of_many_rounds_are_compared_by_yuens_test() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = rng.lognormal(0.1, 0.2, 16), rng.lognormal(0, 0.1, 16)
    seen = compare_independent(by_round(a=[*ours]), by_round(b=[*theirs]), ["a"], ["b"])
    # A third of the 11 rounds beyond the fifth is 3 of 16 at either end.
    expected = stats.ttest_ind(np.log(ours), np.log(theirs), equal_var=False, trim=3.5 / 16)
    assert seen.p[0] == pytest.approx(expected.pvalue)


def test_two_sweeps_share_no_rounds() -> None:
    ours, theirs = by_round(a=[2.0, 2.1, 1.9, 2.0]), by_round(a=[1.0, 1.01, 0.99])
    seen = compare_independent(ours, theirs, ["a", "absent", "a"], ["a", "a", "absent"])
    assert seen.verdict == [FASTER, INCONCLUSIVE, INCONCLUSIVE]
    assert seen.n_pairs.tolist() == [3, 0, 0]
    assert np.isnan(seen.ratio[1:]).all()
    assert compare_independent(theirs, ours, ["a"], ["a"]).verdict == [SLOWER]


def test_sweeps_without_any_spread_are_certain() -> None:
    ours, theirs = by_round(a=[2.0] * 5, b=[1.0] * 5), by_round(a=[1.0] * 5, b=[1.0] * 5)
    assert compare_independent(ours, theirs, ["a", "b"], ["a", "b"]).verdict == [FASTER, TIE]


def test_one_slow_run_in_ten_does_not_hide_what_the_others_agree_on() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.lognormal(0.1, 0.01, 10), rng.lognormal(0, 0.01, 10)
    ours[3] /= 1.35
    assert compare(by_round(a=[*ours], b=[*theirs]), ["a"], ["b"]).verdict == [FASTER]


def test_an_open_comparison_says_how_many_rounds_would_settle_it(tables: Tables) -> None:
    table = tables.comparisons
    is_open = (table["verdict"] == INCONCLUSIVE) & table["low"].notna()
    assert (table["more_rounds"].notna() == is_open).all()
    settled = table[table["verdict"] != INCONCLUSIVE]
    assert (settled["more_rounds_reason"] == "settled: " + settled["verdict"]).all()


def test_holm_pinned_by_hand() -> None:
    # 0.01 * 4, 0.02 * 3 = 0.06, 0.025 * 2 = 0.05 (not below 0.06), 0.4 * 1
    corrected = holm(np.array([0.4, 0.01, math.nan, 0.025, 0.02]))
    assert corrected == pytest.approx(np.array([0.4, 0.04, math.nan, 0.06, 0.06]), nan_ok=True)


def test_holm_of_a_chosen_best_counts_the_pairs_that_are_left() -> None:
    # Of five cells: 0.001 * 10, 0.02 * 6, 0.03 * 3 = 0.09 (not below 0.12), 0.4 * 1
    corrected = holm(np.array([0.4, 0.001, math.nan, 0.03, 0.02]), chosen=True)
    assert corrected == pytest.approx(np.array([0.4, 0.01, math.nan, 0.12, 0.12]), nan_ok=True)


@given(p_values)
def test_a_chosen_best_is_never_trusted_more(p: list[float]) -> None:
    values = np.array(p, dtype=np.float64)
    assert (holm(values, chosen=True) >= holm(values)).all()


@given(p_values)
def test_holm_only_ever_weakens_and_keeps_the_order(p: list[float]) -> None:
    before = np.array(p, dtype=np.float64)
    after = holm(before)
    assert ((after >= before) & (after <= 1)).all()
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


def test_among_equals_false_alarms_stay_rare() -> None:
    rng = np.random.default_rng(3)
    families, pairs = 400, 11
    alarms = 0
    for _ in range(families):
        values = pd.DataFrame(rng.lognormal(0, 0.02, size=(2 * pairs, 5)), index=[str(k) for k in range(2 * pairs)])
        ids = list(values.index)
        alarms += bool((compare(values, ids[:pairs], ids[pairs:]).p_holm <= 0.05).any())
    assert alarms / families < 0.085  # 5 % promised, three standard errors are 3.3 %


def test_every_pair_of_frameworks_is_compared_once_per_loop_and_as_the_fastest(tables: Tables) -> None:
    table = tables.comparisons
    on_cpu = table[table["device"] == "cpu"]
    assert on_cpu.groupby("loop").size().to_dict() == {"fastest": 4, "idiomatic": 4}
    assert set(on_cpu["numerator"]) == {"pytorch"}
    assert set(on_cpu["denominator"]) == {"keras-tensorflow"}


def test_the_fastest_loop_of_each_side_stands_for_it(tables: Tables) -> None:
    fastest = tables.comparisons[tables.comparisons["loop"] == "fastest"]
    speed = tables.cells.set_index("cell_id")["samples_per_s"]
    for _, row in fastest.iterrows():
        mine = tables.cells[
            (tables.cells["framework"] == "pytorch") & (tables.cells["batch_size"] == row["batch_size"])
        ]
        assert speed[row["numerator_cell_id"]] == mine["samples_per_s"].max()


def test_one_pair_under_two_names_is_one_member_of_the_family(tables: Tables) -> None:
    idiomatic_only = tables.cells[tables.cells["loop"] == "idiomatic"]
    table = framework_comparisons(idiomatic_only, tables.runs)
    tested = table[table["p"].notna()]
    assert len(tested) == 2 * tested["numerator_cell_id"].nunique()
    smallest = tested.sort_values("p").iloc[0]
    assert smallest["p_holm"] == pytest.approx(smallest["p"] * tested["numerator_cell_id"].nunique())
