"""A step that takes longer than it need, by a known time."""

from __future__ import annotations

import time
from typing import Any

from bench.run.measure import Clock


class Slowed:
    """A step, and a wait that keeps the processor busy, as work would."""

    def __init__(self, step: Any, clock: Clock = time.perf_counter_ns) -> None:
        self._step = step
        self._clock = clock
        self.wait_ns = 0.0

    def __call__(self, *batch: Any) -> Any:
        """One step, then the wait."""
        loss = self._step(*batch)
        until_ns = self._clock() + self.wait_ns
        while self._clock() < until_ns:
            pass
        return loss

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)
