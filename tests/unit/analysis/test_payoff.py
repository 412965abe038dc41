"""Pay-off: N pinned by hand, the same whoever asks, free of units, and silent where the step times cannot be told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bench.analysis.compare import INCONCLUSIVE
from bench.analysis.payoff import AT_ONCE, LATER, NEVER, PayOffs, break_even, pay_off
from bench.analysis.tables import Tables, build_tables
from bench.store.reader import read_results
from tests.rewriting import rewrite_result
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES

nan = math.nan
seconds = st.floats(1e-6, 1e3)
rounds_of_seconds = st.lists(seconds, min_size=5, max_size=5)


def rounds_near(middle: float) -> st.SearchStrategy[list[float]]:
    """Five rounds, each at most two fifths off."""
    return st.lists(st.floats(0.6 * middle, 1.4 * middle), min_size=5, max_size=5)


def weigh(first: dict[str, list[float]], step: dict[str, list[float]], loop: str = "a", other: str = "b") -> PayOffs:
    return pay_off(pd.DataFrame(first).T, pd.DataFrame(step).T, [loop], [other])


def test_a_slow_start_is_paid_for_by_faster_steps() -> None:
    # 6 s against 1 s to start, 10 ms saved with every step: 5 s / 10 ms.
    seen = weigh({"a": [6.0] * 5, "b": [1.0] * 5}, {"a": [0.010] * 5, "b": [0.020] * 5})
    assert seen.verdict == [LATER]
    assert seen.after_steps[0] == pytest.approx(500)
    assert (seen.low[0], seen.high[0]) == pytest.approx((500, 500))  # rounds that agree leave no doubt
    assert weigh({"a": [6.0] * 5, "b": [1.0] * 5}, {"a": [0.010] * 5, "b": [0.020] * 5}, "b", "a").verdict == [NEVER]


def test_the_interval_pinned_by_hand() -> None:
    # Rounds in which the loop alone is slower by e^z, z = -0.2 to 0.2: after N steps the logarithm of the ratio of
    # times is ln((6 + 0.01 N) / (1 + 0.02 N)) + z, its half-width t(4) = 2.7764 times sqrt(0.025 / 5).
    pace = np.exp([-0.2, -0.1, 0.0, 0.1, 0.2])
    seen = weigh({"a": list(6.0 * pace), "b": [1.0] * 5}, {"a": list(0.010 * pace), "b": [0.020] * 5})
    ends = [(6 - c) / (0.02 * c - 0.01) for c in np.exp([0.19632, -0.19632])]
    assert seen.after_steps[0] == pytest.approx(500)
    assert (seen.low[0], seen.high[0]) == pytest.approx(ends, rel=1e-4)
    assert ends == pytest.approx([333.6, 804.7], abs=0.1)


def test_a_loop_many_times_faster_is_told_from_one_whose_rounds_scatter() -> None:
    # What a noisy machine gave: differences scatter as much as they are large, ratios do not.
    seen = weigh({"a": [0.3] * 3, "b": [0.01] * 3}, {"a": [13.9e-6] * 3, "b": [200e-6, 478e-6, 395e-6]})
    assert seen.verdict == [LATER]


def test_the_machines_drift_cancels_inside_rounds() -> None:
    drift = np.array([1.0, 3.0, 0.5, 2.0, 0.8])
    seen = weigh({"a": list(5 * drift), "b": list(drift)}, {"a": list(0.001 * drift), "b": list(0.003 * drift)})
    assert (seen.low[0], seen.after_steps[0], seen.high[0]) == pytest.approx((2000, 2000, 2000))


def test_step_times_that_cannot_be_told_apart_have_no_number() -> None:
    seen = weigh({"a": [6.0] * 5, "b": [1.0] * 5}, {"a": [9.0, 11.0, 10.0, 9.5, 10.6], "b": [10.0] * 5})
    assert seen.verdict == [INCONCLUSIVE]
    assert np.isnan([seen.after_steps[0], seen.low[0], seen.high[0]]).all()


def test_one_cold_start_gives_a_number_without_an_interval() -> None:
    first = {"a": [6.0, nan, nan, nan, nan], "b": [1.0, 1.1, 0.9, 1.0, 1.0]}
    seen = weigh(first, {"a": [0.010] * 5, "b": [0.020] * 5})
    assert (int(seen.starts.n[0]), int(seen.steps.n[0])) == (1, 5)
    assert seen.verdict == [LATER]
    assert seen.after_steps[0] == pytest.approx(500)
    assert np.isnan([seen.low[0], seen.high[0]]).all()


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("first_s", [6.0, 1.0, 0.1])
def test_too_few_rounds_claim_nothing(first_s: float, rounds: int) -> None:
    seen = weigh({"a": [first_s] * rounds, "b": [1.0] * rounds}, {"a": [0.010] * rounds, "b": [0.100] * rounds})
    assert seen.verdict == [INCONCLUSIVE]
    assert np.isnan([seen.after_steps[0], seen.low[0], seen.high[0]]).all()


@pytest.mark.parametrize(
    ("starts", "verdict"),
    [
        ([0.9, 0.91, 0.89, 0.9, 0.9], AT_ONCE),  # certainly the quicker one
        ([1.01, 0.99, 1.0, 0.99, 0.99], AT_ONCE),  # certainly as quick, within 5 %
        ([0.6, 1.5, 0.9, 0.7, 1.2], INCONCLUSIVE),  # looks quicker
        ([0.5, nan, nan, nan, 0.6], INCONCLUSIVE),  # seen twice
        ([1.1, 0.99, 1.2, 1.05, 0.98], LATER),  # a number whose interval begins at 0
    ],
)
def test_at_once_takes_as_much_certainty_as_faster(starts: list[float], verdict: str) -> None:
    seen = weigh({"a": starts, "b": [1.0] * 5}, {"a": [0.010] * 5, "b": [0.020] * 5})
    assert seen.verdict == [verdict]
    assert seen.faster.all()
    if verdict == LATER:
        assert seen.low[0] < 1e-6 < seen.after_steps[0] < seen.high[0]


def test_two_loops_are_one_of_a_family_whoever_stands_first() -> None:
    # p = 0.03 alone: two members of a family would not stand the correction.
    step = {"a": [10.0, 10.0, 10.0, 10.0, 10.0], "b": [10.2, 10.9, 10.1, 10.8, 10.5]}
    first = {"a": [6.0] * 5, "b": [1.0] * 5}
    seen = pay_off(pd.DataFrame(first).T, pd.DataFrame(step).T, ["a", "b"], ["b", "a"])
    assert seen.verdict == [LATER, NEVER]


def test_loops_of_equal_steps_are_rarely_told_apart() -> None:
    rng, claimed = np.random.default_rng(3), 0
    names = list("abcdefgh")
    pairs = [(one, other) for one in names for other in names if one != other]
    for _ in range(100):
        step = pd.DataFrame(rng.lognormal(0, 0.05, (len(names), 5)), index=names)
        seen = pay_off(step, step, *map(list, zip(*pairs, strict=True)))
        claimed += set(seen.verdict) != {INCONCLUSIVE}
    assert claimed <= 12  # 5 are expected at most, give or take 2


def test_no_start_of_the_kind_asked_for_is_no_verdict() -> None:
    seen = weigh({"a": [nan], "b": [1.0]}, {"a": [0.010], "b": [0.020]})
    assert (int(seen.starts.n[0]), seen.verdict) == (0, [INCONCLUSIVE])


@given(seconds, seconds, seconds, seconds)
def test_both_loops_break_even_at_the_same_step(first: float, other: float, step: float, other_step: float) -> None:
    ours, theirs = (np.array([value]) for value in (first, other)), (np.array([value]) for value in (step, other_step))
    (a, b), (c, d) = ours, theirs
    np.testing.assert_array_equal(break_even(a, b, c, d), break_even(b, a, d, c))


@given(*[rounds_of_seconds] * 4)
def test_of_two_loops_at_most_one_pays_off(a: Any, b: Any, step_a: Any, step_b: Any) -> None:
    first, step = {"a": a, "b": b}, {"a": step_a, "b": step_b}
    verdicts = {weigh(first, step).verdict[0], weigh(first, step, "b", "a").verdict[0]}
    assert verdicts in ({NEVER, LATER}, {NEVER, AT_ONCE}, {NEVER, INCONCLUSIVE}, {INCONCLUSIVE})


@given(*[rounds_of_seconds] * 4, st.sampled_from([2.0**-20, 2.0**-3, 2.0**10]))
def test_the_unit_of_time_changes_nothing(a: Any, b: Any, step_a: Any, step_b: Any, unit: float) -> None:
    def seen(scale: float) -> PayOffs:
        first, step = {"a": a, "b": b}, {"a": step_a, "b": step_b}
        return pay_off(pd.DataFrame(first).T * scale, pd.DataFrame(step).T * scale, ["a"], ["b"])

    ours, scaled = seen(1.0), seen(unit)
    assert ours.verdict == scaled.verdict
    for name in ("after_steps", "low", "high"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(ours, name), rtol=1e-9)


@given(rounds_of_seconds, st.floats(0, 10), seconds, st.floats(0.01, 10))
def test_quicker_to_start_and_faster_is_always_at_once(first: Any, head_start: float, step: float, lead: float) -> None:
    other_first = [value * (1 + head_start) for value in first]
    seen = weigh({"a": first, "b": other_first}, {"a": [step] * 5, "b": [step * (1 + lead)] * 5})
    assert seen.verdict == [AT_ONCE]
    assert seen.after_steps[0] == 0


@given(rounds_near(6.0), rounds_near(4.0), rounds_near(0.01), rounds_near(0.03))
def test_the_interval_holds_the_number(a: Any, b: Any, step_a: Any, step_b: Any) -> None:
    seen = weigh({"a": a, "b": b}, {"a": step_a, "b": step_b})
    assume(seen.verdict != [INCONCLUSIVE])
    assert 0 <= seen.low[0] <= seen.after_steps[0] <= seen.high[0]


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    pairs, rounds = 2000, 5
    # Little noise, or some of 2,000 pairs in one family would be left open.
    first = rng.lognormal(np.log([[6.0]] * pairs + [[1.0]] * pairs), 0.02, (2 * pairs, rounds))
    step = rng.lognormal(np.log([[0.010]] * pairs + [[0.020]] * pairs), 0.02, (2 * pairs, rounds))
    cells = [f"{kind}{i}" for kind in "ab" for i in range(pairs)]
    first_s, step_s = pd.DataFrame(first, index=cells), pd.DataFrame(step, index=cells)
    seen = pay_off(first_s, step_s, cells[:pairs], cells[pairs:])
    covered = np.mean((seen.low <= 500) & (seen.high >= 500))
    assert 0.94 <= covered <= 0.97


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    loops = ("idiomatic", "eager", "fused")
    recipe: dict[str, Any] = dict(batch_sizes=(1, 32, "full"), loops=loops, devices=("cpu", "gpu"), failures=False)
    return build_tables(make_sweep(tmp_path_factory.mktemp("payoff") / "s", **recipe))


def row(tables: Tables, start: str, loop: str = "fused", other: str = "idiomatic", **where: Any) -> pd.Series[Any]:
    wanted = {"framework": "pytorch", "batch_size": 32, "loop": loop, "other_loop": other, "start": start} | where
    found = tables.payoffs
    for name, value in wanted.items():
        found = found[found[name] == value]
    (only,) = (found.iloc[i] for i in range(len(found)))
    return only


def test_every_loop_meets_every_other_of_its_framework_cold_and_warm(swept: Tables) -> None:
    assert len(swept.payoffs) == 2 * 3 * (3 * 2) * 2  # frameworks, batch sizes, ordered pairs of loops, starts
    assert set(swept.payoffs["device"]) == {"cpu"}


def test_a_cached_program_is_dear_once_and_cheap_afterwards(swept: Tables) -> None:
    fused, plain = PACES["pytorch", "fused"], PACES["pytorch", "idiomatic"]
    saved_s = (plain.t0_us - fused.t0_us + 31.25 * (plain.us_per_sample - fused.us_per_sample)) * 1e-6
    cold, warm = row(swept, "cold"), row(swept, "warm")
    assert fused.warm_s is not None
    assert cold["after_steps"] == pytest.approx((fused.first_step_s - plain.first_step_s) / saved_s, rel=0.2)
    assert warm["after_steps"] == pytest.approx((fused.warm_s - plain.first_step_s) / saved_s, rel=0.2)
    assert (cold["n_starts"], warm["n_starts"], warm["n_rounds"]) == (1, 4, 5)
    assert cold["interval_reason"] == "1 round had both start cold: an interval takes 3"
    assert warm["after_steps_low"] < warm["after_steps"] < warm["after_steps_high"]


def test_steps_are_told_in_epochs_and_seconds_too(swept: Tables) -> None:
    warm = row(swept, "warm")
    assert warm["after_epochs"] == pytest.approx(warm["after_steps"] / 32)  # 1,000 rows are 32 batches of 32
    ours_s = warm["first_step_s"] + warm["after_steps"] * warm["step_us"] / 1e6
    theirs_s = warm["other_first_step_s"] + warm["after_steps"] * warm["other_step_us"] / 1e6
    assert warm["after_s"] == pytest.approx(ours_s)
    assert warm["after_s"] == pytest.approx(theirs_s)


def test_without_a_cache_every_start_is_the_same(swept: Tables) -> None:
    same = ["n_starts", "first_step_s", "after_steps", "after_steps_low", "after_steps_high", "verdict"]
    keras = swept.payoffs[swept.payoffs["framework"] == "keras"]
    cold, warm = (keras[keras["start"] == start][same].reset_index(drop=True) for start in ("cold", "warm"))
    pd.testing.assert_frame_equal(cold, warm)
    assert (cold["n_starts"] == 5).all()


def test_a_single_round_has_no_warm_start_of_what_is_cached(tmp_path: Path) -> None:
    loops = ("idiomatic", "fused")
    tables = build_tables(make_sweep(tmp_path / "s", batch_sizes=(32,), loops=loops, rounds=1, failures=False))
    warm = row(tables, "warm")
    assert (warm["verdict"], warm["reason"]) == (INCONCLUSIVE, "no round had both loops start warm")
    cold = row(tables, "cold")
    assert (cold["verdict"], cold["reason"]) == (INCONCLUSIVE, "1 round measured both loops: a verdict takes 3")


def test_two_rounds_claim_nothing_of_any_pair(tmp_path: Path) -> None:
    loops = ("idiomatic", "eager", "fused")
    tables = build_tables(make_sweep(tmp_path / "s", batch_sizes=(32, "full"), loops=loops, rounds=2, failures=False))
    assert set(tables.payoffs["verdict"]) == {INCONCLUSIVE}
    assert set(tables.crossings["verdict"]) == {INCONCLUSIVE}


def test_records_without_a_word_on_the_cache_count_as_both(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s", frameworks=("keras",), batch_sizes=(32,), loops=("idiomatic", "fused"), failures=False
    )
    before = build_tables(folder).payoffs
    for result in read_results(folder):
        plain = vars(result) | {"schema_version": 1, "compile_cache": None}
        rewrite_result(folder.run(result.cell_id, result.round), type(result)(**plain))
    pd.testing.assert_frame_equal(build_tables(folder).payoffs, before)
