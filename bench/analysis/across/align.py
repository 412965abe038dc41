"""Which cells of two sweeps are the same measurement, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.tables import build_tables
from bench.cell import Cell, flattened
from bench.records import SKIPPED_AFTER_OOM, Status, SweepRecord
from bench.store.layout import SweepFolder
from bench.store.reader import read_cell, read_sweep

ANOTHER_VERSION = "measured by another version"
ANOTHER_PROTOCOL = "of another protocol"
ANOTHER_WORKLOAD = "of another workload"
DIFFERING = (ANOTHER_VERSION, ANOTHER_PROTOCOL, ANOTHER_WORKLOAD)
NEITHER_MEASURED = "measured in neither"
NOT_MEASURED = "not measured in {letter}"
TIMED_OTHERWISE = "timed otherwise"

_MOST_DIFFERENCES = 3
_SKIPPED = "skipped after oom"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One sweep of a comparison.

    Attributes:
        letter: what it is called here: A, B, C...
        sweep: its own record.
        cells: its cells table.
        runs: its runs table.
        noise: its noise table.
        models: its table of step-time models.
        plans: its planned cells by their id, without the controls, which are no cells of their own.
    """

    letter: str
    sweep: SweepRecord
    cells: pd.DataFrame
    runs: pd.DataFrame
    noise: pd.DataFrame
    models: pd.DataFrame
    plans: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A cell that has no counterpart, or none to compare it with.

    Attributes:
        cell: the cell.
        cell_id: its id in the sweep it stands in.
        of: letter of that sweep.
        kind: the short reason, shared by many.
        detail: what exactly differs; empty where the kind says it all.
        ended: how all its runs in the other sweep ended, where the baseline measured it and every one of them failed
            (``oom``, ``crashed, timeout``); None of any other cell.
    """

    cell: Cell
    cell_id: str
    of: str
    kind: str
    detail: str = ""
    ended: str | None = None


def read_side(letter: str, folder: SweepFolder) -> Side:
    """Reads a sweep for a comparison.

    Raises:
        UsageError: the folder holds no sweep, or records of a newer version.
        StorageError: the plan is damaged, or a file cannot be read.
    """
    sweep, tables = read_sweep(folder), build_tables(folder)
    cells = {planned.id: read_cell(planned) for planned in sweep.cells}
    plans = {id_: cell for id_, cell in cells.items() if not cell.control}
    return Side(
        letter=letter,
        sweep=sweep,
        cells=tables.cells,
        runs=tables.runs,
        noise=tables.noise,
        models=tables.models,
        plans=plans,
    )


def align(base: Side, other: Side) -> tuple[list[str], list[Apart]]:
    """Ids of the cells measured alike in both, in the baseline's order, and all other cells with the reason."""
    shared = [id_ for id_ in base.plans if id_ in other.plans]
    reasons = {id_: _why_not_measured_alike(base, other, id_) for id_ in shared}
    unmeasured = [
        Apart(
            cell=base.plans[id_],
            cell_id=id_,
            of=base.letter,
            kind=why[0],
            detail=why[1],
            ended=_how_all_failed(base, other, id_),
        )
        for id_, why in reasons.items()
        if why
    ]
    strangers = [*_strangers(other, base), *_strangers(base, other)]
    return [id_ for id_ in shared if reasons[id_] is None], [*unmeasured, *strangers]


def _why_not_measured_alike(base: Side, other: Side, id_: str) -> tuple[str, str] | None:
    rows = {side.letter: _row(side, id_) for side in (base, other)}
    missing = {letter: _why_no_speed(row) for letter, row in rows.items() if pd.isna(row["samples_per_s"])}
    if missing:
        kind = NEITHER_MEASURED if len(missing) > 1 else NOT_MEASURED.format(letter=next(iter(missing)))
        return kind, "; ".join(dict.fromkeys(missing.values()))
    phases = [str(row["timed_phase"]) for row in rows.values()]
    if phases[0] != phases[1]:
        return TIMED_OTHERWISE, f"{phases[0]} epochs in {base.letter}, {phases[1]} epochs in {other.letter}"
    return None


def _how_all_failed(base: Side, other: Side, id_: str) -> str | None:
    """How the runs ended of a cell that one sweep measured and the other tried in vain, whenever it tried."""
    if pd.isna(_row(base, id_)["samples_per_s"]):
        return None
    runs = other.runs[other.runs["cell_id"] == id_]
    failures = [_failure(Status(status), reason) for status, reason in zip(runs["status"], runs["reason"], strict=True)]
    return None if None in failures else ", ".join(sorted({str(word) for word in failures})) or None


def _failure(status: Status, reason: Any) -> str | None:
    """How a run failed. One spared because a smaller batch size ran out of memory has failed with that."""
    if status is Status.UNAVAILABLE and str(reason).startswith(SKIPPED_AFTER_OOM):
        return _SKIPPED
    return status.value if status.failed else None


def _row(side: Side, id_: str) -> pd.Series[Any]:
    return side.cells.iloc[int((side.cells["cell_id"] == id_).to_numpy().argmax())]


def _why_no_speed(row: pd.Series[Any]) -> str:
    return str(row["samples_per_s_reason"])


def _strangers(of: Side, against: Side) -> Iterator[Apart]:
    """Cells of one sweep that the other has not."""
    for id_, cell in of.plans.items():
        if id_ not in against.plans:
            kind, detail = _why_no_counterpart(cell, of, against)
            yield Apart(cell=cell, cell_id=id_, of=of.letter, kind=kind, detail=detail)


def _why_no_counterpart(cell: Cell, of: Side, against: Side) -> tuple[str, str]:
    alike = [other for id_, other in against.plans.items() if id_ not in of.plans and _same_place(cell, other)]
    if not alike:
        return f"in {of.letter} only", ""
    differences = min((_differences(cell, other) for other in alike), key=len)
    if not differences:
        return ANOTHER_VERSION, "the settings are the same, the way of measuring them is not"
    protocol = all(name.startswith("protocol.") for name in differences)
    return ANOTHER_PROTOCOL if protocol else ANOTHER_WORKLOAD, _in_words(differences, of, against)


def _same_place(cell: Cell, other: Cell) -> bool:
    """Whether somebody might take one for the other: one curve, and one batch size by number or by name."""
    same_size = cell.batch_size == other.batch_size or cell.batch_size_label == other.batch_size_label
    return cell.family == other.family and same_size


def _differences(cell: Cell, other: Cell) -> dict[str, tuple[Any, Any]]:
    ours, theirs = flattened(cell.content()), flattened(other.content())
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs.get(name)}


def _in_words(differences: Mapping[str, tuple[Any, Any]], of: Side, against: Side) -> str:
    said = [
        f"{name} is {ours} in {of.letter}, {theirs} in {against.letter}"
        for name, (ours, theirs) in list(differences.items())[:_MOST_DIFFERENCES]
    ]
    more = len(differences) - len(said)
    return "; ".join([*said, *([f"and {more} more"] if more else [])])
