"""Curves of step times as tests need them: exact lines, or lines with drift and scatter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.curves import CURVE, Curves
from bench.analysis.models import fit_models, models_table

SIZES = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000)
Line = tuple[float, float]


def curves(
    lines: Sequence[Line], factors: float | NDArray[np.float64] = 1.0, *, sizes: Sequence[int] = SIZES, rounds: int = 5
) -> Curves:
    """Curves of t0 and microseconds per sample, all of one setting.

    Args:
        lines: one (t0, slope) per curve.
        factors: what the times are multiplied by, of a shape that goes with (curves, sizes, rounds).
        sizes: batch sizes, all of them full.
        rounds: how often everything was measured.
    """
    rows = np.tile(np.asarray(sizes, np.float64), (len(lines), 1))
    t0, slope = np.array(lines).T[:, :, None, None]
    times = np.broadcast_to((t0 + slope * rows[:, :, None]) * factors, (*rows.shape, rounds))
    return Curves(names=names(len(lines)), sizes=np.asarray(sizes, np.int64), rows=rows, logs=np.log(times))


def names(curves: int) -> pd.DataFrame:
    """So many curves that share workload and setting: the first PyTorch's, the others Keras'."""
    every = [["pytorch" if k == 0 else "keras", "", f"loop {k:05d}", "cpu", "w", "s"] for k in range(curves)]
    return pd.DataFrame(every, columns=CURVE)


def models(curves_: Curves) -> pd.DataFrame:
    """The models table."""
    return models_table(curves_, fit_models(curves_))


def noisy(
    rng: np.random.Generator, curves: int, *, rounds: int, drift: float = 0.05, scatter: float = 0.03
) -> NDArray[np.float64]:
    """Log-normal factors: a level for each round that all batch sizes share, and each run's own."""
    shared = rng.normal(0, drift, (curves, 1, rounds))
    return np.exp(shared + rng.normal(0, scatter, (curves, len(SIZES), rounds)))
