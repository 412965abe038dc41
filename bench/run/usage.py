"""What the kernel counted for a worker from its start to its very end, as whoever waited for it is told."""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Of a worker and of those of its children that it saw the end of.

    Attributes:
        cpu_s: processor time, user and system.
        involuntary_switches: times that somebody else was given its processor while it wanted to go on.
        major_faults: pages that had to come from the disk.
        peak_rss_bytes: highest resident set, of the worker or of the largest of those children; None where the kernel
            does not count it. A forked worker was never another program, and a fresh one was a keeper of a few MB
            before it was itself, so it holds here that what ``ru_maxrss`` remembers from before an exec is nothing.
            Pages that a fork shares with its template count as its own.
    """

    cpu_s: float
    involuntary_switches: int
    major_faults: int
    peak_rss_bytes: int | None = None

    @classmethod
    def of(cls, counted: Any) -> Self:
        """From the kernel's own record: ``resource.struct_rusage``, or what was passed on of it."""
        return cls(
            cpu_s=counted.ru_utime + counted.ru_stime,
            involuntary_switches=counted.ru_nivcsw,
            major_faults=counted.ru_majflt,
            peak_rss_bytes=peak_rss_bytes(counted),
        )

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def own_peak_rss_bytes() -> int | None:
    """The highest resident set of this process so far, its children not counted; None where it is not known."""
    return peak_rss_bytes(resource.getrusage(resource.RUSAGE_SELF))


def peak_rss_bytes(counted: Any) -> int | None:
    """The highest resident set in a kernel's record (getrusage(2): kilobytes on Linux, bytes on macOS)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return int(counted.ru_maxrss) * unit or None
