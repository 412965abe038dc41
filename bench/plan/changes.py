"""What a plan asks for that another sweep did not, said in settings: a sweep goes on with its own plan only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from bench.cell import SAME_PLAN, Cell, flattened
from bench.plan.plan import Plan
from bench.records import SweepRecord

_OF_THE_SWEEP = ("rounds", "precision", "precision_of", "max_rounds", "budget_s", "control")
_MOST_VALUES = 6
_MOST_CELLS = 4


def changes(record: SweepRecord, plan: Plan) -> list[str]:
    """One line for every setting that differs, the planned value first; empty where the plans are the same.

    What only says how patiently a run is waited for, or where its data lies, is no difference.
    """
    was, now = _cells(Cell.from_plain(planned.cell) for planned in record.cells), _cells(run.cell for run in plan.runs)
    lines = [*_of_the_sweep(record, plan)]
    settings = [*_of_cells(was, now)]
    if was.keys() != now.keys() and not settings:
        settings = [*_cell_lines("no longer asked for", was, now), *_cell_lines("not planned", now, was)]
    return lines + settings


def _cells(cells: Iterable[Cell]) -> dict[str, Cell]:
    return {cell.id: cell for cell in cells}


def _of_the_sweep(record: SweepRecord, plan: Plan) -> Iterator[str]:
    was, now = record.config.get("protocol", {}), asdict(plan.config.protocol)
    for name in _OF_THE_SWEEP:
        if name in was and was[name] != now[name]:
            yield _line(f"protocol.{name}", [was[name]], [now[name]])


def _of_cells(was: Mapping[str, Cell], now: Mapping[str, Cell]) -> Iterator[str]:
    """Settings whose values differ, each over all cells."""
    before, after = _values(was.values()), _values(now.values())
    for name in before | after:
        if before.get(name) != after.get(name):
            yield _line(name, before.get(name, []), after.get(name, []))


def _values(cells: Iterable[Cell]) -> dict[str, list[Any]]:
    """Every value of every setting, in the order in which they come."""
    values: dict[str, list[Any]] = {}
    for cell in cells:
        for name, value in flattened(cell.to_plain()).items():
            known = values.setdefault(name, [])
            if value not in known and name not in SAME_PLAN:
                known.append(value)
    return {name: sorted(known, key=lambda value: (str(type(value)), value)) for name, known in values.items()}


def _line(name: str, was: list[Any], now: list[Any]) -> str:
    return f"{name}: planned {_listed(was)}; now {_listed(now)}"


def _listed(values: list[Any]) -> str:
    shown = ", ".join("null" if value is None else str(value) for value in values[:_MOST_VALUES])
    more = len(values) - _MOST_VALUES
    return f"{shown} and {more} more" if more > 0 else shown or "nothing"


def _cell_lines(what: str, these: Mapping[str, Cell], those: Mapping[str, Cell]) -> Iterator[str]:
    only = sorted(these.keys() - those.keys())
    if only:
        more = f" and {len(only) - _MOST_CELLS} more" if len(only) > _MOST_CELLS else ""
        yield f"{what}: {', '.join(only[:_MOST_CELLS])}{more}"
