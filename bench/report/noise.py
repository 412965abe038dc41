"""The machine's noise in words: what the controls say, what drifted, who else was at work, what was recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis import disturbance, noise
from bench.analysis.compare import TIE_MARGIN
from bench.report import format as fmt
from bench.report.figures.base import floats
from bench.report.figures.datatables import size_of
from bench.report.view import View, family_of

Row = dict[Any, Any]
"""A row of the noise table."""

_NOTHING_SEEN = "Nothing that was looked at disturbed the sweep"
_NO_CONTROL = "No cell ran under two names here, so nothing says how far two measurements of the same lie apart."


@dataclass(frozen=True)
class Check:
    """One check of the machine: what was asked, what came of it, what it is held against, and the outcome."""

    what: str
    seen: str
    limit: str
    outcome: str
    alarm: bool


@dataclass(frozen=True)
class Recorded:
    """One figure that was recorded of every run: its middle and its worst, or why there is none."""

    what: str
    middle: str
    most: str
    reason: str = ""


@dataclass(frozen=True)
class Noise:
    """What the report says of the machine's noise.

    Attributes:
        verdict: ``quiet``, ``disturbed`` or ``unknown``.
        said: what the verdict rests on, or what it lacks, in words.
        same_cell: the controls in one sentence.
        checks: every check.
        recorded: every figure.
    """

    verdict: str
    said: str
    same_cell: str
    checks: Sequence[Check]
    recorded: Sequence[Recorded]


def noise_of(view: View) -> Noise:
    """The noise of a sweep."""
    return Noise(
        verdict=noise.verdict_of(view.tables.noise),
        said=_said(view),
        same_cell=same_cell(view),
        checks=[_check(view, row) for row in view.tables.noise.to_dict("records")],
        recorded=_recorded(view.tables.every_run),
    )


def disturbed(view: View) -> str:
    """``Measured on a disturbed machine: ...``, empty where nothing known disturbed it."""
    reasons = noise.disturbances(view.tables.noise)
    return f"Measured on a disturbed machine: {'; '.join(reasons)}." if reasons else ""


def _said(view: View) -> str:
    if sentence := disturbed(view):
        return sentence
    table = view.tables.noise
    if why := [fmt.one_line(words, 200) for words in noise.doubts(table)]:
        return f"No check found the machine disturbed, but that is not enough to call it quiet: {'; '.join(why)}."
    if noise.controls_of(table).empty:
        return f"{_NOTHING_SEEN}. No cell ran under two names: this rests on the other checks alone."
    within = fmt.limit(noise.QUIET_WITHIN)
    return f"{_NOTHING_SEEN}; drift and the same cell under two names are known to lie within {within} of none."


def same_cell(view: View) -> str:
    """What the same cell gave under two names, and what it would show: other cells may scatter less or more."""
    rows = noise.controls_of(view.tables.noise).to_dict("records")
    measured = [row for row in rows if row["n"] > 0]
    if not rows:
        return _NO_CONTROL
    if not measured:
        return "No control was measured in any round, so nothing says how far two measurements of the same lie apart."
    apart = fmt.listed([f"{_apart(row)} apart for {control_label(view, row)}" for row in measured])
    floors = [fmt.percent(row["floor"] - 1) for row in measured if not fmt.is_missing(row["floor"])]
    return f"The same cell under two names: {apart}.{_missed(floors)}"


def _missed(floors: Sequence[str]) -> str:
    """What the distances of the controls mean for other cells."""
    if not floors:
        return ""
    each = ", in this order," if len(floors) > 1 else ""
    return (
        f" A single comparison between cells that scatter as these do would miss a difference below"
        f" {fmt.listed(floors)}{each} more often than one time in ten; verdicts corrected for many pairs miss more."
    )


def control_label(view: View, row: Row) -> str:
    """The cell that ran under two names: ``PyTorch eager at batch 32``, with its device where there are several."""
    cell = view.cells[view.cells["cell_id"] == row["cell_id"]].iloc[0]
    device = f" · {cell['panel']}" if view.cells["panel"].nunique() > 1 else ""
    return f"{family_of(cell).label} at batch {size_of(cell)}{device}"


def _apart(row: Row) -> str:
    """The distance of the two names, the faster one above."""
    value, low, high = row["value"], row["low"], row["high"]
    if value < 1:
        value, low, high = 1 / value, 1 / high, 1 / low
    text = fmt.difference(value, low, high)
    return text if not fmt.is_missing(low) else f"{text} ({fmt.plural(row['n'], 'round')}, no interval)"


def found(row: Row) -> str:
    """What a single comparison in as many rounds as the control's would find."""
    return f"finds {fmt.percent(row['floor'] - 1)} 9 times in 10"


def _check(view: View, row: Row) -> Check:
    what, seen = _WORDS[row["check"]](view, row)
    beyond = fmt.limit(row["limit"] - 1 if row["check"] != noise.DISTURBED_RUNS else row["limit"])
    known = not fmt.is_missing(row["value"])
    return Check(
        what, seen if known else fmt.one_line(row["reason"], 200), beyond, str(row["verdict"]), bool(row["alarm"])
    )


def _control_words(view: View, row: Row) -> tuple[str, str]:
    runs = f" in {fmt.plural(row['n'], 'round')}" if not fmt.is_missing(row["low"]) else ""
    floor = "" if fmt.is_missing(row["floor"]) else f"; one comparison like it {found(row)}"
    return f"The same cell twice: {control_label(view, row)}", f"{_apart(row)} apart{runs}{floor}"


def _drift_words(_view: View, row: Row) -> tuple[str, str]:
    return "Drift of times from the first run to the last", fmt.difference(row["value"], row["low"], row["high"])


def _step_words(_view: View, row: Row) -> tuple[str, str]:
    where = f"after {fmt.count(row['position'])} of {fmt.plural(row['n'], 'run')}"
    return "Largest step in times", f"{fmt.difference(row['value'])} {where}, p {fmt.p_value(row['p'])}"


def _runs_words(_view: View, row: Row) -> tuple[str, str]:
    number = round(row["value"] * row["n"]) if not fmt.is_missing(row["value"]) else 0
    return "Runs that something seen disturbed", f"{fmt.count(number)} of {fmt.count(row['n'])}"


_WORDS: dict[str, Callable[[View, Row], tuple[str, str]]] = {
    noise.CONTROL: _control_words,
    noise.DRIFT: _drift_words,
    noise.STEP: _step_words,
    noise.DISTURBED_RUNS: _runs_words,
}


def limits() -> list[str]:
    """When a run counts as disturbed, in words."""
    most, few = fmt.setting(disturbance.OTHERS_LIMIT), fmt.setting(disturbance.OTHERS_LIMIT / 2)
    shares = f"{fmt.limit(disturbance.OTHERS_SHARE_LIMIT)} and {fmt.limit(disturbance.STEAL_SHARE_LIMIT)}"
    return [
        f"other programs used more than {most} processors' worth of time on the processors that it may use "
        f"({few} where its threads need them all)",
        f"the host of a virtual machine took more than {fmt.setting(disturbance.STEAL_LIMIT)} of those "
        f"(of runs of which only shares of the whole machine were recorded: more than {shares} of it)",
        "heat or power slowed a core",
        "the control group's CPU limit stopped the run",
        "heat or power slowed its GPU, or another process was there to compute on it",
        "or, where nobody counts processor time, the load beyond our own was above "
        f"{fmt.setting(disturbance.LOAD_LIMIT)} per processor",
    ]


def rules() -> dict[str, str]:
    """The figures that the method's words need."""
    return {
        "margin": fmt.limit(TIE_MARGIN),
        "runs": fmt.limit(noise.RUNS_LIMIT),
        "power": fmt.limit(noise.POWER),
        "quiet": fmt.limit(noise.QUIET_WITHIN),
    }


_FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("load_before", "load average before a run", lambda value: f"{value:.2f}"),
    ("others_processors", "processors that other programs used of the run's", lambda value: f"{value:.2f}"),
    ("steal_processors", "processors that the host took of the run's", lambda value: f"{value:.2f}"),
    ("others_share", "processor time of other programs", fmt.percent),
    ("steal_share", "processor time taken by the host", fmt.percent),
    ("cpu_pressure_share", "time in which somebody waited for a processor", fmt.percent),
    ("frequency_mean_mhz", "frequency", lambda value: f"{fmt.count(value)} MHz"),
    ("thermal_throttles", "cores slowed by heat or power", fmt.count),
    ("limit_throttles", "stops by the control group's CPU limit", fmt.count),
    ("involuntary_switches", "times that a worker lost its processor", fmt.count),
    ("major_faults", "pages that a worker waited for the disk for", fmt.count),
)


_GPU_FIGURES: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("gpu_clock_mhz", "clock of the GPU after a run", lambda value: f"{fmt.count(value)} MHz"),
    ("gpu_others", "other processes on the GPU", fmt.count),
)
_LESS_IS_WORSE = ("frequency_mean_mhz", "gpu_clock_mhz")


def _recorded(runs: pd.DataFrame) -> list[Recorded]:
    on_gpu = runs[(runs["device"] == "gpu") & (runs["status"] != "unavailable")]
    return [
        *(_figure(runs, column, what, text, "noise_reason") for column, what, text in _FIGURES),
        *(_figure(on_gpu, column, what, text, "gpu_reason") for column, what, text in _GPU_FIGURES if len(on_gpu)),
    ]


def _figure(runs: pd.DataFrame, column: str, what: str, text: Callable[[Any], str], reason: str) -> Recorded:
    values = floats(runs[column]).dropna()
    if values.empty:
        return Recorded(what, fmt.MISSING, fmt.MISSING, _why_none(runs[reason], column))
    worst = values.min() if column in _LESS_IS_WORSE else values.max()
    return Recorded(what, text(float(values.median())), text(float(worst)))


def _why_none(said: pd.Series[str], column: str) -> str:
    """The reason of the figure where the runs name it, else theirs for all."""
    reasons = said.dropna().astype(str)
    if reasons.empty:
        return "no run has ended"
    for part in str(reasons.mode().iloc[0]).split("; "):
        names, named, why = part.partition(": ")
        if named and column in names.split(", "):
            return fmt.one_line(why, 160)
    return fmt.one_line(reasons.mode().iloc[0], 160)
