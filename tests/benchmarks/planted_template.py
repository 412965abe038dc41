"""A template whose workers wait a little after every step: a slowdown of known size in a real engine.

Started by its path in place of ``bench.run.template``. How much a run waits stands in a file beside its request, as a
fraction of the engine's own step time, which every step is timed for (``slowed``). A fraction of 0 goes the same way:
what the wrapper costs is on both sides.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench.engines import catalogue  # noqa: E402
from bench.engines.base import Order  # noqa: E402
from bench.engines.pytorch.eager import TorchEager  # noqa: E402
from bench.engines.pytorch.step import EagerStep  # noqa: E402
from bench.records import RunRequest  # noqa: E402
from bench.run import template, worker  # noqa: E402
from bench.workload.network import Weights  # noqa: E402
from tests.benchmarks.real_runs import PLANTED  # noqa: E402
from tests.benchmarks.slowed import Slowed  # noqa: E402


class PlantedEager(TorchEager):
    """PyTorch's eager loop, slowed."""

    planted = 0.0

    def build(self, weights: Weights) -> None:
        """The real step inside the slow one."""
        super().build(weights)
        self.slowed = Slowed(self.train_batch, self.planted)
        self.train_batch = cast(EagerStep, self.slowed)

    def begin_epoch(self, order: Order) -> None:
        """The real loop's own."""
        super().begin_epoch(order)
        self.slowed.begin_epoch()


def work(request: RunRequest, *, isolation: str) -> None:
    """What the real worker does, with the slowed engine in the place of its own."""
    PlantedEager.planted = float((Path(request.folder) / PLANTED).read_text())
    with patch.object(catalogue, "engine_class", lambda *_: PlantedEager):
        _work(request, isolation=isolation)


_work = worker.work

if __name__ == "__main__":
    worker.work = work
    sys.exit(template.main(sys.argv[1:]))
