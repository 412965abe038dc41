"""Loss after each epoch against steps, epochs and seconds: small multiples over batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bench.report import format as fmt
from bench.report import style
from bench.report.figures.base import (
    DataTable,
    FigureKind,
    family_legend,
    figure_with_title,
    floats,
    note_handle,
    row_of_least,
    row_of_most,
)
from bench.report.figures.datatables import cell_table
from bench.report.view import Family, Panel, View, conditions

_TITLE = "Training loss against steps, epochs and seconds"
_MOST_COLUMNS = 5
_MOST_EPOCHS_DRAWN = 200
_FEW_UPDATES = ": a fixed number of epochs gives large batches few updates"
# Losses of loops that follow the same curve: the rounds themselves differ by more.
_SAME_LOSS = 0.02


@dataclass(frozen=True)
class _Clock:
    """One way to say how far training has come."""

    column: str
    label: str
    log: bool


_CLOCKS = (
    _Clock("steps", "steps (updates)", True),
    _Clock("epochs", "epochs", False),
    _Clock("seconds", "training time (s)", True),
)


def _draw(view: View) -> SubFigure | str:
    curves = _curves(view)
    if curves.empty:
        return "No run recorded a loss after an epoch, so there are no curves to draw."
    panel = view.panels[0]
    sizes = chosen_sizes(sorted(int(size) for size in curves["batch_size"].unique()))
    figure = figure_with_title(_TITLE, _subtitle(view, panel, curves), height=7.2)
    grid = figure.subplots(len(_CLOCKS), len(sizes), squeeze=False, sharex="row", sharey=True)
    for clock, row in zip(_CLOCKS, grid, strict=True):
        for size, axes in zip(sizes, row, strict=True):
            _draw_curves(axes, panel, curves[curves["batch_size"] == size], clock)
        row[0].set_ylabel("training loss (nats)")
        row[len(sizes) // 2].set_xlabel(clock.label)
        _few_ticks(row, clock)
    for size, axes in zip(sizes, grid[0], strict=True):
        axes.set_title(f"batch {panel.size_label(size)}", fontweight="bold")
    target = _target(view, panel)
    if target is not None:
        for axes in grid.flat:
            axes.axhline(target, color=style.MUTED, linewidth=1.0, dashes=(4, 3), zorder=1)
    notes = [note_handle(f"target {fmt.loss(target)}", dashes=(4, 3), linewidth=1.0)] if target is not None else []
    family_legend(figure, [family for family, _ in panel.families()], notes)
    return figure


def chosen_sizes(sizes: list[int]) -> list[int]:
    """At most five sizes, spread evenly, smallest and largest among them."""
    if len(sizes) <= _MOST_COLUMNS:
        return sizes
    places = np.linspace(0, len(sizes) - 1, _MOST_COLUMNS).round().astype(int)
    return [sizes[place] for place in places]


def _curves(view: View) -> pd.DataFrame:
    """Median over rounds for every family, batch size and epoch of the first panel.

    Columns ``family, batch_size, epochs`` (completed), ``steps, seconds, loss``.
    """
    columns = ["family", "batch_size", "epochs", "steps", "seconds", "loss"]
    if not view.panels:
        return pd.DataFrame(columns=columns)
    cells = view.panels[0].cells[["cell_id", "family", "batch_size"]]
    epochs = view.tables.epochs
    trained = epochs[(epochs["phase"] == "training") & epochs["train_loss"].notna()].merge(cells, on="cell_id")
    if trained.empty:
        return pd.DataFrame(columns=columns)
    trained = trained.sort_values(["cell_id", "round", "epoch"])
    by_run = trained.groupby(["cell_id", "round"], sort=False)
    trained = trained.assign(
        epochs=trained["epoch"].astype("int64") + 1,
        steps=by_run["updates"].cumsum(),
        seconds=by_run["window_ns"].cumsum() / 1e9,
        loss=floats(trained["train_loss"]),
    )
    key = ["family", "batch_size", "epochs"]
    return trained.groupby(key, sort=True)[["steps", "seconds", "loss"]].median().reset_index()


def _draw_curves(axes: Axes, panel: Panel, curves: pd.DataFrame, clock: _Clock) -> None:
    families = [family for family, _ in panel.families()]
    for above, family in zip(range(len(families) - 1, -1, -1), families, strict=True):
        coincide = above if clock.column != "seconds" else 0
        _draw_curve(axes, family, curves[curves["family"] == family.label], clock, above=coincide)
    # One batch size spans less than a decade or two: there a linear axis reads better.
    if clock.log and len(panel.batch_sizes) > 1:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(fmt.tick_duration if clock.column == "seconds" else fmt.tick_rate))
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=clock.column != "seconds"))
        if clock.column == "seconds":
            axes.xaxis.set_major_formatter(FuncFormatter(fmt.tick_duration))


def _few_ticks(row: Sequence[Axes], clock: _Clock) -> None:
    """Two powers of ten away from the edges, where labels of neighbouring axes would run into each other."""
    if not clock.log or row[0].get_xscale() != "log":
        return
    low, high = (math.log10(limit) for limit in row[0].get_xlim())
    edge = 0.12 * (high - low)
    powers = list(range(math.ceil(low + edge), math.floor(high - edge) + 1))
    if len(powers) > 1:
        for axes in row:
            axes.xaxis.set_major_locator(FixedLocator([10.0 ** powers[0], 10.0 ** powers[-1]]))


def _draw_curve(axes: Axes, family: Family, curve: pd.DataFrame, clock: _Clock, *, above: int) -> None:
    thinned = curve.iloc[:: math.ceil(len(curve) / _MOST_EPOCHS_DRAWN) or 1]
    look = family.look
    every = max(1, len(thinned) // 5)
    axes.plot(
        thinned[clock.column].to_numpy(dtype=float), thinned["loss"].to_numpy(dtype=float), color=look.colour,
        linestyle=look.linestyle, marker=look.marker, markersize=3.6 + 1.2 * above,
        linewidth=1.3 + 0.9 * above, markevery=every, markeredgecolor=style.CARD, markeredgewidth=0.4,
    )  # fmt: skip


def _subtitle(view: View, panel: Panel, curves: pd.DataFrame) -> str:
    shown = "whole training split after every epoch"
    return f"{panel.label} · {shown} · {conditions(view, panel, budget=True, interval=False)}"


def _target(view: View, panel: Panel) -> float | None:
    targets = view.runs.loc[view.runs["cell_id"].isin(panel.cells["cell_id"]), "target_loss"].dropna()
    return float(targets.iloc[0]) if len(targets) else None


def _finding(view: View) -> str:
    cells = view.panels[0].cells
    final = cells.assign(loss=floats(cells["final_train_loss"])).dropna(subset=["loss"])
    by_size = final.groupby("batch_size")["loss"].median().reset_index()
    best, worst = row_of_least(by_size, "loss"), row_of_most(by_size, "loss")
    if len(by_size) == 1:
        return (
            f"With this budget the training loss ended at {fmt.loss(best['loss'])}, the median of all loops and rounds."
        )
    return (
        f"With this budget the training loss ended lowest at batch {_size(view, best)} ({fmt.loss(best['loss'])}) "
        f"and highest at batch {_size(view, worst)} ({fmt.loss(worst['loss'])})"
        f"{_FEW_UPDATES if worst['batch_size'] > best['batch_size'] else ''}.{_agreement(view)}"
    )


def _agreement(view: View) -> str:
    """Whether framework or loop makes any difference to what is learnt in so many epochs."""
    curves = _curves(view)
    if curves["family"].nunique() < 2:
        return ""
    losses = curves.groupby(["batch_size", "epochs"])["loss"]
    apart = float((losses.max() - losses.min()).max())
    text = f" At equal batch size and epoch the loops' losses lie at most {fmt.significant(apart, 2)} apart"
    return f"{text}: what differs is the time." if apart <= _SAME_LOSS else f"{text}."


def _size(view: View, row: pd.Series[Any]) -> str:
    return view.panels[0].size_label(int(row["batch_size"]))


def _table(view: View) -> DataTable:
    return cell_table(
        view,
        {
            "updates": lambda row: fmt.count(row["updates"]),
            "epochs": lambda row: fmt.count(row["epochs"]),
            "final training loss": lambda row: fmt.loss(row["final_train_loss"]),
            "final validation loss": lambda row: fmt.loss(row["final_val_loss"]),
            "validation accuracy": lambda row: fmt.percent(row["final_val_accuracy"]),
        },
    )


LOSS_CURVES = FigureKind("loss_curves", _TITLE, _draw, _finding, _table)
