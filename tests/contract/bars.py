"""What the bars are asserted on: one training per batch size, optimizer and number of rows, with the seed it takes.

A ReLU unit whose input is 0 to within float32's rounding passes the gradient in one implementation and not in another.
Both are right, and their losses part by up to a step's whole effect: in these trainings, of up to 14,300 rows and 64
units, that happens to one in thirty. The seeds are the first for which no gate is undecided, or, where batches are so
large that some always are, for which flipping them all stays below half of every bar; ``test_seeds.py`` makes sure of
that. What a flip does, and how the parity gate lives with it, is in ``tests/unit/workload/test_parity.py``.

At batch 1 a row's own gradient moves the weights: rates are a tenth there, else rounding itself grows beyond the bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell, DataSpec, NetworkSpec, OptimizerSpec, ProtocolSpec
from bench.workload.data import Split, generate
from bench.workload.network import Weights, initial_weights
from bench.workload.schedule import batch_bounds, epoch_order
from bench.workload.trajectory import Trajectory
from tests.contract.case import FEATURES, HIDDEN, Kind

LOSS_BARS = {"float32": 5e-6, "float64": 1e-12}
WEIGHT_BARS = {"float32": 5e-5, "float64": 1e-11}
RATES = {"sgd": 0.1, "momentum": 0.02, "adam": 1e-3}


@dataclass(frozen=True)
class Training:
    """So many rows in batches of one size, with an optimizer, from a seed."""

    rows: int
    batch_size: int
    optimizer: str
    seed: int

    @property
    def epochs(self) -> int:
        """Ten, and two at batch 1."""
        return 2 if self.batch_size == 1 else 10

    def cell(self, kind: Kind, dtype: str) -> Cell:
        """The cell of one engine; its data is shuffled, whoever does it."""
        rate = RATES[self.optimizer] * (0.1 if self.batch_size == 1 else 1.0)
        return Cell(
            framework=kind.framework,
            backend=kind.backend,
            loop=kind.loop,
            device="cpu",
            batch_size=self.batch_size,
            batch_size_label=str(self.batch_size),
            data=DataSpec(
                name="teacher", n_train=self.rows, n_val=20, features=FEATURES, noise=0.1, distribution="normal"
            ),
            network=NetworkSpec(hidden=HIDDEN, dtype=dtype),
            optimizer=OptimizerSpec(name=self.optimizer, lr=rate),
            protocol=ProtocolSpec(threads=1),
            seed=self.seed,
        )

    def split(self, dtype: str) -> Split:
        """The data."""
        return generate(self.cell(Kind("reference", None, "eager"), dtype).data, self.seed, dtype)

    def start(self, dtype: str) -> Weights:
        """The initial weights."""
        return initial_weights(FEATURES, HIDDEN, dtype, seed=self.seed, round_=0)

    def orders(self, *, shuffle: bool) -> list[NDArray[np.int64]]:
        """The order of every epoch."""
        return [epoch_order(self.seed, 0, epoch, self.rows, shuffle) for epoch in range(self.epochs)]


_SEEDS = {
    # 1,000 rows leave a short last batch at 7, 32 and 256; the fewer rows below leave none.
    (1000, 1): {"sgd": 1, "momentum": 1, "adam": 5},
    (1000, 7): {"sgd": 169, "momentum": 0, "adam": 14},
    (1000, 32): {"sgd": 79, "momentum": 40, "adam": 57},
    (1000, 256): {"sgd": 23, "momentum": 4, "adam": 57},
    (1000, 1000): {"sgd": 1, "momentum": 0, "adam": 3},
    (994, 7): {"sgd": 15, "momentum": 67, "adam": 8},
    (992, 32): {"sgd": 38, "momentum": 68, "adam": 35},
    (768, 256): {"sgd": 2, "momentum": 24, "adam": 13},
}  # fmt: skip
TRAININGS = [
    Training(rows, size, optimizer, seed) for (rows, size), seeds in _SEEDS.items() for optimizer, seed in seeds.items()
]
# What runs every time, out of the grid: every batch size, optimizer and number format, and both kinds of last batch.
_SAMPLE = {
    "float32": {(1000, 1, "adam"), (1000, 7, "adam"), (1000, 32, "sgd"), (1000, 32, "momentum"), (1000, 32, "adam"),
                (1000, 256, "adam"), (1000, 1000, "adam"), (992, 32, "adam")},
    "float64": {(1000, 1, "sgd"), (1000, 7, "sgd"), (1000, 32, "adam"), (1000, 256, "momentum"), (1000, 1000, "adam"),
                (768, 256, "adam")},
}  # fmt: skip
# The same in fewer trainings, for loops that compile every one of them, for up to ten seconds; and for Keras' own loop.
_SMALL_SAMPLE = {
    "float32": {(1000, 7, "adam"), (992, 32, "momentum")},
    "float64": {(1000, 1, "sgd")},
}
# On Keras, inductor's programs are larger (compiled), or PyTorch's own around another model (fused): one of each number
# format, and no more.
_SMALLEST_SAMPLE = {
    "float32": {(992, 32, "adam")},
    "float64": {(1000, 1, "sgd")},
}


def is_in_sample(kind: Kind, training: Training, dtype: str) -> bool:
    """Whether an engine's training runs every time."""
    return (training.rows, training.batch_size, training.optimizer) in _sample(kind)[dtype]


def _sample(kind: Kind) -> dict[str, set[tuple[int, int, str]]]:
    if kind.backend == "torch" and kind.compiles:
        return _SMALLEST_SAMPLE
    if kind.compiles or (kind.framework == "keras" and kind.loop == "idiomatic"):
        return _SMALL_SAMPLE
    return _SAMPLE


@cache
def expected(
    training: Training, dtype: str, *, shuffle: bool, flip: bool = False
) -> tuple[NDArray[np.float64], Weights, int]:
    """Losses of every step, final weights and undecided gates of the float64 arithmetic; no engine takes part."""
    cell = training.cell(Kind("reference", None, "eager"), dtype)
    exact, split = Trajectory(cell, cell.optimizer.lr, training.start(dtype), flip=flip), training.split(dtype)
    for order in training.orders(shuffle=shuffle):
        for low, high in batch_bounds(training.rows, training.batch_size):
            exact.step(split, order[low:high])
    return np.array(exact.losses), exact.weights, exact.undecided
