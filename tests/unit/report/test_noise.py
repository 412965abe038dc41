"""The report on the machine's noise: what the controls say, always; that it was disturbed, where it was."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import SubFigure
from rich.console import Console

from bench.cell import Cell
from bench.records import NoiseRecord
from bench.report import completeness, noise, story, style
from bench.report.figures.noise import NOISE
from bench.report.page import _scope
from bench.report.terminal import print_summary
from bench.report.view import View
from bench.store.layout import SweepFolder
from tests.synthetic import make_sweep
from tests.unit.report.conftest import look_at

SEEN = NoiseRecord(
    processors=2, load_before=0.8, steal_share=0.0, others_share=0.03, involuntary_switches=4,
    reasons={"thermal_throttles": "no thermal throttle counters here"},
)  # fmt: skip


def half_busy(_cell: Cell, passed: float) -> NoiseRecord:
    return dataclasses.replace(SEEN, others_share=0.5, steal_share=0.03) if passed > 0.5 else SEEN


def made(path: Path, **recipe: Any) -> SweepFolder:
    small = dict(devices=("cpu",), batch_sizes=(8, 32, "full"), failures=False, controls=True)
    return make_sweep(path / "s", **(small | recipe))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> View:
    return look_at(made(tmp_path_factory.mktemp("quiet"), machine_noise=lambda _cell, _passed: SEEN))


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> View:
    return look_at(made(tmp_path_factory.mktemp("disturbed"), machine_noise=half_busy))


def test_the_same_cell_under_two_names_in_one_sentence(quiet: View) -> None:
    said = noise.same_cell(quiet)
    assert said.startswith("The same cell under two names: ")
    assert " apart for PyTorch " in said
    assert " apart for Keras " in said
    assert " A single comparison between cells that scatter as these do would miss a difference below " in said
    assert said.endswith(
        "%, in this order, more often than one time in ten; verdicts corrected for many pairs miss more."
    )


def test_without_a_control_it_says_that_nothing_is_known(view: View) -> None:
    assert noise.same_cell(view).startswith("No cell ran under two names here")
    assert noise.noise_of(view).recorded[0].reason == "the machine was not looked at"


def test_too_few_rounds_have_a_distance_and_no_bound(tmp_path: Path) -> None:
    said = noise.same_cell(look_at(made(tmp_path, rounds=2)))
    assert "(2 rounds, no interval) apart for PyTorch " in said
    assert "would miss" not in said


def test_a_quiet_machine_is_no_news_to_verdict_and_terminal(quiet: View) -> None:
    found = noise.noise_of(quiet)
    assert (found.verdict, noise.disturbed(quiet)) == ("quiet", "")
    assert "known to lie within 10 % of none" in found.said
    assert not any("disturbed" in caveat for advice in story.advice(quiet) for caveat in advice.caveats)


def test_what_is_not_known_to_be_quiet_says_why(view: View, tmp_path: Path) -> None:
    found = noise.noise_of(view)
    assert found.verdict == "unknown"
    assert found.said.endswith(" quiet: what else the machine did is not known (the machine was not looked at).")
    few = noise.noise_of(look_at(made(tmp_path, rounds=2, machine_noise=lambda _cell, _passed: SEEN)))
    assert few.verdict == "unknown"
    assert "too few rounds to tell the same keras-tensorflow cell from itself" in few.said


def test_a_sweep_without_control_is_quiet_by_what_was_looked_at(tmp_path: Path) -> None:
    seen = look_at(made(tmp_path, controls=False, machine_noise=lambda _cell, _passed: SEEN))
    found = noise.noise_of(seen)
    assert found.verdict == "quiet"
    assert found.said.endswith(" No cell ran under two names: this rests on the other checks alone.")


def test_a_disturbed_machine_is_named_in_verdict_and_terminal(disturbed: View) -> None:
    sentence = noise.disturbed(disturbed)
    assert sentence.startswith("Measured on a disturbed machine: ")
    assert "other programs" in sentence
    assert "the virtual machine's host" in sentence
    assert sentence in story.advice(disturbed)[0].caveats
    out = io.StringIO()
    print_summary(disturbed.folder, Console(file=out, width=1000))
    assert out.getvalue().count("Measured on a disturbed machine") == 1


def test_every_check_and_every_figure_is_listed(disturbed: View) -> None:
    found = noise.noise_of(disturbed)
    assert [check.what for check in found.checks[:2]] == [
        "The same cell twice: PyTorch idiomatic at batch 32",
        "The same cell twice: Keras idiomatic at batch 32",
    ]
    assert [check.limit for check in found.checks] == ["5 %", "5 %", "5 %", "5 %", "10 %"]
    assert [check.alarm for check in found.checks][-1]
    recorded = {row.what: row for row in found.recorded}
    assert recorded["processor time of other programs"].most == "50%"
    assert recorded["cores slowed by heat or power"].reason == "no thermal throttle counters here"


def test_a_gpu_that_was_looked_at_is_listed_and_named_where_it_disturbed(tmp_path: Path) -> None:
    hot = dataclasses.replace(SEEN, gpu_clock_mhz=1200, gpu_slowed_by="temperature", gpu_others=0)
    seen = look_at(made(tmp_path, machine_noise=lambda _cell, _passed: hot))
    assert "by GPU: temperature (" in noise.disturbed(seen)
    assert "GPU" not in " ".join(row.what for row in noise.noise_of(seen).recorded)  # none of its cells ran on one
    runs = seen.tables.every_run.assign(device="gpu")
    listed = {row.what: row.middle for row in noise._recorded(runs)}
    assert listed["clock of the GPU after a run"] == "1,200 MHz"
    assert listed["other processes on the GPU"] == "0"


def test_controls_are_counted_beside_the_cells(quiet: View, view: View) -> None:
    assert _scope(quiet).endswith("12 cells, 5 rounds, 60 runs planned, 2 controls beside them")
    assert "control" not in _scope(view)
    assert sum(number for _, _, number in completeness.status_counts(quiet)) == 60


def test_a_control_tells_its_cell_from_no_other(quiet: View) -> None:
    """Its plan differs in settings of its own, which are no setting of the sweep."""
    assert set(quiet.cells["panel"]) == {"CPU"}
    assert set(quiet.plans) == set(quiet.cells["cell_id"])


@pytest.mark.parametrize("name", ["quiet", "disturbed", "view"])
def test_the_figure_is_drawn_with_and_without_controls(name: str, request: pytest.FixtureRequest) -> None:
    seen: View = request.getfixturevalue(name)
    with style.drawing():
        figure = NOISE.draw(seen)
        assert isinstance(figure, SubFigure)
        assert len(figure.axes) == (1 if name == "view" else 2)
        figure.get_figure(root=True).draw_without_rendering()
    assert NOISE.finding(seen)
    assert len(NOISE.table(seen).rows) == (0 if name == "view" else 2)
