"""Random streams: one generator for each thing that is drawn, so that drawing one never moves another."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, round_: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """The generator of one purpose, the same on every machine and in every process.

    Args:
        seed: the cell's seed, not negative.
        round_: the run's round; 0 for what must be one thing over all rounds (data, split).
        purpose: what is drawn, such as ``"weights"`` or ``"order"``.
        epoch: for what is drawn afresh every epoch.
    """
    digest = hashlib.sha256(purpose.encode()).digest()
    words = (seed, round_, epoch, *np.frombuffer(digest[:16], dtype="<u4").tolist())
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
