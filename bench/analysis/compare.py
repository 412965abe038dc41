"""Ratios of two cells: the one place where anything is called so many times faster than another.

Two runs of one round lie close in time and share weights and orders, so their ratio is freed of the machine's drift:
the ratio of two cells is the geometric mean of the ratios inside rounds, its interval Student's t on their logarithms.
"Faster" needs a p-value that survives Holm's correction over the family shown (Holm 1979); "tie" needs an interval
inside the stated margin; what is neither is inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.columns import COMPARISONS, frame
from bench.analysis.intervals import CONFIDENCE, mean_and_error
from bench.analysis.steadiness import unsteady_runs

ALPHA = 1 - CONFIDENCE
MIN_PAIRS = 3
"""Below this many rounds no interval is given. Less than a cell's own interval takes: one crashed run among five must
not silence every ratio of its cell, and the t quantile of three pairs is wide enough to be honest."""

TIE_MARGIN = 0.05
"""Two cells tie where the whole interval of their ratio lies between 1 / (1 + margin) and 1 + margin."""

FASTER, SLOWER, TIE, INCONCLUSIVE = "faster", "slower", "tie", "inconclusive"
FASTEST_LOOP = "fastest"

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """Ratios of many pairs of cells that are judged together; arrays of one length, NaN where there is nothing.

    Attributes:
        n_pairs: rounds in which both cells were measured.
        ratio: geometric mean of numerator / denominator.
        low: lower end of the interval.
        high: upper end of the interval.
        p: two-sided p-value of the ratio being 1.
        p_holm: the same, corrected over the family.
        verdict: of the numerator: ``faster`` (larger ratio), ``slower``, ``tie`` or ``inconclusive``.
    """

    n_pairs: NDArray[np.int64]
    ratio: FloatArray
    low: FloatArray
    high: FloatArray
    p: FloatArray
    p_holm: FloatArray
    verdict: list[str]


def compare(values: pd.DataFrame, numerators: Sequence[str], denominators: Sequence[str]) -> Comparisons:
    """Compares pairs of cells round by round, as one family.

    Args:
        values: one row per cell that may occur, one column per round, positive; NaN where not measured. See
            ``by_round``.
        numerators: cell ids; those not in ``values`` have no pairs.
        denominators: cell ids, one for each numerator.
    """
    logs = np.log(values.reindex([*numerators, *denominators]).to_numpy(np.float64))
    differences = (logs[: len(numerators)] - logs[len(numerators) :]).ravel()
    paired = ~np.isnan(differences)
    pair = np.repeat(np.arange(len(numerators)), len(values.columns))[paired]
    mean, error = mean_and_error(differences[paired], pair, len(numerators))
    return _judged(mean, error, np.bincount(pair, minlength=len(numerators)))


def _judged(mean: FloatArray, error: FloatArray, n: NDArray[np.int64]) -> Comparisons:
    degrees = np.maximum(n - 1, 1)
    enough = n >= MIN_PAIRS
    half = np.where(enough, stats.t.ppf(1 - ALPHA / 2, degrees) * error, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Runs that agree to the last bit have no spread: then any difference is certain, and none is p = 1.
        t = np.where(mean == 0, 0.0, np.abs(mean) / error)
    p = np.where(enough, 2 * stats.t.sf(t, degrees), np.nan)
    low, high, p_holm = np.exp(mean - half), np.exp(mean + half), holm(p)
    return Comparisons(
        n_pairs=n,
        ratio=np.exp(mean),
        low=low,
        high=high,
        p=p,
        p_holm=p_holm,
        verdict=_in_words(mean, low, high, p_holm),
    )


def _in_words(log_ratio: FloatArray, low: FloatArray, high: FloatArray, p_holm: FloatArray) -> list[str]:
    """A difference that is certain but within the margin is a tie all the same: nobody would choose by it."""
    tied = (low >= 1 / (1 + TIE_MARGIN)) & (high <= 1 + TIE_MARGIN)
    differs = p_holm <= ALPHA
    conditions = [tied, differs & (log_ratio > 0), differs & (log_ratio < 0)]
    return [str(word) for word in np.select(conditions, [TIE, FASTER, SLOWER], INCONCLUSIVE)]


def holm(p: FloatArray) -> FloatArray:
    """Holm's step-down correction: the k-th smallest of m is multiplied by m - k + 1, never falling, at most 1.

    NaN belongs to no family and stays NaN.
    """
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int(np.sum(~np.isnan(p)))]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0) if len(order) else []
    return corrected


def by_round(runs: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """A quantity of the runs table as one row per cell and one column per round."""
    return runs.pivot(index="cell_id", columns="round", values=quantity).astype("float64")


def framework_comparisons(cells: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """PyTorch : Keras by throughput, for every loop both have and for each side's fastest; the comparisons table."""
    pairs = _pairs(cells)
    # A pair may stand in the table twice, as its loop and as the fastest: it is one member of the family.
    ids = ["numerator_cell_id", "denominator_cell_id"]
    family = pairs[ids].drop_duplicates(ignore_index=True)
    seen = compare(by_round(runs, "samples_per_s"), family[ids[0]].tolist(), family[ids[1]].tolist())
    judged = family.assign(
        n_pairs=seen.n_pairs, ratio=seen.ratio, low=seen.low, high=seen.high, p=seen.p, p_holm=seen.p_holm,
        verdict=seen.verdict, reason=pd.Series([why_no_ratio(int(n)) for n in seen.n_pairs], dtype=object),
    )  # fmt: skip
    table = pairs.merge(judged, on=ids, how="left", validate="many_to_one")
    unsteady = unsteady_runs(cells, table[ids[0]], table[ids[1]])
    return frame(table.assign(quantity="samples_per_s", unsteady=unsteady), COMPARISONS)


def why_no_ratio(n_pairs: int) -> str | None:
    """The reason beside a missing interval of a ratio."""
    if n_pairs >= MIN_PAIRS:
        return None
    pairs = "round has" if n_pairs == 1 else "rounds have"
    return f"{n_pairs} {pairs} both cells: an interval takes {MIN_PAIRS}"


_SHARED = ["device", "workload", "setting", "batch_size", "batch_size_label"]


def _pairs(cells: pd.DataFrame) -> pd.DataFrame:
    sides = cells[["cell_id", "framework", "backend", "loop", *_SHARED, "samples_per_s"]]
    sides = sides.assign(name=full_names(sides["framework"], sides["backend"]))
    both = pd.concat([sides.assign(kind=sides["loop"]), _fastest(sides)], ignore_index=True)
    numerators = both[both["framework"] == "pytorch"]
    denominators = both[both["framework"] == "keras"]
    # "512" and "full" may be one size under two labels: cells match by size, and the label is the numerator's.
    keys = [name for name in _SHARED if name != "batch_size_label"]
    pairs = numerators.merge(denominators, on=[*keys, "kind"], suffixes=("", "_below"))
    return pd.DataFrame(
        {
            "numerator": pairs["name"],
            "denominator": pairs["name_below"],
            "loop": pairs["kind"],
            **{name: pairs[name] for name in _SHARED},
            "numerator_cell_id": pairs["cell_id"],
            "denominator_cell_id": pairs["cell_id_below"],
            "numerator_loop": pairs["loop"],
            "denominator_loop": pairs["loop_below"],
        }
    ).sort_values(["device", "workload", "setting", "denominator", "loop", "batch_size"], ignore_index=True)


def full_names(framework: Iterable[str], backend: Iterable[str | None]) -> list[str]:
    """``pytorch``, ``keras-tensorflow``: a framework with its backend."""
    return [
        f"{name}-{below}" if isinstance(below, str) else name for name, below in zip(framework, backend, strict=True)
    ]


def _fastest(sides: pd.DataFrame) -> pd.DataFrame:
    """Of every framework and batch size the loop with the highest throughput, under the name ``fastest``."""
    measured = sides[sides["samples_per_s"].notna()]
    best = measured.sort_values("samples_per_s", ascending=False, kind="stable")
    best = best.drop_duplicates(["name", *_SHARED[:-1]])
    return best.assign(kind=FASTEST_LOOP)
