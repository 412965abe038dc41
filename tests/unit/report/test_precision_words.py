"""What a report says of the precision that was asked: met or not, what ended the rounds, what is too wide."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.report import precision
from bench.report.build import build_report
from bench.report.precision import PrecisionNote
from bench.report.terminal import print_summary
from bench.store.layout import SweepFolder
from tests.scripted import NARROW, WIDE, Noise, Scripted, plan_of, scripted
from tests.unit.report.conftest import look_at
from tests.unit.report.reading import read_html


def wide_at_8(noise: float = WIDE) -> Noise:
    return lambda cell: noise if (cell.framework, cell.batch_size) == ("keras", 8) else NARROW


def note_of(folder: SweepFolder) -> PrecisionNote:
    found = precision.note(look_at(folder))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def missed(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    """A sweep that ended at its most rounds, its report built."""
    made = scripted(tmp_path_factory.mktemp("report") / "s", plan_of(8, 32, max_rounds=11), noise=wide_at_8())
    made.run()
    build_report(made.folder)
    return made


def test_a_target_that_was_met_names_the_widest(tmp_path: Path) -> None:
    sweep = scripted(tmp_path, plan_of(8))
    sweep.run()
    found = note_of(sweep.folder)
    assert (found.least, found.added, found.too_wide) == (10, 0, [])
    assert found.summary.startswith("±2% was asked of every cell's speed and reached after 10 rounds: the widest is ")


def test_a_target_that_was_missed_names_the_bound_and_what_is_too_wide(missed: Scripted) -> None:
    found = note_of(missed.folder)
    assert (found.least, found.added) == (10, 1)
    assert "1 of 4 cells remained wider when protocol.max_rounds=11 ended the rounds" in found.summary
    assert ": the widest is Keras compiled at batch 8, ±" in found.summary
    (line,) = found.too_wide
    assert (line.what, line.n) == ("Keras compiled at batch 8", "11 runs")
    assert float(line.half_width.rstrip("%")) > 2


def test_the_page_the_short_page_and_the_terminal_all_say_it(missed: Scripted) -> None:
    said = note_of(missed.folder)
    html = read_html(missed.folder.report_html.read_text(encoding="utf-8"))
    repeats = next(text for tag, text in html.texts if tag == "dd" and "freshly shuffled order" in text)
    assert repeats.startswith("10 rounds, each over all cells")
    assert "one at a time. Then 1 more round, each of what was wider than ±2% " in repeats
    assert said.summary in repeats
    line = f"{said.too_wide[0].what}: ±{said.too_wide[0].half_width} (11 runs)"
    assert ("li", line) in html.texts
    assert any("1 of 4 cells are not known to the ±2%" in text for _, text in html.texts)
    markdown = missed.folder.report_md.read_text(encoding="utf-8")
    assert f"- {line}" in markdown
    console = Console(file=io.StringIO(), width=400)
    print_summary(missed.folder, console)
    assert isinstance(console.file, io.StringIO)
    assert f"Precision: {said.summary}\nStill too wide: {said.too_wide[0].what} ±" in console.file.getvalue()


def test_a_sweep_that_was_cut_says_so(tmp_path: Path) -> None:
    sweep = scripted(tmp_path, plan_of(8), noise=wide_at_8())
    sweep.run(most=11)
    assert "1 of 2 cells remained wider, for the sweep was cut short: " in note_of(sweep.folder).summary


def test_a_spent_budget_is_named(tmp_path: Path) -> None:
    sweep = scripted(tmp_path, plan_of(8, max_rounds=None, budget_s=1), noise=wide_at_8())
    sweep.run()
    assert "when protocol.budget_s=1 ended the rounds" in note_of(sweep.folder).summary


def test_ratios_are_named_by_both_cells(tmp_path: Path) -> None:
    sweep = scripted(tmp_path, plan_of(8, max_rounds=10, precision_of="comparisons"), noise=wide_at_8())
    sweep.run()
    found = note_of(sweep.folder)
    assert "±2% was asked of every ratio of speeds; 1 of 1 ratio remained wider" in found.summary
    assert (found.too_wide[0].what, found.too_wide[0].n) == (
        "PyTorch compiled at batch 8 : Keras compiled at batch 8",
        "10 rounds",
    )


def test_many_too_wide_are_cut_short_on_a_terminal(missed: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    view = look_at(missed.folder)
    found = note_of(missed.folder)
    lines = [*found.too_wide] * 9
    monkeypatch.setattr(
        precision, "note", lambda _: PrecisionNote(found.target, 10, 1, found.summary, lines, left_out=4)
    )
    assert len(precision.sentences(view, most=6)) == 8
    assert precision.sentences(view, most=6)[-1] == "Still too wide: 7 more, in the report"


def test_a_fixed_number_of_rounds_says_nothing_of_precision(folder: SweepFolder) -> None:
    view = look_at(folder)
    assert precision.note(view) is None
    assert precision.sentences(view, most=6) == []
    assert "Precision" not in folder.report_md.read_text(encoding="utf-8")
