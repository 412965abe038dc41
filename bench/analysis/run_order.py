"""How times changed in the course of a sweep: slowly (drift) or at once (a step).

Drift is the median over all pairs of runs of the same cell of the change of log time per unit of the sweep, with the
interval of the seasonal Kendall test (Hirsch, Slack and Smith 1982; Gilbert 1987, 17.5), a cell taking the place of a
season: cells may differ as they like in speed, and a stray run counts no more than any other. A step is where Pettitt's
test (1979) finds that times before and after differ most. Both take runs for independent, which a disturbance that
outlasts a run is not: they alarm only where the change also exceeds the margin within which two cells tie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.judge import ALPHA, TIE_MARGIN

MOST_OF_A_CELL = 300
"""Runs of one cell that enter its drift: pairs grow with their square."""

FloatArray = NDArray[np.float64]


def timeline(runs: pd.DataFrame) -> pd.DataFrame:
    """The measured runs in the order of their starts.

    Returns:
        ``cell_id``, ``round``, ``relative`` (its step time over the median of its cell), ``passed`` (how much of the
        sweep lay before it: 0 for the first run, 1 for the last) and ``disturbance``.
    """
    timed = runs[runs["step_us"].notna()]
    ordered = timed.sort_values(["started_at", "round", "order_in_round", "cell_id"], kind="stable", ignore_index=True)
    middle = ordered.groupby("cell_id")["step_us"].transform("median")
    return pd.DataFrame(
        {
            "cell_id": ordered["cell_id"],
            "round": ordered["round"],
            "relative": ordered["step_us"] / middle,
            "passed": np.arange(len(ordered)) / max(len(ordered) - 1, 1),
            "disturbance": ordered["disturbance"],
        }
    )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of times in the course of a sweep as a ratio of late to early; NaN where it cannot be told.

    Attributes:
        ratio: above 1: later runs took longer.
        low: lower end of its interval.
        high: upper end of it.
        p: of there being none.
        n: runs behind it.
        position: the run it comes before, where it has a place.
    """

    ratio: float
    low: float = float("nan")
    high: float = float("nan")
    p: float
    n: int
    position: int | None = None

    @property
    def alarming(self) -> bool:
        """Whether it is there beyond doubt, and larger than the margin within which two cells tie."""
        return self.p <= ALPHA and abs(np.log(self.ratio)) > np.log(1 + TIE_MARGIN)


def drift(line: pd.DataFrame) -> Change:
    """How much longer than the first run the last one took.

    Args:
        line: see ``timeline``.
    """
    logs, passed = np.log(line["relative"].to_numpy(np.float64)), line["passed"].to_numpy(np.float64)
    groups = [_thinned(np.asarray(rows)) for rows in line.groupby("cell_id", sort=True).indices.values()]
    sizes = np.array([len(rows) for rows in groups], dtype=np.float64)
    changes, slopes = _pairwise(logs, passed, groups)
    n = int(sizes[sizes > 1].sum())
    if not len(slopes):
        return Change(ratio=float("nan"), p=float("nan"), n=n)
    spread = float(np.sqrt((sizes * (sizes - 1) * (2 * sizes + 5)).sum() / 18))
    score = float(np.sign(changes).sum())
    low, high = _rank_interval(np.sort(slopes), spread)
    return Change(
        ratio=float(np.exp(np.median(slopes))),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        p=float(2 * stats.norm.sf(max(abs(score) - 1, 0) / spread)),
        n=n,
    )


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[:: -(-len(rows) // MOST_OF_A_CELL)]


def _pairwise(logs: FloatArray, passed: FloatArray, groups: list[NDArray[np.int64]]) -> tuple[FloatArray, FloatArray]:
    """Change and change per unit of the sweep between any two runs of the same cell, later minus earlier."""
    early, late = [], []
    for rows in groups:
        first, second = np.triu_indices(len(rows), 1)
        early.append(rows[first])
        late.append(rows[second])
    if not early:
        return np.empty(0), np.empty(0)
    before, after = np.concatenate(early), np.concatenate(late)
    changes = logs[after] - logs[before]
    return changes, changes / (passed[after] - passed[before])


def _rank_interval(ordered: FloatArray, spread: float) -> tuple[float, float]:
    """The slopes whose ranks lie a normal quantile of the score's spread apart; NaN where there are too few."""
    outside = int((len(ordered) - stats.norm.ppf(1 - ALPHA / 2) * spread) / 2)
    if outside < 1:
        return float("nan"), float("nan")
    return float(ordered[outside - 1]), float(ordered[-outside])


def step(line: pd.DataFrame) -> Change:
    """The place before and after which times of cells measured twice differ most, and by how much.

    Args:
        line: see ``timeline``.
    """
    repeated = line["cell_id"].duplicated(keep=False).to_numpy()
    logs, places = np.log(line["relative"].to_numpy(np.float64)[repeated]), np.flatnonzero(repeated)
    n = len(logs)
    if n < 2:
        return Change(ratio=float("nan"), p=float("nan"), n=n)
    scores = 2 * np.cumsum(stats.rankdata(logs))[:-1] - np.arange(1, n) * (n + 1)
    last_before = int(np.argmax(np.abs(scores)))
    difference = np.median(logs[last_before + 1 :]) - np.median(logs[: last_before + 1])
    p = _pettitt(float(scores[last_before]), n)
    return Change(ratio=float(np.exp(difference)), p=p, n=n, position=int(places[last_before + 1]))


def least_p_of_step(n: int) -> float:
    """The smallest p-value that a step among n runs can have: no score is larger than that of a cut in halves."""
    return _pettitt(n**2 // 4, n)


def _pettitt(score: float, n: int) -> float:
    """Chance of so large a score of n runs where there is no step."""
    return min(1.0, 2 * float(np.exp(-6 * score**2 / (n**3 + n**2))))
