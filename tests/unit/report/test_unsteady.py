"""A run without steady state is flagged in every table and figure it enters, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from bench.report import format as fmt
from bench.report import story
from bench.report.best import best_lines
from bench.report.build import build_report
from bench.report.figures import BATCH_LOSS, FIGURES, PARITY
from bench.report.figures.base import unsteady_handles
from bench.report.terminal import print_summary
from bench.report.view import View
from bench.store.layout import SweepFolder
from tests.synthetic import make_sweep
from tests.unit.report.conftest import look_at
from tests.unsteady import make_unsteady_sweep

TIMED = ("throughput", "step_time", "speed_ratio", "target", "payoff")


@pytest.fixture(scope="module")
def unsteady(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    folder = make_unsteady_sweep(
        tmp_path_factory.mktemp("unsteady") / "unsteady",
        loops=("idiomatic", "fastest"),
        batch_sizes=(32, 128),
        rounds=2,
    )
    build_report(folder)
    return folder


@pytest.fixture(scope="module")
def unsteady_view(unsteady: SweepFolder) -> View:
    return look_at(unsteady)


@pytest.mark.parametrize("name", TIMED)
def test_every_figure_of_speed_marks_it(unsteady: SweepFolder, name: str) -> None:
    assert fmt.UNSTEADY in (unsteady.figures / f"{name}.svg").read_text()


@pytest.mark.parametrize("name", TIMED)
def test_every_table_of_speed_marks_its_rows_and_no_other(unsteady_view: View, name: str) -> None:
    kind = next(kind for kind in FIGURES if kind.name == name)
    marked = [row for row in kind.table(unsteady_view).rows if any(fmt.UNSTEADY in cell for cell in row)]
    assert 0 < len(marked) < len(kind.table(unsteady_view).rows)


def test_a_steady_sweep_has_no_mark(tmp_path: Path) -> None:
    view = look_at(make_sweep(tmp_path / "steady", batch_sizes=(32, 128), devices=("cpu",), failures=False, noise=0))
    assert not view.unsteady
    assert unsteady_handles(view.cells["unsteady"]) == []
    for kind in (kind for kind in FIGURES if kind.name in TIMED):
        assert fmt.UNSTEADY not in kind.finding(view)
        assert not any(fmt.UNSTEADY in cell for row in kind.table(view).rows for cell in row)
    assert fmt.UNSTEADY not in story.headline(view)
    assert not any(line.unsteady for line in best_lines(view)[0])


def test_what_no_timing_enters_is_not_marked(unsteady: SweepFolder) -> None:
    for name in (BATCH_LOSS.name, PARITY.name, "memory", "loss_curves"):
        assert fmt.UNSTEADY not in (unsteady.figures / f"{name}.svg").read_text()


def test_answers_advice_and_the_best_of_each_loop_are_marked(unsteady: SweepFolder, unsteady_view: View) -> None:
    fastest, _, memory = story.answers(unsteady_view)
    assert fmt.UNSTEADY in fastest.value
    assert fmt.UNSTEADY not in memory.value
    assert fmt.UNSTEADY in story.headline(unsteady_view)
    assert any("slow down or have no steady state" in c for a in story.advice(unsteady_view) for c in a.caveats)
    for page in (unsteady.report_md.read_text(), unsteady.report_html.read_text()):
        assert fmt.UNSTEADY_NOTE in page


def test_the_terminal_explains_its_mark(unsteady: SweepFolder, tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w+") as out:
        print_summary(unsteady, Console(file=out, width=80))
        out.seek(0)
        assert fmt.UNSTEADY_NOTE in out.read()


def test_the_figure_shows_an_example_of_every_kind_and_counts_them_all(
    unsteady: SweepFolder, unsteady_view: View
) -> None:
    kind = next(kind for kind in FIGURES if kind.name == "steadiness")
    picture = (unsteady.figures / "steadiness.svg").read_text()
    for words in ("flat", "warm-up", "slowdown", "no steady state", "step time (µs)", "steady epoch"):
        assert f">{words}<" in picture
    finding = kind.finding(unsteady_view)
    assert "2 warmed up first" in finding
    assert "2 slowed down" in finding
    assert "2 found no steady state" in finding
    assert len(kind.table(unsteady_view).rows) == len(unsteady_view.cells)


def test_a_number_that_is_not_there_has_no_mark() -> None:
    assert fmt.marked(fmt.MISSING, True) == fmt.MISSING
    assert fmt.marked("12 µs", True) == "12 µs†"
    assert fmt.marked("12 µs", False) == "12 µs"
