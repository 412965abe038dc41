"""Mini-batch loss per batch: each batch's own loss for both frameworks on one scale, and the running mean beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.report import format as fmt
from bench.report import style
from bench.report.figures.base import (
    DataTable,
    FigureKind,
    figure_with_title,
    floats,
)
from bench.report.view import Family, Panel, View, conditions

_TITLE = "Mini-Batch Loss per Batch"
_USUAL_BATCH = 32
_MOST_ROWS = 2
_MOST_ON_A_LINE = 2
_MOST_COLUMNS = 3
_MOST_POINTS = 1000
# Two runs on the same batches differ by rounding, which training makes grow; on other batches by a hundred times this.
_SAME_LOSS = 1e-3
_MOST_EPOCHS_MARKED = 30
_MEAN_DASHES = (3, 1.5)
# Width and opacity of the first, second and any further framework's own losses.
_OWN_LINES = ((2.4, 0.45), (1.0, 0.95), (0.8, 0.8))


@dataclass(frozen=True)
class Trace:
    """One run's losses: ``step, epoch, batch_samples, loss, running_mean``, in order."""

    family: Family
    batch_size: int
    round: int
    steps: pd.DataFrame


def traces(view: View) -> list[list[Trace]]:
    """Rows of the figure: the idiomatic loops together, then each framework's fastest other loop; one run each."""
    if not view.panels:
        return []
    panel = view.panels[0]
    batch_size = usual_size(panel)
    families = [(family, cells[cells["batch_size"] == batch_size]) for family, cells in panel.families()]
    present = [(family, cells) for family, cells in families if len(cells)]
    taught = [(family, cells) for family, cells in present if family.loop == "idiomatic"]
    others = _fastest_of_each([pair for pair in present if pair[0].loop != "idiomatic"])
    rows = [[_trace(view, family, cells) for family, cells in row] for row in (taught, others)]
    filled = [[trace for trace in row if trace is not None] for row in rows]
    return [row for row in filled if row][:_MOST_ROWS]


def usual_size(panel: Panel) -> int:
    """The panel's batch size nearest to the tutorial's 32, by ratio."""
    return min(panel.batch_sizes, key=lambda size: (abs(math.log2(size / _USUAL_BATCH)), size))


def with_running_mean(steps: pd.DataFrame) -> pd.DataFrame:
    """Adds what Keras hands its callbacks: the mean over all samples of the epoch so far."""
    weights = floats(steps["batch_samples"])
    by_epoch = steps["epoch"]
    total = (floats(steps["loss"]) * weights).groupby(by_epoch).cumsum()
    return steps.assign(running_mean=total / weights.groupby(by_epoch).cumsum())


def _fastest_of_each(pairs: list[tuple[Family, pd.DataFrame]]) -> list[tuple[Family, pd.DataFrame]]:
    fastest: dict[tuple[str, str | None], tuple[Family, pd.DataFrame]] = {}
    for family, cells in sorted(pairs, key=lambda pair: -float(floats(pair[1]["samples_per_s"]).max())):
        fastest.setdefault((family.framework, family.backend), (family, cells))
    return sorted(fastest.values(), key=lambda pair: pair[0].label)


def _trace(view: View, family: Family, cells: pd.DataFrame) -> Trace | None:
    steps = view.tables.steps
    own = steps[(steps["cell_id"] == cells["cell_id"].iloc[0]) & steps["loss"].notna()]
    if own.empty:
        return None
    first = own[own["round"] == own["round"].min()].sort_values("step")
    return Trace(family, int(cells["batch_size"].iloc[0]), int(first["round"].iloc[0]), with_running_mean(first))


def _draw(view: View) -> SubFigure | str:
    rows = traces(view)
    if not rows:
        return "No run recorded its steps' losses, so there is no trace to draw."
    panel = view.panels[0]
    size = panel.size_label(rows[0][0].batch_size)
    subtitle = f"batch {size} · round {rows[0][0].round + 1} · {panel.label} · {conditions(view, panel, budget=True)}"
    figure = figure_with_title(_TITLE, subtitle.rpartition(" · ")[0], height=3.1 * len(rows))
    grid = figure.subplots(len(rows), 1, squeeze=False, sharey=True, sharex=True)[:, 0]
    for axes, row in zip(grid, rows, strict=True):
        _draw_row(axes, row)
    grid[-1].set_xlabel("step (one mini-batch each)")
    _limit_scale(grid[0], rows)
    return figure


def _draw_row(axes: Axes, row: list[Trace]) -> None:
    _mark_epochs(axes, row[0].steps)
    for place, trace in enumerate(row):
        _draw_own(axes, trace, place)
    for trace in row:
        _draw_running_mean(axes, trace)
    axes.set_ylabel("loss of the batch (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    handles = [handle for place, trace in enumerate(row) for handle in _handles(place, trace)]
    # Two loops fit on one line; more would be wider than the figure.
    columns = len(handles) if len(row) <= _MOST_ON_A_LINE else _MOST_COLUMNS
    axes.legend(handles=handles, loc="upper right", ncols=columns, handlelength=2.6, columnspacing=1.6)


def _draw_own(axes: Axes, trace: Trace, place: int) -> None:
    """The first line wide and pale, the next thin and strong: two noisy lines stay apart without colour."""
    own = decimated(trace.steps, "loss")
    width, alpha = _OWN_LINES[min(place, len(_OWN_LINES) - 1)]
    axes.plot(
        _numbers(own["step"]), _numbers(own["loss"]), color=trace.family.look.colour, linewidth=width, alpha=alpha
    )


def _draw_running_mean(axes: Axes, trace: Trace) -> None:
    """Thin, and marked where an epoch ends: there it is the epoch's mean, and starts afresh."""
    mean, look = decimated(trace.steps, "running_mean"), trace.family.look
    halo = [Stroke(linewidth=2.6, foreground=style.CARD), Normal()]
    x, y = _numbers(mean["step"]), _numbers(mean["running_mean"])
    axes.plot(x, y, color=look.colour, linewidth=1.1, linestyle=(0, _MEAN_DASHES), path_effects=halo, zorder=3)
    ends = trace.steps[trace.steps["epoch"] != trace.steps["epoch"].shift(-1)]
    if len(ends) <= _MOST_EPOCHS_MARKED:
        axes.plot(
            _numbers(ends["step"]), _numbers(ends["running_mean"]), color=look.colour, linestyle="none", markersize=5.5,
            marker=look.marker, markeredgecolor=style.CARD, markeredgewidth=0.7, zorder=3.2,
        )  # fmt: skip


def _numbers(values: pd.Series[float]) -> NDArray[np.float64]:
    return np.asarray(floats(values), dtype=np.float64)


def _handles(place: int, trace: Trace) -> list[Line2D]:
    look, label = trace.family.look, trace.family.label
    width, alpha = _OWN_LINES[min(place, len(_OWN_LINES) - 1)]
    own = Line2D([], [], color=look.colour, linewidth=width, alpha=alpha, label=f"{label}, own loss")
    mean = Line2D(
        [], [], color=look.colour, linewidth=1.1, linestyle=(0, _MEAN_DASHES), marker=look.marker, markersize=5,
        label="its running mean",
    )  # fmt: skip
    return [own, mean]


def _mark_epochs(axes: Axes, steps: pd.DataFrame) -> None:
    starts = steps.groupby("epoch")["step"].min().iloc[1:]
    for start in starts if len(starts) <= _MOST_EPOCHS_MARKED else ():
        axes.axvline(start, color=style.GREY, linewidth=0.8, dashes=(1, 2), zorder=1)


def decimated(steps: pd.DataFrame, column: str) -> pd.DataFrame:
    """At most about a thousand steps that keep every stretch's lowest and highest value."""
    if len(steps) <= _MOST_POINTS:
        return steps
    values = floats(steps[column]).reset_index(drop=True)
    stretch = np.arange(len(values)) * (_MOST_POINTS // 2) // len(values)
    grouped = values.groupby(stretch)
    kept = sorted({*grouped.idxmin(), *grouped.idxmax()})
    return steps.iloc[kept]


def _limit_scale(axes: Axes, rows: list[list[Trace]]) -> None:
    """One scale for all; a few stray batches may leave it, so that the rest can be read."""
    losses = np.concatenate([floats(trace.steps["loss"]).to_numpy() for row in rows for trace in row])
    low, high = float(losses.min()), float(np.quantile(losses, 0.999))
    room = 0.18 * (high - low)
    axes.set_ylim(max(0.0, low - 0.3 * room), high + 1.4 * room)


def _finding(view: View) -> str:
    sentences = [_row_finding(row) for row in traces(view)]
    return " ".join(sentences)


def _row_finding(row: list[Trace]) -> str:
    parts = []
    for trace in row:
        losses = floats(trace.steps["loss"])
        last = losses[trace.steps["epoch"] == trace.steps["epoch"].max()]
        parts.append(
            f"{trace.family.label} by {fmt.significant(float(last.std(ddof=0)), 2)} "
            f"around {fmt.significant(float(last.mean()), 3)}"
        )
    return f"In the last epoch a batch's own loss scatters: {fmt.listed(parts)} (standard deviation, mean).{_same(row)}"


def _same(row: list[Trace]) -> str:
    """Whether two loops saw the same batches in the same order, and so the same losses."""
    if len(row) != 2 or len(row[0].steps) != len(row[1].steps):
        return ""
    first, second = (floats(trace.steps["loss"]).to_numpy() for trace in row)
    apart = float(np.abs(first - second).max())
    if apart > _SAME_LOSS:
        return ""
    return f" Both follow the same order of rows: their losses are one curve, at most {fmt.scientific(apart)} apart."


def _table(view: View) -> DataTable:
    rows = [_summary(trace, epoch) for row in traces(view) for trace in row for epoch in _shown_epochs(trace)]
    headers = ["loop", "epoch", "batches", "mean of own losses", "lowest", "highest", "running mean at the end"]
    return DataTable(headers, rows)


def _shown_epochs(trace: Trace) -> list[int]:
    return sorted(int(epoch) for epoch in trace.steps["epoch"].unique())[:20]


def _summary(trace: Trace, epoch: int) -> list[str]:
    steps = trace.steps[trace.steps["epoch"] == epoch]
    losses = floats(steps["loss"])
    return [
        trace.family.label, fmt.count(epoch + 1), fmt.count(len(steps)), fmt.loss(losses.mean()),
        fmt.loss(losses.min()), fmt.loss(losses.max()), fmt.loss(steps["running_mean"].iloc[-1]),
    ]  # fmt: skip


BATCH_LOSS = FigureKind("batch_loss", _TITLE, _draw, _finding, _table)
