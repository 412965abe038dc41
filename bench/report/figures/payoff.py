"""What the first step costs, and after how many epochs a loop has overtaken the one that people write."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

from bench.analysis.payoff import AT_ONCE, LATER, NEVER, STARTS, WARM
from bench.report import format as fmt
from bench.report import starting, style
from bench.report.figures.base import (
    DataTable,
    FigureKind,
    batch_axis,
    family_legend,
    figure_with_title,
    floats,
    mark_unsteady,
    note_handle,
    row_of_most,
    unsteady_handles,
)
from bench.report.figures.datatables import MOST_ROWS, size_of
from bench.report.starting import Row
from bench.report.view import Family, Panel, View, conditions

_TITLE = "What compiling costs, and when it pays off"
_ROW_IN = 0.3
_WEIGHED = ("first step", "loading", "has paid for itself", "when loading")
# Decades that a word on the axis of epochs takes.
_SLOT = 0.8
_USUAL_BATCH = 32


@dataclass(frozen=True)
class Curve:
    """A loop against its framework's usual one, by batch size; ``cold`` is its start where both are the same."""

    family: Family
    start: str
    rows: Sequence[Row]

    @property
    def face(self) -> str:
        """Filled marks compile, hollow ones load."""
        return style.CARD if self.start == WARM else self.family.look.colour


def _draw(view: View) -> SubFigure | str:
    if not view.panels:
        return "No run of this sweep was measured, so there is no first step to show."
    panel = view.panels[0]
    if not set(panel.cells["cell_id"].astype(str)) & starting.compiling(view):
        return "No loop of this sweep compiles anything."
    curves = _curves(view, panel)
    families = _by_cost(panel)
    figure = figure_with_title(
        _TITLE, f"{panel.label} · {conditions(view, panel, interval=False)}", height=_height(len(families))
    )
    if curves:
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
        _draw_epochs(right, view, panel, curves)
    else:
        left = figure.subplots()
    _draw_costs(left, families)
    family_legend(figure, [family for family, _ in families], _explanations(view, panel, curves))
    return figure


def _height(rows: int) -> float:
    """Enough for the rows, and for a legend of as many lines and the explanations below them."""
    return max(3.9, _ROW_IN * rows + 1.7)


def _by_cost(panel: Panel) -> list[tuple[Family, pd.DataFrame]]:
    """The families by what their first step costs, the dearest first."""
    known = [(family, cells) for family, cells in panel.families() if floats(cells["first_step_s"]).notna().any()]
    return sorted(known, key=lambda pair: -max(end for end in _ends(pair[1]) if end is not None))


def _ends(cells: pd.DataFrame) -> tuple[float | None, float | None]:
    """A family's first step without and with a cache, each None where no run began so."""
    cold, warm = (values.dropna() for values in (_cold(cells), floats(cells["first_step_warm_s"])))
    return (float(cold.median()) if len(cold) else None, float(warm.median()) if len(warm) else None)


def _cold(cells: pd.DataFrame) -> pd.Series[float]:
    """First steps without any help of a cache: of cold runs, and of all runs where nothing is kept."""
    of_all = floats(cells["first_step_s"]).where(cells["first_step_warm_s"].isna())
    return floats(cells["first_step_cold_s"]).fillna(of_all)


def _draw_costs(axes: Axes, families: Sequence[tuple[Family, pd.DataFrame]]) -> None:
    axes.set_xscale("log")
    for place, (family, cells) in enumerate(families):
        look, cold_and_warm = family.look, _ends(cells)
        ends = [end for end in cold_and_warm if end is not None]
        axes.plot(ends, [place] * len(ends), color=look.colour, linewidth=1.4, linestyle=look.linestyle, zorder=2)
        single = [_cold(cells), floats(cells["first_step_warm_s"])]
        for values in single:
            axes.scatter(values, [place] * len(values), s=9, color=look.colour, alpha=0.35, linewidths=0, zorder=2.5)
        for end, face in zip(cold_and_warm, (look.colour, style.CARD), strict=True):
            if end is not None:
                axes.plot(
                    [end], [place], marker=look.marker, markersize=7, color=look.colour, markerfacecolor=face,
                    linestyle="none", zorder=3,
                )  # fmt: skip
        beyond_all = (float(pd.concat(single).max()), place)
        axes.annotate(
            " / ".join(map(fmt.duration, ends)), beyond_all, xytext=(8, 0), textcoords="offset points", va="center",
            color=style.MUTED, fontsize=9,
        )  # fmt: skip
    axes.set_yticks(range(len(families)), [family.label for family, _ in families])
    axes.set_ylim(len(families) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    _cost_axis(axes)
    axes.set_xlabel("first step (s)")
    axes.set_title("first step of a process", loc="left", fontweight="bold")


def _cost_axis(axes: Axes) -> None:
    """Decades that leave each other room, and room for the texts on the right."""
    low, high = axes.get_xlim()
    low = min(low, 10.0 ** math.floor(math.log10(high)))
    decades = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    axes.set_xlim(low, high * (high / low) ** 0.45)
    axes.xaxis.set_major_locator(FixedLocator([10.0**power for power in decades[:: math.ceil(len(decades) / 3)]]))
    axes.xaxis.set_major_formatter(FuncFormatter(fmt.tick_duration))
    axes.xaxis.set_minor_locator(NullLocator())


def _curves(view: View, panel: Panel) -> list[Curve]:
    """Every loop that compiles, against its framework's usual loop."""
    return [curve for family, cells in panel.families() for curve in _curves_of(view, family, cells)]


def _curves_of(view: View, family: Family, cells: pd.DataFrame) -> Iterator[Curve]:
    able = starting.compiling(view)
    found = [starting.pay_offs(view, str(cell_id)) for cell_id in cells["cell_id"] if str(cell_id) in able]
    for start in STARTS:
        rows = [rows[start] for rows in found if start in rows]
        if rows:
            yield Curve(family, start, rows)


def _draw_epochs(axes: Axes, view: View, panel: Panel, curves: Sequence[Curve]) -> None:
    rows = [row for curve in curves for row in curve.rows]
    budget = _budget(view, panel)
    scale = _Scale.of(rows, budget)
    axes.set_yscale("log")
    for curve in curves:
        _draw_curve(axes, curve, scale)
    axes.axhline(budget, color=style.MUTED, linewidth=1.1, dashes=(4, 3), zorder=1.2)
    for low, high in scale.bands():
        axes.axhspan(low, high, color=style.GRID, alpha=0.45, linewidth=0, zorder=0.5)
    axes.set_ylim(*scale.limits)
    axes.yaxis.set_major_locator(FixedLocator(list(scale.ticks)))
    axes.yaxis.set_major_formatter(FixedFormatter(list(scale.ticks.values())))
    axes.yaxis.set_minor_locator(NullLocator())
    batch_axis(axes, panel, width_in=3.2)
    axes.set_ylabel("epochs until it has paid for itself")
    axes.set_title(f"against the {starting.USUAL_LOOP} loop", loc="left", fontweight="bold")


def _draw_curve(axes: Axes, curve: Curve, scale: _Scale) -> None:
    look, rows = curve.family.look, curve.rows
    sizes, heights = [row["batch_size"] for row in rows], [scale.height(row) for row in rows]
    axes.plot(
        sizes, heights, color=look.colour, linestyle=look.linestyle, linewidth=1.1 if curve.start == WARM else 1.8,
        marker=look.marker, markersize=6, markerfacecolor=curve.face, zorder=3,
    )  # fmt: skip
    marked = [(size, height) for size, height, row in zip(sizes, heights, rows, strict=True) if row["unsteady"]]
    mark_unsteady(axes, [size for size, _ in marked], [height for _, height in marked])
    known = [row for row in rows if row["verdict"] == LATER and not fmt.is_missing(row["after_steps_low"])]
    ends = [starting.epochs_interval(row) for row in known]
    axes.vlines(
        [row["batch_size"] for row in known], [low for low, _ in ends], [high for _, high in ends], color=look.colour,
        alpha=0.5, linewidth=4.5, zorder=2,
    )  # fmt: skip


@dataclass(frozen=True)
class _Scale:
    """A log axis of epochs with a slot for every word that is no number of them."""

    words: dict[str, float]
    decades: range

    @classmethod
    def of(cls, rows: Sequence[Row], budget: float) -> _Scale:
        values = [budget, *(row["after_epochs"] for row in rows if row["verdict"] == LATER)]
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values) * 1.0001))
        said = {starting.after(row) for row in rows if row["verdict"] != LATER}
        above = [word for word in (NEVER, starting.OPEN) if word in said]
        words = {word: 10.0 ** (high + _SLOT * (place + 0.5)) for place, word in enumerate(above)}
        if AT_ONCE in said:
            words[AT_ONCE] = 10.0 ** (low - _SLOT / 2)
        return cls(words, range(low, high + 1))

    @property
    def limits(self) -> tuple[float, float]:
        """Of the axis, slots included."""
        ends = [10.0 ** self.decades[0], 10.0 ** self.decades[-1], *(end for band in self.bands() for end in band)]
        return min(ends), max(ends)

    @property
    def ticks(self) -> dict[float, str]:
        """Labels by their height."""
        numbers = {10.0**power: fmt.tick_plain(10.0**power) for power in self.decades}
        return numbers | {height: word for word, height in self.words.items()}

    def bands(self) -> list[tuple[float, float]]:
        """The slots of the words."""
        half = 10 ** (_SLOT / 2)
        return [(height / half, height * half) for height in self.words.values()]

    def height(self, row: Row) -> float:
        """Where a row stands."""
        return float(row["after_epochs"]) if row["verdict"] == LATER else self.words[starting.after(row)]


def _budget(view: View, panel: Panel) -> int:
    return int(view.plans[str(panel.cells.iloc[0]["cell_id"])]["budget"]["epochs"])


def _explanations(view: View, panel: Panel, curves: Sequence[Curve]) -> list[Line2D]:
    filled = "compiles, or has nothing\nto compile"
    shown = [note_handle(filled, linestyle="none", marker="o", markersize=6)]
    if panel.cells["first_step_warm_s"].notna().any():
        hollow = "loads what an earlier run of\nthe cell compiled"
        shown.append(note_handle(hollow, linestyle="none", marker="o", markersize=6, markerfacecolor=style.CARD))
    shown.append(
        note_handle("one batch size\n(large: their median)", linestyle="none", marker="o", markersize=3.0, alpha=0.6)
    )
    if curves:
        budget = fmt.plural(_budget(view, panel), "epoch")
        shown.append(note_handle(f"this sweep's budget, {budget}", dashes=(4, 3), linewidth=1.1))
    if any(not fmt.is_missing(row["after_steps_low"]) for curve in curves for row in curve.rows):
        shown.append(note_handle("95 % interval", linewidth=4.5, alpha=0.5))
    return shown + unsteady_handles(pd.Series([row["unsteady"] > 0 for curve in curves for row in curve.rows]))


def _finding(view: View) -> str:
    panel = view.panels[0]
    able = panel.cells[panel.cells["cell_id"].astype(str).isin(starting.compiling(view))]
    dearest = row_of_most(able.assign(cold=_cold(able)), "cold")
    name = f"{dearest['family']} at batch {size_of(dearest)}"
    first = f"Dearest to start: {name}, whose first step takes {starting.first_step(dearest)}."
    return " ".join([first, *_pay_offs_at(view, panel)])


def _pay_offs_at(view: View, panel: Panel) -> list[str]:
    """What every loop that compiles gives at one batch size, the one that most people use where it was measured."""
    sizes = panel.batch_sizes
    size = _USUAL_BATCH if _USUAL_BATCH in sizes else sizes[len(sizes) // 2]
    said: dict[str, dict[str, Row]] = {}
    for curve in _curves(view, panel):
        for row in curve.rows:
            if row["batch_size"] == size:
                said.setdefault(curve.family.label, {})[curve.start] = row
    if not said:
        return []
    head = f"At batch {panel.size_label(size)}, against the {starting.USUAL_LOOP} loop of its framework:"
    sentence = f"{head} {'; '.join(starting.pays_off(label, rows) for label, rows in said.items())}."
    return [sentence, *([f"{fmt.UNSTEADY_NOTE}."] if fmt.UNSTEADY in sentence else [])]


def _table(view: View) -> DataTable:
    able = starting.compiling(view)
    measured = view.cells[view.cells["measured"] & view.cells["cell_id"].astype(str).isin(able)]
    split = measured["panel"].nunique() > 1
    rows = [
        [
            *([str(cell["panel"])] if split else []),
            str(cell["family"]),
            other,
            size_of(cell),
            *_weighed(view, cell, other),
        ]
        for _, cell in measured.sort_values(["panel", "family", "batch_size", "cell_id"]).iterrows()
        for other in _others(view, cell)
    ]
    headers = [*(["setting"] if split else []), "loop", "against", "batch size", *_WEIGHED]
    left_out = max(0, len(rows) - MOST_ROWS)
    return DataTable(headers, rows[:MOST_ROWS], text_columns=3 if split else 2, left_out=left_out, file="payoffs")


def _others(view: View, cell: pd.Series[Any]) -> list[str]:
    """The loops that a cell has been weighed against."""
    loops = sorted(view.cells["loop"].astype(str).unique())
    return [loop for loop in loops if (str(cell["cell_id"]), loop) in view.pay_offs]


def _weighed(view: View, cell: pd.Series[Any], other: str) -> list[str]:
    rows = starting.pay_offs(view, str(cell["cell_id"]), other)
    seen = [
        fmt.MISSING if start not in rows else fmt.marked(starting.after(rows[start]), rows[start]["unsteady"])
        for start in STARTS
    ]
    return [fmt.duration(_cold(cell.to_frame().T).iloc[0]), fmt.duration(cell["first_step_warm_s"]), *seen]


PAYOFF = FigureKind("payoff", _TITLE, _draw, _finding, _table)
