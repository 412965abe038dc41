"""The sentences of a comparison: who is faster by how much, how many cells got slower, where the knee moved."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis.across.knee import DOWN, UP
from bench.analysis.across.tables import Best, is_copy
from bench.analysis.compare import FASTER, INCONCLUSIVE, SLOWER, TIE
from bench.analysis.intervals import MIN_RUNS
from bench.report import format as fmt
from bench.report.comparison.view import CompareView, cell_label, cell_name, setting_label
from bench.report.figures.base import row_of_least, row_of_most
from bench.report.view import device_label, family_of

_MOST_NAMED = 3


def headline(view: CompareView, letter: str) -> str:
    """What a sweep is against the baseline: at its best, how many cells lost and won, and which knee moved."""
    cells = view.of(letter)
    best = _best(view, letter) if len(cells) else _nothing(view, letter)
    parts = [best, _won_and_lost(cells), _no_longer_run(view, letter), _moved_knees(view, letter)]
    return f"{'; '.join(part for part in parts if part)}."


def details(view: CompareView, letter: str) -> str:
    """What the headline leaves out."""
    cells = view.of(letter)
    sentences = [_copy(view, letter), *([] if cells.empty else [_counts(view, cells)]), _still_knees(view, letter)]
    return " ".join(sentence for sentence in sentences if sentence)


def finding(view: CompareView) -> str:
    """The sentence under the figure."""
    if view.cells.empty:
        return "No cell was measured in both."
    most, least = row_of_most(view.cells, "ratio"), row_of_least(view.cells, "ratio")
    if len(view.cells) == 1:
        return f"One cell is in both: {cell_label(most)}, {_ratio(most)}."
    return (
        f"The most was gained by {cell_name(most, view.letter(most))}: {_ratio(most)}; "
        f"the least by {cell_name(least, view.letter(least))}: {_ratio(least)}."
    )


def _ratio(row: pd.Series[Any]) -> str:
    return fmt.ratio_interval(row["ratio"], row["low"], row["high"])


def _copy(view: CompareView, letter: str) -> str:
    other = next(side for side in view.across.others if side.letter == letter)
    return f"{view.name(letter)} is the same sweep as A, run by run." if is_copy(view.across.base, other) else ""


def _nothing(view: CompareView, letter: str) -> str:
    return f"Nothing of {view.name(letter)} can be compared with {view.name(view.across.base.letter)}"


def _no_longer_run(view: CompareView, letter: str) -> str:
    number = int((view.lost["sweep"] == letter).sum())
    return f"{fmt.plural(number, 'cell')} no longer {'runs' if number == 1 else 'run'}" if number else ""


def _best(view: CompareView, letter: str) -> str:
    best, margin = view.across.best[letter], view.tie_margin
    ours, theirs = view.name(letter), view.name(view.across.base.letter)
    ratio = fmt.ratio_interval(best.ratio, best.low, best.high)
    where = _where(view, letter, best)
    if best.verdict == TIE:
        return f"{ours} trains the same network as fast as {theirs} within {margin}, {where}: {ratio}"
    if best.verdict == INCONCLUSIVE:
        return f"Whether {ours} or {theirs} trains the same network faster, {where}, cannot be told: {ratio}"
    few = "" if best.verdict else f" (in fewer than {MIN_RUNS} runs, so without an interval)"
    return f"{ours} trains the same network {ratio} as fast as {theirs}, {where}{few}"


def _where(view: CompareView, letter: str, best: Best) -> str:
    cells = view.of(letter)
    rows = [cells[cells["cell_id"] == id_].iloc[0] for id_ in (best.cell_id, best.cell_id_base)]
    at, at_base = map(cell_label, rows)
    setting = f" ({setting_label(rows[0])})" if setting_label(rows[0]) else ""
    if at == at_base:
        return f"both at their best with {at}{setting}"
    return f"each at its best: {at} in {letter}, {at_base} in {view.across.base.letter}{setting}"


def _won_and_lost(cells: pd.DataFrame) -> str:
    judged = cells["verdict"].dropna()
    if judged.empty:
        return ""
    slower, faster = (int((judged == word).sum()) for word in (SLOWER, FASTER))
    return f"{slower or 'none'} of {fmt.plural(len(judged), 'cell')} got slower, {faster or 'none'} faster"


def _counts(view: CompareView, cells: pd.DataFrame) -> str:
    """The cells that were neither won nor lost, and how far the ratios lie apart."""
    words = {TIE: f"equal within {view.tie_margin}", INCONCLUSIVE: INCONCLUSIVE}
    numbers = {text: int((cells["verdict"] == word).sum()) for word, text in words.items()}
    numbers["without a verdict for want of runs"] = int(cells["verdict"].isna().sum())
    parts = [f"{n} {'is' if n == 1 else 'are'} {text}" for text, n in numbers.items() if n]
    middle, least, most = (fmt.ratio(value) for value in cells["ratio"].quantile([0.5, 0.0, 1.0]))
    rest = f"{fmt.listed(parts)}. " if parts else ""
    spread = f"The median cell is at {middle}, the extremes at {least} and {most}." if len(cells) > 1 else ""
    return f"Of {fmt.plural(len(cells), 'cell')} in both, {rest}{spread}".rstrip() if parts else spread


def _moved_knees(view: CompareView, letter: str) -> str:
    knees = view.across.knees
    moved = knees[(knees["sweep"] == letter) & knees["moved"].isin([UP, DOWN])]
    named = [
        f"the knee of {family_of(row).label} on the {device_label(str(row['device']))} moved from "
        f"{fmt.count(row['knee_base'])} to {fmt.count(row['knee'])}"
        for _, row in moved.head(_MOST_NAMED).iterrows()
    ]
    more = len(moved) - len(named)
    return fmt.listed([*named, *([f"{fmt.plural(more, 'other knee')} moved too"] if more > 0 else [])])


def _still_knees(view: CompareView, letter: str) -> str:
    told = view.across.knees.loc[view.across.knees["sweep"] == letter, "moved"].dropna()
    return "No knee has moved beyond doubt." if len(told) and not told.isin([UP, DOWN]).any() else ""
