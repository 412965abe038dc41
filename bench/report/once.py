"""What to take for a single training, first step included, in a sentence."""

from __future__ import annotations

from bench.analysis.compare import FASTER, INCONCLUSIVE, MIN_PAIRS, TIE_MARGIN
from bench.analysis.trained_once import TrainedOnce, trained_once
from bench.analysis.verdict import Choice, Recommendation
from bench.report import format as fmt
from bench.report.phrases import cell_label
from bench.report.starting import uncounted
from bench.report.view import View


def to_train_once(view: View, found: Recommendation) -> str:
    """What to take for a single training, where the first step makes another cell the sooner one.

    Args:
        view: the sweep.
        found: the recommendation of the cell that is first at the target without its first step.
    """
    winner = found.choice
    own = view.cells[view.cells["cell_id"] == winner.cell_id]
    seen = trained_once(winner.cell_id, view.cells.merge(own[["device", "workload"]]), view.tables.runs)
    if seen is None or not (seen.verdict == FASTER or uncounted(view, winner.cell_id, winner.value)):
        return ""
    said = _sooner(seen, cell_label(view, seen.cell_id), _with_first_step(view, seen, winner))
    return f" To train once, from nothing: {said}." if said else ""


def _with_first_step(view: View, seen: TrainedOnce, winner: Choice) -> str:
    against = "" if seen.other_seconds is None else f" against {fmt.duration(seen.other_seconds)}"
    return fmt.marked(
        f"{fmt.duration(seen.seconds)} with its first step{against}", {seen.cell_id, winner.cell_id} & view.unsteady
    )


def _sooner(seen: TrainedOnce, name: str, times: str) -> str:
    """Whether a cell is sooner with its first step; empty where there is nothing to gain by it."""
    if seen.verdict == FASTER:
        return f"{name}, {times}"
    if seen.n < MIN_PAIRS:
        ahead = seen.other_seconds is not None and seen.seconds * (1 + TIE_MARGIN) < seen.other_seconds
        return f"{name} took {times}, in too few rounds to be sure" if ahead else ""
    if seen.verdict != INCONCLUSIVE:
        return ""
    more = "" if seen.more_rounds is None else f": {fmt.more_rounds(seen.more_rounds)} would settle it"
    return f"{name} is not clearly sooner, {times}{more}"
