"""How far every loop's training lies from the reference's, against the bar: a glance tells whether all are the same."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.analysis.caveats import voided
from bench.report import format as fmt
from bench.report import parity, style
from bench.report.figures.base import (
    DataTable,
    FigureKind,
    axes_grid,
    batch_axis,
    family_legend,
    figure_with_title,
    floats,
    note_handle,
    ranked,
)
from bench.report.figures.curves import draw_curve, runs_behind
from bench.report.figures.datatables import cell_table
from bench.report.view import MOST_PANELS, Family, Panel, View, budget_label, workload_label

_TITLE = "The same training, proven"
_AXIS = "largest difference from the reference's loss (nats)"
# Below the bar so far at the least: rounding lies three to four powers of ten below it.
_DEPTH = 1e-3
# From here on a cell's own bar is drawn beside the stated one.
_RAISED = 1.5


def _draw(view: View) -> SubFigure | str:
    panels = _panels(view)
    if not panels:
        return parity.absence(view)
    figure = figure_with_title(_TITLE, _subtitle(view, panels[0]), height=3.9 if len(panels) < 3 else 6.6)
    width_in = 7.0 if len(panels) == 1 else 3.4
    for axes, panel in zip(axes_grid(figure, len(panels), sharey=False), panels, strict=True):
        _draw_panel(axes, panel, view, width_in=width_in)
    family_legend(figure, ranked(panels, "parity"), _explanations(panels))
    return figure


def _panels(view: View) -> list[Panel]:
    """Other than the view's: a cell that failed the gate was not measured, and belongs here."""
    looked_at = parity.gated(view.cells)
    sizes = looked_at.groupby("panel", sort=True).size().sort_values(ascending=False, kind="stable")
    return [Panel(str(label), looked_at[looked_at["panel"] == label]) for label in sizes.index[:MOST_PANELS]]


def _draw_panel(axes: Axes, panel: Panel, view: View, *, width_in: float) -> None:
    low, high = _limits(panel)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    _draw_control(axes, panel)
    for family, cells in panel.families():
        # Zero has no place on a log axis, and no number is beyond it: both lie on its edge.
        shown = cells.assign(parity=floats(cells["parity"]).fillna(high).clip(low, high))
        wrong = voided(cells)
        runs = view.runs[view.runs["cell_id"].isin(cells["cell_id"][~wrong])]
        runs_behind(axes, family, runs.assign(parity=floats(runs["parity"]).clip(low, high), unsteady=False), "parity")
        draw_curve(axes, family, shown[~wrong], "parity")
        _draw_wrong(axes, family, shown[wrong])
    _draw_bar(axes, panel)
    batch_axis(axes, panel, width_in=width_in)
    axes.set_ylabel(_AXIS)
    axes.yaxis.set_major_locator(LogLocator(base=10))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: fmt.power_of_ten(value)))
    axes.set_title(panel.label, loc="left", fontweight="bold")


def _draw_wrong(axes: Axes, family: Family, cells: pd.DataFrame) -> None:
    """Cells that trained something else: the family's marker, crossed out."""
    sizes, values = cells["batch_size"].astype("int64"), floats(cells["parity"])
    look = family.look
    axes.scatter(sizes, values, marker=look.marker, s=34, color=look.colour, linewidths=0, zorder=4)
    axes.scatter(sizes, values, marker="x", s=90, color=style.INK, linewidths=1.6, zorder=4)


def _draw_control(axes: Axes, panel: Panel) -> None:
    """What rounding in the engines' number format does to the reference itself, the most at every batch size."""
    low, _ = axes.get_ylim()
    most = (
        floats(panel.cells["parity_control"]).groupby(panel.cells["batch_size"].astype("int64")).max().clip(lower=low)
    )
    axes.fill_between(most.index.to_numpy(), low, most.to_numpy(), color=style.GREY, alpha=0.18, linewidth=0, zorder=1)


def _draw_bar(axes: Axes, panel: Panel) -> None:
    bars = floats(panel.cells["parity_bar"])
    if bars.isna().all():
        return
    stated = float(bars.min())
    axes.axhline(stated, color=style.INK, linewidth=1.3, dashes=(6, 3), zorder=2.5)
    axes.text(
        0.995, stated, f"bar {fmt.scientific(stated)}", transform=axes.get_yaxis_transform(), ha="right", va="bottom",
        color=style.INK,
    )  # fmt: skip
    raised = panel.cells[bars > _RAISED * stated]
    axes.scatter(
        raised["batch_size"].astype("int64"), floats(raised["parity_bar"]), marker="_", s=160, color=style.INK,
        linewidths=1.1, zorder=2.5,
    )  # fmt: skip


def _limits(panel: Panel) -> tuple[float, float]:
    """From well below what was seen and asked to above it."""
    columns = ["parity", "parity_control", "parity_bar"]
    values = pd.concat([floats(panel.cells[name]) for name in columns]).dropna()
    seen = values[values > 0]
    if seen.empty:
        return _DEPTH, 1.0
    bar = float(floats(panel.cells["parity_bar"]).min())
    low = min(float(seen.min()) / 1.5, bar * _DEPTH if bar == bar else float("inf"))
    return low, max(float(seen.max()), 0.0) * 6


def _explanations(panels: list[Panel]) -> list[Line2D]:
    cells = pd.concat([panel.cells for panel in panels])
    dot = note_handle("one run", linestyle="none", marker="o", markersize=3.0, alpha=0.6)
    control = note_handle("rounding alone (NumPy)", linewidth=7, alpha=0.3, color=style.GREY)
    bars = pd.concat([floats(panel.cells["parity_bar"]) for panel in panels])
    raised = note_handle("bar, raised by rounding", linestyle="none", marker="_", markersize=11, color=style.INK)
    cross = note_handle("not the same: invalid", linestyle="none", marker="x", markersize=7, color=style.INK)
    wrong = voided(cells).any()
    return [dot, control, *([raised] if (bars > _RAISED * bars.min()).any() else []), *([cross] if wrong else [])]


def _subtitle(view: View, panel: Panel) -> str:
    cell = view.plans[str(panel.cells.iloc[0]["cell_id"])]
    return (
        f"{workload_label(cell)} · {budget_label(cell)} · beside the float64 reference: the same weights and rows, "
        f"{parity.steps(panel.cells)} before anything is timed · lines: worst run"
    )


def _finding(view: View) -> str:
    return f"{parity.summary(view)} {parity.rounding_and_flips(view)}"


def _table(view: View) -> DataTable:
    columns = {
        "difference": lambda row: fmt.scientific(row["parity"]),
        "bar": lambda row: fmt.scientific(row["parity_bar"]),
        "rounding alone": lambda row: fmt.scientific(row["parity_control"]),
        "undecided gates": lambda row: fmt.count(row["parity_undecided"]),
        "worth": lambda row: fmt.scientific(row["parity_flips"]),
        "steps": lambda row: fmt.count(row["parity_steps"]),
        "gate": lambda row: fmt.duration(row["parity_s"]),
    }
    return cell_table(view, columns, cells=parity.gated(view.cells))


PARITY = FigureKind("parity", _TITLE, _draw, _finding, _table)
