"""What the kernel counted for a worker from its start to its very end, as whoever waited for it is told."""

from __future__ import annotations

import resource
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Of a worker and of those of its children that it saw the end of.

    Attributes:
        cpu_s: processor time, user and system.
        involuntary_switches: times that somebody else was given its processor while it wanted to go on.
        major_faults: pages that had to come from the disk.
    """

    cpu_s: float
    involuntary_switches: int
    major_faults: int

    @classmethod
    def of(cls, counted: resource.struct_rusage) -> Self:
        """From the kernel's own record."""
        return cls(
            cpu_s=counted.ru_utime + counted.ru_stime,
            involuntary_switches=counted.ru_nivcsw,
            major_faults=counted.ru_majflt,
        )

    @classmethod
    def of_children(cls) -> Self:
        """Of every child of this process whose end it has seen so far."""
        return cls.of(resource.getrusage(resource.RUSAGE_CHILDREN))

    def since(self, earlier: Usage) -> Usage:
        """What was counted after ``earlier``."""
        return Usage(
            cpu_s=self.cpu_s - earlier.cpu_s,
            involuntary_switches=self.involuntary_switches - earlier.involuntary_switches,
            major_faults=self.major_faults - earlier.major_faults,
        )

    def plain(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)
