"""Whether every cell trained the same, in words: the parity gate's outcome, what it asked, and the flags in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.caveats import voided
from bench.report import format as fmt
from bench.report.figures.base import row_of_most
from bench.report.figures.datatables import size_of
from bench.report.view import View
from bench.workload.parity import BARS, CONTROL_MARGIN, FLIP_MARGIN, MAX_ROWS

_MOST_NAMED = 3


@dataclass(frozen=True)
class Gate:
    """What the gate asks, for the page's method; ``bars`` are number formats with their bars as text."""

    bars: Sequence[tuple[str, str]]
    control_margin: str
    flip_margin: str
    most_rows: int


def gate(view: View) -> Gate | None:
    """The gate of this sweep; None where no run had one."""
    if gated(view.cells).empty:
        return None
    bars = [(dtype, fmt.scientific(bar)) for dtype, bar in BARS.items()]
    return Gate(bars, fmt.setting(CONTROL_MARGIN), fmt.setting(FLIP_MARGIN), MAX_ROWS)


def gated(cells: pd.DataFrame) -> pd.DataFrame:
    """The rows (of cells or runs) that a gate looked at."""
    return cells[cells["parity_steps"].notna()]


def failed(view: View) -> pd.DataFrame:
    """Cells that the gate voids: their reason stands in the record, and they count nowhere."""
    return view.cells[voided(view.cells)]


def summary(view: View) -> str:
    """The outcome in a sentence or two, for the terminal, the page and the pull request."""
    looked_at = gated(view.cells)
    if looked_at.empty:
        return f"No run trained beside the reference: {_why_none(view)}."
    return " ".join([*_of_the_asked(view, looked_at), *_of_the_others(looked_at)])


def absence(view: View) -> str:
    """Why there is nothing to show."""
    return f"No run of this sweep trained beside the reference: {_why_none(view)}."


def steps(looked_at: pd.DataFrame) -> str:
    """How many steps were compared: ``50 steps``, ``2 to 50 steps``."""
    least, most = int(looked_at["parity_steps"].min()), int(looked_at["parity_steps"].max())
    return fmt.plural(most, "step") if least == most else f"{fmt.count(least)} to {fmt.plural(most, 'step')}"


def flags(view: View) -> list[tuple[str, str]]:
    """Every loop's numeric flags, as its libraries told them; loops with the same ones together."""
    told = view.cells[view.cells["numeric_flags"].notna()]
    loops: dict[str, list[str]] = {}
    for family, words in told.groupby("family", sort=True)["numeric_flags"].first().items():
        loops.setdefault(fmt.one_line(words, fmt.REASON_LENGTH), []).append(str(family))
    return [(", ".join(families), words) for words, families in loops.items()]


def rounding_and_flips(view: View) -> str:
    """What the controls did, and what the gates that rounding decides were worth, where there were any."""
    looked_at = gated(view.runs)
    control = looked_at["parity_control"].max()
    if fmt.is_missing(control):
        return ""
    undecided = looked_at[looked_at["parity_undecided"].fillna(0) > 0]
    sentences = [f"Rounding alone leads the reference itself up to {fmt.scientific(control)} away."]
    if len(undecided):
        worth = undecided["parity_flips"].max()
        sentences.append(
            f"In {fmt.plural(len(undecided), 'run')} of {fmt.count(len(looked_at))} the input of a ReLU unit lay so "
            f"close to 0 that rounding decides its gradient; all such gates the other way are worth up to "
            f"{fmt.scientific(worth)}, and a bar below twice that is raised to it."
        )
    return " ".join(sentences)


def _of_the_asked(view: View, looked_at: pd.DataFrame) -> list[str]:
    asked, wrong = looked_at[looked_at["parity_bar"].notna()], failed(view)
    right = asked[~asked["cell_id"].isin(wrong["cell_id"]) & asked["parity"].notna()]
    sentences = []
    if len(right):
        worst = row_of_most(right, "parity")
        sentences.append(
            f"{_all(len(right), len(wrong))} trained as the float64 reference does: over {steps(right)} the loss "
            f"differs by at most {fmt.scientific(worst['parity'])} ({worst['family']}, batch {size_of(worst)}); "
            f"the bar is {_bar(right['parity_bar'].min(), worst)}."
        )
    if len(wrong):
        names = [f"{row['family']} at batch {size_of(row)}" for _, row in wrong.head(_MOST_NAMED).iterrows()]
        more = [f"{fmt.count(len(wrong) - _MOST_NAMED)} more"] if len(wrong) > _MOST_NAMED else []
        same = "" if len(right) else " train as the float64 reference does"
        sentences.append(
            f"{fmt.plural(len(wrong), 'cell')} did not{same} and {'counts' if len(wrong) == 1 else 'count'} nowhere: "
            f"{fmt.listed([*names, *more])}."
        )
    return sentences


def _of_the_others(looked_at: pd.DataFrame) -> list[str]:
    own = looked_at[looked_at["parity_bar"].isna() & looked_at["parity"].notna()]
    if own.empty:
        return []
    return [
        f"With each framework's own defaults the loss drifts up to {fmt.scientific(own['parity'].max())} from the "
        f"reference's; of {fmt.plural(len(own), 'such cell')} nothing is asked."
    ]


def _bar(stated: float, worst: Any) -> str:
    """The stated bar, and the raised one where the cell that comes furthest would be over it."""
    if worst["parity"] <= stated:
        return fmt.scientific(stated)
    raised = fmt.scientific(worst["parity_bar"])
    return f"{fmt.scientific(stated)}, and {raised} there, where rounding and the ReLU gates it decides can do as much"


def _all(right: int, wrong: int) -> str:
    if wrong:
        return fmt.plural(right, "cell")
    return "The one cell" if right == 1 else f"All {fmt.count(right)} cells"


def _why_none(view: View) -> str:
    reasons: Any = view.cells.loc[view.cells["parity_reason"].notna() & view.cells["measured"], "parity_reason"]
    return fmt.one_line(reasons.iloc[0], fmt.REASON_LENGTH) if len(reasons) else "none was measured"
