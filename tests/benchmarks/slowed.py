"""A step that takes longer than it need, by a known share of its own time."""

from __future__ import annotations

import time
from typing import Any

from bench.run.measure import Clock

LEAST_WAIT_NS = 20_000
"""Far above what two readings of the clock take, which would swallow a shorter wait, and above what is planted.

To wait has a price of its own: the step after it is a little slower. With a wait of 2 us on both sides, plants of 5 %
came out as 5.5 %.
"""


class Slowed:
    """A step, and a wait that keeps the processor busy, as work would.

    What is not slowed waits as well, for ``LEAST_WAIT_NS``, so that two such steps differ by exactly the share planted.
    The wait is calibrated by the step it follows: an epoch timed beforehand said up to a tenth more or less than the
    windows did.

    Args:
        step: the real one.
        planted: the share of a step's time, from the end of the one before, that is waited on top.
    """

    def __init__(self, step: Any, planted: float = 0.0, clock: Clock = time.perf_counter_ns) -> None:
        self._step = step
        self._clock = clock
        self._planted = planted
        self._ended_ns: int | None = None

    def begin_epoch(self) -> None:
        """What was done since the last step is not the next one's."""
        self._ended_ns = None

    def __call__(self, *batch: Any) -> Any:
        """One step, then the wait."""
        began_ns = self._clock() if self._ended_ns is None else self._ended_ns
        loss = self._step(*batch)
        stepped_ns = self._clock()
        took_ns = stepped_ns - began_ns + LEAST_WAIT_NS
        until_ns = stepped_ns + LEAST_WAIT_NS + self._planted * took_ns
        while (now_ns := self._clock()) < until_ns:
            pass
        self._ended_ns = now_ns
        return loss

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)
