"""Throughput against batch size, log-log, with the linear-scaling guide."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import SubFigure

from bench.analysis.compare import by_round, compare
from bench.report import format as fmt
from bench.report.figures.base import DataTable, FigureKind, unsteady_sentence
from bench.report.figures.curves import Quantity, draw_quantity
from bench.report.figures.datatables import cell_table
from bench.report.view import Panel, View

_THROUGHPUT = Quantity(
    column="samples_per_s",
    title="Throughput against batch size",
    axis="throughput (samples/s)",
    tick=fmt.tick_rate,
    guide=True,
)


def _draw(view: View) -> SubFigure | str:
    return draw_quantity(view, _THROUGHPUT)


def _finding(view: View) -> str:
    panel = view.panels[0]
    several = [(family.label, cells) for family, cells in panel.families() if len(cells) > 1]
    if not several:
        return "There is only one batch size, so nothing can be said of scaling."
    ends = [(str(cells["cell_id"].iloc[-1]), str(cells["cell_id"].iloc[0])) for _, cells in several]
    seen = compare(by_round(view.runs, "samples_per_s"), *map(list, zip(*ends, strict=True)))
    ratios = map(fmt.ratio_interval, seen.ratio, seen.low, seen.high)
    gains = [
        _gain(panel, label, cells, text, growth)
        for (label, cells), text, growth in zip(several, ratios, seen.ratio, strict=True)
    ]
    gained = f"Throughput at the largest batch over that at the smallest: {fmt.listed(gains)}."
    return " ".join([gained, unsteady_sentence(panel.cells)]).strip()


def _gain(panel: Panel, label: str, cells: pd.DataFrame, ratio: str, growth: float) -> str:
    smallest, largest = int(cells["batch_size"].iloc[0]), int(cells["batch_size"].iloc[-1])
    odd = (smallest, largest) != (panel.batch_sizes[0], panel.batch_sizes[-1])
    span = f", from {panel.size_label(smallest)} to {panel.size_label(largest)} only" if odd else ""
    return f"{ratio} for {label} ({fmt.percent(growth * smallest / largest)} of linear scaling{span})"


def _table(view: View) -> DataTable:
    return cell_table(
        view,
        {
            "samples/s": _rate,
            "runs": lambda row: fmt.count(row["n_measured"]),
        },
    )


def _rate(row: pd.Series[Any]) -> str:
    rate = fmt.samples_per_s_interval(row["samples_per_s"], row["samples_per_s_low"], row["samples_per_s_high"])
    return fmt.marked(rate.removesuffix(" samples/s"), row["unsteady"])


THROUGHPUT = FigureKind("throughput", _THROUGHPUT.title, _draw, _finding, _table)
