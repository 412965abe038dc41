"""How steady the machine was: every run beside the others of its cell, in the order of starts, and the controls."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from bench.analysis import noise
from bench.analysis.compare import TIE_MARGIN
from bench.analysis.disturbance import WORDS
from bench.analysis.run_order import timeline
from bench.report import format as fmt
from bench.report import noise as told
from bench.report import style
from bench.report.figures.base import DataTable, FigureKind, figure_with_title, note_handle
from bench.report.view import View

_TITLE = "The machine's noise"
_MOST_CONTROLS = 8
_ROW_IN = 0.62
_LEAST_REACH = 1.12
"""An axis at least so far either way of 1: a quiet machine must look quiet."""
_BEYOND = 1.35
_MOST_MARKED_ROUNDS = 12
_MOST_TICKS = 6

# What disturbed a run: colour and marker; the first of several is drawn.
_LOOKS = {
    "others": (style.ORANGE, "^"),
    "steal": (style.PURPLE, "s"),
    "thermal": (style.VERMILLION, "D"),
    "limit": (style.VERMILLION, "X"),
    "load": (style.SKY, "P"),
    "gpu_temperature": (style.VERMILLION, "v"),
    "gpu_power": (style.VERMILLION, "<"),
    "gpu_hardware": (style.VERMILLION, ">"),
    "gpu_others": (style.ORANGE, "p"),
}
_UNDISTURBED = (style.GREY, "o")


def _draw(view: View) -> SubFigure | str:
    line = timeline(view.tables.every_run)
    if line.empty:
        return "No run was measured, so nothing shows how steady the machine was."
    controls = _controls(view)
    below = 0.75 + _ROW_IN * len(controls)
    figure = figure_with_title(_TITLE, _subtitle(view, line), height=3.1 + (below if controls else 0.0))
    if not controls:
        _draw_runs(figure.subplots(), line, view)
    else:
        upper, lower = figure.subplots(2, 1, height_ratios=[3.1, below])
        _draw_runs(upper, line, view)
        _draw_controls(lower, controls, view)
    figure.legend(
        handles=_explanations(line, controls),
        loc="outside right upper",
        handlelength=2.2,
        labelspacing=0.8,
        borderpad=0.1,
    )
    return figure


def _controls(view: View) -> list[told.Row]:
    rows = noise.controls_of(view.tables.noise).to_dict("records")
    return [row for row in rows if row["n"] > 0][:_MOST_CONTROLS]


def _draw_runs(axes: Axes, line: pd.DataFrame, view: View) -> None:
    relative = line["relative"].to_numpy(np.float64)
    reach = _reach(relative)
    places = np.arange(1, len(line) + 1)
    shown = relative.clip(1 / reach, reach)
    kinds = line["disturbance"].astype(object).where(line["disturbance"].notna(), "").astype(str).to_numpy()
    first = np.array([kind.partition(",")[0] for kind in kinds])
    for kind in ["", *_LOOKS]:
        chosen = first == kind
        colour, marker = _LOOKS.get(kind, _UNDISTURBED)
        axes.scatter(
            places[chosen], shown[chosen], s=15 if kind == "" else 26, color=colour, marker=marker,
            alpha=0.65 if kind == "" else 0.95, linewidths=0, zorder=3, clip_on=False,
        )  # fmt: skip
    _draw_drift(axes, len(line), view)
    _draw_rounds(axes, line)
    _margin(axes.axhspan, axes.axhline)
    _ratio_scale(axes, "y", reach)
    axes.set_xlim(0, len(line) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_xlabel("run, in the order of starts")
    axes.set_ylabel("step time / median of its cell")
    axes.grid(visible=False, axis="x")


def _draw_drift(axes: Axes, runs: int, view: View) -> None:
    """Through 1 in the middle of the sweep, as wide there as nothing and at its ends as the interval."""
    seen = view.tables.noise[view.tables.noise["check"] == noise.DRIFT].iloc[0]
    if fmt.is_missing(seen["value"]):
        return
    places, passed = np.linspace(1, runs, 50), np.linspace(-0.5, 0.5, 50)
    axes.plot(places, seen["value"] ** passed, color=style.INK, linewidth=1.6, zorder=4)
    if not fmt.is_missing(seen["low"]):
        axes.fill_between(
            places, seen["low"] ** passed, seen["high"] ** passed, color=style.INK, alpha=0.16, linewidth=0, zorder=2
        )


def _draw_rounds(axes: Axes, line: pd.DataFrame) -> None:
    """Where the rounds begin, as long as they can be told apart."""
    first = line.drop_duplicates("round")
    if 1 < len(first) <= _MOST_MARKED_ROUNDS:
        for start, round_ in zip(first.index.tolist(), first["round"].tolist(), strict=True):
            if start:
                axes.axvline(start + 0.5, color=style.GRID, linewidth=0.9, zorder=1)
            axes.text(
                start + 0.8, 0.985, f"round {round_ + 1}", transform=axes.get_xaxis_transform(), va="top",
                fontsize=style.TEXT_PT - 1, color=style.MUTED,
            )  # fmt: skip


def _draw_controls(axes: Axes, controls: list[told.Row], view: View) -> None:
    runs = view.tables.every_run
    ratios = [
        noise.control_ratios(runs, row["cell_id"], row["control_cell_id"]).dropna().to_numpy(np.float64)
        for row in controls
    ]
    ends = [row[end] for row in controls for end in ("low", "high") if not fmt.is_missing(row[end])]
    reach = _reach(np.concatenate([*ratios, ends]))
    for place, (row, seen) in enumerate(zip(controls, ratios, strict=True)):
        _draw_control(axes, place, row, seen.clip(1 / reach, reach), told.control_label(view, row))
    _margin(axes.axvspan, axes.axvline)
    _ratio_scale(axes, "x", reach)
    axes.set_ylim(len(controls) - 0.45, -0.75)
    axes.yaxis.set_major_locator(NullLocator())
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("speed under the second name / under the first")


def _draw_control(axes: Axes, place: int, row: told.Row, ratios: NDArray[np.float64], label: str) -> None:
    colour = style.VERMILLION if row["alarm"] else style.BLUE
    axes.scatter(ratios, np.full(len(ratios), place), s=17, color=style.INK, linewidths=0, zorder=6)
    if not fmt.is_missing(row["low"]):
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2.4, zorder=4)
    axes.scatter([row["value"]], [place], s=46, color=colour, marker="D", linewidths=0, zorder=5)
    inside = axes.get_yaxis_transform()
    axes.text(0.006, place - 0.2, label, transform=inside, va="bottom", color=style.INK)
    # In the column of the legend, whose width the layout knows already.
    outcome = axes.text(1.02, place, _outcome(row), transform=inside, va="center", color=style.MUTED, linespacing=1.3)
    outcome.set_in_layout(False)


def _outcome(row: told.Row) -> str:
    word = "false alarm" if row["alarm"] else "open" if row["verdict"] == "inconclusive" else str(row["verdict"])
    floor = "" if fmt.is_missing(row["floor"]) else f"\n{told.found(row)}"
    return f"{word}, {fmt.plural(row['n'], 'round')}{floor}"


def _margin(span: object, line: object) -> None:
    """What counts as equal, and equality itself, across an axis or up it."""
    span(1 / (1 + TIE_MARGIN), 1 + TIE_MARGIN, color=style.GREEN, alpha=0.10, linewidth=0, zorder=0.5)  # type: ignore[operator]
    line(1.0, color=style.MUTED, linewidth=0.9, zorder=1.5)  # type: ignore[operator]


def _reach(ratios: NDArray[np.float64]) -> float:
    """How far either way of 1 an axis goes: nearly all values lie inside, the rest on its edge."""
    farthest = float(np.quantile(np.abs(np.log(ratios)), 0.98)) if len(ratios) else 0.0
    return max(_LEAST_REACH, math.exp(farthest * _BEYOND))


def _ratio_scale(axes: Axes, which: str, reach: float) -> None:
    """A log scale around 1, its ticks in per cent of it."""
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(1 / reach, reach)
    axis = axes.yaxis if which == "y" else axes.xaxis
    ticks = _ticks(reach)
    # Powers of two where percentages would mislead: half and double are as far from 1.
    text = fmt.tick_times if ticks[-1] >= 2 else fmt.tick_difference
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _position: text(value)))


def _ticks(reach: float) -> list[float]:
    """Round percentages either way of 1, or powers of two."""
    for step in (0.02, 0.05, 0.1, 0.2):
        if (reach - 1) / step <= _MOST_TICKS:
            steps = [step * k for k in range(1, _MOST_TICKS + 1)]
            return [*(1 - s for s in steps if 1 - s >= 1 / reach), 1.0, *(1 + s for s in steps if 1 + s <= reach)]
    powers = [2.0**k for k in range(1, int(math.log2(reach)) + 1)]
    return [*(1 / power for power in powers), 1.0, *powers]


def _explanations(line: pd.DataFrame, controls: list[told.Row]) -> list[Line2D]:
    def dot(label: str, colour: str, marker: str) -> Line2D:
        return note_handle(label, linestyle="none", marker=marker, markersize=5, color=colour)

    first = {str(text).partition(",")[0] for text in line["disturbance"].dropna()}
    looks = [dot(f"disturbed: {WORDS[kind]}", *_LOOKS[kind]) for kind in _LOOKS if kind in first]
    pair = [dot("control, 95 % interval", style.BLUE, "D"), dot("its rounds", style.INK, "o")] if controls else []
    return [
        dot("undisturbed run" if looks else "one run", *_UNDISTURBED),
        *looks,
        note_handle("drift, 95 % interval", color=style.INK, linewidth=1.6),
        note_handle(f"equal: within {fmt.limit(TIE_MARGIN)} of 1", color=style.GREEN, linewidth=7, alpha=0.25),
        *pair,
    ]


def _subtitle(view: View, line: pd.DataFrame) -> str:
    cells = line["cell_id"].nunique()
    return (
        f"{fmt.plural(len(line), 'measured run')} of {fmt.plural(cells, 'cell')}, controls included · "
        "upwards: slower than the median of its own cell · values beyond an axis lie on its edge"
    )


def _finding(view: View) -> str:
    checks = {row["check"]: row for row in view.tables.noise.to_dict("records")}
    return f"{told.same_cell(view)} {_drift(checks[noise.DRIFT])} {_disturbed(checks[noise.DISTURBED_RUNS])}"


def _drift(row: told.Row) -> str:
    if fmt.is_missing(row["value"]):
        return "No cell was measured twice, so drift cannot be told."
    change = fmt.difference(row["value"], row["low"], row["high"])
    return f"From the first run to the last, times changed by {change}."


def _disturbed(row: told.Row) -> str:
    if fmt.is_missing(row["value"]):
        return f"What else the machine did is not known: {fmt.one_line(row['reason'], 200)}."
    number = fmt.count(round(row["value"] * row["n"]))
    return f"{number} of {fmt.plural(row['n'], 'run')} had something seen beside them that disturbs."


def _table(view: View) -> DataTable:
    rows = [
        [
            told.control_label(view, row), fmt.difference(row["value"], row["low"], row["high"]),
            "–" if fmt.is_missing(row["floor"]) else fmt.percent(row["floor"] - 1), fmt.p_value(row["p"]),
            str(row["verdict"]), fmt.count(row["n"]),
        ]
        for row in noise.controls_of(view.tables.noise).to_dict("records")
    ]  # fmt: skip
    headers = ["cell under two names", "apart", "found 9 times in 10", "p (Holm)", "verdict", "rounds"]
    return DataTable(headers, rows, file="noise")


NOISE = FigureKind("machine_noise", _TITLE, _draw, _finding, _table)
