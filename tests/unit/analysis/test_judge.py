"""The verdict on ratios: its rules pinned by hand, its laws for any family, and what "more rounds" promises."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.compare import compare_independent
from bench.analysis.judge import (
    ALPHA,
    FASTER,
    INCONCLUSIVE,
    MIN_PAIRS,
    POWER,
    SLOWER,
    TIE,
    TIE_MARGIN,
    Comparisons,
    detectable_loss,
    judge,
    p_values,
)

FloatArray = NDArray[np.float64]
Family = list[tuple[float, float, int]]

SWAPPED = {FASTER: SLOWER, SLOWER: FASTER, TIE: TIE, INCONCLUSIVE: INCONCLUSIVE}
EDGE = math.log1p(TIE_MARGIN)

# Logarithm of the ratio, its standard error, rounds.
ratios = st.tuples(st.floats(-0.5, 0.5), st.floats(1e-4, 0.5), st.integers(MIN_PAIRS, 40))
families = st.lists(ratios, min_size=1, max_size=8)


def judged(family: Family, *, sharper: float = 1.0, margin: float = TIE_MARGIN, alpha: float = ALPHA) -> Comparisons:
    mean, error, n = (np.array(values) for values in zip(*family, strict=True))
    return judge(mean, error * sharper, n - 1.0, n, margin=margin, alpha=alpha)


def one(mean: float, error: float, n: int, **settings: float) -> Comparisons:
    return judged([(mean, error, n)], **settings)


@pytest.mark.parametrize(
    ("mean", "error", "verdict"),
    [
        # t(0.975, 9) = 2.262 and t(0.95, 9) = 1.833; the margin is 0.0488 on the logarithm.
        (0.10, 0.044, FASTER),
        (0.10, 0.045, INCONCLUSIVE),
        (-0.10, 0.044, SLOWER),
        (0.0, 0.0266, TIE),
        (0.0, 0.0267, INCONCLUSIVE),
        (0.03, 0.0102, TIE),
        # Certain, and more than the margin cannot be excluded: not a tie, but a difference.
        (0.03, 0.0104, FASTER),
        # As certain, and inside the margin: a tie.
        (0.03, 0.0001, TIE),
    ],
)
def test_the_verdict_pinned_by_hand(mean: float, error: float, verdict: str) -> None:
    assert one(mean, error, 10).verdict == [verdict]


def test_a_tie_may_still_differ_for_certain() -> None:
    seen = one(0.03, 0.0001, 10)
    assert seen.verdict == [TIE]
    assert seen.differs.all()


def test_two_rounds_say_nothing() -> None:
    seen = one(1.0, 0.001, MIN_PAIRS - 1)
    assert seen.verdict == [INCONCLUSIVE]
    assert np.isnan([seen.low[0], seen.p[0], seen.p_holm[0], seen.p_tie_holm[0], seen.more_rounds[0]]).all()
    assert not seen.differs.any()


def test_a_value_that_has_no_logarithm_decides_nothing_and_asks_for_nothing() -> None:
    seen = judge(np.array([-np.inf, 0.3]), np.array([np.nan, 0.01]), np.array([4.0, 4.0]), np.array([5, 5]))
    assert seen.verdict == [INCONCLUSIVE, FASTER]
    assert np.isnan(seen.more_rounds[0])
    assert seen.p_holm[1] == seen.p[1]


def test_nobody_to_judge() -> None:
    nothing = np.array([], dtype=np.float64)
    assert judge(nothing, nothing, nothing, np.array([], dtype=np.int64)).verdict == []


@pytest.mark.parametrize(("mean", "verdict"), [(0.2, FASTER), (-0.2, SLOWER), (0.0, TIE)])
def test_runs_that_agree_to_the_last_bit_are_certain(mean: float, verdict: str) -> None:
    assert one(mean, 0.0, 5).verdict == [verdict]


@given(families)
def test_swapping_sides_inverts_ratio_and_verdict(family: Family) -> None:
    up, down = judged(family), judged([(-mean, error, n) for mean, error, n in family])
    assert up.ratio * down.ratio == pytest.approx(np.ones(len(family)))
    assert up.low * down.high == pytest.approx(np.ones(len(family)))
    assert down.verdict == [SWAPPED[word] for word in up.verdict]
    assert (down.p_holm == up.p_holm).all()
    np.testing.assert_array_equal(down.more_rounds, up.more_rounds)


@given(families, st.floats(1e-3, 1.0))
def test_a_smaller_error_never_unsettles_a_verdict(family: Family, sharper: float) -> None:
    before, after = judged(family).verdict, judged(family, sharper=sharper).verdict
    for word, later in zip(before, after, strict=True):
        # What is certainly different may turn out to be within the margin; nothing becomes uncertain, or its opposite.
        assert later in {FASTER: (FASTER, TIE), SLOWER: (SLOWER, TIE), TIE: (TIE,)}.get(word, (*SWAPPED,))


@given(families, ratios)
def test_a_larger_family_never_settles_more(family: Family, another: tuple[float, float, int]) -> None:
    alone, together = judged(family).verdict, judged([*family, another]).verdict[:-1]
    for word, crowded in zip(alone, together, strict=True):
        assert crowded in (word, INCONCLUSIVE) or (word, crowded) in ((TIE, FASTER), (TIE, SLOWER))


@given(families, st.floats(0.0, 1.0))
def test_a_stricter_level_never_settles_more(family: Family, share: float) -> None:
    for word, strict in zip(judged(family).verdict, judged(family, alpha=share * ALPHA).verdict, strict=True):
        assert strict in (word, INCONCLUSIVE) or word == TIE


@given(families, st.floats(0.0, 0.5))
def test_a_wider_margin_keeps_every_tie(family: Family, wider: float) -> None:
    narrow, wide = judged(family).verdict, judged(family, margin=TIE_MARGIN + wider).verdict
    assert all(later == TIE for word, later in zip(narrow, wide, strict=True) if word == TIE)


@given(families)
def test_no_verdict_says_more_than_its_own_interval(family: Family) -> None:
    seen = judged(family)
    for i, (mean, error, n) in enumerate(family):
        inside = abs(mean) + stats.t.ppf(1 - ALPHA, n - 1) * error  # the far end of the interval of 1 - 2 alpha
        assert seen.verdict[i] != FASTER or seen.low[i] >= 1
        assert seen.verdict[i] != SLOWER or seen.high[i] <= 1
        assert seen.verdict[i] != TIE or inside <= EDGE + 1e-12
        assert seen.low[i] <= seen.ratio[i] <= seen.high[i]


@given(families)
def test_being_below_the_margin_is_one_of_the_two_one_sided_tests_the_other_way_round(family: Family) -> None:
    below = judged(family).p_no_loss(TIE_MARGIN)
    for (mean, error, n), p in zip(family, below, strict=True):
        assert p == pytest.approx(stats.t.cdf((mean + EDGE) / error, n - 1))


@given(families, st.floats(1e-3, 0.9))
def test_the_margin_of_losses_changes_nothing_else(family: Family, loss_margin: float) -> None:
    mean, error, n = (np.array(values) for values in zip(*family, strict=True))
    seen, untouched = judged(family), judged(family)
    assert seen.p_no_loss(loss_margin) == pytest.approx(stats.t.cdf((mean + np.log1p(loss_margin)) / error, n - 1))
    assert seen.verdict == untouched.verdict
    np.testing.assert_array_equal(seen.more_rounds, untouched.more_rounds)


@given(families, st.floats(1e-3, 0.9), st.floats(1e-3, 0.9))
def test_a_larger_loss_is_never_easier_to_prove(family: Family, margin: float, more: float) -> None:
    seen = judged(family)
    assert (seen.p_no_loss(margin) <= seen.p_no_loss(margin + more)).all()


def test_two_rounds_prove_no_loss() -> None:
    assert np.isnan(one(-1.0, 0.001, MIN_PAIRS - 1).p_no_loss(TIE_MARGIN)).all()


@given(families)
def test_what_is_open_and_only_that_is_missing_rounds(family: Family) -> None:
    seen = judged(family)
    is_open = np.array([word == INCONCLUSIVE for word in seen.verdict])
    assert (np.isnan(seen.more_rounds) == ~is_open).all()
    missing = seen.more_rounds[is_open]
    assert np.isfinite(missing).all()
    assert (missing >= 1).all()
    assert (missing == np.round(missing)).all()


@given(ratios)
def test_the_rounds_asked_for_settle_it_if_all_stays_as_it_is(ratio: tuple[float, float, int]) -> None:
    mean, error, n = ratio
    missing = one(*ratio).more_rounds[0]
    if not np.isnan(missing):
        later = n + int(missing)
        assert one(mean, error * math.sqrt(n / later), later).verdict != [INCONCLUSIVE]


@given(ratios, st.floats(1.01, 3.0))
def test_a_wider_spread_takes_no_fewer_rounds(ratio: tuple[float, float, int], wider: float) -> None:
    missing, more = one(*ratio).more_rounds[0], one(*ratio, sharper=wider).more_rounds[0]
    assert np.isnan(missing) or more >= missing


def test_rounds_that_show_a_difference_pinned_by_a_table() -> None:
    # Cohen 1988, d = 0.5, two-sided 5 %, power 80 %: 34 pairs. A margin of nothing rules ties out.
    seen = one(0.5, 1 / math.sqrt(10), 10, margin=1e-9)
    assert 10 + seen.more_rounds[0] == pytest.approx(34, abs=1)


def test_rounds_that_show_a_tie_pinned_by_hand() -> None:
    # No difference and a deviation of 2 margins: (1.645 + 1.282)^2 * 2^2 = 34.3 of known spread, t takes two more.
    seen = one(0.0, 2 * EDGE / math.sqrt(10), 10)
    assert 34 < 10 + seen.more_rounds[0] <= 37


def test_a_crowded_family_takes_more_rounds() -> None:
    alone = one(0.1, 0.06, 10).more_rounds[0]
    crowd = judged([(0.1, 0.06, 10)] * 20).more_rounds[0]
    assert crowd > 1.5 * alone


def test_the_two_one_sided_tests_pinned_by_scipy() -> None:
    values = np.array([0.01, -0.02, 0.03, 0.0, 0.015])
    error = stats.sem(values)
    _, p_tie = p_values(np.array([values.mean()]), np.array([error]), np.array([4.0]))
    above = stats.ttest_1samp(values, EDGE, alternative="less").pvalue
    below = stats.ttest_1samp(values, -EDGE, alternative="greater").pvalue
    assert p_tie[0] == pytest.approx(max(above, below))


def loss(error: float, degrees: float, *, margin: float = TIE_MARGIN, alpha: float = ALPHA) -> float:
    return float(detectable_loss(np.array([error]), np.array([degrees]), margin=margin, alpha=alpha)[0])


def test_the_loss_that_would_be_found_pinned_by_hand() -> None:
    # t(0.95, 9) = 1.8331 and z(0.8) = 0.8416; 1.8331 + 0.8416 sqrt(1 + 3.3603 / 18) 36 / 35 = 2.776 errors of 1 %.
    assert loss(0.01, 9.0) == pytest.approx(1.05 * math.exp(0.02776) - 1, abs=1e-5)
    # An error that is known takes no more than the two quantiles: 1.645 + 0.842.
    assert loss(0.01, 1e6) == pytest.approx(1.05 * math.exp(0.02486) - 1, abs=1e-5)
    assert loss(0.0, 9.0) == pytest.approx(TIE_MARGIN)
    assert loss(1e6, 1.0) == math.inf


@given(st.floats(1e-4, 1.0), st.floats(1.0, 60.0), st.floats(1.01, 3.0))
def test_what_is_seen_less_well_takes_a_larger_loss(error: float, degrees: float, more: float) -> None:
    least = loss(error, degrees)
    assert least > TIE_MARGIN
    assert loss(error * more, degrees) > least
    assert loss(error, degrees, alpha=ALPHA / more) > least
    assert loss(error, degrees, margin=TIE_MARGIN * more) > least


@pytest.mark.parametrize("runs", [5, 10, 30])
@pytest.mark.parametrize("family", [1, 20])
def test_losses_of_that_size_are_found_about_as_often_as_promised(runs: int, family: int) -> None:
    rng, trials, spread, level = np.random.default_rng(11), 4_000, 0.02, ALPHA / family
    ids = [f"c{place}" for place in range(trials)]

    def sweeps(lost: float) -> Comparisons:
        """As many pairs of sweeps as trials, of one cell each."""
        base, ours = (np.exp(rng.normal(-by, spread, (trials, runs))) for by in (0.0, np.log1p(lost)))
        tables = [pd.DataFrame(values, index=ids) for values in (ours, base)]
        return compare_independent(tables[0], tables[1], ids, ids)

    before = sweeps(0.0)
    typical = np.median(detectable_loss(before.error, before.degrees, margin=TIE_MARGIN, alpha=level))
    found = np.mean(sweeps(float(typical)).p_no_loss(TIE_MARGIN) <= level)
    assert found == pytest.approx(POWER, abs=0.03)
