"""A comparison as its reader sees it: sweeps with names, cells with their curves, and what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.analysis.across.align import DIFFERING, Side
from bench.analysis.across.tables import Across
from bench.analysis.compare import TIE_MARGIN
from bench.report import format as fmt
from bench.report.view import Panel, device_label, family_of, with_labels

_NAME_LENGTH = 30


@dataclass(frozen=True)
class CompareView:
    """Everything the page draws on.

    Attributes:
        across: the comparison.
        cells: its cells with ``family`` and ``panel``, as in the report of a sweep.
        asked: whether regressions were asked for, and decide on the exit code.
        lost: the rows of ``apart`` that say how all runs ended of a cell that the baseline measured, with ``family``,
            ``panel`` and ``n_train``.
    """

    across: Across
    cells: pd.DataFrame
    asked: bool
    lost: pd.DataFrame

    @cached_property
    def regressions(self) -> pd.DataFrame:
        """The cells in which a regression beyond the margin is proven, the worst first."""
        return self.cells[self.cells["regression"]].sort_values(["ratio", "sweep", "cell_id"])

    @cached_property
    def slower(self) -> pd.DataFrame:
        """The cells that are slower beyond doubt or a proven regression, the worst first."""
        chosen = (self.cells["verdict"] == "slower") | self.cells["regression"]
        return self.cells[chosen].sort_values(["ratio", "sweep", "cell_id"])

    @property
    def margin(self) -> str:
        """That of regressions: ``20%``."""
        return fmt.percent_asked(self.across.margin)

    @property
    def tie_margin(self) -> str:
        """That of ties, whatever margin of regressions was asked for: ``5%``."""
        return fmt.percent_asked(TIE_MARGIN)

    @property
    def several(self) -> bool:
        """Whether more than one sweep is compared with the baseline."""
        return len(self.across.others) > 1

    def of(self, letter: str) -> pd.DataFrame:
        """The cells of one sweep against the baseline."""
        return self.cells[self.cells["sweep"] == letter]

    def name(self, letter: str) -> str:
        """``new (B)``."""
        return label(next(side for side in self.across.sides if side.letter == letter))

    def letter(self, row: pd.Series[Any]) -> str:
        """Of the sweep a cell stands in, where several are compared with the baseline; else nothing."""
        return str(row["sweep"]) if self.several else ""

    def facets(self) -> list[tuple[str, Panel]]:
        """Letter and cells of everything that may share axes, the fullest first."""
        groups = [
            (str(letter), Panel(str(panel), cells))
            for (letter, panel), cells in self.cells.groupby(["sweep", "panel"], sort=True)
        ]
        return sorted(groups, key=lambda facet: -len(facet[1].cells))


def view_of(across: Across, *, asked: bool) -> CompareView:
    """The comparison with the labels that figure and pages use."""
    lost = across.apart[across.apart["ended"].notna()]
    shown = {*across.cells["cell_id"], *lost["cell_id"]}
    plans = {planned.id: planned.cell for planned in across.base.sweep.cells if planned.id in shown}
    base = across.base.cells
    names = with_labels(base[base["cell_id"].isin(shown)], plans)[["cell_id", "family", "panel", "n_train"]]
    cells = across.cells.merge(names.drop(columns="n_train"), on="cell_id", how="left", validate="many_to_one")
    lost = lost.merge(names, on="cell_id", how="left", validate="many_to_one")
    return CompareView(across, cells, asked, lost.sort_values(["sweep", "panel", "family", "batch_size", "cell_id"]))


def label(side: Side) -> str:
    """``new (B)``."""
    return f"{fmt.one_line(side.sweep.name, _NAME_LENGTH)} ({side.letter})"


def once(apart: pd.DataFrame, base: str) -> pd.DataFrame:
    """What is set apart without what is told twice: where cells of both differ, the baseline's mirror the other's."""
    return apart[~((apart["of"] == base) & apart["kind"].isin(DIFFERING))]


def cell_name(row: pd.Series[Any], sweep: str = "") -> str:
    """A cell in words with what tells it from its likes: ``B, lr=0.1: PyTorch fused on the CPU at batch 128``."""
    parts = [part for part in (sweep, setting_label(row)) if part]
    return f"{', '.join(parts)}: {cell_label(row)}" if parts else cell_label(row)


def setting_label(row: pd.Series[Any]) -> str:
    """What the sweep varies beyond loop, device and batch size: ``lr=0.1``."""
    return str(row["panel"]).partition(" · ")[2]


def size_label(row: pd.Series[Any]) -> str:
    """A cell's batch size in words: ``32``, ``full (1,000)``."""
    size = fmt.count(row["batch_size"])
    return f"full ({size})" if row["batch_size"] == row["n_train"] else size


def cell_label(row: pd.Series[Any]) -> str:
    """A cell in words: ``PyTorch fused on the CPU at batch 128``, ``... at the full batch of 1,000``."""
    full = row["batch_size"] == row["n_train"]
    size = f"the full batch of {fmt.count(row['batch_size'])}" if full else f"batch {fmt.count(row['batch_size'])}"
    return f"{family_of(row).label} on the {device_label(str(row['device']))} at {size}"
