"""Who is first at the target loss when the first step is counted, and nothing is compiled yet.

The time to the target leaves the first step out. To whoever trains once that step is part of the price: a loop that
compiles for seconds may train for milliseconds.

A loop that keeps what it compiles starts from nothing in one run of its cell, its later runs load. Where fewer than
``MIN_PAIRS`` of a cell's runs started from nothing, it is judged by those that loaded: loading is taken to last no
longer than compiling, so whoever is sooner than that is sooner than from nothing. The cell that is called the soonest
is always judged by what started from nothing alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.compare import MIN_PAIRS, by_round, compare
from bench.analysis.verdict import reaches_reliably, times_to_target
from bench.records import CompileCache


@dataclass(frozen=True, kw_only=True)
class TrainedOnce:
    """The cell that is soonest at the target from nothing, beside one that is soonest without its first step.

    Attributes:
        cell_id: the cell.
        seconds: its time to the target with its first step, median over the runs that started from nothing.
        other_seconds: the same of the other; None where none of its runs started so.
        n: rounds in which both started from nothing and trained.
        verdict: of the cell against the other: ``faster`` (sooner), ``slower``, ``tie`` or ``inconclusive``.
        more_rounds: about how many would settle it; None where it is settled or cannot be told.
    """

    cell_id: str
    seconds: float
    other_seconds: float | None
    n: int
    verdict: str
    more_rounds: int | None


def trained_once(other: str, cells: pd.DataFrame, runs: pd.DataFrame) -> TrainedOnce | None:
    """Which cell to take for one training, where that is another one; None where it is not.

    Args:
        other: id of the cell that is soonest without its first step.
        cells: rows of the cells table: those of its device and workload.
        runs: the runs table.
    """
    candidates = cells[reaches_reliably(cells) | (cells["cell_id"] == other)]
    here = runs[runs["cell_id"].isin(candidates["cell_id"])]
    times = times_to_target(here) + by_round(here, "first_step_s")
    anew = by_round(here.assign(anew=here["compile_cache"] != CompileCache.WARM.value), "anew") == 1
    started = anew & times.notna()
    seconds = _medians(by_round(here, "time_to_target_cold_s"), started)
    best = _soonest(candidates, seconds)
    if best is None or best == other:
        return None
    few = (started.sum(axis=1) < MIN_PAIRS) & (started.index != best)
    counted = started.mask(np.repeat(few.to_numpy()[:, None], started.shape[1], axis=1), ~anew)
    others = [id_ for id_ in times.index if id_ != best]
    seen, place = compare(times.where(counted), others, [best] * len(others), chosen=True), others.index(other)
    n = int((started.loc[best] & started.loc[other]).to_numpy().sum())
    more, other_seconds = float(seen.more_rounds[place]), float(seconds.loc[other])
    return TrainedOnce(
        cell_id=best,
        seconds=float(seconds.loc[best]),
        other_seconds=other_seconds if np.isfinite(other_seconds) else None,
        n=n,
        verdict=seen.verdict[place],
        more_rounds=None if n < MIN_PAIRS or np.isnan(more) else int(more),
    )


def _medians(reached: pd.DataFrame, started: pd.DataFrame) -> pd.Series[float]:
    """Of every cell over its runs that started from nothing; one that missed the target counts as never there."""
    return reached.where(reached.notna(), np.inf).where(started).median(axis=1)


def _soonest(candidates: pd.DataFrame, seconds: pd.Series[float]) -> str | None:
    known = candidates.assign(seconds=candidates["cell_id"].map(seconds))
    ranked = known[np.isfinite(known["seconds"])].sort_values(["seconds", "batch_size", "cell_id"])
    return str(ranked["cell_id"].iloc[0]) if len(ranked) else None
