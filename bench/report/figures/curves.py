"""A quantity against batch size: points per run, a line through the cells' medians, their interval as a band."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.report import style
from bench.report.figures.base import (
    axes_grid,
    batch_axis,
    family_legend,
    figure_with_title,
    floats,
    mark_unsteady,
    note_handle,
    ranked,
    unsteady_handles,
)
from bench.report.view import Family, Panel, View, conditions

# Beyond this many points a scatter is a smear and the file heavy; evenly chosen rounds are drawn.
_MOST_POINTS = 1200


@dataclass(frozen=True)
class Quantity:
    """A column of ``cells`` and ``runs`` that is drawn against the batch size.

    Attributes:
        column: its name; ``<column>_low`` and ``<column>_high`` hold its interval.
        title: of the figure.
        axis: of the vertical axis, with the unit.
        tick: writes the axis' ticks.
        guide: how the quantity would go under linear scaling: 1 upwards with the batch size, 0 for no guide.
    """

    column: str
    title: str
    axis: str
    tick: Callable[[float, int], str]
    guide: bool = False


def draw_quantity(
    view: View,
    quantity: Quantity,
    *,
    above: Callable[[Axes, Panel], None] | None = None,
    explained: Sequence[Line2D] = (),
) -> SubFigure | str:
    """The figure, one axes per device and workload, or why there is none.

    Args:
        view: the sweep.
        quantity: what is drawn.
        above: draws more on top of the curves of a panel.
        explained: entries of the legend for that.
    """
    panels = view.shown_panels
    if not panels:
        return "No run of this sweep was measured, so there is nothing to draw."
    rows = math.ceil(len(panels) / 2)
    figure = figure_with_title(quantity.title, _subtitle(view, panels), height=4.6 if rows == 1 else 3.5 * rows)
    for axes, panel in zip(axes_grid(figure, len(panels)), panels, strict=True):
        _draw_panel(axes, panel, view, quantity, width_in=7.0 if len(panels) == 1 else 3.4)
        if above is not None:
            above(axes, panel)
    family_legend(figure, ranked(panels, quantity.column), [*_explanations(panels, quantity), *explained])
    return figure


def draw_curve(axes: Axes, family: Family, cells: pd.DataFrame, column: str, *, above: int = 0) -> None:
    """A family's line through its cells; seaborn neither averages nor resamples here: one value per batch size.

    Args:
        axes: where to draw.
        family: gives the line its look.
        cells: the family's cells.
        column: the value drawn.
        above: how many more lines will lie on top. Where curves coincide, lower ones are drawn wider and show.
    """
    look = family.look
    sns.lineplot(
        x=cells["batch_size"].astype("int64"), y=floats(cells[column]), ax=axes, color=look.colour, marker=look.marker,
        linestyle=look.linestyle, linewidth=1.8 + 1.9 * above, markersize=5.5 + 2.4 * above, estimator=None,
        errorbar=None, legend=False, markeredgecolor=style.CARD, markeredgewidth=0.6, zorder=3,
    )  # fmt: skip


def _subtitle(view: View, panels: list[Panel]) -> str:
    return " ".join([conditions(view, panels[0]), view.left_out]).strip()


def _draw_panel(axes: Axes, panel: Panel, view: View, quantity: Quantity, *, width_in: float) -> None:
    axes.set_yscale("log")
    if quantity.guide:
        _linear_guide(axes, panel, quantity.column)
    for family, cells in panel.families():
        runs_behind(axes, family, view.runs[view.runs["cell_id"].isin(cells["cell_id"])], quantity.column)
        draw_interval(axes, family, cells, quantity.column)
        draw_curve(axes, family, cells, quantity.column)
        marked = cells[cells["unsteady"]]
        mark_unsteady(axes, marked["batch_size"].astype("int64"), floats(marked[quantity.column]))
    batch_axis(axes, panel, width_in=width_in)
    value_axis(axes, quantity.axis, quantity.tick)
    axes.set_title(panel.label, loc="left", fontweight="bold")


def value_axis(axes: Axes, label: str, tick: Callable[[float, int], str]) -> None:
    """A log axis with readable numbers on its powers of ten, and on 2 and 5 where it spans little."""
    axes.set_ylabel(label)
    low, high = axes.get_ylim()
    if high < 1.5 * low:  # one value, or nearly one: an axis that zooms in on it would show noise, or nothing
        low, high = low / 1.5, high * 1.5
        axes.set_ylim(low, high)
    narrow = high / low < 400
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(tick))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda _value, _position: ""))


def runs_behind(axes: Axes, family: Family, runs: pd.DataFrame, column: str) -> None:
    """A family's runs as dots, hollow where one is unsteady; evenly chosen rounds where there are too many."""
    values = runs[["batch_size", "round", "unsteady", column]].dropna()
    step = math.ceil(len(values) / _MOST_POINTS) if len(values) else 1
    drawn = values[values["round"] % step == 0]
    for unsteady, face, edge in ((False, family.look.colour, 0.0), (True, "none", 1.0)):
        dots = drawn[drawn["unsteady"] == unsteady]
        axes.scatter(
            dots["batch_size"].astype("int64"), floats(dots[column]), s=9, facecolors=face,
            edgecolors=family.look.colour, alpha=0.7 if unsteady else 0.35, linewidths=edge, zorder=2,
        )  # fmt: skip


def draw_interval(axes: Axes, family: Family, cells: pd.DataFrame, column: str) -> None:
    """The interval of every cell that has one, as a band."""
    known = cells.dropna(subset=[f"{column}_low", f"{column}_high"])
    axes.fill_between(
        known["batch_size"].astype("int64"), floats(known[f"{column}_low"]), floats(known[f"{column}_high"]),
        color=family.look.colour, alpha=0.22, linewidth=0, zorder=1.5,
    )  # fmt: skip


def _linear_guide(axes: Axes, panel: Panel, column: str) -> None:
    smallest = panel.cells[panel.cells["batch_size"] == panel.batch_sizes[0]]
    start = float(floats(smallest[column]).max())
    sizes = [panel.batch_sizes[0], panel.batch_sizes[-1]]
    # Drawn, but not allowed to stretch the axis: the guide leaves the picture where the curves fall behind it.
    limits = floats(panel.cells[column])
    axes.plot(sizes, [start * size / sizes[0] for size in sizes], color=style.MUTED, linewidth=1.1, dashes=(1, 2))
    axes.set_ylim(float(limits.min()) / 1.5, float(limits.max()) * 2.2)


def interval_handle() -> Line2D:
    """The legend's entry for the bands."""
    return note_handle("95 % interval", linewidth=7, alpha=0.3)


def _explanations(panels: list[Panel], quantity: Quantity) -> list[Line2D]:
    dot = note_handle("one run", linestyle="none", marker="o", markersize=3.0, alpha=0.6)
    banded = any(panel.cells[f"{quantity.column}_low"].notna().any() for panel in panels)
    band = [interval_handle()] if banded else []
    guide = [note_handle("linear scaling", dashes=(1, 2), linewidth=1.1)] if quantity.guide else []
    hollow = note_handle(
        "one without steady state", linestyle="none", marker="o", markersize=3.0, markerfacecolor="none"
    )
    unsteady = unsteady_handles(pd.concat([panel.cells["unsteady"] for panel in panels]))
    return [dot, *([hollow] if unsteady else []), *band, *guide, *unsteady]
