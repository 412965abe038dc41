"""What the report says of several devices: which is fastest, by how much, what is open; of one device nothing new."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.analysis.device_leads import DeviceLead
from bench.analysis.verdict import FASTEST_PER_SAMPLE, FASTEST_TO_TARGET
from bench.cell import Cell
from bench.report import story
from bench.report.build import build_report
from bench.report.devices import device_lead
from bench.report.terminal import print_summary
from bench.report.view import View
from bench.store.layout import SweepFolder
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES, Pace
from tests.unit.report.conftest import look_at

BEST, OTHER = "PyTorch eager at batch 256 on the GPU", "the best of the CPU, PyTorch eager at batch 256"


def gpu_takes(times: float) -> Callable[[Cell, float], float]:
    return lambda cell, _passed: times if cell.device == "gpu" else 1.0


def sweep(path: Path, **recipe: Any) -> SweepFolder:
    usual: dict[str, Any] = dict(
        loops=("eager",), batch_sizes=(32, 256), devices=("cpu", "gpu"), available=("cpu", "gpu"), failures=False,
        noise=0.005,
    )  # fmt: skip
    return make_sweep(path / "s", **(usual | recipe))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A GPU that takes a quarter of the CPU's time."""
    made = sweep(tmp_path_factory.mktemp("devices"), slowdown=gpu_takes(0.25))
    build_report(made)
    return made


@pytest.fixture(scope="module")
def two(folder: SweepFolder) -> View:
    return look_at(folder)


@pytest.fixture(scope="module")
def lead(two: View) -> DeviceLead:
    return next(lead for lead in two.device_leads if lead.kind == FASTEST_PER_SAMPLE)


def told(view: View, lead: DeviceLead, **rival: Any) -> str:
    """The sentence where the other device's best stands so to the winner."""
    return device_lead(view, replace(lead, rivals=(replace(lead.rivals[0], **rival),)))


def test_the_headline_names_the_fastest_device_first(two: View) -> None:
    times = r"[34]\.\d+× \([34]\.\d+× to [34]\.\d+×\)"
    first, *_ = story.headlines(two)
    assert re.fullmatch(
        rf"GPU is fastest per sample: {BEST}, {times} as fast as {OTHER}\. "
        rf"GPU is fastest to the target loss: PyTorch eager at batch 32 on the GPU, {times} as fast as "
        r"the best of the CPU, PyTorch eager at batch 32, first steps not counted\.",
        first,
    )


def test_a_sentence_per_device_the_best_first(two: View) -> None:
    _, *lines = story.headlines(two)
    assert [line.partition(": ")[0] for line in lines] == ["GPU", "CPU"]
    assert all("trains the most samples per second" in line for line in lines)
    assert [answer.question for answer in story.answers(two)[::3]] == [
        "Fastest per sample · GPU", "Fastest per sample · CPU",
    ]  # fmt: skip
    assert [advice.text[:13] for advice in story.advice(two)] == ["For GPU: use ", "For CPU: use "]


def test_pages_and_terminal_tell_it(folder: SweepFolder, two: View) -> None:
    out = io.StringIO()
    print_summary(folder, Console(file=out, width=80))
    for said in (out.getvalue(), folder.report_md.read_text(), folder.report_html.read_text()):
        words = " ".join(said.split())
        for start in (
            "GPU is fastest per sample: PyTorch eager at batch 256 on the GPU, ",
            "GPU: PyTorch",
            "CPU: PyTorch",
        ):
            assert start in words
        assert words.index("GPU is fastest") < words.index("GPU: ") < words.index("CPU: ")


def test_devices_that_tie(tmp_path: Path) -> None:
    first, *_ = story.headlines(look_at(sweep(tmp_path)))
    assert re.match(
        r"(GPU ties with CPU|CPU ties with GPU) per sample: PyTorch eager at batch 256 on the [CG]PU, [\d.]+× \(", first
    )
    assert "is fastest per sample" not in first


def test_what_the_rounds_leave_open(two: View, lead: DeviceLead) -> None:
    said = told(two, lead, verdict="inconclusive", ratio=1.04, low=0.98, high=1.10, more_rounds=7)
    assert said == (
        f"No device is clearly fastest per sample: {BEST}, 1.04× (0.98× to 1.10×) as fast as {OTHER}"
        " (about 7 more rounds would settle it)."
    )


@pytest.mark.parametrize(
    ("ratio", "head", "tail"),
    [
        (4.0, "GPU seems fastest per sample", "about 4.0× as fast as {}, in too few rounds to be sure."),
        (1.01, "No device is clearly fastest per sample", "about as fast as {}, in too few rounds to be sure."),
        (None, "No device is clearly fastest per sample",
         "not comparable with {}, which no round measured beside it."),
    ],
)  # fmt: skip
def test_too_few_rounds(two: View, lead: DeviceLead, ratio: float | None, head: str, tail: str) -> None:
    said = told(two, lead, verdict="inconclusive", ratio=ratio, low=None, high=None, n=2)
    assert said == f"{head}: {BEST}, {tail.format(OTHER)}"


def test_a_device_that_alone_reached_the_target(two: View) -> None:
    lead = next(lead for lead in two.device_leads if lead.kind == FASTEST_TO_TARGET)
    said = device_lead(two, replace(lead, rivals=(), without=("cpu",)))
    assert said == "Only the GPU reached the target loss reliably."


def test_of_three_devices_each_is_weighed(tmp_path: Path) -> None:
    takes, three = {"cpu": 1.0, "gpu": 0.5, "tpu": 0.25}, ("cpu", "gpu", "tpu")
    first, *lines = story.headlines(
        look_at(sweep(tmp_path, devices=three, available=three, slowdown=lambda cell, _: takes[cell.device]))
    )
    assert re.match(
        r"TPU is fastest per sample: .* as fast as the best of the GPU, .*; .* the best of the CPU, ", first
    )
    assert [line[:3] for line in lines] == ["TPU", "GPU", "CPU"]


def test_first_steps_are_not_mentioned_where_they_are_next_to_nothing(tmp_path: Path) -> None:
    paces = {key: pace._replace(first_step_s=1e-5) for key, pace in PACES.items()}
    assert "first step" not in " ".join(story.headlines(look_at(sweep(tmp_path, paces=paces))))


@pytest.mark.parametrize("recipe", [{"devices": ("cpu",)}, {"available": ("cpu",)}])
def test_one_device_is_told_as_ever(tmp_path: Path, recipe: dict[str, Any]) -> None:
    view = look_at(sweep(tmp_path, **recipe))
    (line,) = story.headlines(view)
    assert line.startswith("PyTorch eager at batch 256 trains the most samples per second: ")
    assert line == story.headline(view)
    assert story.answers(view)[0].question == "Fastest per sample"
    assert story.left_out(view) == ""


def test_what_is_too_many_to_tell_is_counted(tmp_path: Path) -> None:
    view = look_at(sweep(tmp_path, devices=("cpu",)))
    names = [f"data{k}" for k in range(6)]
    found = replace(
        view.verdict,
        findings=tuple(replace(f, workload=name) for name in names for f in view.verdict.findings),
        recommendations=tuple(replace(r, workload=name) for name in names for r in view.verdict.recommendations),
    )
    many = replace(view, verdict=found)
    assert [len(said) for said in (story.headlines(many), story.answers(many), story.advice(many))] == [4, 12, 4]
    assert story.left_out(many) == "And 2 more settings (of device and workload) in the tables."
    assert story.headlines(many)[0].startswith("CPU, data0: ")


def test_a_device_that_wins_by_training_alone_is_told_with_its_first_step(tmp_path: Path) -> None:
    paces = {**PACES, ("pytorch", "eager"): Pace(20.0, 0.1, 13.0, 0.07, compiles=True)}
    first, best, _ = story.headlines(look_at(sweep(tmp_path, paces=paces, slowdown=gpu_takes(0.25))))
    assert first.endswith(", first steps not counted.")
    assert re.search(r", not counting a first step of 1\d s\.$", best)
