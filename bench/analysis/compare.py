"""Ratios of two cells: the one place where anything is called so many times faster than another.

Two runs of one round lie close in time and share weights and orders, so their ratio is freed of the machine's drift:
the ratio of two cells is the geometric mean of the ratios inside rounds, its interval Student's t on their logarithms.
Cells of two sweeps share no rounds: there the logarithms of their runs are compared as two samples, by Welch's t
(1947). From ten rounds on the most extreme are left out of the mean (``intervals.trimmed_mean_and_error``; of two
samples that is Yuen's test, 1974): runs that a neighbour slowed by a third would hide most of what the other rounds
agree on.

``judge`` gives the verdicts, to both alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import COMPARISONS, frame
from bench.analysis.intervals import trimmed_mean_and_error
from bench.analysis.judge import (
    ALPHA,
    FASTER,
    INCONCLUSIVE,
    MIN_PAIRS,
    POWER,
    SLOWER,
    TIE,
    TIE_MARGIN,
    Comparisons,
    holm,
    judge,
    p_values,
)
from bench.analysis.steadiness import unsteady_runs

__all__ = [
    "ALPHA", "FASTER", "INCONCLUSIVE", "MIN_PAIRS", "POWER", "SLOWER", "TIE", "TIE_MARGIN", "Comparisons", "by_round",
    "compare", "compare_independent", "framework_comparisons", "full_names", "holm", "judge", "p_values",
    "why_no_ratio",
]  # fmt: skip

FASTEST_LOOP = "fastest"

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def compare(
    values: pd.DataFrame,
    numerators: Sequence[str],
    denominators: Sequence[str],
    *,
    margin: float = TIE_MARGIN,
    alpha: float = ALPHA,
    chosen: bool = False,
) -> Comparisons:
    """Compares pairs of cells round by round, as one family.

    Args:
        values: one row per cell that may occur, one column per round, positive; NaN where not measured. See
            ``by_round``.
        numerators: cell ids; those not in ``values`` have no pairs.
        denominators: cell ids, one for each numerator.
        margin: see ``judge``.
        alpha: see ``judge``.
        chosen: see ``judge``.
    """
    differences = _logarithms(values, numerators) - _logarithms(values, denominators)
    return judge(*trimmed_mean_and_error(differences), margin=margin, alpha=alpha, chosen=chosen)


def compare_independent(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    numerators: Sequence[str],
    denominators: Sequence[str],
    *,
    margin: float = TIE_MARGIN,
    alpha: float = ALPHA,
) -> Comparisons:
    """Compares cells of two sweeps, which share no rounds, as one family.

    Args:
        ours: the numerators' sweep, in the form that ``compare`` takes; the order of its rounds does not matter.
        theirs: the denominators' sweep.
        numerators: cell ids of ours.
        denominators: cell ids of theirs, one for each numerator.
        margin: see ``judge``.
        alpha: see ``judge``.
    """
    mean, error, degrees, n = trimmed_mean_and_error(_logarithms(ours, numerators))
    mean_below, error_below, degrees_below, n_below = trimmed_mean_and_error(_logarithms(theirs, denominators))
    return judge(
        mean - mean_below,
        np.hypot(error, error_below),
        _welch_satterthwaite(error**2, degrees, error_below**2, degrees_below),
        np.minimum(n, n_below),
        margin=margin,
        alpha=alpha,
    )


def _welch_satterthwaite(
    variance: FloatArray, degrees: FloatArray, variance_below: FloatArray, degrees_below: FloatArray
) -> FloatArray:
    """Degrees of freedom of a difference of two means, from the squares of their standard errors and their own."""
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = (variance + variance_below) ** 2 / (variance**2 / degrees + variance_below**2 / degrees_below)
    # Without any spread every number of degrees says the same.
    return np.where(np.isfinite(joint), joint, np.minimum(degrees, degrees_below))


def _logarithms(values: pd.DataFrame, ids: Sequence[str]) -> FloatArray:
    logarithms: FloatArray = np.log(values.reindex(list(ids)).to_numpy(np.float64))
    return logarithms


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
        p_tie_holm=seen.p_tie_holm, verdict=seen.verdict, more_rounds=seen.more_rounds,
        more_rounds_reason=pd.Series(_why_no_more_rounds(seen), dtype=object),
        reason=pd.Series([why_no_ratio(int(n)) for n in seen.n_pairs], dtype=object),
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


def _why_no_more_rounds(seen: Comparisons) -> list[str | None]:
    return [
        None if not np.isnan(more) else f"settled: {word}" if word != INCONCLUSIVE else why_no_ratio(int(n))
        for more, word, n in zip(seen.more_rounds, seen.verdict, seen.n_pairs, strict=True)
    ]


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
