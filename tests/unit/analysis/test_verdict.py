"""The verdict: the winner by its medians, ties named as ties, and no certainty that the runs do not give."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import bench.analysis.verdict as verdicts
from bench.analysis.compare import FASTER, TIE
from bench.analysis.tables import build_tables
from bench.analysis.verdict import (
    FASTEST_PER_SAMPLE,
    FASTEST_TO_TARGET,
    SMALLEST_MEMORY,
    Finding,
    Verdict,
    verdict,
)
from bench.store.reader import read_sweep
from tests.synthetic import make_sweep
from tests.synthetic_run import Pace

FAST, SLOW = Pace(100.0, 0.2, 0.01, 0.1), Pace(300.0, 0.6, 0.01, 0.1)


def verdict_of(path: Path, **recipe: object) -> Verdict:
    defaults = {"loops": ["eager"], "batch_sizes": [32, 256], "devices": ["cpu"], "failures": False, "noise": 0.005}
    folder = make_sweep(path / "s", **(defaults | recipe))
    return verdict(build_tables(folder), read_sweep(folder))


def paces(pytorch: Pace, keras: Pace) -> dict[tuple[str, str], Pace]:
    return {("pytorch", "eager"): pytorch, ("keras", "eager"): keras}


def finding(found: Verdict, kind: str) -> Finding:
    return next(f for f in found.findings if f.kind == kind)


def test_the_fastest_per_sample_and_by_how_much(tmp_path: Path) -> None:
    fastest = finding(verdict_of(tmp_path, paces=paces(FAST, SLOW)), FASTEST_PER_SAMPLE)
    assert fastest.winner is not None
    assert fastest.other_framework is not None
    assert (fastest.winner.framework, fastest.winner.batch_size) == ("pytorch", 256)
    assert (fastest.winner.n, fastest.candidates) == (5, 4)
    assert fastest.tied_with == ()
    rival = fastest.other_framework
    assert (rival.choice.full_framework, rival.choice.batch_size) == ("keras-tensorflow", 256)
    assert rival.verdict == FASTER
    assert rival.low is not None
    assert rival.high is not None
    assert rival.low <= 3.0 * 1.02
    assert rival.high >= 3.0 * 0.98
    assert rival.low > 2.5


def test_a_cell_that_trained_something_else_wins_nothing_and_the_advice_says_so(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, paces=paces(FAST, SLOW), wrong=[("pytorch", "eager", 256)])
    for decided in found.findings:
        cells = [
            decided.winner,
            *(rival.choice for rival in decided.tied_with),
            *(b.choice for b in found.best_per_framework),
        ]
        assert not [c for c in cells if c is not None and (c.framework, c.batch_size) == ("pytorch", 256)]
    (advice,) = found.recommendations
    assert {c.kind: c.count for c in advice.caveats}["not_the_same_training"] == 1
    assert "failed_runs" not in {caveat.kind for caveat in advice.caveats}


def test_the_runner_up_is_the_next_best_of_all(tmp_path: Path) -> None:
    fastest = finding(verdict_of(tmp_path, paces=paces(FAST, Pace(10_000.0, 50.0, 1, 1))), FASTEST_PER_SAMPLE)
    assert fastest.runner_up is not None
    assert (fastest.runner_up.choice.framework, fastest.runner_up.choice.batch_size) == ("pytorch", 32)
    assert fastest.runner_up.beaten


def test_equals_are_named_as_tied(tmp_path: Path) -> None:
    fastest = finding(verdict_of(tmp_path, paces=paces(FAST, FAST)), FASTEST_PER_SAMPLE)
    assert fastest.winner is not None
    [tied] = fastest.tied_with
    assert tied.verdict == TIE
    assert tied.choice.framework != fastest.winner.framework
    assert tied.choice.batch_size == fastest.winner.batch_size
    assert not tied.beaten


def test_the_fastest_to_the_target_is_the_shortest_time(tmp_path: Path) -> None:
    soonest = finding(verdict_of(tmp_path, paces=paces(SLOW, FAST), batch_sizes=[16, 32]), FASTEST_TO_TARGET)
    assert soonest.winner is not None
    assert soonest.runner_up is not None
    assert soonest.winner.framework == "keras"
    assert soonest.runner_up.ratio is not None
    assert soonest.runner_up.ratio > 1
    assert soonest.winner.value < soonest.runner_up.choice.value


def test_memory_says_what_it_measures_and_calls_a_few_percent_a_tie(tmp_path: Path) -> None:
    smallest = finding(verdict_of(tmp_path, batch_sizes=[1, 2, 512]), SMALLEST_MEMORY)
    assert smallest.quantity == "peak_rss_bytes"
    assert smallest.winner is not None
    assert (smallest.winner.framework, smallest.winner.batch_size) == ("pytorch", 1)
    assert {rival.choice.framework for rival in smallest.tied_with} == {"pytorch"}
    assert smallest.other_framework is not None
    assert smallest.other_framework.beaten
    assert smallest.reason == "memory is measured in one run per cell: no interval"


def test_few_rounds_name_a_winner_without_certainty_or_ties(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, rounds=2)
    fastest = finding(found, FASTEST_PER_SAMPLE)
    assert fastest.winner is not None
    assert fastest.runner_up is not None
    assert fastest.runner_up.low is None
    assert not fastest.runner_up.beaten
    assert fastest.tied_with == ()
    assert fastest.reason == "too few rounds have both cells"
    assert "few_rounds" in {caveat.kind for caveat in found.recommendations[0].caveats}


@pytest.mark.parametrize("recipe", [{"devices": ["gpu"]}, {"devices": []}, {"rounds": 1, "unfinished": 4}])
def test_nothing_measured_decides_nothing(tmp_path: Path, recipe: dict[str, object]) -> None:
    found = verdict_of(tmp_path, **recipe)
    assert (found.findings, found.best_per_framework, found.recommendations) == ((), (), ())


def test_a_single_cell_wins_without_a_rival(tmp_path: Path) -> None:
    fastest = finding(verdict_of(tmp_path, frameworks=["pytorch"], batch_sizes=[32], rounds=1), FASTEST_PER_SAMPLE)
    assert fastest.winner is not None
    assert (fastest.runner_up, fastest.other_framework, fastest.candidates) == (None, None, 1)


def test_a_target_nobody_reached_has_a_reason_and_speed_is_recommended(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, target_loss=0.01)
    soonest = finding(found, FASTEST_TO_TARGET)
    assert soonest.winner is None
    assert soonest.reason == "target not reached in 10 epochs in 5 of 5 runs"
    assert found.recommendations[0].based_on.kind == FASTEST_PER_SAMPLE
    assert "epoch_budget" in {caveat.kind for caveat in found.recommendations[0].caveats}


def test_each_framework_has_its_own_best(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, paces=paces(FAST, SLOW))
    best = {(b.kind, b.full_framework): b.choice for b in found.best_per_framework}
    assert best[FASTEST_PER_SAMPLE, "pytorch"].framework == "pytorch"
    assert best[FASTEST_PER_SAMPLE, "keras-tensorflow"].framework == "keras"
    assert set(best) >= {(FASTEST_TO_TARGET, "pytorch"), (SMALLEST_MEMORY, "keras-tensorflow")}


def test_random_labels_failures_and_absent_devices_are_kept_in_mind(tmp_path: Path) -> None:
    found = verdict_of(tmp_path, data="tutorial", failures=True, devices=["cpu", "gpu"], batch_sizes=[8, 16, 32, 64])
    caveats = {caveat.kind: caveat.count for caveat in found.recommendations[0].caveats}
    assert caveats["random_labels"] == 7  # the eighth cell diverged in every round
    assert caveats["failed_runs"] == 5
    assert caveats["unavailable"] == 8


def test_the_recommendation_is_the_fastest_to_the_target(tmp_path: Path) -> None:
    found = verdict_of(tmp_path)
    assert found.recommendations[0].choice == finding(found, FASTEST_TO_TARGET).winner


def test_a_cell_that_missed_the_target_more_than_once_has_no_time_to_it() -> None:
    # Of the last one two runs diverged: those count as measured nowhere, and missed the target all the same.
    group = pd.DataFrame(
        {
            "n_measured": [5, 5, 5, 3],
            "n_reached": [5, 4, 3, 3],
            "n_censored": [0, 1, 2, 2],
            "time_to_target_s": [4.0, 3.0, 2.0, 1.0],
        }
    )
    assert verdicts._reliable(group)["time_to_target_s"].tolist()[:2] == [4.0, 3.0]
    assert verdicts._reliable(group)["time_to_target_s"].isna().tolist() == [False, False, True, True]


def test_a_run_that_missed_the_target_counts_with_all_of_its_training() -> None:
    runs = pd.DataFrame(
        {
            "cell_id": ["a"] * 4 + ["b"] * 2,
            "round": [0, 1, 2, 3, 0, 1],
            "status": ["ok", "target_not_reached", "diverged", "crashed", "ok", "ok"],
            "target_loss": 0.5,
            "time_to_target_s": [3.0, None, None, None, 4.0, 5.0],
            "training_s": [7.0, 8.0, 0.5, None, 7.0, 7.0],
        }
    )
    times = verdicts.times_to_target(runs)
    assert times.to_numpy()[0, :3].tolist() == [3.0, 8.0, 8.0]
    assert times.isna().to_numpy()[0].tolist() == [False, False, False, True]
    assert times.to_numpy()[1, :2].tolist() == [4.0, 5.0]
    without = verdicts.times_to_target(runs.assign(target_loss=None))
    assert without.isna().to_numpy()[0].tolist() == [False, True, True, True]


def choice(cell_id: str, value: float) -> verdicts.Choice:
    return verdicts.Choice(
        cell_id=cell_id, framework="pytorch", backend=None, loop="eager", device="cpu", batch_size=1,
        batch_size_label="1", value=value, low=None, high=None, n=10,
    )  # fmt: skip


def test_whoever_is_better_in_the_rounds_that_both_have_wins() -> None:
    """The machine slowed down by a fifth when one of the two had rounds enough, and rested."""
    wobble = [1.0, 1.01, 0.99, 1.02, 1.0, 0.98, 1.0, 1.01, 0.99, 1.0]
    rested = [100 * factor for factor in wobble]
    went_on = [110 * factor for factor in reversed(wobble)]
    values = pd.DataFrame([rested + [math.nan] * 20, went_on + [88 * f for f in wobble] * 2], index=["rested", "on"])
    choices = [choice("rested", 100.0), choice("on", 88.5)]
    winner, rivals = verdicts._best(choices, values, larger_is_better=True)
    assert winner.cell_id == "on"
    assert [(rival.choice.cell_id, rival.verdict) for rival in rivals] == [("rested", FASTER)]


def test_one_lucky_run_wins_nothing_where_others_have_enough(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", loops=["eager"], batch_sizes=[32, 256], devices=["cpu"], failures=False)
    tables = build_tables(folder)
    fastest_of_all = tables.cells["samples_per_s"] == tables.cells["samples_per_s"].max()
    lucky = tables.cells.assign(n_measured=tables.cells["n_measured"].mask(fastest_of_all, 1))
    found = verdict(replace(tables, cells=lucky), read_sweep(folder))
    fastest = finding(found, FASTEST_PER_SAMPLE)
    assert fastest.winner is not None
    assert [fastest.winner.cell_id] != tables.cells.loc[fastest_of_all, "cell_id"].tolist()
    assert {caveat.kind: caveat.count for caveat in found.recommendations[0].caveats}["few_runs"] == 1


def test_what_too_few_epochs_leave_open_is_kept_in_mind(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "s", loops=["eager"], batch_sizes=[32, 256], devices=["cpu"], failures=False)
    tables = build_tables(folder)
    found = verdict(replace(tables, cells=tables.cells.assign(n_too_few=[5, 0, 0, 0])), read_sweep(folder))
    caveats = {caveat.kind: caveat.text for caveat in found.recommendations[0].caveats}
    assert caveats["unjudged_runs"].startswith("5 of 20 runs, of 1 cell, had fewer than 10 steady epochs")
