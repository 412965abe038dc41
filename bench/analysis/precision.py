"""How precise a sweep is, against what was asked of it: the widest intervals, and the cells that another round needs.

What is judged is speed, ``samples_per_s``. The time to the target differs from round to round by the seed's luck as
well, which is a property of the training and no fault of the clock.

- ``cells``: the interval of every cell with a measured run.
- ``comparisons``: the ratio of every PyTorch : Keras pair of the comparisons table, and of the fastest cell of each
  device and workload to its runner-up and to the best of another framework, which are the ratios that a verdict states.

Precision is half the interval over the estimate. A cell that no round has measured has nothing to make precise and is
left out: its status tells of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.compare import by_round, compare
from bench.analysis.tables import Tables
from bench.records import PlannedCell, SweepRecord

CELLS, COMPARISONS = "cells", "comparisons"


@dataclass(frozen=True, kw_only=True)
class Width:
    """How precise one cell or one ratio is.

    Attributes:
        cell_ids: the cell, or the ratio's numerator and denominator.
        half_width: half the interval over the estimate; None where there is no interval.
        n: runs of the cell, or rounds that measured both.
    """

    cell_ids: tuple[str, ...]
    half_width: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How precise a sweep is.

    Attributes:
        target: the relative half-width asked for.
        of: ``cells`` or ``comparisons``.
        widths: everything judged, the widest first; what has no interval leads.
    """

    target: float
    of: str
    widths: tuple[Width, ...]

    @property
    def too_wide(self) -> tuple[Width, ...]:
        """What is not as precise as was asked, the widest first."""
        return tuple(width for width in self.widths if width.half_width is None or width.half_width > self.target)

    @property
    def met(self) -> bool:
        """Whether everything is as precise as was asked."""
        return not self.too_wide


def precision_reached(tables: Tables, sweep: SweepRecord) -> Precision | None:
    """How precise the sweep is; None where nothing was asked (a fixed number of rounds)."""
    protocol = sweep.config.get("protocol")
    asked = protocol if isinstance(protocol, Mapping) else {}
    target = asked.get("precision")
    if not isinstance(target, float | int) or isinstance(target, bool):
        return None
    of = COMPARISONS if asked.get("precision_of") == COMPARISONS else CELLS
    return precision_of(tables, target=float(target), of=of)


def precision_of(tables: Tables, *, target: float, of: str) -> Precision:
    """How precise the cells or the comparisons are.

    Args:
        tables: the sweep's; of them ``cells``, ``runs`` and ``comparisons``.
        target: the relative half-width asked for.
        of: ``cells`` or ``comparisons``.
    """
    widths = _of_comparisons(tables) if of == COMPARISONS else _of_cells(tables.cells)
    return Precision(target=target, of=of, widths=tuple(sorted(widths, key=_widest_first)))


def cells_to_add(precision: Precision, tables: Tables, planned: Sequence[PlannedCell]) -> set[str]:
    """The cells that the next round needs: those still too wide, and the partners of each.

    A round is what comparisons are made in: a ratio takes the rounds that measured both of its cells. Were a wide cell
    run again alone, it would gain runs that no ratio can use, and the cells of one table would have been measured at
    different times of a machine that drifts. So the other cell of every PyTorch : Keras pair comes along, and with a
    control the cell that it repeats. Cells that are narrow and have narrow partners rest: on the same budget the wide
    ones get more rounds than if all went on. Where ratios are asked for, both cells of a wide one run in any case, and
    a ratio that is narrow rests.
    """
    wide = {cell_id for width in precision.too_wide for cell_id in width.cell_ids}
    pairs = [*(_paired(tables.comparisons) if precision.of == CELLS else ()), *_controls(planned)]
    measured = _measured(tables.every_cell)
    return {cell_id for pair in pairs if wide & set(pair) for cell_id in pair if cell_id in measured} | wide


def _of_cells(cells: pd.DataFrame) -> Iterator[Width]:
    for row in cells[cells["n_measured"] > 0].to_dict("records"):
        half_width = _half_width(row["samples_per_s"], row["samples_per_s_low"], row["samples_per_s_high"])
        yield Width(cell_ids=(row["cell_id"],), half_width=half_width, n=int(row["n_measured"]))


def _of_comparisons(tables: Tables) -> Iterator[Width]:
    measured = _measured(tables.cells)
    # The pair of the fastest loops may be a pair of the same loop as well, and the other way round a verdict's.
    pairs = {frozenset(pair): pair for pair in [*_stated(tables.cells), *_paired(tables.comparisons)]}
    chosen = [pair for pair in pairs.values() if measured.issuperset(pair)]
    seen = compare(by_round(tables.runs, "samples_per_s"), [a for a, _ in chosen], [b for _, b in chosen])
    for pair, ratio, low, high, n in zip(chosen, seen.ratio, seen.low, seen.high, seen.n_pairs, strict=True):
        yield Width(cell_ids=pair, half_width=_half_width(ratio, low, high), n=int(n))


def _half_width(estimate: Any, low: Any, high: Any) -> float | None:
    return None if pd.isna(low) or pd.isna(high) else float((high - low) / 2 / estimate)


def _widest_first(width: Width) -> tuple[float, tuple[str, ...]]:
    return -(float("inf") if width.half_width is None else width.half_width), width.cell_ids


def _measured(cells: pd.DataFrame) -> set[str]:
    return set(cells.loc[cells["n_measured"] > 0, "cell_id"])


def _paired(comparisons: pd.DataFrame) -> list[tuple[str, str]]:
    return list(
        zip(comparisons["numerator_cell_id"].astype(str), comparisons["denominator_cell_id"].astype(str), strict=True)
    )


def _stated(cells: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """Of every device and workload the fastest cell with its runner-up, and with the best of another framework."""
    known = cells[cells["samples_per_s"].notna()].assign(backend=cells["backend"].fillna(""))
    for _, group in known.groupby(["device", "workload"], sort=True):
        ranked = group.sort_values(["samples_per_s", "batch_size", "cell_id"], ascending=[False, True, True])
        winner, others = ranked.iloc[0], ranked.iloc[1:]
        foreign = (others["framework"] != winner["framework"]) | (others["backend"] != winner["backend"])
        for rivals in (others, others[foreign]):
            if len(rivals):
                yield str(winner["cell_id"]), str(rivals["cell_id"].iloc[0])


def _controls(planned: Sequence[PlannedCell]) -> Iterator[tuple[str, ...]]:
    """Cells that differ in nothing but in being a control."""
    same: dict[str, list[str]] = {}
    for cell in planned:
        content = {name: value for name, value in cell.cell.items() if name not in ("control", "batch_size_label")}
        same.setdefault(repr(sorted(content.items())), []).append(cell.id)
    return (tuple(ids) for ids in same.values() if len(ids) > 1)
