"""Random streams: independent of each other and the same for ever."""

from __future__ import annotations

import itertools

import numpy as np
from inline_snapshot import snapshot

from bench.workload.seeds import generator


def test_a_stream_never_changes() -> None:
    drawn = {purpose: generator(0, 0, purpose).integers(0, 1000, 4).tolist() for purpose in ("weights", "order")}
    assert drawn == snapshot({"weights": [498, 561, 729, 242], "order": [334, 432, 856, 220]})


def test_every_argument_makes_another_stream() -> None:
    keys = [(0, 0, "order", 0), (1, 0, "order", 0), (0, 1, "order", 0), (0, 0, "split", 0), (0, 0, "order", 1)]
    streams = [generator(*key).random(8) for key in keys]
    assert all(not np.allclose(a, b) for a, b in itertools.combinations(streams, 2))


def test_the_same_arguments_make_the_same_stream() -> None:
    assert np.array_equal(generator(3, 1, "order", 2).random(8), generator(3, 1, "order", 2).random(8))
