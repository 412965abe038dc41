"""Ratios of two sweeps' cells, judged as one family: faster, slower, tie or not known, and regressions proven.

A regression beyond the margin is proven where the ratio's one-sided Holm-corrected interval lies below 1 / (1 + margin)
as a whole: the hypothesis tested is that the ratio is that or more. The margin is whatever somebody asks for. Verdicts
know nothing of it: a tie lies within ``TIE_MARGIN`` of 1, here as in the report of one sweep.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.analysis.compare import ALPHA, TIE_MARGIN, Comparisons, compare, compare_independent, holm
from bench.analysis.intervals import MIN_RUNS
from bench.analysis.judge import detectable_loss


def judged(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    ids: Sequence[str],
    *,
    margin: float = TIE_MARGIN,
    same_runs: bool = False,
) -> pd.DataFrame:
    """Our cells over theirs, one row for each id.

    Args:
        ours: one row per cell, one column per round, more being better; NaN where not measured.
        theirs: the same of the baseline.
        ids: the cells to compare, all of them one family.
        margin: of regressions, as a fraction.
        same_runs: whether both are one sweep: its runs are no two samples, and are compared run by run.
    """
    ours, theirs = ours.reindex(list(ids)), theirs.reindex(list(ids))
    n, n_base = (values.notna().sum(axis=1) for values in (ours, theirs))
    family = [id_ for id_, least in zip(ids, np.minimum(n, n_base), strict=True) if least >= MIN_RUNS]
    table = _family(ours, theirs, family, margin, same_runs).reindex(list(ids))
    # Where there are too few runs for a verdict, what they say all the same.
    table["ratio"] = table["ratio"].fillna(np.exp(np.log(ours).mean(axis=1) - np.log(theirs).mean(axis=1)))
    table["regression"] = [known is True for known in table["regression"]]
    table["reason"] = [_why_no_verdict(int(b), int(o)) for b, o in zip(n_base, n, strict=True)]
    return table


def _family(ours: pd.DataFrame, theirs: pd.DataFrame, ids: list[str], margin: float, same_runs: bool) -> pd.DataFrame:
    seen = _compared(ours, theirs, ids, same_runs)
    p = holm(seen.p_no_loss(margin))
    columns = {
        "ratio": seen.ratio, "low": seen.low, "high": seen.high, "p_holm": seen.p_holm, "verdict": seen.verdict,
        "more_runs": seen.more_rounds, "p_regression_holm": p, "regression": (p <= ALPHA).tolist(),
        "detectable_loss": detectable_loss(seen.error, seen.degrees, margin=margin, alpha=ALPHA / max(len(ids), 1)),
    }  # fmt: skip
    return pd.DataFrame({name: pd.Series(values, index=ids) for name, values in columns.items()})


def _compared(ours: pd.DataFrame, theirs: pd.DataFrame, ids: Sequence[str], same_runs: bool) -> Comparisons:
    if not same_runs:
        return compare_independent(ours, theirs, ids, ids)
    mine, base = [f"ours {id_}" for id_ in ids], [f"theirs {id_}" for id_ in ids]
    both = pd.concat([ours.loc[list(ids)].set_axis(mine), theirs.loc[list(ids)].set_axis(base)])
    return compare(both, mine, base)


def _why_no_verdict(n_base: int, n: int) -> str | None:
    if min(n_base, n) >= MIN_RUNS:
        return None
    return f"{n_base} and {n} runs: a verdict takes {MIN_RUNS} on either side"
