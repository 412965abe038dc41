"""The report of one synthetic sweep, word for word; after a wanted change, REWRITE_GOLDEN=1 writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.report.build import build_report
from bench.store.layout import SweepFolder
from tests.synthetic import make_sweep
from tests.unit.report.reading import read_html

HERE = Path(__file__).parent
# Words of pictures depend on where ticks fall, which is matplotlib's affair; the figures have tests of their own.
SILENT = {"style", "text", "desc"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    loops = ("idiomatic", "fastest", "fused")
    made = make_sweep(tmp_path_factory.mktemp("golden") / "golden", batch_sizes=(1, 32, "full"), loops=loops)
    build_report(made)
    return made


def skeleton(folder: SweepFolder) -> str:
    """The words of the page in reading order, one element's text per line, after the element's name."""
    read = read_html(folder.report_html.read_text(encoding="utf-8"))
    return "".join(f"{tag}: {text}\n" for tag, text in read.texts if tag not in SILENT)


def compare(name: str, seen: str) -> None:
    path = HERE / name
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(seen, encoding="utf-8")
    assert seen == path.read_text(encoding="utf-8")


def test_markdown(folder: SweepFolder) -> None:
    compare("report.md", folder.report_md.read_text(encoding="utf-8"))


def test_words_of_the_page(folder: SweepFolder) -> None:
    compare("report.html.txt", skeleton(folder))
