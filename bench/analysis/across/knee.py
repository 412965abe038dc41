"""The knee of a curve over batch sizes: from where on larger batches hardly make it faster.

It is read off what was measured and holds for any curve. Beside it stands the half-throughput batch of the step-time
model t(B) = t0 + B / r (``bench.analysis.models``), which is smoother but there only where the model fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.across.align import Side
from bench.analysis.across.columns import KNEES
from bench.analysis.columns import frame

KNEE_SHARE = 0.9
"""The knee is the smallest batch size that reaches this share of the curve's best throughput."""

MIN_SIZES = 3
"""A curve of fewer batch sizes has no shape to speak of."""

UP, DOWN, NO = "up", "down", "no"

_CURVE = ["device", "workload", "setting", "framework", "backend", "loop"]
_ENDS = ("", "_low", "_high")


@dataclass(frozen=True)
class Knee:
    """A knee, and the smallest and the largest batch size it can be within the intervals; NaN where there are none."""

    at: float
    low: float
    high: float


def knee(sizes: pd.Series[int], rate: pd.Series[float], low: pd.Series[float], high: pd.Series[float]) -> Knee:
    """The knee of one curve.

    Args:
        sizes: batch sizes, ascending.
        rate: throughput at each.
        low: lower end of its interval, NaN where there is none.
        high: upper end.
    """
    at = _first(sizes, rate >= KNEE_SHARE * rate.max())
    if low.isna().any() or high.isna().any():
        return Knee(at, np.nan, np.nan)
    # The best is at least the highest lower end, and at most the highest upper end.
    return Knee(at, _first(sizes, high >= KNEE_SHARE * low.max()), _first(sizes, low >= KNEE_SHARE * high.max()))


def _first(sizes: pd.Series[int], reached: pd.Series[bool]) -> float:
    """The smallest size of those; the largest there is, where none is certain."""
    return float(sizes[reached].min() if reached.any() else sizes.max())


def knees_table(cells: pd.DataFrame, sides: Sequence[Side]) -> pd.DataFrame:
    """One row per curve and other sweep, from the batch sizes that both measured.

    Args:
        cells: the cells of all sweeps against the baseline.
        sides: the sweeps, the baseline first.
    """
    models = {side.letter: _half_batches(side) for side in sides}
    base, rows = models[sides[0].letter], []
    for key, curve in cells.sort_values("batch_size").groupby(
        ["sweep", "sweep_name", *_CURVE], dropna=False, sort=True
    ):
        letter, name, *what = key
        place = _place(what)
        halves = _named(base.get(place), "half_batch_base") | _named(models[str(letter)].get(place), "half_batch")
        rows.append(
            {"sweep": letter, "sweep_name": name} | dict(zip(_CURVE, what, strict=True)) | _both(curve) | halves
        )
    return frame(pd.DataFrame(rows, columns=[column.name for column in KNEES]), KNEES)


def _half_batches(side: Side) -> dict[tuple[str, ...], list[float]]:
    """Half-throughput batch and its interval of every curve of a sweep that has a model."""
    if side.models.empty:
        return {}
    values = side.models[[f"half_batch_size{end}" for end in _ENDS]].to_numpy(np.float64)
    return {
        _place(key): list(row) for key, row in zip(side.models[_CURVE].itertuples(index=False), values, strict=True)
    }


def _place(key: Any) -> tuple[str, ...]:
    """A curve by its name, whatever stands for a framework without a backend."""
    return tuple("" if pd.isna(part) else str(part) for part in key)


def _named(values: list[float] | None, name: str) -> dict[str, float]:
    return {f"{name}{end}": value for end, value in zip(_ENDS, values or [np.nan] * 3, strict=True)}


def _both(curve: pd.DataFrame) -> dict[str, object]:
    n = len(curve)
    none: dict[str, object] = {"n_sizes": n, "moved": None}
    if n < MIN_SIZES:
        sizes = "1 batch size" if n == 1 else f"{n} batch sizes"
        return none | {"reason": f"{sizes} in both: a knee takes {MIN_SIZES}"}
    base, other = (
        knee(curve["batch_size"], *(curve[f"samples_per_s{side}{end}"] for end in _ENDS)) for side in ("_base", "")
    )
    moved, reason = _moved(base, other)
    return {
        "n_sizes": n, "knee_base": base.at, "knee_base_low": base.low, "knee_base_high": base.high,
        "knee": other.at, "knee_low": other.low, "knee_high": other.high, "moved": moved, "reason": reason,
    }  # fmt: skip


def _moved(base: Knee, other: Knee) -> tuple[str | None, str | None]:
    """Where the two ranges do not meet the knee has moved beyond doubt."""
    if np.isnan(base.low) or np.isnan(other.low):
        return None, "too few runs for an interval: a move cannot be told from noise"
    if other.low > base.high:
        return UP, None
    return (DOWN, None) if other.high < base.low else (NO, None)
