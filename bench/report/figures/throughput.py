"""Throughput against batch size, log-log, with the linear-scaling guide."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from bench.report import format as fmt
from bench.report.figures.base import DataTable, FigureKind, floats
from bench.report.figures.curves import Quantity, draw_quantity
from bench.report.figures.datatables import cell_table
from bench.report.view import View

_THROUGHPUT = Quantity(
    column="samples_per_s",
    title="Throughput against batch size",
    axis="throughput (samples/s)",
    tick=fmt.tick_rate,
    guide=True,
)


def _draw(view: View) -> Figure | str:
    return draw_quantity(view, _THROUGHPUT)


def _finding(view: View) -> str:
    gains = [_gain(str(family), cells) for family, cells in _curves(view) if len(cells) > 1]
    if not gains:
        return "There is only one batch size, so nothing can be said of scaling."
    return "From the smallest to the largest batch, throughput grew " + fmt.listed(gains) + "."


def _curves(view: View) -> list[tuple[str, pd.DataFrame]]:
    panel = view.panels[0]
    return [(family.label, cells) for family, cells in panel.families()]


def _gain(label: str, cells: pd.DataFrame) -> str:
    rates = floats(cells["samples_per_s"])
    growth = rates.iloc[-1] / rates.iloc[0]
    sizes = int(cells["batch_size"].iloc[-1]) / int(cells["batch_size"].iloc[0])
    return f"{fmt.ratio(growth)} for {label} ({fmt.percent(growth / sizes)} of linear)"


def _table(view: View) -> DataTable:
    return cell_table(
        view,
        {
            "samples/s": lambda row: fmt.samples_per_s_interval(
                row["samples_per_s"], row["samples_per_s_low"], row["samples_per_s_high"]
            ).removesuffix(" samples/s"),
            "runs": lambda row: fmt.count(row["n_ok"]),
        },
    )


THROUGHPUT = FigureKind("throughput", _THROUGHPUT.title, _draw, _finding, _table)
