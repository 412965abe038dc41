"""Names and reasons come from users, drivers and exceptions: none of them may leave its place."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.report.build import build_report
from bench.store.layout import SweepFolder
from tests.rewriting import rewrite_json
from tests.synthetic import make_sweep
from tests.unit.report.reading import Read, read_html

HOSTILE = [
    "</title></style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a | b `c` [d](https://evil.example) @everyone",
    "$\\frac{1}{0$ %d {{ 7 * 7 }} {% raw %}",
    "line one\n\n# line two\r\n- item",
    "\u202egnitsurt \u200fright to left\u2066",
    "x" * 300,
    "\x1b[31mred\x00 \ufffe 数据",
]


def poison(folder: SweepFolder, texts: Sequence[str]) -> None:
    """Writes the texts, in turn, into every place of the records that holds foreign words."""
    turn = itertools.cycle(texts)
    sweep = json.loads(folder.sweep_json.read_text())
    sweep["name"] = next(turn)
    data_name = next(turn)
    sweep["command"] = ["bench", "sweep", next(turn)]
    sweep["machine"] = {"processor": next(turn), next(turn): {"nested": next(turn)}}
    sweep["software"] = {next(turn): next(turn)}
    sweep["git"] = {"commit": next(turn), "dirty": True}
    sweep["created_at"], sweep["bench_version"] = next(turn), next(turn)
    sweep["overrides"], sweep["config"] = [next(turn)], {next(turn): next(turn)}
    sweep["targets"] = [{next(turn): next(turn)}]
    loop, defaults, label = next(turn), next(turn), next(turn)
    for planned in sweep["cells"]:
        cell = planned["cell"]
        cell["data"]["name"], cell["defaults"], cell["protocol"]["isolation"] = data_name, defaults, next(turn)
        if cell["loop"] == "idiomatic":
            cell["loop"] = loop
        if cell["batch_size"] == 8:
            cell["batch_size_label"] = label
        if planned["unavailable_reason"]:
            planned["unavailable_reason"] = texts[0]
    rewrite_json(folder.sweep_json, sweep)
    for run in folder.run_folders():
        _poison_result(run.result, turn)


def _poison_result(path: Path, turn: Iterator[str]) -> None:
    result: dict[str, Any] = json.loads(path.read_text())
    result["device_name"], result["isolation"], result["started_at"] = next(turn), next(turn), next(turn)
    result["environment"] = {next(turn): next(turn), "framework_version": next(turn)}
    for key in ("parity_reason", "noise_reason"):
        if result[key]:
            result[key] = next(turn)
    if result["reason"]:
        result["reason"] = next(turn)
    for key in ("device_peak_source", "device_peak_reason", "rss_reason"):
        if result["memory"][key]:
            result["memory"][key] = next(turn)
    rewrite_json(path, result)


def shape(read: Read) -> list[str]:
    """The elements outside of pictures and lists of facts, whose number does not follow from the text."""
    return [
        tag for tag, _ in read.tags if tag in {"section", "h1", "h2", "figure", "details", "script", "img", "style"}
    ]


def kinds(read: Read) -> set[tuple[str, ...]]:
    """Every kind of element there is: its tag and the names of its attributes."""
    return {(tag, *sorted(attributes)) for tag, attributes in read.tags}


def small(path: Path) -> SweepFolder:
    return make_sweep(path / "s", batch_sizes=(8, 32), rounds=1, epochs=2)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = small(tmp_path_factory.mktemp("harmless"))
    poison(folder, ["harmless"])
    build_report(folder)
    return read_html(folder.report_html.read_text(encoding="utf-8"))


# Each place sees three of the texts; a build per text and place would say no more.
@pytest.mark.parametrize("first", [0, 3, 6])
def test_hostile_text_stays_in_its_place(tmp_path: Path, harmless: Read, first: int) -> None:
    folder = small(tmp_path)
    poison(folder, HOSTILE[first:] + HOSTILE[:first])
    build_report(folder)
    html, markdown = (path.read_text(encoding="utf-8") for path in (folder.report_html, folder.report_md))
    read = read_html(html)
    assert shape(read) == shape(harmless)
    assert kinds(read) <= kinds(harmless)
    assert all(href.startswith(("#", "tables/", "figures/", "runs/", "data:,")) for href in read.attributes("href"))
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert not set(html + markdown) & set("\u202e\u200f\u2066\x1b\x00")
    _check_tables(markdown)
    for path in folder.figures.glob("*.svg"):
        tags = {element.tag for element in ElementTree.parse(path).getroot().iter()}  # noqa: S314
        assert "{http://www.w3.org/2000/svg}text" in tags
        assert not [tag for tag in tags if "script" in tag]


def _check_tables(markdown: str) -> None:
    """Every table of the page has rows of one length, and there are no tags in it."""
    tables = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("| ")]
    assert len(tables) >= 3
    for table in tables:
        assert len({line.count("|") for line in table}) == 1, table
    outside_code = markdown.split("~~~")[0] + markdown.split("~~~")[-1]
    assert "<" not in outside_code
