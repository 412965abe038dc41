"""Step time against batch size: flat where starting a step is the whole cost, rising where arithmetic is."""

from __future__ import annotations

from matplotlib.figure import SubFigure

from bench.report import format as fmt
from bench.report.figures.base import DataTable, FigureKind, floats, unsteady_sentence
from bench.report.figures.curves import Quantity, draw_quantity
from bench.report.figures.datatables import cell_table
from bench.report.view import View

_STEP_TIME = Quantity(
    column="step_us", title="Time of one step against batch size", axis="step time (s)", tick=fmt.tick_microseconds
)
# A step that costs at most this much more than the smallest one is still dominated by what every step pays.
_FLAT = 1.5


def _draw(view: View) -> SubFigure | str:
    return draw_quantity(view, _STEP_TIME)


def _finding(view: View) -> str:
    parts = []
    for family, cells in view.panels[0].families():
        times = floats(cells["step_us"])
        flat = cells[(times <= _FLAT * times.iloc[0]).cummin()]
        last = view.panels[0].size_label(int(flat["batch_size"].iloc[-1]))
        parts.append(f"{family.label} up to {last}")
    flat_up_to = (
        f"The batch size up to which a step costs at most {_FLAT:g} times the smallest batch's step, "
        f"that is, where starting a step is most of its cost: {fmt.listed(parts)}."
    )
    return " ".join([flat_up_to, unsteady_sentence(view.panels[0].cells)]).strip()


def _table(view: View) -> DataTable:
    return cell_table(
        view,
        {
            "step": lambda row: fmt.marked(
                fmt.microseconds_interval(row["step_us"], row["step_us_low"], row["step_us_high"]), row["unsteady"]
            ),
            "first step": lambda row: fmt.duration(row["first_step_s"]),
            "runs": lambda row: fmt.count(row["n_measured"]),
        },
    )


STEP_TIME = FigureKind("step_time", _STEP_TIME.title, _draw, _finding, _table)
