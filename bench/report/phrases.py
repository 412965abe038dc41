"""Phrases that the sentences of the verdict share: what a cell is called, and how a rival stands."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.compare import TIE_MARGIN
from bench.analysis.verdict import Rival
from bench.report import format as fmt
from bench.report.figures.datatables import size_of
from bench.report.view import View, family_of


def cell_label(view: View, cell_id: str) -> str:
    """``PyTorch eager at batch 32``, ``Keras compiled at batch full (1,000)``."""
    cell = view.cells[view.cells["cell_id"] == cell_id].iloc[0]
    label, setting = f"{family_of(cell).label} at batch {size_of(cell)}", view.setting_of(cell_id)
    return f"{label} ({setting})" if setting else label


def settling(rivals: Sequence[Rival], before: str, after: str = "") -> str:
    """``about 12 more rounds would settle it``, ``about 4 to 12 more rounds would settle each``; empty if none is open.

    Args:
        rivals: the open ones count.
        before: put before it.
        after: put after it.
    """
    missing = [rival.more_rounds for rival in rivals if rival.more_rounds is not None]
    if not missing:
        return ""
    return f"{before}{fmt.more_rounds(*missing)} would settle {'it' if len(missing) == 1 else 'each'}{after}"


def ahead(rival: Rival) -> bool:
    """Whether the winner is ahead by more than what would be a tie, certain or not."""
    return rival.ratio is not None and rival.ratio >= 1 + TIE_MARGIN
