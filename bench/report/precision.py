"""The precision that was asked of a sweep, in words: whether it was met, what ended the rounds, what is too wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.precision import CELLS, Precision, Width, precision_reached
from bench.plan.rounds import Stopped
from bench.report import format as fmt
from bench.report.figures.datatables import size_of
from bench.report.view import View
from bench.store import journal

_MOST_LINES = 20
_BOUNDS = {Stopped.MAX_ROUNDS: "max_rounds", Stopped.BUDGET: "budget_s"}


@dataclass(frozen=True)
class WideLine:
    """What is not as precise as was asked: which cell or ratio, how wide, on how many runs or rounds."""

    what: str
    half_width: str
    n: str


@dataclass(frozen=True)
class PrecisionNote:
    """A sweep's precision.

    Attributes:
        target: the half-width asked for, as text.
        least: rounds that were planned.
        added: rounds that were added.
        summary: whether the target was met, and what ended the rounds; one or two sentences.
        too_wide: what does not meet it, the widest first.
        left_out: how many of those were too many to list.
    """

    target: str
    least: int
    added: int
    summary: str
    too_wide: Sequence[WideLine]
    left_out: int


def note(view: View) -> PrecisionNote | None:
    """The precision of a sweep; None where none was asked."""
    seen = precision_reached(view.tables, view.sweep)
    if seen is None:
        return None
    least = _least(view)
    lines = [_line(view, seen, width) for width in seen.too_wide[:_MOST_LINES]]
    return PrecisionNote(
        target=fmt.percent_asked(seen.target),
        least=least,
        added=len(view.sweep.rounds) - least,
        summary=_summary(view, seen),
        too_wide=lines,
        left_out=len(seen.too_wide) - len(lines),
    )


def _least(view: View) -> int:
    """Rounds that were planned: what the journal announced on top of them may be lost, what was asked is not."""
    asked, done = view.sweep.config["protocol"].get("rounds"), len(view.sweep.rounds)
    return min(asked, done) if isinstance(asked, int) else done


def sentences(view: View, most: int) -> list[str]:
    """The same for a terminal: the summary, and the first lines of what is too wide."""
    found = note(view)
    if found is None:
        return []
    lines = [f"Still too wide: {line.what} ±{line.half_width} ({line.n})" for line in found.too_wide[:most]]
    more = len(found.too_wide) + found.left_out - len(lines)
    return [
        f"Precision: {found.summary}",
        *lines,
        *([f"Still too wide: {fmt.count(more)} more, in the report"] if more else []),
    ]


def _summary(view: View, seen: Precision) -> str:
    each = "every cell's speed" if seen.of == CELLS else "every ratio of speeds"
    asked = f"±{fmt.percent_asked(seen.target)} was asked of {each}"
    if not seen.widths:
        return f"{asked}: there was nothing to judge."
    widest = _line(view, seen, seen.widths[0])
    named = f"the widest is {widest.what}, ±{widest.half_width} ({widest.n})"
    if seen.met:
        return f"{asked} and reached after {fmt.plural(len(view.sweep.rounds), 'round')}: {named}."
    number = fmt.count(len(seen.too_wide))
    count = f"{number} of {fmt.plural(len(seen.widths), 'cell' if seen.of == CELLS else 'ratio')}"
    return f"{asked}; {count} remained wider{_ended(view)}: {named}."


def _ended(view: View) -> str:
    """What ended the rounds before the target was met."""
    why = journal.why_finished(view.folder)
    name = _BOUNDS.get(Stopped(why)) if why in tuple(Stopped) else None
    if name is None:
        return "" if why else ", for the sweep was cut short"
    protocol = view.sweep.config.get("protocol")
    bound = protocol.get(name) if isinstance(protocol, Mapping) else None
    set_to = "" if not isinstance(bound, int | float) else f"={fmt.setting(bound)}"
    return f" when protocol.{name}{set_to} ended the rounds"


def _line(view: View, seen: Precision, width: Width) -> WideLine:
    names = [_label(view, cell_id) for cell_id in width.cell_ids]
    counted = fmt.plural(width.n, "run" if seen.of == CELLS else "round")
    if width.half_width is None:
        return WideLine(" : ".join(names), "∞", f"{counted}, no interval")
    return WideLine(" : ".join(names), fmt.percent_at_most(width.half_width), counted)


def _label(view: View, cell_id: str) -> str:
    """``PyTorch eager at batch 32``, with the setting where the sweep has several."""
    row: pd.Series = view.cells[view.cells["cell_id"] == cell_id].iloc[0]
    setting = f" ({row['panel']})" if len(view.panels) > 1 else ""
    return f"{row['family']} at batch {size_of(row)}{setting}"
