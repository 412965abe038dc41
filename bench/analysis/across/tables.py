"""The tables of a comparison: cells against the baseline's, knees, what is set apart, and the best of each sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.across.align import Apart, Side, align
from bench.analysis.across.columns import APART, CELLS_ACROSS
from bench.analysis.across.judging import judged
from bench.analysis.across.knee import knees_table
from bench.analysis.columns import frame
from bench.analysis.compare import TIE_MARGIN, by_round

# Two targets computed on two machines may differ in what rounding leaves.
_SAME_TARGET = 1e-6


@dataclass(frozen=True, kw_only=True)
class Best:
    """The fastest cell of each of two sweeps, in the setting they share most cells of.

    Attributes:
        cell_id_base: of the baseline.
        cell_id: of the other sweep.
        ratio: the other's throughput over the baseline's.
        low: lower end of its 95 % interval; None where there are too few runs.
        high: upper end.
        verdict: as of a cell.
    """

    cell_id_base: str
    cell_id: str
    ratio: float
    low: float | None
    high: float | None
    verdict: str | None


@dataclass(frozen=True, kw_only=True)
class Across:
    """A comparison of sweeps.

    Attributes:
        sides: the sweeps, the baseline first.
        margin: of regressions, as a fraction.
        cells: one row per cell measured alike in the baseline and in another sweep.
        knees: one row per curve and other sweep.
        apart: one row per cell and other sweep that could not be compared.
        best: by letter; a sweep without a cell to compare has none.
    """

    sides: Sequence[Side]
    margin: float
    cells: pd.DataFrame
    knees: pd.DataFrame
    apart: pd.DataFrame
    best: Mapping[str, Best]

    @property
    def base(self) -> Side:
        """The baseline."""
        return self.sides[0]

    @property
    def others(self) -> Sequence[Side]:
        """What is compared with it."""
        return self.sides[1:]


def compare_sides(sides: Sequence[Side], *, margin: float = TIE_MARGIN) -> Across:
    """Compares every sweep with the first.

    Args:
        sides: the sweeps, the baseline first.
        margin: of regressions, as a fraction; what is a tie does not depend on it.
    """
    base, others = sides[0], sides[1:]
    aligned = {other.letter: align(base, other) for other in others}
    cells = [_cells(base, other, aligned[other.letter][0], margin) for other in others]
    table = frame(pd.concat(cells, ignore_index=True), CELLS_ACROSS)
    return Across(
        sides=sides,
        margin=margin,
        cells=table,
        knees=knees_table(table, sides),
        apart=_apart_table(others, {letter: apart for letter, (_, apart) in aligned.items()}),
        best={other.letter: _best(base, other, ids) for other in others if (ids := aligned[other.letter][0])},
    )


def is_copy(base: Side, other: Side) -> bool:
    """Whether both are one sweep, or a copy of it."""
    return base.sweep == other.sweep


def _cells(base: Side, other: Side, ids: Sequence[str], margin: float) -> pd.DataFrame:
    theirs, ours = (side.cells.set_index("cell_id").loc[list(ids)] for side in (base, other))
    speed = judged(*_values(base, other, "samples_per_s"), ids, margin=margin, same_runs=is_copy(base, other))
    shared = ["framework", "backend", "loop", "device", "batch_size", "n_train", "workload", "setting"]
    table = theirs[shared].join(speed)
    table["sweep"], table["sweep_name"], table["margin"] = other.letter, other.sweep.name, margin
    table["n_base"], table["n"] = theirs["n_measured"], ours["n_measured"]
    for name in ("device_name", "first_step_s", "rss_over_baseline_bytes"):
        table[f"{name}_base"], table[name] = theirs[name], ours[name]
    for end in ("", "_low", "_high"):
        table[f"samples_per_s_base{end}"], table[f"samples_per_s{end}"] = (
            side[f"samples_per_s{end}"] for side in (theirs, ours)
        )
    table["rss_reason"] = [_why_no_rss(b, o) for (_, b), (_, o) in zip(theirs.iterrows(), ours.iterrows(), strict=True)]
    return table.join(_times(base, other, theirs, ours)).reset_index()


def _values(base: Side, other: Side, quantity: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    return by_round(other.runs, quantity), by_round(base.runs, quantity)


def _times(base: Side, other: Side, theirs: pd.DataFrame, ours: pd.DataFrame) -> pd.DataFrame:
    """Times to the target: a family of their own, of the cells in which every run of both sweeps reached one target."""
    reasons = [_why_no_times(b, o) for (_, b), (_, o) in zip(theirs.iterrows(), ours.iterrows(), strict=True)]
    ids = [str(id_) for id_, reason in zip(theirs.index, reasons, strict=True) if reason is None]
    ours_s, theirs_s = _values(base, other, "time_to_target_s")
    seen = judged(1 / ours_s, 1 / theirs_s, ids, same_runs=is_copy(base, other)).reindex(theirs.index)
    table = seen[["ratio", "low", "high", "verdict"]].add_prefix("time_to_target_")
    table["time_to_target_reason"] = (
        seen["reason"].astype(object).fillna(pd.Series(reasons, theirs.index, dtype=object))
    )
    return table.assign(time_to_target_s_base=theirs["time_to_target_s"], time_to_target_s=ours["time_to_target_s"])


def _why_no_times(theirs: pd.Series[Any], ours: pd.Series[Any]) -> str | None:
    targets = [row["target_loss"] for row in (theirs, ours)]
    if any(pd.isna(target) for target in targets):
        return "no target was set"
    if not np.isclose(targets[0], targets[1], rtol=_SAME_TARGET, atol=0.0):
        return f"another target: a loss of {targets[0]:.6g} and of {targets[1]:.6g}"
    missed = int(theirs["n_censored"] + ours["n_censored"])
    return f"{missed} runs did not reach the target" if missed else None


def _why_no_rss(theirs: pd.Series[Any], ours: pd.Series[Any]) -> str | None:
    for row in (theirs, ours):
        if pd.isna(row["rss_over_baseline_bytes"]):
            return str(row["rss_reason"])
    ways = [str(row["memory_isolation"]) for row in (theirs, ours)]
    return None if ways[0] == ways[1] else f"{ways[0]} and {ways[1]}: such processes cannot be compared"


def _best(base: Side, other: Side, ids: Sequence[str]) -> Best:
    theirs, ours = (side.cells.set_index("cell_id").loc[list(ids)] for side in (base, other))
    setting = theirs["setting"] == theirs["setting"].mode().iloc[0]
    at_base, at = (str(cells.loc[setting, "samples_per_s"].astype("float64").idxmax()) for cells in (theirs, ours))
    ours_s, theirs_s = _values(base, other, "samples_per_s")
    # Two cells under one name, because a ratio is taken of rows of one name.
    pair = [values.loc[[id_]].set_axis(["best"]) for values, id_ in ((ours_s, at), (theirs_s, at_base))]
    seen = judged(pair[0], pair[1], ["best"], same_runs=is_copy(base, other)).iloc[0]
    low, high = (None if pd.isna(seen[end]) else float(seen[end]) for end in ("low", "high"))
    verdict = seen["verdict"] if isinstance(seen["verdict"], str) else None
    return Best(cell_id_base=at_base, cell_id=at, ratio=float(seen["ratio"]), low=low, high=high, verdict=verdict)


def _apart_table(others: Sequence[Side], apart: Mapping[str, Sequence[Apart]]) -> pd.DataFrame:
    rows = [
        {
            "sweep": other.letter, "sweep_name": other.sweep.name, "of": item.of, "cell_id": item.cell_id,
            "framework": item.cell.framework, "backend": item.cell.backend, "loop": item.cell.loop,
            "device": item.cell.device, "batch_size": item.cell.batch_size, "kind": item.kind, "detail": item.detail,
            "ended": item.ended,
        }
        for other in others
        for item in apart[other.letter]
    ]  # fmt: skip
    return frame(pd.DataFrame(rows, columns=[column.name for column in APART]), APART)
