"""What every figure is made of: a title, a line of conditions, axes with real batch sizes, and one shared legend."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from bench.report import format as fmt
from bench.report import style
from bench.report.view import Family, Panel, View

_TITLE_PT = 13.0
_LINE_PT = 14.0
_SUBTITLE_CHARACTERS = 136
_SEPARATOR = " · "
_TICK_PT = 25.0


@dataclass(frozen=True)
class DataTable:
    """The numbers behind a figure as text, first column the row's name.

    Attributes:
        headers: one per column.
        rows: the cells, formatted.
        text_columns: how many of the columns, from the left, hold words.
        left_out: rows that were too many to print.
        file: the table that has them all.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    left_out: int = 0
    file: str = "cells"


@dataclass(frozen=True)
class FigureKind:
    """One figure of the report.

    Attributes:
        name: its files are ``figures/<name>.svg`` and ``.png``.
        title: what is seen.
        draw: the figure, or the sentence that says why there is none.
        finding: a sentence computed from the data.
        table: the numbers behind it.
    """

    name: str
    title: str
    draw: Callable[[View], SubFigure | str]
    finding: Callable[[View], str]
    table: Callable[[View], DataTable]


def figure_with_title(title: str, subtitle: str, *, height: float) -> SubFigure:
    """The empty space below the title of a figure of the full width; ``height`` is its height in inches."""
    lines = _wrapped(subtitle.split(_SEPARATOR))
    heading_in = (_TITLE_PT + _LINE_PT * len(lines) + 18) / 72
    figure = Figure(figsize=(style.FULL_WIDTH, height + heading_in), layout="constrained")
    halves = figure.subfigures(2, 1, height_ratios=[heading_in, height])
    heading, body = np.asarray(halves).tolist()
    assert isinstance(body, SubFigure)
    top, below = 1 - 7 / 72 / heading_in, 1 - (_TITLE_PT + 14) / 72 / heading_in
    heading.text(0.008, top, title, va="top", fontsize=_TITLE_PT, fontweight="bold", color=style.INK)
    heading.text(0.008, below, "\n".join(lines), va="top", color=style.MUTED, linespacing=1.25)
    return body


def _wrapped(parts: Sequence[str]) -> list[str]:
    """Lines that break between parts, inside one only where it is too long for a line of its own."""
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]}{_SEPARATOR}{part}" if lines[-1] else part
        if len(joined) <= _SUBTITLE_CHARACTERS:
            lines[-1] = joined
        else:
            lines.extend(textwrap.wrap(part, _SUBTITLE_CHARACTERS))
    return [line for line in lines if line] or [""]


def axes_grid(figure: SubFigure, count: int, *, columns: int = 2, sharey: bool = True) -> list[Axes]:
    """So many axes, row by row, the shared scale labelled once."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    flat = list(grid.flat)
    for spare in flat[count:]:
        spare.remove()
    return flat[:count]


def batch_axis(axes: Axes, panel: Panel, *, width_in: float) -> None:
    """A log-2 axis whose ticks are the batch sizes themselves, as many as fit."""
    axes.set_xscale("log", base=2)
    shown = ticks_that_fit(panel.batch_sizes, width_in * 72)
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FixedFormatter([panel.size_label(size) for size in shown]))
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = panel.batch_sizes[0], panel.batch_sizes[-1]
    axes.set_xlim(low / 1.25, high * 1.25)
    axes.set_xlabel(batch_label(panel))


def batch_label(panel: Panel) -> str:
    """The axis label, which says how many samples ``full`` is."""
    full = [size for size in panel.batch_sizes if panel.size_label(size) == "full"]
    return "batch size (samples per step" + (f"; full = {full[0]:,})" if full else ")")


def ticks_that_fit(sizes: Sequence[int], width_pt: float) -> list[int]:
    """The sizes whose labels do not touch on a log axis so wide; first and last always stay."""
    if len(sizes) < 2:
        return list(sizes)
    scale = width_pt / math.log2(sizes[-1] * 1.25**2 / sizes[0])
    chosen = [sizes[0]]
    for size in sizes[1:-1]:
        from_previous, to_last = math.log2(size / chosen[-1]), math.log2(sizes[-1] / size)
        if min(from_previous, to_last) * scale >= _TICK_PT:
            chosen.append(size)
    return [*chosen, sizes[-1]]


def family_legend(figure: SubFigure, families: Iterable[Family], extra: Sequence[Line2D] = ()) -> None:
    """One legend for the whole figure, right of the axes, with lines long enough to show their dashes."""
    handles = [family_handle(family) for family in families] + list(extra)
    figure.legend(handles=handles, loc="outside right upper", handlelength=4.0, labelspacing=0.9, borderpad=0.1)


def family_handle(family: Family) -> Line2D:
    """A family's entry in a legend."""
    look = family.look
    return Line2D(
        [], [], color=look.colour, marker=look.marker, markersize=5, linewidth=1.6, linestyle=look.linestyle,
        label=family.label,
    )  # fmt: skip


def note_handle(label: str, **line: object) -> Line2D:
    """An entry of a legend for something that is no family."""
    return Line2D([], [], label=label, **({"color": style.MUTED, "linewidth": 1.2} | line))  # type: ignore[arg-type]


def mark_unsteady(axes: Axes, sizes: Iterable[Any], heights: Iterable[Any]) -> None:
    """A dagger above every point that a run without steady state, or one that slows down, has a part in."""
    for size, height in zip(sizes, heights, strict=True):
        if not pd.isna(height):
            axes.annotate(
                fmt.UNSTEADY, (size, height), xytext=(0, 4.5), textcoords="offset points", ha="center", va="bottom",
                color=style.INK, fontsize=style.TEXT_PT + 0.5, annotation_clip=True, zorder=5,
            )  # fmt: skip


def unsteady_handles(unsteady: pd.Series[bool]) -> list[Line2D]:
    """The legend's entry for the daggers, where there are any."""
    words = f"{fmt.UNSTEADY} a run behind it slows down\nor has no steady state"
    return [note_handle(words, linestyle="none")] if unsteady.any() else []


def unsteady_sentence(cells: pd.DataFrame) -> str:
    """How many of the cells are marked, to stand behind a finding; empty where none is."""
    marked = int(cells["unsteady"].sum())
    of = f"{fmt.count(marked)} of {fmt.plural(len(cells), 'cell')}"
    return f"{fmt.UNSTEADY} {of}: a run of it slows down or has no steady state." if marked else ""


def ranked(panels: Sequence[Panel], column: str, *, ascending: bool = False) -> list[Family]:
    """All families of the panels, in the order in which their curves end at the right of the first one."""
    last: dict[Family, float] = {}
    for panel in panels:
        for family, cells in panel.families():
            last.setdefault(family, _last_value(cells, column))
    return sorted(last, key=lambda family: (last[family] if ascending else -last[family], family.label))


def floats(values: pd.Series[float]) -> pd.Series[float]:
    """Nullable numbers as floats with NaN, which is what drawing understands."""
    return pd.to_numeric(values).astype("float64")


def row_of_least(table: pd.DataFrame, column: str) -> pd.Series[Any]:
    """The first row with the least value of the column."""
    return table.iloc[int(np.nanargmin(floats(table[column]).to_numpy()))]


def row_of_most(table: pd.DataFrame, column: str) -> pd.Series[Any]:
    """The first row with the largest value of the column."""
    return table.iloc[int(np.nanargmax(floats(table[column]).to_numpy()))]


def _last_value(cells: pd.DataFrame, column: str) -> float:
    values = floats(cells[column]).dropna()
    return float(values.iloc[-1]) if len(values) else float("-inf")
