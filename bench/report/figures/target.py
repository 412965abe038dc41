"""Time and steps to the target loss against batch size; what never got there is marked, not dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D

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
    mark_unsteady,
    note_handle,
    row_of_least,
    unsteady_handles,
    unsteady_sentence,
)
from bench.report.figures.curves import draw_curve, draw_interval, interval_handle, value_axis
from bench.report.figures.datatables import cell_table, size_of
from bench.report.view import Family, Panel, View, conditions

_TITLE = "Time and steps to the target loss against batch size"


@dataclass(frozen=True)
class _Side:
    column: str
    axis: str
    title: str


_TIME = _Side("time_to_target_s", "time to target (s)", "training time to the target")
_STEPS = _Side("steps_to_target", "steps to target", "steps to the target")


def _draw(view: View) -> SubFigure | str:
    if not view.panels:
        return "No run of this sweep was measured, so nothing reached a target."
    panel = view.panels[0]
    if not panel.cells["steps_to_target"].notna().any():
        return _nothing_reached(view, panel)
    figure = figure_with_title(_TITLE, _subtitle(view, panel), height=4.4)
    left, right = axes_grid(figure, 2, sharey=False)
    _draw_side(left, panel, _TIME)
    _draw_side(right, panel, _STEPS)
    value_axis(left, _TIME.axis, fmt.tick_duration)
    value_axis(right, f"{_STEPS.axis} (updates of the weights)", fmt.tick_plain)
    family_legend(figure, [family for family, _ in panel.families()], _explanations(panel))
    return figure


def _draw_side(axes: Axes, panel: Panel, side: _Side) -> None:
    axes.set_yscale("log")
    families = list(panel.families())
    for above, (family, cells) in zip(range(len(families) - 1, -1, -1), families, strict=True):
        reached = cells[cells[side.column].notna()]
        if side is _TIME:
            draw_interval(axes, family, cells, side.column)
        if len(reached):
            draw_curve(axes, family, reached, side.column, above=above if side is _STEPS else 0)
        if side is _TIME:
            marked = reached[reached["unsteady"]]
            mark_unsteady(axes, marked["batch_size"].astype("int64"), floats(marked[side.column]))
        _mark_unreliable(axes, family, reached[~reached["reliable"]], side)
        _mark_censored(axes, family, cells[cells[side.column].isna()], side)
    if side is _STEPS:
        _perfect_scaling(axes, panel)
    batch_axis(axes, panel, width_in=3.2)
    axes.set_title(side.title, loc="left", fontweight="bold")


def _mark_unreliable(axes: Axes, family: Family, cells: pd.DataFrame, side: _Side) -> None:
    """A mark with a hollow core: reached, but not by every run."""
    axes.plot(
        cells["batch_size"].astype("int64"),
        floats(cells[side.column]),
        marker=family.look.marker,
        markersize=3.0,
        markeredgewidth=0,
        color=style.CARD,
        linestyle="none",
        zorder=4,
    )


def _mark_censored(axes: Axes, family: Family, cells: pd.DataFrame, side: _Side) -> None:
    """An open mark with an arrow at what was spent without getting there: the truth lies above."""
    spent = spent_without_target(cells)[side.column]
    for size, value in zip(cells["batch_size"].astype("int64"), spent, strict=True):
        axes.plot(
            [size], [value], marker=family.look.marker, markerfacecolor=style.CARD, color=family.look.colour,
            linestyle="none", zorder=4,
        )  # fmt: skip
        axes.annotate(
            "", xy=(size, value), xytext=(0, 17), textcoords="offset points", zorder=3.5,
            arrowprops={"arrowstyle": "<-", "color": family.look.colour, "linewidth": 1.2, "shrinkB": 3},
        )  # fmt: skip


def spent_without_target(cells: pd.DataFrame) -> pd.DataFrame:
    """Updates made and their training time, columns named as those of the target: lower bounds where it was missed."""
    return pd.DataFrame({"steps_to_target": floats(cells["updates"]), "time_to_target_s": floats(cells["training_s"])})


def _perfect_scaling(axes: Axes, panel: Panel) -> None:
    reached = panel.cells[panel.cells["steps_to_target"].notna()]
    start = first_resolved(reached)
    steps = float(floats(reached.loc[reached["batch_size"] == start, "steps_to_target"]).median())
    sizes = [start, panel.batch_sizes[-1]]
    limits = axes.get_ylim()
    axes.plot(sizes, [steps * start / size for size in sizes], color=style.MUTED, linewidth=1.1, dashes=(4, 3))
    axes.set_ylim(min(limits[0], 0.7 * float(floats(reached["steps_to_target"]).min())), limits[1] * 1.5)


def first_resolved(reached: pd.DataFrame) -> int:
    """The smallest batch size that needed more than one epoch; below it the target may have been reached sooner."""
    resolved = reached[floats(reached["epochs_to_target"]) > 1]
    return int((resolved if len(resolved) else reached)["batch_size"].min())


def _explanations(panel: Panel) -> list[Line2D]:
    perfect = note_handle("perfect scaling: twice the batch,\nhalf the steps", dashes=(4, 3), linewidth=1.1)
    sometimes = note_handle(
        "reached, but missed in more\nthan one run", linestyle="none", marker="o", markeredgewidth=1.8, markersize=4.6,
        markerfacecolor=style.CARD,
    )  # fmt: skip
    missed = note_handle(
        "not reached within the budget:\nmore than this", linestyle="none", marker="o", markerfacecolor=style.CARD
    )
    reached = panel.cells["steps_to_target"].notna()
    band = interval_handle() if panel.cells["time_to_target_s_low"].notna().any() else None
    shown = [
        band,
        perfect,
        sometimes if (reached & ~panel.cells["reliable"]).any() else None,
        missed if not reached.all() else None,
    ]
    return [handle for handle in shown if handle is not None] + unsteady_handles(panel.cells.loc[reached, "unsteady"])


def _subtitle(view: View, panel: Panel) -> str:
    return f"{panel.label} · training loss {_target(view, panel)} · {conditions(view, panel, budget=True)}"


def _target(view: View, panel: Panel) -> str:
    targets = view.runs.loc[view.runs["cell_id"].isin(panel.cells["cell_id"]), "target_loss"].dropna()
    return fmt.loss(float(targets.iloc[0])) if len(targets) else "not set"


def _nothing_reached(view: View, panel: Panel) -> str:
    if _target(view, panel) == "not set":
        random_labels = (panel.cells["data"] == "tutorial").all()
        return "This sweep has no target loss" + (
            ": its labels are random, there is nothing to learn." if random_labels else "."
        )
    return f"No run reached the target, a training loss of {_target(view, panel)}, within its budget."


def _finding(view: View) -> str:
    cells = view.panels[0].cells
    reached = cells[cells["time_to_target_s"].notna()]
    sentences = [_quickest(cells), _steps_against_batch(cells), _first_epoch(reached), *_misses(cells)]
    sentences.append(unsteady_sentence(reached))
    return " ".join(sentence for sentence in sentences if sentence)


def _quickest(cells: pd.DataFrame) -> str:
    reliable = cells[cells["reliable"]]
    if reliable.empty:
        return "No cell reached the target in all of its runs but at most one."
    quickest = row_of_least(reliable, "time_to_target_s")
    return f"Quickest: {quickest['family']} at batch {size_of(quickest)}, {_short_time(quickest)}."


def _steps_against_batch(cells: pd.DataFrame) -> str:
    """What a larger batch saves in steps, between the sizes at which every loop got there reliably."""
    by_size = cells.groupby("batch_size")["reliable"].all()
    sizes = [int(size) for size in by_size.index[by_size]]
    sizes = [size for size in sizes if size >= first_resolved(cells[cells["steps_to_target"].notna()])]
    if len(sizes) < 2:
        return ""
    steps = [float(floats(cells.loc[cells["batch_size"] == size, "steps_to_target"]).median()) for size in sizes]
    return (
        f"From batch {fmt.count(sizes[0])} to {fmt.count(sizes[-1])} the steps to the target go from"
        f" {fmt.steps(steps[0])} to {fmt.steps(steps[-1])}."
    )


def _first_epoch(reached: pd.DataFrame) -> str:
    at_once = sorted({int(size) for size in reached.loc[floats(reached["epochs_to_target"]) <= 1, "batch_size"]})
    if not at_once:
        return ""
    sizes = fmt.listed([fmt.count(size) for size in at_once])
    return (
        f"At batch {sizes} the first evaluation, after one epoch, already lay "
        "below the target: time and steps there are upper limits."
    )


def _misses(cells: pd.DataFrame) -> list[str]:
    missed = int(cells["time_to_target_s"].isna().sum())
    sometimes = int((cells["time_to_target_s"].notna() & ~cells["reliable"]).sum())
    of = fmt.plural(len(cells), "cell")
    return [
        *([f"{fmt.count(missed)} of {of} did not reach the target in most runs."] if missed else []),
        *(
            [f"{fmt.count(sometimes)} more missed it in several runs, and are no answer to what is quickest."]
            if sometimes
            else []
        ),
    ]


def _short_time(row: pd.Series[Any]) -> str:
    return fmt.duration(row["time_to_target_s"], row["time_to_target_s_low"], row["time_to_target_s_high"])


def _table(view: View) -> DataTable:
    return cell_table(
        view,
        {
            "reached in": lambda row: f"{fmt.count(row['n_reached'])} of {fmt.plural(int(row['n_measured']), 'run')}",
            "time to target": _time,
            "with first step": lambda row: fmt.duration(row["time_to_target_cold_s"]),
            "steps": lambda row: (
                fmt.steps(row["steps_to_target"]) if _reached(row) else f"> {fmt.count(row['updates'])}"
            ),
            "epochs": lambda row: fmt.steps(row["epochs_to_target"]),
            "final validation loss": lambda row: fmt.loss(row["final_val_loss"]),
            "validation accuracy": lambda row: fmt.percent(row["final_val_accuracy"]),
        },
    )


def _time(row: pd.Series[Any]) -> str:
    time = fmt.duration_interval(row["time_to_target_s"], row["time_to_target_s_low"], row["time_to_target_s_high"])
    return fmt.marked(time, row["unsteady"])


def _reached(row: pd.Series[Any]) -> bool:
    return not fmt.is_missing(row["steps_to_target"])


TARGET = FigureKind("target", _TITLE, _draw, _finding, _table)
