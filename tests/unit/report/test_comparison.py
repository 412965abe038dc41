"""The page of a comparison: verdict first, every word in its place, the same bytes each time, no file in a sweep."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from markupsafe import Markup

from bench import cli
from bench.errors import UsageError
from bench.records import Status
from bench.report import format as fmt
from bench.report.comparison.build import build_comparison
from bench.report.comparison.figure import ticks_that_fit
from bench.report.comparison.folder import ComparisonFolder
from bench.store.layout import SweepFolder
from tests.rewriting import rewrite_json
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES
from tests.unit.analysis.failing import fail, run_out_of_memory
from tests.unit.analysis.test_across import SLOWED, SMALL
from tests.unit.report.reading import read_html
from tests.unit.report.test_hostile import HOSTILE, poison, shape


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> list[SweepFolder]:
    path = tmp_path_factory.mktemp("sweeps")
    return [make_sweep(path / "old", **SMALL), make_sweep(path / "new", **(SMALL | {"paces": SLOWED}))]


@pytest.fixture(scope="module")
def built(sweeps: list[SweepFolder]) -> ComparisonFolder:
    return build_comparison(sweeps)[1]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that read words only: a picture takes most of the time of a page."""
    monkeypatch.setattr("bench.report.comparison.figure.draw", lambda _view: None)
    monkeypatch.setattr("bench.report.comparison.build.written", lambda *_arguments, **_named: Markup("<svg></svg>"))


def files(folder: ComparisonFolder) -> dict[str, bytes]:
    return {str(p.relative_to(folder.path)): p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}


def typed(sweeps: list[SweepFolder], *more: str) -> int:
    return cli.main(["compare", *(str(sweep.path) for sweep in sweeps), *more])


def page(folder: Path) -> str:
    """Its Markdown as it is read."""
    return html.unescape((folder / "compare.md").read_text(encoding="utf-8"))


def test_the_page_begins_with_the_verdict(built: ComparisonFolder) -> None:
    read = read_html(built.html.read_text(encoding="utf-8"))
    paragraphs = [text for tag, text in read.texts if tag == "p"]
    assert paragraphs[1].startswith("new (B) trains the same network 0.833× (")
    assert "as fast as old (A), both at their best with PyTorch eager on the CPU" in paragraphs[1]
    assert "3 of 6 cells got slower, none faster" in paragraphs[1]
    assert any("A regression beyond 5% is proven in 3 of 6 cells" in text for tag, text in read.texts)
    csp = [attributes.get("content") for tag, attributes in read.tags if attributes.get("http-equiv")]
    assert csp == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not [url for url in read.attributes("href") if "//" in url]


def test_what_it_writes_and_where(sweeps: list[SweepFolder], built: ComparisonFolder) -> None:
    assert built.path == sweeps[0].path.parent / "compare-old-new"
    tables = {f"tables/{name}.{suffix}" for name in ("cells", "knees", "apart") for suffix in ("csv", "parquet")}
    assert set(files(built)) == {"compare.html", "compare.md", "figures/speed_up.svg", "figures/speed_up.png", *tables}
    for sweep in sweeps:
        assert {path.name for path in sweep.path.iterdir()} == {"sweep.json", "journal.jsonl", "runs"}


def test_a_rebuild_elsewhere_is_byte_for_byte_the_same(
    sweeps: list[SweepFolder], built: ComparisonFolder, tmp_path: Path
) -> None:
    copies = []
    for sweep in sweeps:
        shutil.copytree(sweep.path, tmp_path / "elsewhere" / sweep.name)
        copies.append(SweepFolder(tmp_path / "elsewhere" / sweep.name))
    _, folder = build_comparison(copies, output=tmp_path / "out")
    assert files(folder) == files(built)


@pytest.mark.usefixtures("undrawn")
def test_a_proven_regression_ends_with_3_where_asked(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--output", str(tmp_path / "out")]
    assert typed(sweeps, *out, "--fail-on-regression", "5%") == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "\x1b" not in said
    assert "A regression beyond 5% is proven in 3 of 6 cells: PyTorch eager on the CPU at" in said
    assert f"Comparison: {tmp_path / 'out' / 'compare.html'}" in said
    assert "The command ended with exit code 3." in page(tmp_path / "out")
    assert typed(sweeps, *out, "--fail-on-regression", "0.3") == 0
    assert "No regression beyond 30% is proven in 6 cells." in " ".join(capsys.readouterr().out.split())
    assert "The command ended with exit code 0." in page(tmp_path / "out")


@pytest.mark.usefixtures("undrawn")
def test_the_margin_asked_for_hides_no_slower_cell(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(sweeps, "--output", str(tmp_path / "out"), "--fail-on-regression", "30%") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "3 of 6 cells got slower, none faster. Of 6 cells in both, 3 are equal within 5%." in said
    text = page(tmp_path / "out")
    assert "No cell is slower" not in text
    assert "A tie lies within 5% of 1, a regression below 1 / (1 + 30%)." in text
    text = (tmp_path / "out" / "compare.html").read_text(encoding="utf-8")
    assert "3 equal within 5%" in text
    assert "within 30%" not in text


@pytest.mark.usefixtures("undrawn")
def test_a_tie_may_be_a_regression_beyond_a_narrow_margin(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    little = {key: pace._replace(t0_us=1.03 * pace.t0_us, us_per_sample=1.03 * pace.us_per_sample)
              for key, pace in PACES.items()}  # fmt: skip
    quiet = SMALL | {"noise": 0.001}
    pair = [make_sweep(tmp_path / "old", **quiet), make_sweep(tmp_path / "new", **(quiet | {"paces": little}))]
    assert typed(pair, "--fail-on-regression", "1%") == 3
    assert "tie within 5%, regression beyond 1%" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("undrawn")
def test_a_pass_says_what_it_would_have_seen(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = make_sweep(tmp_path / "noisy", **(SMALL | {"noise": 0.05}))
    assert typed([sweeps[0], noisy], "--output", str(tmp_path / "out"), "--fail-on-regression", "5%") == 0
    said = " ".join(capsys.readouterr().out.split())
    table = pd.read_parquet(tmp_path / "out" / "tables" / "cells.parquet")
    half, worst = (fmt.percent_at_most(value) for value in table["detectable_loss"].quantile([0.5, 1], "lower"))
    assert f"What would be seen: 8 times in 10 a loss of {half} (" in said
    assert f"×) in half of the 6 cells, and of {worst} (" in said
    assert f"8 times in 10 a loss of {half}" in page(tmp_path / "out")


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_against_itself_is_all_ties(sweeps: list[SweepFolder], capsys: pytest.CaptureFixture[str]) -> None:
    assert typed([sweeps[0], sweeps[0]], "--fail-on-regression", "5%") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "old (B) is the same sweep as A, run by run. Of 6 cells in both, 6 are equal within 5%." in said
    assert "none of 6 cells got slower, none faster" in said


@pytest.mark.usefixtures("undrawn")
def test_too_few_runs_prove_nothing_and_say_so(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = make_sweep(tmp_path / "few", **(SMALL | {"paces": SLOWED, "rounds": 2}))
    out = ["--output", str(tmp_path / "out")]
    assert typed([sweeps[0], few], *out, "--fail-on-regression", "5%") == 2
    told = capsys.readouterr()
    said, refused = (" ".join(text.split()) for text in (told.out, told.err))
    assert "No cell could be judged, so whether any regressed by more than 5% is not known." in said
    assert "6 of 6 cells measured in A could not be judged in few (B): 6 cells with fewer than 5 runs" in said
    assert "--fail-on-regression 5% cannot be answered: no cell of few (B) could be judged" in refused
    assert "5 runs or more" in refused
    assert "protocol.rounds=5" in refused
    assert "What would be seen" not in said
    assert "The command ended with exit code 2." in page(tmp_path / "out")
    assert typed([sweeps[0], few], *out) == 0
    assert "(in fewer than 5 runs, so without an interval)" in said
    assert "5 and 2 runs" in said


@pytest.mark.usefixtures("undrawn")
def test_cells_lost_in_the_new_sweep_are_told(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = make_sweep(tmp_path / "broken", **(SMALL | {"wrong": [("pytorch", "eager", 8)]}))
    out = ["--output", str(tmp_path / "out")]
    assert typed([sweeps[0], broken], *out) == 0
    assert "exit code" not in page(tmp_path / "out")
    assert typed([sweeps[0], broken], *out, "--fail-on-regression", "5%") == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "No longer runs in broken (B): PyTorch eager on the CPU at batch 8 (invalid)." in said
    assert "none of 5 cells got slower, none faster; 1 cell no longer runs." in said
    assert "Not compared with broken (B): 1 cell not measured in B." in said
    assert "No longer runs in broken (B): PyTorch eager on the CPU at batch 8 (invalid)." in page(tmp_path / "out")


@pytest.mark.usefixtures("undrawn")
def test_memory_that_ran_out_is_a_loss_and_so_is_what_was_skipped_after_it(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = run_out_of_memory(make_sweep(tmp_path / "new", **SMALL), "pytorch", 64, 1000)
    assert typed([sweeps[0], new], "--output", str(tmp_path / "out"), "--fail-on-regression", "5%") == 3
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "PyTorch eager on the CPU at batch 64 (oom); PyTorch eager on the CPU at the full batch of 1,000 (skip" in said
    )
    assert "A measured 2 such cells" in said


def test_where_nothing_runs_any_longer_there_is_a_page_without_a_picture(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = make_sweep(tmp_path / "new", **SMALL)
    for framework in ("pytorch", "keras"):
        for batch_size in (8, 64, 1000):
            fail(new, framework, batch_size, Status.CRASHED)
    out = ["--output", str(tmp_path / "out")]
    assert typed([sweeps[0], new], *out, "--fail-on-regression", "5%") == 3
    said = " ".join(capsys.readouterr().out.split())
    assert "Nothing of new (B) can be compared with old (A); 6 cells no longer run." in said
    assert "; and 3 more. A measured 6 such cells" in said
    assert "No cell was measured in both." in page(tmp_path / "out")
    read = read_html((tmp_path / "out" / "compare.html").read_text(encoding="utf-8"))
    assert ("p", "No cell was measured in both.") in read.texts
    assert not (tmp_path / "out" / "figures").exists()
    assert typed([sweeps[0], new], *out) == 2


@pytest.mark.usefixtures("undrawn")
def test_cells_that_could_not_be_judged_are_counted_and_the_others_decide(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = make_sweep(tmp_path / "new", **(SMALL | {"batch_sizes": (8, 64)}))
    fail(new, "keras", 8, Status.CRASHED, rounds=(0, 3))
    fail(new, "keras", 64, Status.UNAVAILABLE, reason="no keras here")
    assert typed([sweeps[0], new], "--output", str(tmp_path / "out"), "--fail-on-regression", "5%") == 0
    sentence = (
        "4 of 6 cells measured in A could not be judged in new (B): 1 cell with fewer than 5 runs in one of the two "
        "(runs failed in B), 2 cells in A only and 1 cell not measured in B."
    )
    assert sentence in " ".join(capsys.readouterr().out.split())
    assert sentence in page(tmp_path / "out")


@pytest.mark.usefixtures("undrawn")
def test_one_sweep_that_cannot_be_judged_is_not_passed_by_another(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = make_sweep(tmp_path / "few", **(SMALL | {"rounds": 2}))
    gate = ["--output", str(tmp_path / "out"), "--fail-on-regression", "5%"]
    assert typed([sweeps[0], sweeps[0], few], *gate) == 2
    assert "no cell of few (C) could be judged" in " ".join(capsys.readouterr().err.split())
    assert typed([sweeps[0], sweeps[1], few], *gate) == 3


@pytest.mark.usefixtures("undrawn")
def test_without_being_asked_a_regression_is_told_and_ends_with_0(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(sweeps, "--output", str(tmp_path / "out")) == 0
    assert "A regression beyond 5% is proven" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_several_sweeps_each_have_their_verdict(sweeps: list[SweepFolder], tmp_path: Path) -> None:
    view, folder = build_comparison([*sweeps, sweeps[0]], output=tmp_path / "out")
    text = folder.markdown.read_text(encoding="utf-8")
    assert text.startswith("# new (B) and old (C) against old (A)\n")
    assert "**new (B) trains" in text
    assert "**old (C) trains" in text
    assert [letter for letter, _ in view.facets()] == ["B", "C"]


@pytest.mark.usefixtures("undrawn")
def test_settings_that_a_sweep_varies_are_named(tmp_path: Path) -> None:
    varied = SMALL | {"learning_rates": (0.1, 0.001), "batch_sizes": (64,), "frameworks": ("pytorch",)}
    sweeps = [make_sweep(tmp_path / "old", **varied), make_sweep(tmp_path / "new", **(varied | {"paces": SLOWED}))]
    _, folder = build_comparison(sweeps)
    text = folder.markdown.read_text(encoding="utf-8")
    assert "proven in 2 of 2 cells: " in text
    assert "lr=0.1: PyTorch eager on the CPU at batch 64, 0.8" in text
    assert "| PyTorch eager | CPU · lr=0.001 | 64 | 0.8" in text


@pytest.mark.usefixtures("undrawn")
def test_what_differs_is_shown_and_what_does_not_is_counted(sweeps: list[SweepFolder], tmp_path: Path) -> None:
    copy = SweepFolder(tmp_path / "newer")
    shutil.copytree(sweeps[1].path, copy.path)
    record = json.loads(copy.sweep_json.read_text())
    record |= {"name": "newer", "bench_version": "9.9.9", "git": {"commit": "f" * 40, "dirty": True}}
    record["machine"]["processor"] = "Newer CPU"
    record["software"]["torch"] = "3.0.0"
    rewrite_json(copy.sweep_json, record)
    _, folder = build_comparison([sweeps[0], copy], output=tmp_path / "out")
    lines = folder.markdown.read_text(encoding="utf-8").splitlines()
    assert "| bench | 0.1.0 | 9.9.9 |" in lines
    assert "| machine: processor | Synthetic CPU | Newer CPU |" in lines
    assert "| software: torch | 2.13.0 | 3.0.0 |" in lines
    assert any(line.startswith("| source |") and line.endswith("not committed |") for line in lines)
    assert not any(line.startswith("| software: keras |") for line in lines)


def test_where_nothing_can_be_compared_it_is_refused_with_the_reason(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_sweep(tmp_path / "other", **(SMALL | {"n_train": 500, "rounds": 1}))
    assert typed([sweeps[0], other], "--output", str(tmp_path / "out")) == 2
    assert "nothing of old (A) and other (B) can be compared: 4 cells of another workload (" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_newer_format_is_refused(
    sweeps: list[SweepFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = SweepFolder(tmp_path / "future")
    shutil.copytree(sweeps[1].path, copy.path)
    record: dict[str, Any] = json.loads(copy.sweep_json.read_text())
    rewrite_json(copy.sweep_json, record | {"schema_version": 10**6})
    assert typed([sweeps[0], copy]) == 2
    assert "schema_version 1000000" in capsys.readouterr().err


@pytest.mark.parametrize("where", [".", "runs/mine"])
def test_nothing_is_written_into_a_sweep(sweeps: list[SweepFolder], where: str) -> None:
    with pytest.raises(UsageError, match="lies inside the sweep"):
        build_comparison(sweeps, output=sweeps[1].path / where)


def test_one_sweep_is_no_comparison(sweeps: list[SweepFolder], capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(sweeps[:1]) == 2
    assert "a comparison takes a baseline and 1 to 25 others" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["5%", "0.05"])
def test_margins_are_shares(text: str) -> None:
    assert cli.regression_margin(text) == pytest.approx(0.05)


@pytest.mark.parametrize("text", ["5", "0", "-1%", "100%", "five", "", "%", "nan", "inf", "5%%"])
def test_other_margins_are_refused_with_the_rule(
    text: str, sweeps: list[SweepFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(sweeps, f"--fail-on-regression={text}") == 2
    assert "from 0.1% to below 100%" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_long_names_make_a_folder_all_the_same(sweeps: list[SweepFolder], tmp_path: Path) -> None:
    copy = SweepFolder(tmp_path / ("x" * 200))
    shutil.copytree(sweeps[1].path, copy.path)
    _, folder = build_comparison([copy, sweeps[0]])
    assert folder.path.parent == tmp_path
    assert folder.html.is_file()


@pytest.mark.parametrize("first", [0, 4])
def test_hostile_text_stays_in_its_place(
    sweeps: list[SweepFolder], built: ComparisonFolder, tmp_path: Path, first: int
) -> None:
    poisoned = []
    for place, sweep in enumerate(sweeps):
        copy = SweepFolder(tmp_path / sweep.name)
        shutil.copytree(sweep.path, copy.path)
        poison(copy, HOSTILE[first + place :] + HOSTILE[: first + place])
        poisoned.append(copy)
    _, folder = build_comparison(poisoned, output=tmp_path / "out")
    page_, markdown = (path.read_text(encoding="utf-8") for path in (folder.html, folder.markdown))
    read = read_html(page_)
    assert shape(read) == shape(read_html(built.html.read_text(encoding="utf-8")))
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    for text in (page_, markdown):
        assert [
            text[max(0, at - 30) : at + 30] for at, sign in enumerate(text) if sign in "\u202e\u200f\u2066\x1b\x00"
        ] == []
    assert "<" not in markdown.split("~~~")[0]
    tables = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("| ")]
    assert len(tables) >= 3
    for table in tables:
        assert len({line.count("|") for line in table}) == 1, table
    tags = {element.tag for element in ElementTree.parse(folder.figures / "speed_up.svg").getroot().iter()}  # noqa: S314
    assert not [tag for tag in tags if "script" in tag]


def test_ticks_of_ratios_hold_1_and_do_not_touch() -> None:
    assert ticks_that_fit((0.9, 1.1), 200.0) == [0.9, 0.95, 1.0, 1.05, 1.1]
    assert 1.0 in ticks_that_fit((0.01, 100.0), 200.0)
    assert len(ticks_that_fit((0.5, 2.0), 40.0)) <= 3
