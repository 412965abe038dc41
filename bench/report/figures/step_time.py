"""Step time against batch size: flat where starting a step is the whole cost, rising where arithmetic is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

from bench.analysis.crossings import CROSSES
from bench.report import format as fmt
from bench.report import step_model, style
from bench.report.figures.base import DataTable, FigureKind, floats, note_handle, unsteady_sentence
from bench.report.figures.curves import Quantity, draw_quantity
from bench.report.figures.datatables import cell_table
from bench.report.step_model import Row
from bench.report.view import Family, Panel, View, family_of

_STEP_TIME = Quantity(
    column="step_us", title="Time of one step against batch size", axis="step time (s)", tick=fmt.tick_microseconds
)
# A step that costs at most this much more than the smallest one is still dominated by what every step pays.
_FLAT = 1.5
_LINE: dict[str, Any] = {"color": style.INK, "linewidth": 0.8}
_RING: dict[str, Any] = {
    "marker": "o", "markersize": 8.5, "markerfacecolor": "none", "markeredgecolor": style.INK, "markeredgewidth": 1.1,
    "linestyle": "none",
}  # fmt: skip
_CROSS: dict[str, Any] = {
    "marker": "X", "markersize": 9.0, "markerfacecolor": style.INK, "markeredgecolor": style.CARD,
    "markeredgewidth": 1.2, "linestyle": "none",
}  # fmt: skip


def _draw(view: View) -> SubFigure | str:
    def lines(axes: Axes, panel: Panel) -> None:
        for _, row in step_model.models_of(view, panel):
            if row["fits"]:
                _draw_model(axes, row)
        for size, time_us in _crossings(view, panel):
            axes.plot([size], [time_us], zorder=4.5, **_CROSS)

    return draw_quantity(view, _STEP_TIME, above=lines, explained=_explanations(view))


def _draw_model(axes: Axes, row: Row) -> None:
    """The line over the measured batch sizes, and a ring where half of a step is dispatch."""
    ends = row["smallest_batch_size"], row["largest_batch_size"]
    t0, half = row["dispatch_us"], row["half_batch_size"]
    sizes = np.geomspace(*ends, 100)
    axes.plot(sizes, t0 + sizes * step_model.us_per_sample(row), zorder=3.5, **_LINE)
    if _is_marked(row):
        axes.plot([half], [2 * t0], zorder=4, **_RING)


def _is_marked(row: Row) -> bool:
    half = row["half_batch_size"]
    return not fmt.is_missing(half) and bool(row["smallest_batch_size"] <= half <= row["largest_batch_size"])


def _crossings(view: View, panel: Panel) -> list[tuple[float, float]]:
    """Where a PyTorch loop and a Keras loop change places: batch size and, on the joined medians, step time."""
    families = dict(panel.families())
    found = []
    for row in step_model.asked_for_on(view, panel):
        if row["verdict"] == CROSSES:
            cells = families[step_model.family(row)]
            joined = np.interp(
                np.log(row["at_batch_size"]), np.log(floats(cells["batch_size"])), np.log(floats(cells["step_us"]))
            )
            found.append((float(row["at_batch_size"]), float(np.exp(joined))))
    return found


def _explanations(view: View) -> list[Line2D]:
    rows = [row for panel in view.shown_panels for _, row in step_model.models_of(view, panel) if row["fits"]]
    line = [note_handle("model t0 + B / r, where it fits", **_LINE)] if rows else []
    ring = [note_handle("half-throughput batch t0 r:\nhalf dispatch, half arithmetic", **_RING)]
    cross = [note_handle("PyTorch and Keras\nchange places", **_CROSS)]
    return [
        *line,
        *(ring if any(map(_is_marked, rows)) else []),
        *(cross if any(_crossings(view, panel) for panel in view.shown_panels) else []),
    ]


def _finding(view: View) -> str:
    unsteady = unsteady_sentence(view.panels[0].cells)
    return " ".join([step_model.finding(view), *_flat_up_to(view), unsteady]).strip()


def _flat_up_to(view: View) -> list[str]:
    """What can be said of curves that have no model."""
    panel = view.panels[0]
    modelled = {family.label for family, row in step_model.models_of(view, panel) if row["fits"]}
    said = [_flat(panel, family, cells) for family, cells in panel.families() if family.label not in modelled]
    return [f"A step costs at most {_FLAT:g} times the smallest batch's: {fmt.listed(said)}."] if said else []


def _flat(panel: Panel, family: Family, cells: pd.DataFrame) -> str:
    times = floats(cells["step_us"])
    last = cells[(times <= _FLAT * times.iloc[0]).cummin()]["batch_size"].iloc[-1]
    return f"{family.label} up to {panel.size_label(int(last))}"


def _table(view: View) -> DataTable:
    rows = {
        (panel.label, family.label): row for panel in view.panels for family, row in step_model.models_of(view, panel)
    }

    def off(cell: pd.Series[Any]) -> str:
        row = rows.get((str(cell["panel"]), family_of(cell).label))
        return fmt.MISSING if row is None else step_model.off_by(row, cell)

    return cell_table(
        view,
        {
            "step": lambda row: fmt.marked(
                fmt.microseconds_interval(row["step_us"], row["step_us_low"], row["step_us_high"]), row["unsteady"]
            ),
            "from the model": off,
            "first step": lambda row: fmt.duration(row["first_step_s"]),
            "runs": lambda row: fmt.count(row["n_measured"]),
        },
    )


STEP_TIME = FigureKind("step_time", _STEP_TIME.title, _draw, _finding, _table)
