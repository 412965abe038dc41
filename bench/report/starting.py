"""What a first step costs and when it has paid for itself, in words: shared by the verdict and the figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.judge import MIN_PAIRS
from bench.analysis.payoff import AT_ONCE, COLD, LATER, NEVER, STARTS, WARM
from bench.records import CompileCache
from bench.report import format as fmt
from bench.report.view import View, framework_label

USUAL_LOOP = "idiomatic"
"""The loop that people write: what every other loop of its framework has to be weighed against."""

NOTICEABLE = 0.1
"""A first step that is more than this share of a time is told beside it."""

OPEN = "open"
_DOES = {COLD: "compiles", WARM: "loads"}

Row = Mapping[str, Any]
"""A row of the payoffs table."""


def compiling(view: View) -> set[str]:
    """Ids of the cells whose first step compiles or loads; in records that do not say, every cell may."""
    runs = view.runs
    able = runs["measured"] & (runs["compile_cache"] != CompileCache.NOTHING.value)
    return set(runs.loc[able, "cell_id"].astype(str))


def first_step(cell: pd.Series[Any]) -> str:
    """``6.4 s where it compiles and 110 ms where it loads what was compiled``, ``1.3 s in every process``."""
    parts = [
        f"{fmt.duration(cell[column])} where it {does}"
        for column, does in (("first_step_cold_s", "compiles"), ("first_step_warm_s", "loads what was compiled"))
        if not fmt.is_missing(cell[column])
    ]
    return " and ".join(parts) or f"{fmt.duration(cell['first_step_s'])} in every process"


def uncounted(view: View, cell_id: str, seconds: float) -> str:
    """``, not counting a first step of 13 s (2.0 s once compiled programs are kept)``; empty where that is little.

    Args:
        view: the sweep.
        cell_id: whose first step.
        seconds: the time that leaves it out.
    """
    cell = view.cells[view.cells["cell_id"] == cell_id].iloc[0]
    cold, warm = cell["first_step_cold_s"], cell["first_step_warm_s"]
    first = cell["first_step_s"] if fmt.is_missing(cold) else cold
    if fmt.is_missing(first) or first <= NOTICEABLE * seconds:
        return ""
    if fmt.is_missing(warm):
        kept = ""
    elif fmt.is_missing(cold):
        kept = " that loads what was compiled"
    else:
        kept = f" ({fmt.duration(warm)} once compiled programs are kept)"
    return f", not counting a first step of {fmt.duration(first)}{kept}"


def pay_offs(view: View, cell_id: str, other_loop: str = USUAL_LOOP) -> dict[str, Row]:
    """What weighs a cell against another loop, by start: those there were, one alone where cold and warm are the same.

    Empty where the other loop was not measured beside it.
    """
    rows = view.pay_offs.get((cell_id, other_loop), {})
    seen = {start: row for start, row in rows.items() if row["n_starts"] > 0}
    if len(seen) == len(STARTS) and _same(*seen.values()):
        return {COLD: seen[COLD]}
    return dict(seen)


def _same(cold: Row, warm: Row) -> bool:
    return all(cold[name] == warm[name] for name in ("n_starts", "first_step_s", "other_first_step_s"))


def after(row: Row) -> str:
    """``after 410 steps (13 epochs, 6.1 s)``, ``at once``, ``never``, or ``open`` where it cannot be told.

    A number without an interval is ``after about 410 steps (13 epochs, 6.1 s; 1 start, no interval)``.
    """
    if row["verdict"] != LATER:
        return str(row["verdict"]) if row["verdict"] in (AT_ONCE, NEVER) else OPEN
    epochs = fmt.quantity(row["after_epochs"], *epochs_interval(row))
    sure = not fmt.is_missing(row["after_steps_low"])
    about, once = ("", "") if sure else ("about ", f"; {fmt.plural(int(row['n_starts']), 'start')}, no interval")
    return f"after {about}{_steps(row)} ({epochs} {_noun(epochs, 'epoch')}, {fmt.duration(row['after_s'])}{once})"


def epochs_interval(row: Row) -> tuple[float, float]:
    """The interval of a number of epochs, which the table has in steps."""
    per_step = row["after_epochs"] / row["after_steps"]
    return row["after_steps_low"] * per_step, row["after_steps_high"] * per_step


def _steps(row: Row) -> str:
    if row["after_steps"] <= 1:
        return "1 step"
    return f"{fmt.quantity(row['after_steps'], row['after_steps_low'], row['after_steps_high'])} steps"


def _noun(number: str, noun: str) -> str:
    return noun if number == "1" else f"{noun}s"


def pays_off(name: str, rows: Mapping[str, Row], against: str = "") -> str:
    """``PyTorch fused pays off after 13,000 steps (...) where it compiles and at once where it loads``."""
    words = {start: after(row) for start, row in rows.items()}
    if NEVER in words.values():
        return f"{name} never pays off{against}"
    known = {start: said for start, said in words.items() if said != OPEN}
    if not known:
        return f"when {name} pays off{against}, if it does, is open{_too_few(rows)}"
    if len(set(words.values())) > 1:
        known = {start: f"{said} where it {_DOES[start]}" for start, said in known.items()}
    said = f"{name} pays off{against} {' and '.join(dict.fromkeys(known.values()))}"
    said += "".join(f", while it is open when it does where it {_DOES[start]}" for start in words if start not in known)
    return fmt.marked(said, any(row["unsteady"] for row in rows.values()))


def _too_few(rows: Mapping[str, Row]) -> str:
    rounds = max(int(row["n_rounds"]) for row in rows.values())
    return f", in too few rounds to say ({rounds})" if rounds < MIN_PAIRS else ""


def cost_of_start(view: View, cell_id: str) -> str:
    """What a cell that compiles pays before it is fast, in a sentence; empty where there is nothing to say."""
    cell = view.cells[view.cells["cell_id"] == cell_id].iloc[0]
    if cell_id not in compiling(view) or fmt.is_missing(cell["first_step_s"]):
        return ""
    costs, rows = f"Its first step takes {first_step(cell)}", pay_offs(view, cell_id)
    if not rows:
        return f"{costs}."
    backend = None if fmt.is_missing(cell["backend"]) else str(cell["backend"])
    against = f" against {framework_label(str(cell['framework']), backend)} {USUAL_LOOP}"
    return f"{costs}; {pays_off('it', rows, against)}."
