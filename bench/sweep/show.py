"""Prints what a plan says and what a single run gave: tables on a terminal, the same as plain text elsewhere."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from bench.cell import Cell
from bench.errors import StorageError
from bench.plan.estimate import estimate_s
from bench.plan.plan import Plan, PlannedRun
from bench.plan.rounds import Stopping, shuffled_rounds
from bench.plan.space import bytes_needed
from bench.records import RunResult
from bench.store.layout import SweepFolder
from bench.store.reader import read_results, read_sweep
from bench.store.space import free_bytes, nearest_existing
from bench.text import for_terminal, size_text

# Wide enough for a reason on one line where there is no terminal to ask.
PLAIN_WIDTH = 160


class _PatientConsole(Console):
    """A console whose reader may leave, as ``head`` does: what it shows is lost then, what it tells of goes on.

    Reasons and names are foreign, and a terminal obeys what they may hold: what has no sign of its own is spelled out.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of something to print, their text fit for a terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=for_terminal(segment.text))

    def on_broken_pipe(self) -> None:
        """Instead of leaving with 1, which would say that there is a bug."""
        silence_output()


def silence_output() -> None:
    """Sends standard output nowhere from here on: nobody reads it, and the interpreter would complain at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_console() -> Console:
    """A console that folds nothing away where its output goes to a file."""
    console = _PatientConsole(highlight=False)
    return console if console.is_terminal else _PatientConsole(highlight=False, width=PLAIN_WIDTH)


def show_plan(plan: Plan, console: Console | None = None, *, estimate: Callable[[Plan], float] = estimate_s) -> None:
    """Prints the cells in the order of the first round, what cannot run and why, and the estimated time."""
    console = console or make_console()
    if plan.rounds:
        console.print(_order_table(plan))
    if plan.unavailable:
        console.print(_unavailable_table(plan.unavailable))
    console.print(Text(_summary(plan)))
    if plan.rounds:
        console.print(Text(f"Estimated time: {_estimated(plan, estimate)} (an estimate from a short calibration; "
                           "half or twice as long is possible). Nothing was run."))  # fmt: skip
        console.print(Text(_room(plan)), soft_wrap=True)


def show_run(folder: SweepFolder, console: Console) -> None:
    """Prints how the run of a one-cell sweep ended, what it gave and where it lies."""
    cells = {planned.id: Cell.from_plain(planned.cell) for planned in read_sweep(folder).cells}
    for result in read_results(folder):
        console.print(_run_table(cells[result.cell_id], result))
    console.print(Text(f"Report: {folder.report_html}"), soft_wrap=True)


def _order_table(plan: Plan) -> Table:
    table = _table(
        "Cells, in the order of round 0", "#", "framework", "loop", "device", "batch size", "data", "steps", "cell"
    )
    for place, cell_id in enumerate(plan.rounds[0], start=1):
        cell = plan.by_id[cell_id].cell
        table.add_row(str(place), *_names(cell), _batch_size(cell), _data(cell), _steps(cell), cell_id)
    return table


def _unavailable_table(runs: list[PlannedRun]) -> Table:
    table = _table("Cannot run here", "framework", "loop", "device", "cells", "reason")
    groups = Counter((*_names(run.cell), run.unavailable_reason or "") for run in runs)
    for (framework, loop, device, reason), count in groups.items():
        table.add_row(framework, loop, device, str(count), Text(reason))
    return table


def _run_table(cell: Cell, result: RunResult) -> Table:
    table = _table("", "", "")
    table.show_header = False
    rows = {
        "cell": result.cell_id,
        "status": result.status.value,
        "reason": result.reason,
        "device": result.device_name,
        "batch size": _batch_size(cell),
        "training": _seconds(result.phases.training_s, f"{cell.budget.epochs} epochs"),
        "first step": _seconds(result.phases.first_step_s, "trace and compile"),
        "wall": _seconds(result.wall_s, "with start, evaluation, steady timing and memory pass"),
    }
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, Text(value))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        right = column in ("#", "batch size", "steps", "cells")
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _summary(plan: Plan) -> str:
    controls = len(plan.controls)
    cells = len(plan.runs) - len(plan.unavailable) - controls
    beside = f" and {_count(controls, 'control')}" if controls else ""
    most = plan.stopping.max_rounds if plan.stopping else len(plan.rounds)
    most_runs = most and most * (cells + controls)
    rounds, runs = _range(len(plan.rounds), most, "round"), _range(plan.total_runs, most_runs, "run")
    until = _end(plan.stopping, len(plan.rounds)) if plan.stopping and plan.rounds else ""
    return (
        f"{_count(cells, 'cell')}{beside} x {rounds} = {runs}, order seeded by {plan.seed}; "
        f"{_count(len(plan.unavailable), 'cell')} cannot run here.{until}"
    )


def _range(least: int, most: int | None, noun: str) -> str:
    """``5 rounds``, ``10 to 30 rounds``, ``10 rounds or more``."""
    if most is None:
        return f"{_count(least, noun)} or more"
    return _count(least, noun) if most == least else f"{least:,} to {_count(most, noun)}"


def _end(stopping: Stopping, least: int) -> str:
    """Until when rounds are added, as a sentence."""
    each = "cell" if stopping.of == "cells" else "comparison"
    most = "" if stopping.max_rounds is None else f", at most {_count(stopping.max_rounds, 'round')} in all"
    budget = "" if stopping.budget_s is None else f", no longer than {_duration(stopping.budget_s)}"
    return (
        f" After the first {_count(least, 'round')}, further ones are added of what is still too wide, "
        f"until every {each} is known to ±{100 * stopping.precision:g}%{most}{budget}."
    )


def _estimated(plan: Plan, estimate: Callable[[Plan], float]) -> str:
    """The time of the least rounds, and of the most where more may be added."""
    least_s, stopping = estimate(plan), plan.stopping
    if stopping is None:
        return f"about {_duration(least_s)}"
    bounds = [bound for bound in (_longest_s(plan, estimate), stopping.budget_s) if bound is not None]
    return f"about {_duration(least_s)} to {_duration(max(least_s, min(bounds)))}"


def _longest_s(plan: Plan, estimate: Callable[[Plan], float]) -> float | None:
    """The time of as many rounds of all cells as there may be; None where their number has no bound."""
    longest = _longest(plan)
    return None if longest is None else estimate(longest)


def _longest(plan: Plan) -> Plan | None:
    """The plan with as many rounds of all cells as there may be; None where their number has no bound."""
    if plan.stopping is None or plan.stopping.max_rounds is None:
        return None
    return replace(plan, rounds=shuffled_rounds(plan.rounds[0], plan.stopping.max_rounds, plan.seed))


def _room(plan: Plan) -> str:
    """What the sweep needs on the disk while it runs, and what is free there."""
    least, longest = bytes_needed(plan), _longest(plan)
    most = least if longest is None else max(least, bytes_needed(longest))
    needed = size_text(least) if size_text(most) == size_text(least) else f"{size_text(least)} to {size_text(most)}"
    where = nearest_existing(Path(plan.config.sweep.dir))
    try:
        free = free_bytes(where)
    except StorageError as error:
        return f"Disk space: about {needed} while it runs; {error.thing}."
    little = "" if free >= least else ": too little, free some or choose another folder with sweep.dir=PATH"
    return f"Disk space: about {needed} while it runs, {size_text(free)} are free in {where}{little}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _names(cell: Cell) -> tuple[str, str, str]:
    framework = f"{cell.framework} ({cell.backend})" if cell.backend else cell.framework
    return framework, f"{cell.loop} (control)" if cell.control else cell.loop, cell.device


def _batch_size(cell: Cell) -> str:
    plain = str(cell.batch_size)
    return plain if cell.batch_size_label == plain else f"{plain} ({cell.batch_size_label})"


def _data(cell: Cell) -> str:
    return f"{cell.data.name} {cell.data.n_train:,} x {cell.data.features}"


def _steps(cell: Cell) -> str:
    return f"{cell.budget.epochs} x {cell.steps_per_epoch:,}"


def _seconds(seconds: float | None, what: str) -> str | None:
    return None if seconds is None else f"{seconds:.3g} s ({what})"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
