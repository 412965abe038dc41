"""How much memory a worker may have, and how much of it it has used: what tells a crash from memory that ran out.

Under a limit on the address space (``ulimit -v``, ``ulimit -d``) an allocation fails, and what a framework does then is
its own affair: many die of a signal. The worker says what its limits are and what it takes up when its framework has
been imported, in the file of its signs of life. From there on it grows by as much as its resident set does, which the
kernel knows of every process to its end. A limit of the control group shows otherwise: the kernel kills.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LIMITS = {"address_space": resource.RLIMIT_AS, "data": resource.RLIMIT_DATA}
_COUNTED = {"address_space": "VmSize", "data": "VmData"}
_NAMES = {"address_space": "ulimit -v", "data": "ulimit -d"}
# An array that grows by doubling asks for as much again as it holds: what fails may have been at half of the limit.
_TIGHT_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A limit on a process and what it took up of it at its start, in bytes; ``name`` is how one sets it."""

    name: str
    limit_bytes: int
    start_bytes: int = 0

    def used_bytes(self, grown_bytes: int) -> int:
        """About what was taken up of it, once the resident set had grown by so much."""
        return min(self.limit_bytes, self.start_bytes + max(0, grown_bytes))


@dataclass(frozen=True, kw_only=True)
class Room:
    """The memory of a worker as it said itself.

    Attributes:
        rss_bytes: resident at its start.
        bounds: its limits; none where nothing is limited.
    """

    rss_bytes: int = 0
    bounds: tuple[Bound, ...] = ()

    def tight(self, peak_rss_bytes: int | None) -> Bound | None:
        """The limit that an allocation may well have failed on; None where there is none."""
        grown = (peak_rss_bytes or 0) - self.rss_bytes
        near = (bound for bound in self.bounds if bound.used_bytes(grown) >= _TIGHT_SHARE * bound.limit_bytes)
        return next(near, None)


def describe_room(proc: Path = Path("/proc/self")) -> dict[str, Any]:
    """This process' limits and what it takes up now, as JSON-ready values; empty where nothing limits it."""
    limits = {name: resource.getrlimit(which)[0] for name, which in _LIMITS.items()}
    limits = {name: soft for name, soft in limits.items() if soft != resource.RLIM_INFINITY}
    if not limits:
        return {}
    counted = _status(proc)
    return {"limits": limits, "taken": {name: counted.get(_COUNTED[name], 0) for name in limits}} | {
        "rss": counted.get("VmRSS", 0)
    }


def read_room(path: Path) -> Room:
    """What a worker said of itself in a file; nothing where it said nothing, or was cut off saying it."""
    try:
        said = json.loads(path.read_text())
        taken = said.get("taken", {})
        bounds = [
            Bound(name=_NAMES[name], limit_bytes=int(limit), start_bytes=int(taken.get(name, 0)))
            for name, limit in said.get("limits", {}).items()
        ]
        return Room(rss_bytes=int(said.get("rss", 0)), bounds=tuple(bounds))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Room()


def _status(proc: Path) -> Mapping[str, int]:
    """The sizes in ``/proc/self/status``, in bytes; none where there is no such file."""
    try:
        lines = (proc / "status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if line.endswith(" kB"))
    return {key: int(value.split()[0]) * 1024 for key, _, value in pairs}
