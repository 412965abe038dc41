"""Short runs of a real cell for the bars that need thousands of them: a sweep's own template, worker and engine.

Nothing is simulated and nothing of a run is left out but what takes time and is not timed: no memory pass, no parity
gate, one training epoch, a tenth of a second of steady timing. Its records go to a folder that is gone afterwards.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.cell import BudgetSpec, Cell, ProtocolSpec
from bench.engines import catalogue
from bench.records import RunRequest
from bench.run.attempt import attempt
from bench.run.supervisor import close_templates
from bench.run.worker import TRACE
from bench.store.trace import read_worker_trace
from tests.benchmarks.timing import cell_of

STEADY_S = 0.08
PLANTED = "planted"
"""A file beside the request; see ``planted_template``."""


def short(framework: str, backend: str | None, loop: str, batch_size: int, *, steady_s: float = STEADY_S) -> Cell:
    """A cell of the reference workload on one thread of the processor whose runs are as short as can be timed."""
    cell = cell_of(framework, backend, loop, batch_size)
    protocol = ProtocolSpec(threads=1, steady_min_s=steady_s, memory=False, parity_steps=0)
    return replace(cell, budget=BudgetSpec(epochs=1), protocol=protocol)


@dataclass(frozen=True)
class RealRuns:
    """Runs of one cell, each in a process of its own, all forked from one template."""

    cell: Cell
    folder: Path

    def step_us(self, round_: int, *, planted: float = 0.0) -> float:
        """One run's step time: the median over its steady windows, in microseconds.

        Args:
            round_: seeds weights and orders.
            planted: by which fraction of its own step time a planted engine waits; real engines know of none.

        Raises:
            RuntimeError: the run failed.
        """
        (self.folder / PLANTED).write_text(repr(planted))
        request = RunRequest(
            cell_id=self.cell.id,
            cell=self.cell.to_plain(),
            round=round_,
            order_in_round=0,
            folder=str(self.folder),
            environment=catalogue.environment_variables(self.cell.framework, self.cell.backend, 1, device="cpu"),
        )
        log = self.folder / "worker.log"
        ended = attempt(request, self.folder / "request.json", log)
        if not ended.status.measured:
            raise RuntimeError(f"a run ended {ended.status}: {ended.reason}\n{log.read_text()[-2000:]}")
        trace = read_worker_trace(self.folder / TRACE).to_pandas()
        steady = trace[trace["phase"] == "steady"]
        return float(np.median(steady["window_ns"] / steady["updates"])) / 1e3


@contextmanager
def real_runs(cell: Cell) -> Iterator[RealRuns]:
    """Ends the template afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            yield RealRuns(cell, Path(scratch))
        finally:
            close_templates()
