"""Whether runs were steady while they were timed: an example of every kind, and how many runs of a loop are of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.analysis.runs_table import steady_courses
from bench.analysis.steadiness import FLAT, KINDS, MIN_EPOCHS, NO_STEADY_STATE, SLOWDOWN, TOO_FEW, WARMUP, Course
from bench.report import format as fmt
from bench.report import style
from bench.report.figures.base import DataTable, FigureKind, figure_with_title, note_handle
from bench.report.figures.datatables import cell_table
from bench.report.view import View, family_of

_TITLE = "Steady state: how step times went while they were timed"
_EXAMPLES = (FLAT, WARMUP, SLOWDOWN, NO_STEADY_STATE)
_NAMES = {
    FLAT: "flat", WARMUP: "warm-up", TOO_FEW: f"fewer than {MIN_EPOCHS} epochs", SLOWDOWN: "slowdown",
    NO_STEADY_STATE: "no steady state",
}  # fmt: skip
# Told apart without colour by their hatches; what is marked elsewhere is the darkest here.
_LOOKS: dict[str, dict[str, Any]] = {
    FLAT: {"facecolor": style.GRID},
    WARMUP: {"facecolor": style.SKY},
    TOO_FEW: {"facecolor": "none", "hatch": "...", "edgecolor": style.GREY},
    SLOWDOWN: {"facecolor": style.ORANGE, "hatch": "//", "edgecolor": style.CARD},
    NO_STEADY_STATE: {"facecolor": style.VERMILLION, "hatch": "xx", "edgecolor": style.CARD},
}
# The clearest of so many runs of a kind is shown: enough to choose from, few enough for a sweep of thousands.
_MOST_CANDIDATES = 24
_MANY_EPOCHS = 200
_MOST_ROWS = 12
_ROW_IN = 0.3


@dataclass(frozen=True, kw_only=True)
class _Example:
    """A run's steady epochs, in microseconds per update, and how they went."""

    label: str
    step_us: np.ndarray[Any, np.dtype[np.float64]]
    course: Course

    @property
    def spread(self) -> float:
        """How far its levels lie apart, as a factor."""
        levels = [segment.level for segment in self.course.segments]
        return max(levels) / min(levels)


def _draw(view: View) -> SubFigure | str:
    judged = _judged(view)
    if judged.empty:
        return "No steady epoch of this sweep was timed, so nothing is known of its steadiness."
    examples, counts = _examples(view, judged), _counts(judged)
    height = _ROW_IN * len(counts) + 1.0
    figure = figure_with_title(_TITLE, _subtitle(judged), height=height + (2.3 if examples else 0.3))
    if not examples:
        _draw_counts(figure, counts)
        return figure
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[2.3, height])).tolist()
    for axes, example in zip(np.atleast_1d(above.subplots(1, len(examples))), examples, strict=True):
        _draw_example(axes, example)
    above.axes[0].set_ylabel("step time (µs)")
    above.supxlabel("steady epoch", fontsize=style.TEXT_PT)
    _draw_counts(below, counts)
    return figure


def _judged(view: View) -> pd.DataFrame:
    return view.runs[view.runs["measured"] & view.runs["steadiness"].notna()]


def _subtitle(judged: pd.DataFrame) -> str:
    return (
        f"{fmt.plural(len(judged), 'run')} · dots: one epoch's time per update · lines: levels between change points"
        " · shaded: the warm-up, which a run's median leaves out"
        " · shown of each kind: the run whose levels lie furthest apart"
    )


def _examples(view: View, judged: pd.DataFrame) -> list[_Example]:
    """Of every kind the run whose levels lie furthest apart; the flat one with the most epochs."""
    chosen = {kind: _candidates(judged[judged["steadiness"] == kind]) for kind in _EXAMPLES}
    return [
        max(_of_runs(view, runs), key=lambda example: (example.spread, len(example.step_us)))
        for runs in chosen.values()
        if len(runs)
    ]


def _candidates(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.sort_values(["timed_epochs", "cell_id", "round"], ascending=[False, True, True]).head(_MOST_CANDIDATES)


def _of_runs(view: View, runs: pd.DataFrame) -> list[_Example]:
    places = {(str(c), int(r)): place for place, (c, r) in enumerate(zip(runs["cell_id"], runs["round"], strict=True))}
    epochs = view.tables.epochs
    steady = epochs[(epochs["phase"] == "steady") & epochs["cell_id"].isin(runs["cell_id"])]
    keys = zip(steady["cell_id"].astype(str), steady["round"], strict=True)
    placed = steady.assign(run=[places.get((c, int(r)), -1) for c, r in keys])
    placed = placed[placed["run"] >= 0].sort_values(["run", "epoch"], kind="stable")
    step_us = placed["window_ns"].to_numpy(np.float64) / placed["updates"].to_numpy(np.float64) / 1e3
    found = steady_courses(placed, len(runs))
    series = [step_us[placed["run"] == place] for place in range(len(runs))]
    labels = [f"{family_of(row).label}, batch {fmt.count(row['batch_size'])}" for _, row in runs.iterrows()]
    every = zip(labels, series, found, strict=True)
    return [_Example(label=label, step_us=s, course=course) for label, s, course in every if course is not None]


def _draw_example(axes: Axes, example: _Example) -> None:
    course, times = example.course, example.step_us
    size = 2.6 if len(times) > _MANY_EPOCHS else 5.0
    axes.plot(np.arange(len(times)), times, ".", color=style.GREY, markersize=size, alpha=0.6, markeredgewidth=0)
    for segment in course.segments:
        axes.plot([segment.start, segment.end - 1], [segment.level] * 2, color=style.VERMILLION, linewidth=2.0)
    if course.warmup_epochs:
        axes.axvspan(-0.5, course.warmup_epochs - 0.5, color=style.SKY, alpha=0.3, linewidth=0)
    axes.set_xlim(-0.01 * len(times) - 0.5, 1.01 * len(times))
    axes.set_ylim(*_limits(example))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(fmt.tick_plain))
    axes.set_title(_NAMES[course.kind], loc="left", fontweight="bold", pad=18)
    axes.annotate(
        example.label, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points", color=style.MUTED,
        fontsize=8,
    )  # fmt: skip


def _limits(example: _Example) -> tuple[float, float]:
    """Room for the levels and nine epochs in ten: a few interruptions may leave the picture."""
    low, high = np.quantile(example.step_us, [0.01, 0.9])
    levels = [segment.level for segment in example.course.segments]
    low, high = min(low, *levels, np.inf), max(high, *levels, -np.inf)
    room = max(0.25 * (high - low), 0.04 * high)
    return float(low - room), float(high + room)


def _counts(judged: pd.DataFrame) -> pd.DataFrame:
    """Runs of each kind, one row per loop, those with most marked runs first."""
    counts = pd.crosstab(judged["family"], judged["steadiness"]).reindex(columns=list(KINDS), fill_value=0)
    marked = counts[SLOWDOWN] + counts[NO_STEADY_STATE]
    order = np.lexsort((counts.index.to_numpy(str), -marked.to_numpy()))
    return counts.iloc[order].head(_MOST_ROWS)


def _draw_counts(figure: SubFigure, counts: pd.DataFrame) -> None:
    axes = figure.subplots()
    left = np.zeros(len(counts))
    for kind in KINDS:
        numbers = counts[kind].to_numpy(np.float64)
        axes.barh(np.arange(len(counts)), numbers, left=left, height=0.66, linewidth=0, **_LOOKS[kind])
        for place, (start, number) in enumerate(zip(left, numbers, strict=True)):
            if number:
                _number(axes, start + number / 2, place, int(number))
        left += numbers
    axes.set_yticks(range(len(counts)), [str(name) for name in counts.index])
    axes.set_ylim(len(counts) - 0.4, -0.6)
    axes.set_xlim(0, float(left.max()))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("runs")
    figure.legend(handles=_legend(counts), loc="outside right upper", labelspacing=0.8, borderpad=0.1)


def _number(axes: Axes, x: float, y: int, number: int) -> None:
    axes.text(
        x, y, fmt.count(number), ha="center", va="center", fontsize=8.5, color=style.INK,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": style.CARD, "edgecolor": "none", "alpha": 0.85},
    )  # fmt: skip


def _legend(counts: pd.DataFrame) -> Sequence[Patch | Line2D]:
    shown = [kind for kind in KINDS if counts[kind].any()]
    patches: list[Patch | Line2D] = [Patch(label=_NAMES[kind], linewidth=0, **_LOOKS[kind]) for kind in shown]
    if SLOWDOWN in shown or NO_STEADY_STATE in shown:
        patches.append(note_handle(f"the last two are marked {fmt.UNSTEADY}", linestyle="none"))
    return patches


def _finding(view: View) -> str:
    judged = _judged(view)
    kinds = judged["steadiness"]
    told = [(kind, int((kinds == kind).sum())) for kind in KINDS]
    parts = [f"{fmt.count(number)} {_FOUND[kind]}" for kind, number in told if number]
    return f"Of {fmt.plural(len(judged), 'run')} {fmt.listed(parts)}.{_left_out(judged)}"


_FOUND = {
    FLAT: "kept one level",
    WARMUP: "warmed up first",
    TOO_FEW: f"were timed over fewer than {MIN_EPOCHS} epochs, too few to say",
    SLOWDOWN: "slowed down",
    NO_STEADY_STATE: "found no steady state",
}


def _left_out(judged: pd.DataFrame) -> str:
    warm = judged[judged["steadiness"] == WARMUP]
    if warm.empty:
        return ""
    shares = (warm["warmup_epochs"] / (warm["warmup_epochs"] + warm["timed_epochs"])).to_numpy(np.float64)
    most = fmt.percent(shares.max())
    return f" A warm-up took {fmt.percent(np.median(shares))} of the steady epochs in the median, {most} at most."


def _table(view: View) -> DataTable:
    return cell_table(
        view,
        {
            "steadiness": lambda row: _NAMES.get(str(row["steadiness"]), fmt.MISSING),
            "runs": lambda row: fmt.count(row["n_measured"]),
            "warm-up": lambda row: fmt.count(row["n_warmup"]),
            "too few epochs": lambda row: fmt.count(row["n_too_few"]),
            f"unsteady {fmt.UNSTEADY}": lambda row: fmt.count(row["n_unsteady"]),
            "the worst run": lambda row: fmt.one_line(row["steadiness_reason"], 120),
        },
    )


STEADINESS = FigureKind("steadiness", _TITLE, _draw, _finding, _table)
