"""A plan: every cell of the grid, why some cannot run here, and the rounds of those that can. Nothing is started."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench.cell import Cell
from bench.config import Config
from bench.config.schema import DataConfig
from bench.engines import catalogue
from bench.errors import RequiredMissing, UsageError
from bench.plan.controls import controls
from bench.plan.expand import GridCell, expand
from bench.plan.rounds import Stopping, shuffled_rounds, stopping_of

WhyNot = Callable[[Cell], str | None]


@dataclass(frozen=True)
class PlannedRun:
    """A planned cell: its data settings, and why it cannot run here (None: it can)."""

    cell: Cell
    data: DataConfig
    unavailable_reason: str | None


@dataclass(frozen=True)
class Plan:
    """What a sweep will do.

    Attributes:
        config: the config of the grid's first point; what belongs to the whole sweep is the same in all.
        runs: every cell, once; its controls come last.
        rounds: for every round the ids of the cells that can run, in their order; the least number of rounds where
            ``stopping`` adds some.
        stopping: until when rounds are added; None for those planned alone.
    """

    config: Config
    runs: list[PlannedRun]
    rounds: list[list[str]]
    stopping: Stopping | None = None

    @cached_property
    def by_id(self) -> dict[str, PlannedRun]:
        """The cells by id."""
        return {run.cell.id: run for run in self.runs}

    @property
    def seed(self) -> int:
        """Seeds the order of the rounds."""
        return self.config.seed

    @property
    def total_runs(self) -> int:
        """Runs to be started."""
        return sum(map(len, self.rounds))

    @property
    def controls(self) -> list[PlannedRun]:
        """The cells that run under a second name."""
        return [run for run in self.runs if run.cell.control]

    @property
    def unavailable(self) -> list[PlannedRun]:
        """The cells that cannot run here."""
        return [run for run in self.runs if run.unavailable_reason is not None]


def make_plan(
    points: Sequence[Config],
    *,
    rounds: int | None = None,
    why_not: WhyNot | None = None,
    with_controls: bool = False,
) -> Plan:
    """The plan of a grid.

    Args:
        points: the validated grid, at least one point.
        rounds: how many, where not as configured; none is added to them.
        why_not: why a cell cannot run here; looks at this machine unless given.
        with_controls: whether it is a sweep, which has controls unless ``protocol.control`` is off.

    Raises:
        UsageError: points disagree on what belongs to the whole sweep, or data cannot be used.
        RequiredMissing: something in ``sweep.require`` cannot run here.
    """
    config = _shared_config(points)
    if rounds is not None:
        config = _with_rounds(config, rounds)
    runs = [_planned(grid_cell, why_not or why_not_here) for grid_cell in expand(points)]
    _check_required(config.sweep.require, runs)
    if with_controls and config.protocol.control:
        runs += _controls(runs)
    runnable = [run.cell.id for run in runs if run.unavailable_reason is None]
    orders = shuffled_rounds(runnable, config.protocol.rounds, config.seed) if runnable else []
    return Plan(config, runs, orders, stopping_of(config.protocol))


def why_not_here(cell: Cell) -> str | None:
    """Why the cell cannot run on this machine: no such loop, framework or device; None where it can."""
    from bench.plan.devices import availability

    reason = catalogue.why_not(cell.framework, cell.backend, cell.loop, cell.device)
    if reason is not None:
        return reason
    found = availability(cell.framework, cell.backend, cell.device, cell.python)
    return None if found.ok else found.reason or "not available here"


def names_of(cell: Cell) -> set[str]:
    """The names by which ``sweep.require`` can ask for the cell."""
    return {name for name in (cell.framework, cell.backend, cell.loop, cell.device, cell.family) if name}


def _planned(grid_cell: GridCell, why_not: WhyNot) -> PlannedRun:
    return PlannedRun(grid_cell.cell, grid_cell.data, why_not(grid_cell.cell))


def _controls(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Their data settings are those of the cells they repeat."""
    able = [run for run in runs if run.unavailable_reason is None]
    data = {run.cell.data: run.data for run in able}
    return [PlannedRun(cell, data[cell.data], None) for cell in controls([run.cell for run in able])]


def _with_rounds(config: Config, rounds: int) -> Config:
    """So many rounds and no more, in the config that the sweep's record keeps as well."""
    protocol = replace(config.protocol, rounds=rounds, precision=None, max_rounds=None, budget_s=None)
    return replace(config, protocol=protocol)


_OF_THE_SWEEP = ("precision", "precision_of", "max_rounds", "budget_s")


def _shared_config(points: Sequence[Config]) -> Config:
    first = points[0]
    for point in points:
        if point.protocol.rounds != first.protocol.rounds:
            raise UsageError("protocol.rounds: cannot be swept", "all cells of a sweep run in the same rounds")
        if point.protocol.control != first.protocol.control:
            raise UsageError("protocol.control: cannot be swept", "a sweep has its controls or has none")
        for name in _OF_THE_SWEEP:
            if getattr(point.protocol, name) != getattr(first.protocol, name):
                raise UsageError(f"protocol.{name}: cannot be swept", "a sweep has one precision to reach and one end")
        if point.sweep != first.sweep:
            raise UsageError("sweep: cannot be swept", "a sweep has one name, one folder and one list of requirements")
    return first


def _check_required(required: Sequence[str], runs: Sequence[PlannedRun]) -> None:
    for name in required:
        asked = [run for run in runs if name in names_of(run.cell)]
        if not asked:
            known = sorted(set(itertools.chain.from_iterable(_plain_names(runs))))
            raise UsageError(f"sweep.require: no cell of this grid is '{name}'", f"it has {', '.join(known)}")
        if all(run.unavailable_reason is not None for run in asked):
            reasons = sorted({run.unavailable_reason or "" for run in asked})
            raise RequiredMissing(
                f"{name} is required but cannot run here: {'; '.join(reasons)}",
                "sweep.require lists what must be there",
                "`bench doctor` says what each framework can use",
            )


def _plain_names(runs: Sequence[PlannedRun]) -> Iterator[set[str]]:
    return (names_of(run.cell) - {run.cell.family} for run in runs)
