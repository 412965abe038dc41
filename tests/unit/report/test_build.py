import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import SubFigure

from bench.report.build import build_report
from bench.report.figures import FIGURES, batch_loss
from bench.report.view import View
from bench.store.layout import SweepFolder
from tests.synthetic import make_sweep
from tests.unit.report.reading import read_html

# What every figure has to say about the units of its axes.
UNITS = {
    "throughput": ["throughput (samples/s)", "batch size (samples per step; full = 1,000)"],
    "speed_ratio": ["PyTorch / Keras (ratio of samples/s)", "batch size (samples per step; full = 1,000)"],
    "step_time": ["step time (s)", "batch size (samples per step; full = 1,000)"],
    "payoff": ["first step (s)", "epochs until it has paid for itself", "batch size (samples per step; full = 1,000)"],
    "target": ["time to target (s)", "steps to target (updates of the weights)"],
    "loss_curves": ["training loss (nats)", "steps (updates)", "epochs", "training time (s)"],
    "memory": ["peak memory (bytes)", "batch size (samples per step)"],
    "parity": ["largest difference from the reference's loss (nats)", "batch size (samples per step; full = 1,000)"],
    "batch_loss": ["loss of the batch (nats)", "step (one mini-batch each)"],
}


def derived(folder: SweepFolder) -> dict[str, bytes]:
    files = [folder.report_html, folder.report_md, *folder.figures.iterdir(), *folder.tables.iterdir()]
    return {path.name: path.read_bytes() for path in files}


def texts_of(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()  # noqa: S314
    return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]


def draw_only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """For tests that look at these figures alone, or at none: pictures take most of the time of a report."""
    kinds = [kind if kind.name in names else replace(kind, draw=lambda _: "not drawn here") for kind in FIGURES]
    monkeypatch.setattr("bench.report.gallery.FIGURES", kinds)


def test_a_rebuild_is_byte_for_byte_the_same(folder: SweepFolder, tmp_path: Path) -> None:
    copy = SweepFolder(tmp_path / folder.name)
    shutil.copytree(folder.path, copy.path)
    for path in (copy.report_html, copy.report_md):
        path.unlink()
    for path in (copy.figures, copy.tables):
        shutil.rmtree(path)
    build_report(copy)
    assert derived(copy) == derived(folder)


def test_every_figure_is_written_as_vector_and_pixels(folder: SweepFolder) -> None:
    names = {path.name for path in folder.figures.iterdir()}
    assert names == {f"{kind.name}.{suffix}" for kind in FIGURES for suffix in ("svg", "png")}


@pytest.mark.parametrize("name", UNITS)
def test_every_figure_states_its_units(folder: SweepFolder, name: str) -> None:
    shown = texts_of(folder.figures / f"{name}.svg")
    for label in UNITS[name]:
        assert any(label in text for text in shown), label


@pytest.mark.parametrize("name", ["target", "loss_curves", "batch_loss"])
def test_figures_of_convergence_name_budget_and_learning_rate(folder: SweepFolder, name: str) -> None:
    shown = " ".join(texts_of(folder.figures / f"{name}.svg"))
    assert "10 epochs, learning rate 0.001 at every batch size" in shown


def test_the_figure_of_the_same_training_shows_the_bar_and_crosses_out_what_is_over_it(
    folder: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = texts_of(folder.figures / "parity.svg")
    assert "bar 5 × 10⁻⁶" in right
    assert "not the same: invalid" not in right
    wrong = make_sweep(tmp_path / "wrong", batch_sizes=(8, 32), devices=("cpu",), wrong=[("keras", "compiled", 32)])
    draw_only(monkeypatch, "parity")
    build_report(wrong)
    assert "not the same: invalid" in texts_of(wrong.figures / "parity.svg")
    page = " ".join(wrong.report_html.read_text(encoding="utf-8").split())
    assert "1 cell did not and counts nowhere: Keras compiled at batch 32." in page
    assert "not the reference&#39;s training: at step 7 of 50" in page


def test_a_sweep_whose_every_cell_failed_still_has_its_figure(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "wrong", batch_sizes=(8, 32), loops=("eager",), frameworks=("pytorch",), devices=("cpu",), rounds=1,
        failures=False, wrong=[("pytorch", "eager", 8), ("pytorch", "eager", 32)],
    )  # fmt: skip
    build_report(folder)
    assert "not the same: invalid" in texts_of(folder.figures / "parity.svg")
    page = " ".join(folder.report_html.read_text(encoding="utf-8").split())
    assert "2 cells did not train as the float64 reference does and count nowhere" in page


def test_a_sweep_without_a_gate_says_so_where_the_proof_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_only(monkeypatch, "parity")
    folder = make_sweep(tmp_path / "off", batch_sizes=(8, 32), devices=("cpu",), rounds=1, parity_steps=0)
    build_report(folder)
    html = folder.report_html.read_text(encoding="utf-8")
    assert "No run of this sweep trained beside the reference: protocol.parity_steps is 0: the gate is off." in html
    assert not (folder.figures / "parity.svg").exists()
    assert "<dt>Parity gate</dt>" not in html
    assert "every run therefore trains its" not in html


def test_batch_sizes_are_the_ticks(folder: SweepFolder) -> None:
    shown = texts_of(folder.figures / "throughput.svg")
    assert [text for text in shown if text in {"1", "8", "32", "full"}] == ["1", "8", "32", "full"]


def test_figures_have_a_role_a_title_and_a_description(folder: SweepFolder) -> None:
    for kind in FIGURES:
        root = ElementTree.parse(folder.figures / f"{kind.name}.svg").getroot()  # noqa: S314
        assert root.get("role") == "img"
        assert root.findtext("{http://www.w3.org/2000/svg}title") == kind.title
        assert root.findtext("{http://www.w3.org/2000/svg}desc")


def test_the_page_nests_and_its_ids_are_unique(folder: SweepFolder) -> None:
    read = read_html(folder.report_html.read_text(encoding="utf-8"))
    ids = read.attributes("id")
    assert len(ids) == len(set(ids))
    anchors = [href[1:] for href in read.attributes("href") if href.startswith("#")]
    assert set(anchors) <= set(ids)


def test_the_page_needs_no_network_and_runs_nothing(folder: SweepFolder) -> None:
    html = folder.report_html.read_text(encoding="utf-8")
    read = read_html(html)
    assert not {"script", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in read.tags}
    loaded = [v for name in ("src", "href", "xlink:href", "srcset", "data") for v in read.attributes(name)]
    assert loaded
    assert not [url for url in loaded if re.match(r"[a-z]+:|//", url) and not url.startswith("data:")]
    assert not re.search(r"@import|url\((?!#)", html)
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]


def test_relative_links_lead_somewhere(folder: SweepFolder) -> None:
    read = read_html(folder.report_html.read_text(encoding="utf-8"))
    relative = [href for href in read.attributes("href") if not href.startswith(("#", "data:"))]
    assert "tables/cells.csv" in relative
    assert not [href for href in relative if not (folder.path / href).exists()]


def test_logs_are_linked_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch)
    folder = make_sweep(tmp_path / "logs", batch_sizes=(8, 32), devices=("cpu",), rounds=2)
    for run in folder.run_folders():
        run.log.write_text("output")
    build_report(folder)
    read = read_html(folder.report_html.read_text(encoding="utf-8"))
    logs = [href for href in read.attributes("href") if href.endswith("worker.log")]
    assert logs
    assert all((folder.path / href).is_file() for href in logs)


def test_a_figure_without_data_is_a_sentence(tmp_path: Path) -> None:
    folder = make_sweep(tmp_path / "bare", devices=("gpu",), batch_sizes=(1, 32))
    folder.figures.mkdir()
    (folder.figures / "throughput.svg").write_text("of an earlier build")
    build_report(folder)
    html = folder.report_html.read_text(encoding="utf-8")
    assert "No run of this sweep was measured" in html
    assert html.count('class="absence"') == len(FIGURES)
    assert not list(folder.figures.iterdir())


@pytest.mark.parametrize(
    "recipe",
    [
        {"frameworks": ("pytorch",), "loops": ("eager",), "batch_sizes": (32,), "rounds": 1, "failures": False},
        {"frameworks": ("keras",), "batch_sizes": (4, 8), "rounds": 2, "target_loss": None},
        {"batch_sizes": (8, 64), "learning_rates": (1e-3, 2e-3, 3e-3, 4e-3, 5e-3), "rounds": 1, "devices": ("cpu",)},
        {"batch_sizes": (1, 32), "rounds": 2, "unfinished": 5},
    ],
    ids=["one cell", "one framework, no target", "more settings than panels", "interrupted"],
)  # fmt: skip
def test_odd_sweeps_have_a_report(tmp_path: Path, recipe: dict[str, object]) -> None:
    folder = make_sweep(tmp_path / "odd", **recipe)
    build_report(folder)
    read = read_html(folder.report_html.read_text(encoding="utf-8"))
    assert ("h2", "Verdict") in read.texts
    assert (folder.figures / "throughput.svg").is_file()


def test_the_tutorial_is_told_why_its_plots_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_only(monkeypatch, "batch_loss")
    folder = make_sweep(
        tmp_path / "tutorial", data="tutorial", batch_sizes=(32,), loops=("idiomatic",), devices=("cpu",), rounds=1,
        target_loss=None, failures=False, defaults="framework",
    )  # fmt: skip
    build_report(folder)
    html = folder.report_html.read_text(encoding="utf-8")
    assert "running mean</em> of the epoch so far" in html
    assert "the last epoch alone" in html
    assert "labels are random" in html
    shown = texts_of(folder.figures / "batch_loss.svg")
    assert {"PyTorch idiomatic, own loss", "Keras idiomatic, own loss", "its running mean"} <= set(shown)


def test_frameworks_that_share_no_measured_cell_have_no_ratio(tmp_path: Path) -> None:
    # Every Keras run of this sweep fails, so the comparisons have rows and no ratio.
    folder = make_sweep(tmp_path / "s", batch_sizes=(8, 32), rounds=1, devices=("cpu",), epochs=2)
    build_report(folder)
    assert not (folder.figures / "speed_ratio.svg").exists()
    assert "there is no ratio to show" in folder.report_html.read_text(encoding="utf-8")


def test_a_legend_of_many_loops_leaves_room_for_the_axes(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    crowded = [row * 3 for row in batch_loss.traces(view)]
    monkeypatch.setattr(batch_loss, "traces", lambda _: crowded)
    figure = batch_loss.BATCH_LOSS.draw(view)
    assert isinstance(figure, SubFigure)
    # Matplotlib warns, and a warning is an error here, where a legend wider than the figure leaves nothing of the axes.
    figure.get_figure(root=True).draw_without_rendering()
    assert len(crowded[0]) == 6
