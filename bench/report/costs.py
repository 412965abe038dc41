"""Where the sweep's wall time went, framework by framework and phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.report import format as fmt
from bench.report.figures.base import floats
from bench.report.view import View, framework_label
from bench.store.sessions import calls_of, is_finished

# Phase's name, its columns in ``runs``.
_START = "start"
_PHASES = (
    (_START, ("start_s",)),
    ("build and data", ("build_s", "data_to_device_s")),
    ("first step (trace, compile)", ("first_step_s",)),
    ("parity gate", ("parity_s",)),
    ("training", ("training_s",)),
    ("evaluation", ("evaluation_s",)),
    ("steady timing", ("steady_s",)),
    ("memory pass", ("memory_wall_s",)),
)
_IMPORTS = "imports (once per framework)"
_REST = "process and records"


@dataclass(frozen=True)
class Share:
    """One phase of one framework: seconds as text and its share of the framework's total."""

    phase: str
    seconds: str
    fraction: float
    percent: str


@dataclass(frozen=True)
class Cost:
    """A framework's wall time, split."""

    framework: str
    runs: str
    total: str
    shares: Sequence[Share]


def costs(view: View) -> list[Cost]:
    """Every framework that ran, the costliest first, and all together where there are several."""
    groups = {name: (len(runs), _seconds(runs)) for name, runs in _ran_by_framework(view)}
    ordered = sorted(groups.items(), key=lambda item: -sum(item[1][1].values()))
    every = [_cost(name, runs, seconds) for name, (runs, seconds) in ordered]
    if len(ordered) > 1:
        together = {phase: sum(seconds[phase] for _, (_, seconds) in ordered) for phase in phase_names()}
        every.insert(0, _cost("all together", sum(runs for runs, _ in groups.values()), together))
    return every


def _ran_by_framework(view: View) -> list[tuple[str, pd.DataFrame]]:
    """Controls took their time as well."""
    runs = view.tables.every_run
    ran = runs[runs["wall_s"].notna() & (floats(runs["wall_s"]) > 0)]
    names = [framework_label(str(f), None if fmt.is_missing(b) else str(b)) for f, b in _sides(ran)]
    return [(str(name), runs) for name, runs in ran.groupby(pd.Series(names, index=ran.index, dtype=object), sort=True)]


def overhead(view: View) -> str:
    """The sweep's time against what no harness could save; empty where runs lay side by side or it was cut short."""
    took_s = sum(call.seconds for call in calls_of(view.folder))
    needed_s = sum(_needed_s(runs) for _, runs in _ran_by_framework(view))
    if not is_finished(view.folder) or not 0 < needed_s <= took_s:
        return ""
    return (
        f"From start to end the sweep took {fmt.clock_time(took_s)}: "
        f"{fmt.ratio(took_s / needed_s, took_s / needed_s * 0.99, took_s / needed_s * 1.01)} what building, "
        "compiling, the parity gate, training, evaluation, the memory pass and one import per framework took. "
        "The rest is the harness."
    )


def phase_names() -> list[str]:
    """The phases in their order, as ``Cost.shares`` lists them."""
    return [_IMPORTS, *(name for name, _ in _PHASES), _REST]


def _sides(runs: pd.DataFrame) -> list[tuple[object, object]]:
    return list(zip(runs["framework"], runs["backend"], strict=True))


def _seconds(runs: pd.DataFrame) -> dict[str, float]:
    phases = {name: float(sum(_total(runs, column) for column in columns)) for name, columns in _PHASES}
    # A template imports once and its forks inherit it: every run of theirs names the same import.
    imports = runs.dropna(subset=["import_s"]).groupby("device")["import_s"].max()
    necessary = {_IMPORTS: float(imports.sum()), **phases}
    return necessary | {_REST: max(0.0, _total(runs, "wall_s") - sum(necessary.values()))}


def _needed_s(runs: pd.DataFrame) -> float:
    return sum(seconds for phase, seconds in _seconds(runs).items() if phase not in (_START, _REST))


def _total(runs: pd.DataFrame, column: str) -> float:
    return float(floats(runs[column]).sum()) if column in runs else 0.0


def _cost(name: str, runs: int, seconds: dict[str, float]) -> Cost:
    total = sum(seconds.values())
    shares = [
        Share(phase, fmt.clock_time(s) if s else fmt.MISSING, s / total, fmt.percent(s / total))
        for phase, s in seconds.items()
    ]
    return Cost(name, fmt.count(runs), fmt.clock_time(total), shares)
