"""The order of a sweep: every round passes over all cells in its own order, so that drift hits all alike."""

from __future__ import annotations

import random
from collections.abc import Sequence


def shuffled_rounds(cell_ids: Sequence[str], rounds: int, seed: int) -> list[list[str]]:
    """For every round a permutation of ``cell_ids``; the same arguments give the same orders.

    Each round has a generator of its own, so a longer sweep begins with the shorter one's rounds.
    """
    return [_shuffled(cell_ids, random.Random(f"order of round {round_}, seed {seed}")) for round_ in range(rounds)]


def _shuffled(cell_ids: Sequence[str], generator: random.Random) -> list[str]:
    order = sorted(cell_ids)
    generator.shuffle(order)
    return order
