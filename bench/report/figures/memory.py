"""Peak memory against batch size: three different things, one row of axes each, never mixed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from bench.analysis.verdict import MEMORY_GRAIN_BYTES
from bench.report import format as fmt
from bench.report import style
from bench.report.figures.base import (
    DataTable,
    FigureKind,
    axes_grid,
    batch_axis,
    family_legend,
    figure_with_title,
    floats,
)
from bench.report.figures.curves import draw_curve, value_axis
from bench.report.figures.datatables import cell_table
from bench.report.view import Family, Panel, View, budget_label, workload_label

_TITLE = "Peak memory against batch size"


@dataclass(frozen=True)
class Kind:
    """One way of looking at memory; ``coincide`` where every framework and loop has the same figure."""

    column: str
    label: str
    coincide: bool = False


KINDS = (
    Kind("rss_over_baseline_bytes", "process, above its baseline"),
    Kind("device_peak_bytes", "framework's allocator"),
    Kind("model_bytes", "analytic model", coincide=True),
)


def _draw(view: View) -> SubFigure | str:
    panel = _panel(view)
    if panel is None:
        return f"No run recorded its memory: {_absence(view)}"
    figure = figure_with_title(_TITLE, _subtitle(view, panel), height=4.0)
    for axes, kind in zip(axes_grid(figure, len(KINDS), columns=3), KINDS, strict=True):
        _draw_kind(axes, panel, kind)
    for axes in figure.axes:
        value_axis(axes, "peak memory (bytes)" if axes is figure.axes[0] else "", fmt.tick_bytes)
    family_legend(figure, [family for family, _ in panel.families()])
    return figure


def _draw_kind(axes: Axes, panel: Panel, kind: Kind) -> None:
    axes.set_yscale("log")
    families = list(panel.families())
    for place, (family, cells) in enumerate(families, start=1):
        # Zero has no place on a log axis: "nothing above the baseline was seen" stays in the table.
        known = cells[floats(cells[kind.column]) > 0]
        if len(known):
            draw_curve(axes, family, known, kind.column, above=len(families) - place if kind.coincide else 0)
    if not (floats(panel.cells[kind.column]) > 0).any():
        axes.text(
            0.5, 0.5, "no figure on this machine", transform=axes.transAxes, ha="center", color=style.MUTED, wrap=True
        )
    batch_axis(axes, panel, width_in=1.9)
    axes.set_xlabel("batch size (samples per step)")
    axes.set_title(kind.label, loc="left", fontweight="bold")


def _panel(view: View) -> Panel | None:
    with_memory = (panel for panel in view.panels if panel.cells["rss_over_baseline_bytes"].notna().any())
    return next(with_memory, view.panels[0] if view.panels and _any_memory(view.panels[0]) else None)


def _any_memory(panel: Panel) -> bool:
    return bool(panel.cells[[kind.column for kind in KINDS]].notna().any(axis=None))


def _absence(view: View) -> str:
    reasons = sorted({fmt.one_line(reason, 200) for reason in view.cells.get("rss_reason", pd.Series()).dropna()})
    return (reasons[0] if reasons else "no cell ran") + "."


def _subtitle(view: View, panel: Panel) -> str:
    cell = view.plans[str(panel.cells.iloc[0]["cell_id"])]
    return (
        f"{panel.label} · {workload_label(cell)} · {budget_label(cell)} · one memory pass per cell, outside the timing"
    )


def _finding(view: View) -> str:
    panel = _panel(view)
    if panel is None:
        return ""
    sentences = [*(_growth(kind, panel.families()) for kind in KINDS), _grain(panel)]
    return " ".join(sentence for sentence in sentences if sentence)


def _grain(panel: Panel) -> str:
    """Said where figures are so small that the kernel's way of counting shows."""
    if not (floats(panel.cells["rss_over_baseline_bytes"]) < 10 * MEMORY_GRAIN_BYTES).any():
        return ""
    grain = fmt.memory(MEMORY_GRAIN_BYTES, digits=1)
    return f"The process is counted to about {grain}: smaller differences between its figures mean nothing."


def _growth(kind: Kind, families: Iterable[tuple[Family, pd.DataFrame]]) -> str:
    growths: dict[str, list[str]] = {}
    for family, cells in families:
        values = floats(cells[kind.column]).dropna()
        if len(values) > 1:
            # Each was seen once: two digits.
            growth = f"{fmt.memory(values.iloc[0], digits=2)} to {fmt.memory(values.iloc[-1], digits=2)}"
            growths.setdefault(growth, []).append(family.label)
    parts = [f"{growth} for {fmt.listed(labels)}" for growth, labels in growths.items()]
    return f"{kind.label.capitalize()}, smallest to largest batch: {'; '.join(parts)}." if parts else ""


def _table(view: View) -> DataTable:
    columns = {kind.label: (lambda row, column=kind.column: fmt.memory(row[column])) for kind in KINDS}
    return cell_table(view, {**columns, "whole process": lambda row: fmt.memory(row["peak_rss_bytes"])})


MEMORY = FigureKind("memory", _TITLE, _draw, _finding, _table)
