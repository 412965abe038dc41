"""A synthetic sweep some of whose loops warm up, slow down or never settle while they are timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell
from bench.store.layout import SweepFolder
from tests import synthetic_run
from tests.synthetic import make_sweep

WARMING, SLOWING, RESTLESS = ("pytorch", "eager", 32), ("keras", "compiled", 32), ("pytorch", "eager", 128)
LOOPS = {"pytorch": "eager", "keras": "compiled"}


def make_unsteady_sweep(path: Path, **recipe: Any) -> SweepFolder:
    """As ``make_sweep`` makes it, with steady windows of the three cells above lengthened in every round.

    The first fifth of ``WARMING`` takes twice as long, the second half of ``SLOWING`` 30 % longer, and ``RESTLESS``
    ends with a seventh of its epochs at half the pace.
    """
    plain = synthetic_run._windows

    def windows(cell: Cell, *rest: Any) -> NDArray[np.int64]:
        drawn = plain(cell, *rest)
        steady = drawn[cell.budget.epochs :]
        place = np.arange(len(steady)) / len(steady)
        key = (cell.framework, cell.loop, cell.batch_size)
        longer = {WARMING: 1.0 * (place < 0.2), SLOWING: 0.3 * (place >= 0.5), RESTLESS: 1.0 * (place >= 0.85)}
        factors = 1 + longer.get(key, np.zeros(len(steady)))
        return np.concatenate([drawn[: cell.budget.epochs], (steady * factors).astype(np.int64)])

    asked = {"batch_sizes": (8, 32, 128), "devices": ("cpu",), "failures": False, "loops": ("fastest",), "rounds": 3}
    with patch.object(synthetic_run, "_windows", windows):
        return make_sweep(path, **(asked | recipe))
