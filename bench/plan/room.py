"""Whether numbers fit into this machine's memory, asked before they are loaded or drawn."""

from __future__ import annotations

import psutil

from bench.errors import UsageError
from bench.plan.system import SystemFiles
from bench.text import size_text

# As read, gathered, split, standardised and in float32: what is held of a table at the same time.
_COPIES = 5
_FLOAT64_BYTES = 8


def require_room_for_table(what: str, rows: int, columns: int, *, beside_bytes: int = 0) -> None:
    """Refuses a table that cannot be loaded here.

    Args:
        what: names it.
        rows: of the table.
        columns: of the table.
        beside_bytes: what reading it holds besides its numbers.

    Raises:
        UsageError: it needs more memory than there is.
    """
    require_room(
        f"{what}: {rows:,} rows of {columns:,} columns", rows * columns * _FLOAT64_BYTES * _COPIES + beside_bytes
    )


def require_room(what: str, needed_bytes: int) -> None:
    """Refuses what needs more memory than there is.

    Raises:
        UsageError: it does.
    """
    available = available_bytes()
    if needed_bytes > available:
        raise UsageError(
            f"{what} need {size_text(needed_bytes)} of memory",
            f"{size_text(available)} are available here",
            "take fewer rows or columns, or a machine with more memory",
        )


def available_bytes() -> int:
    """Memory that could be taken without swapping, within the control group's limit."""
    limit = SystemFiles().cgroup_memory_bytes().value
    available = int(psutil.virtual_memory().available)
    return min(available, int(limit)) if limit is not None else available
