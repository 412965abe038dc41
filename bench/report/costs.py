"""Where the sweep's wall time went, framework by framework and phase by phase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.report import format as fmt
from bench.report.figures.base import floats
from bench.report.view import View, framework_label

# Phase's name, its columns in ``runs``.
_PHASES = (
    ("start", ("start_s",)),
    ("build and data", ("build_s", "data_to_device_s")),
    ("first step (trace, compile)", ("first_step_s",)),
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
    ran = view.runs[view.runs["wall_s"].notna() & (floats(view.runs["wall_s"]) > 0)]
    names = [framework_label(str(f), None if fmt.is_missing(b) else str(b)) for f, b in _sides(ran)]
    groups = [(name, _seconds(group)) for name, group in ran.groupby(pd.Series(names, index=ran.index), sort=True)]
    counted = Counter(names)
    ordered = sorted(groups, key=lambda pair: -sum(pair[1].values()))
    every = [_cost(str(name), counted[str(name)], seconds) for name, seconds in ordered]
    if len(ordered) > 1:
        together = {phase: sum(seconds[phase] for _, seconds in ordered) for phase in ordered[0][1]}
        every.insert(0, _cost("all together", len(ran), together))
    return every


def phase_names() -> list[str]:
    """The phases in their order, as ``Cost.shares`` lists them."""
    return [_IMPORTS, *(name for name, _ in _PHASES), _REST]


def _sides(runs: pd.DataFrame) -> list[tuple[object, object]]:
    return list(zip(runs["framework"], runs["backend"], strict=True))


def _seconds(runs: pd.DataFrame) -> dict[str, float]:
    phases = {name: float(sum(_total(runs, column) for column in columns)) for name, columns in _PHASES}
    # A template imports once and its forks inherit it: every run of theirs names the same import.
    imports = runs.dropna(subset=["import_s"]).groupby("device")["import_s"].max()
    rest = max(0.0, _total(runs, "wall_s") - sum(phases.values()))
    return {_IMPORTS: float(imports.sum()), **phases, _REST: rest}


def _total(runs: pd.DataFrame, column: str) -> float:
    return float(floats(runs[column]).sum()) if column in runs else 0.0


def _cost(name: str, runs: int, seconds: dict[str, float]) -> Cost:
    total = sum(seconds.values())
    shares = [
        Share(phase, fmt.duration(s) if s else fmt.MISSING, s / total, fmt.percent(s / total))
        for phase, s in seconds.items()
    ]
    return Cost(name, fmt.count(runs), fmt.duration(total, total, total * 1.01), shares)
