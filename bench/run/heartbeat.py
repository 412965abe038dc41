"""A worker's signs of life: a small file that it touches between its epochs, with the phase it is in as its content.

The file's time of change is set to the monotonic clock, one for all processes, which nobody puts forward or back. Where
the file cannot be written, on a full disk say, the run goes on: its processor time is then its only sign of life.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_BEAT_NS = 1_000_000_000
_LONGEST_PHASE = 20
_MOST_BYTES = 10_000
_WORDS = {
    "start": "its start",
    "build_s": "the build of its model",
    "data_to_device_s": "moving its data to the device",
    "first_step_s": "its first step (trace and compile)",
    "parity_s": "the parity gate",
    "training": "training",
    "steady": "steady timing",
    "memory": "the training of the memory pass",
}


class Heartbeat:
    """The worker's side; called for a sign of life, of which it gives one a second at most.

    That the file is there says that the framework has been imported.

    Args:
        path: the file.
        said: what else the worker has to say of itself (``bench.run.room``), as JSON-ready values.
    """

    def __init__(self, path: Path, said: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._said = dict(said or {})
        self._last_ns = 0
        self.enter("start")

    def __call__(self) -> None:
        """Shows that the worker has come further. Costs microseconds; not to be called inside a window all the same."""
        if time.monotonic_ns() - self._last_ns >= _BEAT_NS:
            self._beat()

    def enter(self, phase: str) -> None:
        """Says which phase begins."""
        # Always as long, and in one write over what is there: whenever the worker dies, what it said can be read.
        content = json.dumps(self._said | {"phase": phase.ljust(_LONGEST_PHASE)}).encode()
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, content)
            finally:
                os.close(descriptor)
        self._beat()

    def _beat(self) -> None:
        self._last_ns = time.monotonic_ns()
        with suppress(OSError):
            os.utime(self._path, ns=(self._last_ns, self._last_ns))


def last_beat_s(path: Path) -> float:
    """When a worker last gave a sign of life, by the monotonic clock; 0 where it has not, or nobody can tell."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def phase_in_words(path: Path) -> str:
    """Which phase a worker was in when it last said so; before it has said anything that is its start."""
    try:
        said = json.loads(path.read_bytes()[:_MOST_BYTES])
        return _WORDS[said["phase"].strip()]
    except OSError:
        return _WORDS["start"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "a phase it did not tell"
