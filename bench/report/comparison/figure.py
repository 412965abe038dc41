"""The speed-up of every cell over the baseline by batch size: a dot with its interval, and where it would be a tie."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from bench.analysis.compare import TIE_MARGIN
from bench.report import format as fmt
from bench.report import style
from bench.report.comparison.view import CompareView
from bench.report.figures.base import axes_grid, batch_axis, family_legend, figure_with_title, floats, note_handle
from bench.report.view import Family, Panel

NAME = "speed_up"
_MOST_FACETS = 6
_PANEL_IN = 3.6
_PLOT_IN = 2.75
_TICK_PT = 20.0
# How far apart, in doublings of the batch size, the outermost curves of one size are drawn.
_DODGE = 0.5
_LEAST_SPAN = 1.15
_CERTAIN = ("faster", "slower")
# Round ratios, the roundest first: they claim their place on the axis in this order.
_ROUND = (1, 2, 0.5, 4, 0.25, 10, 0.1, 1.5, 0.7, 3, 0.3, 1.2, 0.8, 20, 0.05, 8, 0.125, 50, 100, 0.02, 0.01, 1.1, 0.9,
          1.3, 0.6, 5, 0.2, 6, 0.15, 1.05, 0.95)  # fmt: skip


def title(view: CompareView) -> str:
    """What is seen."""
    return f"Throughput over that of {view.name(view.across.base.letter)}, by batch size"


def draw(view: CompareView) -> SubFigure:
    """The figure: one panel per sweep, device and setting."""
    facets = view.facets()[:_MOST_FACETS]
    columns = min(2, len(facets))
    figure = figure_with_title(title(view), _subtitle(view), height=0.4 + _PANEL_IN * math.ceil(len(facets) / columns))
    limits = _limits(pd.concat([panel.cells for _, panel in facets]))
    families = sorted({family for _, panel in facets for family, _ in panel.families()})
    for axes, (letter, panel) in zip(axes_grid(figure, len(facets), columns=columns), facets, strict=True):
        _draw_panel(axes, panel, families, limits)
        axes.set_title(f"{view.name(letter)} · {panel.label}", loc="left")
        batch_axis(axes, panel, width_in=6.0 / columns)
        axes.set_ylabel("ratio of samples/s, above 1 is faster" if axes.get_subplotspec().is_first_col() else "")  # type: ignore[union-attr]
    family_legend(figure, families, _notes(view))
    return figure


def _draw_panel(axes: Axes, panel: Panel, families: Sequence[Family], limits: tuple[float, float]) -> None:
    axes.set_yscale("log")
    axes.axhspan(1 / (1 + TIE_MARGIN), 1 + TIE_MARGIN, color=style.GRID, alpha=0.6, linewidth=0, zorder=0)
    axes.axhline(1.0, color=style.INK, linewidth=1.1, zorder=1)
    for family, cells in panel.families():
        _draw_family(axes, family, cells, _shift(families.index(family), len(families)))
    axes.set_ylim(*limits)
    shown = ticks_that_fit(limits, _PLOT_IN * 72)
    axes.yaxis.set_major_locator(FixedLocator(shown))
    axes.yaxis.set_major_formatter(FixedFormatter([f"{fmt.setting(value)}×" for value in shown]))
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_family(axes: Axes, family: Family, cells: pd.DataFrame, shift: float) -> None:
    look = family.look
    x, ratio = cells["batch_size"].to_numpy(np.float64) * shift, floats(cells["ratio"]).to_numpy()
    low, high = (floats(cells[end]).to_numpy() for end in ("low", "high"))
    axes.plot(x, ratio, color=look.colour, linewidth=0.9, linestyle=look.linestyle, alpha=0.55, zorder=2)
    axes.vlines(x, low, high, color=look.colour, linewidth=1.6, zorder=3)
    certain = cells["verdict"].isin(_CERTAIN).to_numpy(bool)
    for chosen, face in ((certain, look.colour), (~certain, style.CARD)):
        axes.plot(
            x[chosen], ratio[chosen], color=look.colour, marker=look.marker, markersize=5.5, linestyle="",
            markerfacecolor=face, zorder=4,
        )  # fmt: skip
    proven = cells["regression"].to_numpy(bool)
    axes.plot(x[proven], ratio[proven], color=style.INK, marker="o", markersize=11, linestyle="",
              markerfacecolor="none", markeredgewidth=1.0, zorder=5)  # fmt: skip


def _shift(place: int, number: int) -> float:
    """The factor by which a curve's points are moved sideways, so that those of one batch size stand side by side."""
    return float(2 ** (_DODGE * (place - (number - 1) / 2) / max(number, 1)))


def _limits(cells: pd.DataFrame) -> tuple[float, float]:
    ends = np.concatenate([floats(cells[name]).to_numpy() for name in ("ratio", "low", "high")])
    least, most = min(np.nanmin(ends), 1 / (1 + TIE_MARGIN)), max(np.nanmax(ends), 1 + TIE_MARGIN)
    pad = max(_LEAST_SPAN / (most / least), (most / least) ** 0.12, 1.02)
    return float(least / pad), float(most * pad)


def ticks_that_fit(limits: tuple[float, float], height_pt: float) -> list[float]:
    """Round ratios within the limits whose labels do not touch on a log axis so high; 1 comes first."""
    low, high = limits
    scale = height_pt / math.log(high / low)
    chosen: list[float] = []
    for value in _ROUND:
        apart = all(abs(math.log(value / other)) * scale >= _TICK_PT for other in chosen)
        if low <= value <= high and apart:
            chosen.append(float(value))
    return sorted(chosen)


def _subtitle(view: CompareView) -> str:
    n = view.cells[["n_base", "n"]].to_numpy()
    runs = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    left_out = len(view.facets()) - _MOST_FACETS
    more = f" · {fmt.plural(left_out, 'more panel')} in the tables only" if left_out > 0 else ""
    return f"{runs} runs of each cell on either side · bars are 95 % intervals, each of its ratio alone{more}"


def _notes(view: CompareView) -> list[Line2D]:
    dot = {"marker": "o", "markersize": 5.5, "linestyle": ""}
    notes = [
        note_handle("filled: faster or slower", **dot),
        note_handle("hollow: tie or not certain", **dot, markerfacecolor=style.CARD),
        note_handle(f"band: equal within {view.tie_margin}", color=style.GRID, linewidth=7),
    ]
    ring = {"marker": "o", "markersize": 10, "linestyle": "", "markerfacecolor": "none", "color": style.INK}
    return [*notes, *([note_handle(f"ring: regression beyond {view.margin}", **ring)] if len(view.regressions) else [])]
