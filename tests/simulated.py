"""Run times as a busy machine makes them, with a known truth: what the statistics are tried on.

The shape is that of real sweeps on shared two-core machines, where one run in ten was 10 % to 35 % slow and the others
lay within a few per cent. A deviation of 1 % from run to run is the unit; all else is in its proportion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.float64]

CV = 0.01
"""Standard deviation from run to run, as a share of the value."""

EPOCHS = 9
_SLOW_BY = (1.10, 1.35)
_TRUTH_FROM = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A kind of noise.

    Attributes:
        name: what it is called in a table.
        inside: standard deviation of the logarithm of an epoch inside its process; a run is the median of ``EPOCHS``.
        drift: how far the logarithm ramps, up or down, from a sweep's beginning to its end. All cells share it.
        slow_share: how many runs are slowed by 10 % to 35 %.
    """

    name: str
    inside: float = 0.0
    drift: float = 0.0
    slow_share: float = 0.0


KINDS = (
    Noise(name="log-normal"),
    Noise(name="clustered", inside=2 * CV),
    Noise(name="drift", drift=1.5 * CV),
    Noise(name="outliers", slow_share=0.1),
    Noise(name="all of these", inside=2 * CV, drift=1.5 * CV, slow_share=0.1),
)
EVERYTHING = KINDS[-1]


def log_times(noise: Noise, rng: np.random.Generator, *, sweeps: int, cells: int, rounds: int) -> FloatArray:
    """Logarithms of the runs' medians, shape (sweeps, cells, rounds); without noise all would be 0."""
    shape = (sweeps, cells, rounds)
    logs = rng.normal(0.0, CV, shape)
    if noise.inside:
        # The middle of m uniform numbers is Beta((m + 1) / 2, (m + 1) / 2): no need to draw all of them.
        logs += noise.inside * ndtri(rng.beta((EPOCHS + 1) / 2, (EPOCHS + 1) / 2, shape))
    if noise.drift:
        # Within its round a cell's turn comes at random.
        when = (np.arange(rounds) + rng.random(shape)) / rounds - 0.5
        logs += noise.drift * when * rng.choice([-1.0, 1.0], (sweeps, 1, 1))
    if noise.slow_share:
        logs += np.log(rng.uniform(*_SLOW_BY, shape)) * (rng.random(shape) < noise.slow_share)
    return logs


def true_median(noise: Noise) -> float:
    """The logarithm's median over all runs there could be: 0, or a little more where some are slow."""
    if not noise.slow_share:
        return 0.0
    return float(np.median(log_times(noise, np.random.default_rng(0), sweeps=_TRUTH_FROM // 100, cells=1, rounds=100)))
