"""The sentences and matrices of the report, computed from the data."""

import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.analysis.verdict import Rival
from bench.report import completeness, costs, story
from bench.report.best import best_lines
from bench.report.figures.base import ticks_that_fit
from bench.report.figures.batch_loss import decimated, with_running_mean
from bench.report.figures.loss_curves import chosen_sizes
from bench.report.figures.ratio import RATIO, relative_luminance
from bench.report.figures.target import TARGET, first_resolved
from bench.report.figures.throughput import THROUGHPUT
from bench.report.page import _as_typed, fact_rows
from bench.report.terminal import print_summary
from bench.report.view import View, budget_label
from bench.store.layout import SweepFolder


def test_the_verdict_names_winner_value_and_lead(view: View) -> None:
    answers = {answer.question: answer for answer in story.answers(view)}
    fastest = answers["Fastest per sample"]
    assert fastest.winner == "PyTorch eager at batch full (1,000)"
    assert fastest.value.endswith("samples/s")
    assert "as fast as Keras compiled at batch full (1,000)" in fastest.lead
    assert set(answers) == {"Fastest per sample", "Fastest to the target loss", "Smallest in memory"}


def test_ties_are_named_as_ties(view: View) -> None:
    smallest = {answer.question: answer for answer in story.answers(view)}["Smallest in memory"]
    assert smallest.ties.startswith("About as small, in the one run that measured each: ")


def test_advice_says_what_to_do_and_what_to_keep_in_mind(view: View) -> None:
    (advice,) = story.advice(view)
    assert advice.text.startswith("Use Keras compiled at batch 32: it reached the target loss soonest")
    assert any("did not reach the target" in caveat for caveat in advice.caveats)


def test_the_matrix_has_every_cell_of_the_grid(view: View) -> None:
    matrix = completeness.matrix(view)
    assert matrix.sizes == ["1", "8", "32", "full"]
    assert len(matrix.rows) == 8
    squares = [square for _, row in matrix.rows for square in row]
    assert sum(square.status == "unavailable" for square in squares) == 16
    assert all(square.status for square in squares)


def test_absences_carry_their_reason(view: View) -> None:
    assert completeness.absences(view) == [
        ("Keras on GPU (8 cells)", "no gpu: keras sees none on this machine"),
        ("PyTorch on GPU (8 cells)", "no gpu: pytorch sees none on this machine"),
    ]


def test_every_run_that_did_not_end_ok_is_listed(view: View) -> None:
    failures, left_out = completeness.endings(view, failed=True)
    misses, _ = completeness.endings(view, failed=False)
    assert left_out == 0
    assert {ending.status for ending in failures} >= {"diverged", "unavailable"}
    assert {ending.status for ending in misses} == {"target_not_reached"}
    diverged = next(ending for ending in failures if ending.status == "diverged")
    assert diverged.rounds == "1 to 5"
    assert "not finite" in diverged.reason


def test_statuses_are_counted_run_by_run(view: View) -> None:
    counts = {status: number for _, status, number in completeness.status_counts(view)}
    assert sum(counts.values()) == len(view.runs)
    assert counts["unavailable"] == 16
    assert counts["diverged"] == 5


def test_wall_time_is_split_completely(view: View) -> None:
    for cost in costs.costs(view):
        assert sum(share.fraction for share in cost.shares) == pytest.approx(1.0)
        assert [share.phase for share in cost.shares] == costs.phase_names()


def test_the_running_mean_is_what_keras_hands_its_callbacks() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([32, 32, 8] * 4)
    steps = pd.DataFrame(
        {"step": range(12), "epoch": np.repeat(range(4), 3), "batch_samples": sizes, "loss": rng.uniform(0, 1, 12)}
    )
    seen = with_running_mean(steps)
    # The article's inversion gives the batches' own losses back.
    n = seen.groupby("epoch")["batch_samples"].cumsum()
    total = seen["running_mean"] * n
    own = (total - total.groupby(seen["epoch"]).shift(1).fillna(0.0)) / seen["batch_samples"]
    np.testing.assert_allclose(own, steps["loss"], rtol=1e-12)
    # Each epoch starts afresh.
    np.testing.assert_allclose(seen["running_mean"][::3], steps["loss"][::3])


def test_a_thinned_trace_keeps_its_extremes() -> None:
    losses = np.random.default_rng(1).normal(size=20_000)
    losses[12_345], losses[777] = 50.0, -50.0
    thinned = decimated(pd.DataFrame({"step": range(20_000), "loss": losses}), "loss")
    assert len(thinned) <= 1000
    assert thinned["loss"].max() == 50.0
    assert thinned["loss"].min() == -50.0
    assert thinned["step"].is_monotonic_increasing


def test_ticks_that_would_touch_are_left_out_but_never_the_ends() -> None:
    assert ticks_that_fit([1, 2, 4, 8], 500) == [1, 2, 4, 8]
    crowded = ticks_that_fit(list(range(1, 200)), 300)
    assert crowded[0] == 1
    assert crowded[-1] == 199
    assert len(crowded) < 14
    assert ticks_that_fit([32], 100) == [32]


def test_small_multiples_are_few_and_hold_the_ends() -> None:
    assert chosen_sizes([1, 32]) == [1, 32]
    chosen = chosen_sizes([2**k for k in range(10)])
    assert len(chosen) == 5
    assert (chosen[0], chosen[-1]) == (1, 512)


def test_luminance_of_black_and_white() -> None:
    assert relative_luminance((0, 0, 0)) == 0
    assert relative_luminance((1, 1, 1)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("policy", "words"), [("constant", "at every batch size"), ("linear", "linearly"), ("sqrt", "square root")]
)
def test_the_learning_rate_policy_is_named(view: View, policy: str, words: str) -> None:
    plan = dict(next(iter(view.plans.values())))
    plan["lr_policy"] = {"name": policy, "base_batch_size": 32}
    assert words in budget_label(plan)


def test_the_summary_fits_80_columns_without_a_terminal(folder: SweepFolder) -> None:
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert all(len(line) <= 80 for line in lines[:-2])
    # To be copied whole.
    again, report = lines[-2:]
    assert report == f"Report: {folder.report_html}"
    assert again.startswith("To run again what failed: bench sweep --resume ")
    assert again.endswith(f"{folder.name} --retry diverged,oom,timeout,crashed,error")
    assert any("PyTorch eager at batch full (1,000) trains the most samples per second" in line for line in lines)
    assert any(line.startswith("Runs: ") and "ok" in line for line in lines)
    assert any("no gpu" in line for line in lines)


def test_the_summary_is_the_same_before_the_tables_are_on_disk(
    folder: SweepFolder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import shutil

    bare = SweepFolder(tmp_path_factory.mktemp("bare") / folder.name)
    shutil.copytree(folder.path, bare.path, ignore=shutil.ignore_patterns("tables", "figures"))
    said = []
    for where in (folder, bare):
        out = io.StringIO()
        print_summary(where, Console(file=out, width=80))
        said.append(out.getvalue().rpartition("To run again")[0])
    assert said[0] == said[1]


def test_a_cell_that_missed_the_target_in_several_runs_is_no_answer_to_what_is_quickest(view: View) -> None:
    panel = view.panels[0]
    cells = panel.cells.assign(reliable=panel.cells["reliable"] & (panel.cells["batch_size"] != 32))
    assert panel.cells["reliable"].any()
    assert (cells["time_to_target_s"].notna() & ~cells["reliable"]).any()
    changed = replace(
        view, cells=view.cells.assign(reliable=cells["reliable"].reindex(view.cells.index, fill_value=False))
    )
    assert all(line.target_batch != "32" for line in best_lines(changed)[0])
    assert "missed it in several runs" in TARGET.finding(changed)


def test_perfect_scaling_starts_where_an_evaluation_once_an_epoch_can_tell() -> None:
    reached = pd.DataFrame({"batch_size": [1, 4, 8, 16], "epochs_to_target": [1.0, 1.0, 2.0, 3.0]})
    assert first_resolved(reached) == 8
    assert first_resolved(reached[:2]) == 1


def test_facts_without_a_value_are_told_with_their_reason_or_together() -> None:
    facts = {
        "governor": None, "governor_reason": "not exposed", "turbo": None, "smt": False, "frequency_mhz": 2596,
        "packages": {"torch": "2.13.0", "torch-tpu": None, "triton": None},
    }  # fmt: skip
    assert list(fact_rows(facts)) == [
        ("governor", "– (not exposed)"), ("SMT", "no"), ("frequency", "2,596 MHz"), ("torch", "2.13.0"),
        ("not there", "torch-tpu, triton"), ("not there", "turbo"),
    ]  # fmt: skip


def test_the_command_is_told_as_it_was_typed() -> None:
    assert _as_typed(["python", "some/where/bench", "sweep", "data=tutorial"]) == ["bench", "sweep", "data=tutorial"]
    assert _as_typed(["python3.12", "-m", "bench.app"]) == ["python3.12", "-m", "bench.app"]


def test_many_ties_are_named_by_framework_and_loop(view: View) -> None:
    smallest = next(finding for finding in view.verdict.findings if finding.kind == "smallest_memory")
    assert smallest.winner is not None
    tied = tuple(
        Rival(choice=replace(smallest.winner, loop=loop), ratio=1.0, low=None, high=None, n=1, verdict="tie")
        for loop in ("eager", "eager", "eager", "idiomatic")
    )
    said = story.answers(
        replace(view, verdict=replace(view.verdict, findings=(replace(smallest, tied_with=tied, runner_up=tied[0]),)))
    )
    name = {"pytorch": "PyTorch", "keras": "Keras"}[smallest.winner.framework]
    head = "About as small, in the one run that measured each:"
    assert said[0].ties == f"{head} 3 cells of {name} eager and 1 cell of {name} idiomatic."


def told_of_a_rival(view: View, verdict: str, more_rounds: int | None = None) -> tuple[story.Answer, str, str]:
    """Answer, headline and advice where the other framework's best is such a rival, and the only one."""
    (found,) = [finding for finding in view.verdict.findings if finding.kind == "fastest_per_sample"]
    assert found.other_framework is not None
    rival = replace(found.other_framework, ratio=1.01, low=0.97, high=1.05, verdict=verdict, more_rounds=more_rounds)
    changed = replace(found, other_framework=rival, runner_up=rival, tied_with=(rival,))
    (advice,) = view.verdict.recommendations
    seen = replace(
        view,
        verdict=replace(view.verdict, findings=(changed,), recommendations=(replace(advice, based_on=changed),)),
    )
    return story.answers(seen)[0], story.headline(seen), story.advice(seen)[0].text


def test_a_tie_is_told_as_a_tie(view: View) -> None:
    answer, headline, advice = told_of_a_rival(view, "tie")
    assert answer.ties == "Tied within 5 % with Keras compiled at batch full (1,000)."
    assert answer.lead.endswith("as fast as Keras compiled at batch full (1,000), a tie.")
    assert headline.endswith(", tied with Keras compiled at batch full (1,000).")
    assert advice.endswith("Keras compiled at batch full (1,000) ties with it.")


def test_what_the_rounds_leave_open_says_how_many_would_settle_it(view: View) -> None:
    answer, headline, advice = told_of_a_rival(view, "inconclusive", 12)
    settling = "about 12 more rounds would settle it"
    assert answer.ties == f"Not clearly better than Keras compiled at batch full (1,000): {settling}."
    assert answer.lead.endswith(", not settled.")
    assert headline.endswith(f"not clearly better than Keras compiled at batch full (1,000) ({settling}).")
    assert advice.endswith(f"is not clearly worse: {settling}.")


def test_the_ratio_figure_says_how_many_rounds_are_missing(view: View) -> None:
    comparisons = view.tables.comparisons
    missing = [4, *[1_234] * (len(comparisons) - 1)]
    comparisons = comparisons.assign(verdict="inconclusive", more_rounds=pd.array(missing, dtype="Int64"))
    seen = replace(view, tables=replace(view.tables, comparisons=comparisons))
    assert "(about 4 to 1,200 more rounds would)" in RATIO.finding(seen)
    table = RATIO.table(seen)
    assert any("inconclusive: about 1,200 more rounds" in row for row in table.rows)


def test_growth_over_batch_sizes_is_a_ratio_with_its_interval(view: View) -> None:
    assert re.search(r"[\d.]+× \([\d.]+× to [\d.]+×\) for PyTorch eager", THROUGHPUT.finding(view))
