"""Everything the two templates of a comparison print, as plain text ready to be escaped."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.across.align import NEITHER_MEASURED, Side
from bench.analysis.across.knee import DOWN, KNEE_SHARE, MIN_SIZES, NO, UP
from bench.analysis.compare import FASTER, INCONCLUSIVE, POWER, SLOWER, TIE, TIE_MARGIN
from bench.analysis.intervals import CONFIDENCE, MIN_RUNS
from bench.report import format as fmt
from bench.report.comparison import gate, story
from bench.report.comparison.noise import noise_sentences
from bench.report.comparison.view import CompareView, once, size_label
from bench.report.figures.base import DataTable
from bench.report.gallery import Exhibit
from bench.report.page import fact_rows, git_words
from bench.report.view import device_label, family_of

_MOST_ROWS = 200
_MOST_SLOWER = 40
_MOST_SIZES = 24
_COMMIT_LENGTH = 12
_MOVES = {UP: "up", DOWN: "down", NO: "not beyond doubt"}
_VERDICTS = {TIE: "tie", FASTER: "faster", SLOWER: "slower", INCONCLUSIVE: "inconclusive"}


@dataclass(frozen=True)
class SweepLine:
    """One sweep in the list of those compared."""

    letter: str
    name: str
    created_at: str
    scope: str
    where: str


@dataclass(frozen=True)
class Count:
    """How many cells of a sweep have a verdict."""

    sweep: str
    faster: int
    slower: int
    tie: int
    inconclusive: int
    without: int


@dataclass(frozen=True)
class Group:
    """Cells that could not be compared for one reason."""

    sweep: str
    kind: str
    what: str
    sizes: str
    detail: str


@dataclass(frozen=True)
class ComparisonPage:
    """A comparison."""

    title: str
    headlines: Sequence[tuple[str, str]]
    answer: str
    is_lost: bool
    beside: Sequence[str]
    exit_code: int | None
    sweeps: Sequence[SweepLine]
    counts: Sequence[Count]
    differences: Sequence[tuple[str, Sequence[str]]]
    alike: int
    exhibit: Exhibit
    slower: DataTable
    cells: DataTable
    knees: DataTable
    apart: Sequence[Group]
    margin: str
    tie_margin: str
    power: str
    confidence: str
    min_runs: int
    min_sizes: int
    knee_share: str
    has_models: bool
    noise: Sequence[str]
    several: bool
    command: str


def page_of(view: CompareView, exhibit: Exhibit) -> ComparisonPage:
    """The page of a comparison."""
    across = view.across
    differences, alike = _differences(across.sides)
    answer, *beside = gate.sentences(view)
    return ComparisonPage(
        title=" against ".join([fmt.listed([view.name(s.letter) for s in across.others]), view.name("A")]),
        headlines=[(story.headline(view, s.letter), story.details(view, s.letter)) for s in across.others],
        answer=answer,
        is_lost=gate.is_lost(view),
        beside=beside,
        exit_code=gate.exit_code(view) if view.asked else None,
        sweeps=[_sweep_line(side) for side in across.sides],
        counts=[_count(view, side.letter) for side in across.others],
        differences=differences,
        alike=alike,
        exhibit=exhibit,
        slower=_speed_table(view, view.slower, _MOST_SLOWER),
        cells=_whole_table(view),
        knees=_knee_table(view),
        apart=_groups(view),
        margin=view.margin,
        tie_margin=view.tie_margin,
        power=fmt.percent(POWER),
        confidence=fmt.percent(CONFIDENCE),
        min_runs=MIN_RUNS,
        min_sizes=MIN_SIZES,
        knee_share=fmt.percent(KNEE_SHARE),
        has_models=any(not side.models.empty for side in across.sides),
        noise=noise_sentences(across.sides),
        several=view.several,
        command=_command(view),
    )


def _sweep_line(side: Side) -> SweepLine:
    sweep = side.sweep
    devices = sorted({fmt.one_line(name) for name in side.cells["device_name"].dropna()})
    where = devices or [fmt.one_line(sweep.machine.get("processor"))]
    return SweepLine(
        letter=side.letter,
        name=fmt.one_line(sweep.name),
        created_at=fmt.one_line(sweep.created_at),
        scope=f"{fmt.plural(len(side.plans), 'cell')}, {fmt.plural(len(sweep.rounds), 'round')}",
        where=", ".join(where[:4]),
    )


def _count(view: CompareView, letter: str) -> Count:
    cells = view.of(letter)
    n = {word: int((cells["verdict"] == word).sum()) for word in _VERDICTS}
    return Count(
        sweep=view.name(letter),
        faster=n[FASTER],
        slower=n[SLOWER],
        tie=n[TIE],
        inconclusive=n[INCONCLUSIVE],
        without=int(cells["verdict"].isna().sum()),
    )


def _differences(sides: Sequence[Side]) -> tuple[list[tuple[str, list[str]]], int]:
    """What is recorded of machine, software and harness and is not the same everywhere, and how much is."""
    recorded = [dict(_recorded(side)) for side in sides]
    names = dict.fromkeys(name for each in recorded for name in each)
    rows = [(name, [each.get(name, fmt.MISSING) for each in recorded]) for name in names]
    differing = [row for row in rows if len(set(row[1])) > 1]
    return differing, len(rows) - len(differing)


def _recorded(side: Side) -> Iterator[tuple[str, str]]:
    sweep = side.sweep
    yield "bench", fmt.one_line(sweep.bench_version)
    yield "results format", str(sweep.schema_version)
    yield "source", git_words(sweep.git and sweep.git | {"commit": str(sweep.git.get("commit"))[:_COMMIT_LENGTH]})
    yield "started", fmt.one_line(sweep.created_at)
    yield "rounds", fmt.count(len(sweep.rounds))
    for device, rows in side.cells.groupby("device", sort=True):
        if names := sorted({fmt.one_line(name) for name in rows["device_name"].dropna()}):
            yield f"device {device_label(str(device))}", ", ".join(names[:4])
    yield from _prefixed("software: ", {k: v for k, v in sweep.software.items() if k != "executable"})
    yield from _prefixed("machine: ", sweep.machine)


def _prefixed(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, text in fact_rows(values):
        yield prefix + name, text


def _table(
    view: CompareView,
    cells: pd.DataFrame,
    columns: Mapping[str, Any],
    most: int,
    *,
    loop: Callable[[Any], str] = lambda row: family_of(row).label,
    file: str = "cells",
) -> DataTable:
    """Sweep where there are several, curve, setting where there are several, then the given columns."""
    leading: dict[str, Any] = {"sweep": lambda row: str(row["sweep"])} if view.several else {}
    leading["loop"] = loop
    if "panel" in cells and view.cells["panel"].nunique() > 1:
        leading["setting"] = lambda row: str(row["panel"])
    every = leading | dict(columns)
    rows = [[text(row) for text in every.values()] for _, row in cells.head(most).iterrows()]
    return DataTable(list(every), rows, len(leading), max(0, len(cells) - most), file)


def _speed_columns(view: CompareView) -> dict[str, Any]:
    base = view.across.base.letter
    return {
        "batch size": size_label,
        "speed-up": lambda row: fmt.ratio_interval(row["ratio"], row["low"], row["high"]),
        "verdict": verdict_text,
        f"{base}: samples/s": lambda row: _rate(row, "samples_per_s_base"),
        f"{_other(view)}: samples/s": lambda row: _rate(row, "samples_per_s"),
    }


def _other(view: CompareView) -> str:
    """How columns call what is compared with the baseline."""
    return "sweep" if view.several else view.across.others[0].letter


def _rate(row: pd.Series[Any], name: str) -> str:
    text = fmt.samples_per_s(row[name], row[f"{name}_low"], row[f"{name}_high"])
    return text.removesuffix(" samples/s")


def verdict_text(row: pd.Series[Any]) -> str:
    """``slower, regression``, ``inconclusive (about 12 more runs)``, ``4 and 4 runs``."""
    if not isinstance(row["verdict"], str):
        return f"{fmt.count(row['n_base'])} and {fmt.count(row['n'])} runs"
    if row["regression"] and row["verdict"] == TIE:
        ties, asked = (fmt.percent_asked(margin) for margin in (TIE_MARGIN, row["margin"]))
        return f"tie within {ties}, regression beyond {asked}"
    if row["regression"]:
        return f"{_VERDICTS[row['verdict']]}, regression"
    if row["verdict"] == INCONCLUSIVE and not fmt.is_missing(row["more_runs"]):
        return f"inconclusive (about {fmt.plural(int(row['more_runs']), 'more run')})"
    return _VERDICTS[row["verdict"]]


def _speed_table(view: CompareView, cells: pd.DataFrame, most: int) -> DataTable:
    return _table(view, cells, _speed_columns(view), most)


def _whole_table(view: CompareView) -> DataTable:
    base, other = view.across.base.letter, _other(view)
    secondary = {
        "would show a loss of": _detectable,
        "sooner to target": _sooner,
        f"{base}: memory": lambda row: fmt.memory(row["rss_over_baseline_bytes_base"]),
        f"{other}: memory": lambda row: fmt.memory(row["rss_over_baseline_bytes"]),
        f"{base}: first step": lambda row: fmt.duration(row["first_step_s_base"]),
        f"{other}: first step": lambda row: fmt.duration(row["first_step_s"]),
    }
    ordered = view.cells.sort_values(["sweep", "panel", "family", "batch_size", "cell_id"])
    return _table(view, ordered, _speed_columns(view) | secondary, _MOST_ROWS)


def _detectable(row: pd.Series[Any]) -> str:
    loss = row["detectable_loss"]
    return fmt.MISSING if fmt.is_missing(loss) else fmt.percent_at_most(loss)


def _sooner(row: pd.Series[Any]) -> str:
    low, high = row["time_to_target_low"], row["time_to_target_high"]
    return fmt.ratio_interval(row["time_to_target_ratio"], low, high)


def _knee_table(view: CompareView) -> DataTable:
    knees = view.across.knees
    base, other = view.across.base.letter, _other(view)
    columns = {
        f"{base}: knee": lambda row: _knee(row, "knee_base"),
        f"{other}: knee": lambda row: _knee(row, "knee"),
        **_half_batch_columns(knees, base, other),
        "moved": lambda row: _MOVES.get(row["moved"], fmt.one_line(row["reason"], 90)),
    }
    if knees["setting"].nunique() > 1:
        columns = {"workload, setting": lambda row: fmt.one_line(f"{row['workload']} {row['setting']}")} | columns
    return _table(view, knees, columns, _MOST_ROWS, loop=_curve_label, file="knees")


def _half_batch_columns(knees: pd.DataFrame, base: str, other: str) -> dict[str, Callable[[Any], str]]:
    """Of the step-time models, where there is any."""
    if knees[["half_batch_base", "half_batch"]].isna().all(axis=None):
        return {}
    return {
        f"{base}: half speed at": lambda row: _half_batch(row, "half_batch_base"),
        f"{other}: half speed at": lambda row: _half_batch(row, "half_batch"),
    }


def _half_batch(row: pd.Series[Any], name: str) -> str:
    return fmt.with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _curve_label(row: pd.Series[Any]) -> str:
    return f"{family_of(row).label} on the {device_label(str(row['device']))}"


def _knee(row: pd.Series[Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if fmt.is_missing(row[name]):
        return fmt.MISSING
    spread = "" if fmt.is_missing(low) or low == high else f" ({fmt.count(low)} to {fmt.count(high)})"
    return f"{fmt.count(row[name])}{spread}"


def _groups(view: CompareView) -> list[Group]:
    """Cells set apart, those of one reason and the same batch sizes on one line, what was lost first."""
    curves: dict[tuple[str, ...], list[str]] = {}
    keys = ["sweep", "kind", "detail", "framework", "backend", "loop", "device"]
    for _, rows in once(view.across.apart, view.across.base.letter).groupby(keys, dropna=False, sort=True):
        first, sizes = rows.iloc[0], sorted({int(size) for size in rows["batch_size"]})
        shown = ", ".join(fmt.count(size) for size in sizes[:_MOST_SIZES])
        key = (
            str(first["sweep"]),
            str(first["kind"]),
            _detail(first),
            shown if len(sizes) <= _MOST_SIZES else f"{shown} …",
        )
        curves.setdefault(key, []).append(_curve_label(first))
    ordered = sorted(curves.items(), key=lambda pair: (pair[0][0], _rank(pair[0][1]), pair[0]))
    return [
        Group(view.name(sweep), kind, "; ".join(what), sizes, detail) for (sweep, kind, detail, sizes), what in ordered
    ][:_MOST_ROWS]


def _detail(row: pd.Series[Any]) -> str:
    return fmt.one_line(row["detail"], fmt.REASON_LENGTH) if row["detail"] else ""


def _rank(kind: str) -> int:
    """Cells that were lost come first, those that nobody could measure last."""
    return 0 if kind.startswith("not measured") else 2 if kind == NEITHER_MEASURED else 1


def _command(view: CompareView) -> str:
    names = [fmt.one_line(side.sweep.name) for side in view.across.sides]
    gate = ["--fail-on-regression", view.margin] if view.asked else []
    return shlex.join(["bench", "compare", *names, *gate])
