"""What the report says of compiling: its price cold and warm, when it is paid for, and where nobody can tell."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import SubFigure

from bench.analysis.payoff import COLD, WARM
from bench.records import CompileCache, Status
from bench.report import starting, story, style
from bench.report.figures.payoff import PAYOFF, _ends
from bench.report.view import View
from bench.store.reader import read_results
from tests.rewriting import rewrite_result
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES, Pace
from tests.unit.report.conftest import look_at

LATE = {
    "verdict": "later", "after_steps": 410.0, "after_steps_low": 400.0, "after_steps_high": 420.0,
    "after_epochs": 12.8125, "after_s": 6.123, "n_starts": 4, "n_rounds": 5, "unsteady": 0,
}  # fmt: skip
WITHOUT_INTERVAL = {"after_steps_low": float("nan"), "after_steps_high": float("nan"), "n_starts": 1}
ABOUT = "after about 410 steps (13 epochs, 6.1 s; 1 start, no interval)"


def sweep(path: Path, **recipe: Any) -> View:
    usual: dict[str, Any] = dict(batch_sizes=(1, 32, "full"), devices=("cpu",), loops=("idiomatic", "eager", "fused"))
    return look_at(make_sweep(path / "s", failures=False, **(usual | recipe)))


def test_a_pay_off_from_an_unsteady_run_is_marked() -> None:
    rows = {"cold": LATE | WITHOUT_INTERVAL | {"unsteady": 1}}
    assert starting.pays_off("it", rows).endswith("†")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> View:
    return sweep(tmp_path_factory.mktemp("starting"))


def cell_of(view: View, framework: str, loop: str, batch_size: int = 32) -> str:
    cells = view.cells
    found = cells[(cells["framework"] == framework) & (cells["loop"] == loop) & (cells["batch_size"] == batch_size)]
    return str(found["cell_id"].iloc[0])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (LATE | WITHOUT_INTERVAL, ABOUT),
        (LATE | {"after_steps_low": 408.0, "after_steps_high": 412.0}, "after 410 steps (12.81 epochs, 6.1 s)"),
        (
            LATE | WITHOUT_INTERVAL | {"after_steps": 32.0, "after_epochs": 1.0},
            "after about 32 steps (1.0 epochs, 6.1 s; 1 start, no interval)",
        ),
        (
            LATE | WITHOUT_INTERVAL | {"after_steps": 0.3, "after_epochs": 0.01, "n_starts": 4},
            "after about 1 step (0.010 epochs, 6.1 s; 4 starts, no interval)",
        ),
        ({"verdict": "at once"}, "at once"),
        ({"verdict": "never"}, "never"),
        ({"verdict": "inconclusive"}, "open"),
    ],
)
def test_steps_come_with_their_epochs_and_seconds(row: dict[str, Any], words: str) -> None:
    assert starting.after(row) == words


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ({COLD: "at once"}, "it pays off at once"),
        ({COLD: "at once", WARM: "at once"}, "it pays off at once"),
        ({COLD: "never", WARM: "never"}, "it never pays off"),
        ({COLD: "inconclusive", WARM: "inconclusive"}, "when it pays off, if it does, is open"),
        ({COLD: "later", WARM: "at once"}, f"it pays off {ABOUT} where it compiles and at once where it loads"),
        ({COLD: "later", WARM: "inconclusive"},
         f"it pays off {ABOUT} where it compiles, while it is open when it does where it loads"),
    ],
)  # fmt: skip
def test_a_sentence_for_every_verdict(verdicts: dict[str, str], sentence: str) -> None:
    rows = {start: LATE | WITHOUT_INTERVAL | {"verdict": verdict} for start, verdict in verdicts.items()}
    assert starting.pays_off("it", rows) == sentence


def test_too_few_rounds_say_so() -> None:
    rows = {start: LATE | WITHOUT_INTERVAL | {"verdict": "inconclusive", "n_rounds": 2} for start in (COLD, WARM)}
    assert starting.pays_off("it", rows) == "when it pays off, if it does, is open, in too few rounds to say (2)"


def test_only_loops_that_compile_have_a_price(compiled: View) -> None:
    assert starting.cost_of_start(compiled, cell_of(compiled, "pytorch", "eager")) == ""
    assert starting.cost_of_start(compiled, cell_of(compiled, "pytorch", "idiomatic")) == ""


def test_a_cached_loop_has_two_prices_and_another_one(compiled: View) -> None:
    cached = starting.cost_of_start(compiled, cell_of(compiled, "pytorch", "fused"))
    number = r"after [\d,]+ steps \([\d,.]+ epochs, [\d.]+ m?s\)"
    about = r"after about [\d,]+ steps \([\d,.]+ epochs, [\d.]+ m?s; 1 start, no interval\)"
    assert re.fullmatch(
        r"Its first step takes \d\.\d s where it compiles and 1\d\d ms where it loads what was compiled; "
        rf"it pays off against PyTorch idiomatic {about} where it compiles and {number} where it loads\.",
        cached,
    )
    anew = starting.cost_of_start(compiled, cell_of(compiled, "keras", "fused"))
    assert re.fullmatch(
        rf"Its first step takes 1\.\d s in every process; it pays off against Keras idiomatic {number}\.", anew
    )


def test_the_usual_loop_is_not_weighed_against_itself(compiled: View) -> None:
    said = starting.cost_of_start(compiled, cell_of(compiled, "keras", "idiomatic"))
    assert re.fullmatch(r"Its first step takes \d+ ms in every process\.", said)


def test_the_verdict_says_what_a_winner_that_compiles_costs(compiled: View) -> None:
    answers = {answer.question: answer for answer in story.answers(compiled)}
    for question in ("Fastest per sample", "Fastest to the target loss"):
        assert "fused" in answers[question].winner
        assert answers[question].start.startswith("Its first step takes ")
    assert answers["Smallest in memory"].start == ""


def test_a_sweep_of_one_round_says_nothing_of_loading_nor_when_it_pays_off(tmp_path: Path) -> None:
    view = sweep(tmp_path, rounds=1)
    said = starting.cost_of_start(view, cell_of(view, "pytorch", "fused"))
    assert "loads" not in said
    assert said.endswith(
        "; when it pays off against PyTorch idiomatic, if it does, is open, in too few rounds to say (1)."
    )


def test_the_finding_speaks_of_the_batch_size_people_use(compiled: View) -> None:
    finding = PAYOFF.finding(compiled)
    assert "At batch 32, against the idiomatic loop of its framework: Keras fused pays off after" in finding
    assert "eager" not in finding  # it compiles nothing


def test_the_table_behind_the_figure_has_every_pair_that_compiles(compiled: View) -> None:
    table = PAYOFF.table(compiled)
    pairs = {(row[0], row[1]) for row in table.rows}
    assert pairs == {
        (loop, other)
        for loop, others in {
            "PyTorch fused": ("idiomatic", "eager"),
            "Keras fused": ("idiomatic", "eager"),
            "Keras idiomatic": ("eager", "fused"),
        }.items()
        for other in others
    }
    assert {len(row) for row in table.rows} == {len(table.headers)}


def test_without_anything_compiled_there_is_no_figure(tmp_path: Path) -> None:
    view = sweep(tmp_path, frameworks=("pytorch",), loops=("idiomatic", "eager"), batch_sizes=(32,))
    assert PAYOFF.draw(view) == "No loop of this sweep compiles anything."


@pytest.mark.parametrize("loops", [("fused",), ("eager", "fused"), ("idiomatic",), ("idiomatic", "fused")])
def test_the_figure_is_drawn_whatever_was_measured_beside_it(tmp_path: Path, loops: tuple[str, ...]) -> None:
    view = sweep(tmp_path, loops=loops, rounds=1, batch_sizes=(32,))
    with style.drawing():
        figure = PAYOFF.draw(view)
    assert isinstance(figure, SubFigure)
    assert len(figure.axes) == 1 + ("fused" in loops and "idiomatic" in loops)
    assert PAYOFF.finding(view)


def test_a_loop_whose_only_cold_run_was_lost_shows_what_loading_costs_and_no_more(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s", failures=False, batch_sizes=(32,), devices=("cpu",), loops=("idiomatic", "fused")
    )
    for result in read_results(folder):
        if result.compile_cache is CompileCache.COLD:
            lost = replace(result, status=Status.CRASHED, reason="gone")
            rewrite_result(folder.run(result.cell_id, result.round), lost)
    view = look_at(folder)
    assert _ends(view.cells[(view.cells["framework"] == "pytorch") & (view.cells["loop"] == "fused")])[0] is None
    said = starting.cost_of_start(view, cell_of(view, "pytorch", "fused"))
    assert re.match(r"Its first step takes 1\d\d ms where it loads what was compiled; it pays off", said)
    with style.drawing():
        assert isinstance(PAYOFF.draw(view), SubFigure)


def test_loops_that_never_pay_off_or_cannot_be_told_have_their_place_on_the_axis(tmp_path: Path) -> None:
    slow, same = Pace(2000.0, 30.0, 2.0, 0.6, compiles=True), Pace(390.0, 3.1, 2.0, 0.07, compiles=True)
    paces = {**PACES, ("keras", "compiled"): slow, ("pytorch", "compiled"): same}
    view = sweep(tmp_path, loops=("idiomatic", "compiled", "fused"), paces=paces, seed=1)
    with style.drawing():
        figure = PAYOFF.draw(view)
        assert isinstance(figure, SubFigure)
        figure.get_figure(root=True).draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels[-2:] == ["never", "open"] or labels[-3:-1] == ["never", "open"]
    assert "Keras compiled never pays off" in PAYOFF.finding(view)
    assert "when PyTorch compiled pays off, if it does, is open" in PAYOFF.finding(view)
