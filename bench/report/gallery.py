"""Draws the figures, writes their files and hands them to the page."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import FigureBase

from bench.report import style, svg
from bench.report.figures import FIGURES, FigureKind
from bench.report.figures.base import DataTable
from bench.report.view import View
from bench.store.layout import SweepFolder
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
    with style.drawing(), _foreign_letters_allowed():
        return [_exhibit(view, kind) for kind in FIGURES]


def drawn(shown: Sequence[Exhibit]) -> list[Exhibit]:
    """Those that there is a picture of."""
    return [exhibit for exhibit in shown if exhibit.picture is not None]


def _exhibit(view: View, kind: FigureKind) -> Exhibit:
    figure = kind.draw(view)
    if isinstance(figure, str):
        _forget(view.folder, kind.name)
        return Exhibit(kind.name, kind.title, absence=figure)
    finding = kind.finding(view)
    picture = _write(view.folder, kind, figure, finding)
    inline = svg.inlined(picture, name=kind.name, variables=style.CSS_VARIABLES)
    return Exhibit(kind.name, kind.title, inline, finding, kind.table(view))


def _write(folder: SweepFolder, kind: FigureKind, figure: FigureBase, finding: str) -> str:
    whole = figure.get_figure(root=True)
    # Laid out once, for both files.
    whole.draw_without_rendering()
    whole.set_layout_engine("none")
    vector, pixels = io.StringIO(), io.BytesIO()
    # Without a date both files are the same from build to build.
    whole.savefig(vector, format="svg", metadata={"Date": None})
    whole.savefig(pixels, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    text = svg.described(vector.getvalue(), name=kind.name, title=kind.title, description=finding)
    write_bytes(folder.figures / f"{kind.name}.svg", text.encode())
    write_bytes(folder.figures / f"{kind.name}.png", pixels.getvalue())
    return text


def _forget(folder: SweepFolder, name: str) -> None:
    """Removes what an earlier build drew of fewer or other runs."""
    for suffix in ("svg", "png"):
        (folder.figures / f"{name}.{suffix}").unlink(missing_ok=True)


@contextmanager
def _foreign_letters_allowed() -> Iterator[None]:
    """A letter that the font of the PNG lacks becomes a box there; the SVG has it as text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
