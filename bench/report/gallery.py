"""Draws the figures, writes their files and hands them to the page."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import FigureBase

from bench.report import style, svg
from bench.report.figures import FIGURES, FigureKind
from bench.report.figures.base import DataTable
from bench.report.view import View
from bench.store.writer import write_bytes

_PNG_DPI = 144


@dataclass(frozen=True)
class Exhibit:
    """A figure in the report; ``absence`` stands in its place where there is nothing to draw."""

    name: str
    title: str
    picture: Markup | None = None
    finding: str = ""
    table: DataTable | None = None
    absence: str = ""


def exhibits(view: View) -> list[Exhibit]:
    """Every figure of the report, its files written to ``figures/``.

    Raises:
        StorageError: the folder cannot be written.
    """
    with drawing():
        return [_exhibit(view, kind) for kind in FIGURES]


def drawn(shown: Sequence[Exhibit]) -> list[Exhibit]:
    """Those that there is a picture of."""
    return [exhibit for exhibit in shown if exhibit.picture is not None]


def _exhibit(view: View, kind: FigureKind) -> Exhibit:
    figure = kind.draw(view)
    if isinstance(figure, str):
        _forget(view.folder.figures, kind.name)
        return Exhibit(kind.name, kind.title, absence=figure)
    finding = kind.finding(view)
    inline = written(view.folder.figures, figure, name=kind.name, title=kind.title, finding=finding)
    return Exhibit(kind.name, kind.title, inline, finding, kind.table(view))


def written(folder: Path, figure: FigureBase, *, name: str, title: str, finding: str) -> Markup:
    """A figure as it goes into a page, its files written to the folder.

    Raises:
        StorageError: the folder cannot be written.
    """
    whole = figure.get_figure(root=True)
    # Laid out once, for both files.
    whole.draw_without_rendering()
    whole.set_layout_engine("none")
    vector, pixels = io.StringIO(), io.BytesIO()
    # Without a date both files are the same from build to build.
    whole.savefig(vector, format="svg", metadata={"Date": None})
    whole.savefig(pixels, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    text = svg.described(vector.getvalue(), name=name, title=title, description=finding)
    write_bytes(folder / f"{name}.svg", text.encode())
    write_bytes(folder / f"{name}.png", pixels.getvalue())
    return svg.inlined(text, name=name, variables=style.CSS_VARIABLES)


def _forget(folder: Path, name: str) -> None:
    """Removes what an earlier build drew of fewer or other runs."""
    for suffix in ("svg", "png"):
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)


@contextmanager
def drawing() -> Iterator[None]:
    """The settings every figure is drawn and written under."""
    with style.drawing(), _foreign_letters_allowed():
        yield


@contextmanager
def _foreign_letters_allowed() -> Iterator[None]:
    """A letter that the font of the PNG lacks becomes a box there; the SVG has it as text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
