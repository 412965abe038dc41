"""All faults, in the order in which they are shown."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.groups import (
    crashing,
    damage,
    frameworks,
    hostile,
    killing,
    parents,
    resuming,
    storage,
    templates,
    workers,
)

FAST = (
    "ctrl-c-run",
    "kill-run",
    "segfault",
    "result-altered",
    "changed-plan",
    "kill-resume",
    "second-sweep",
    "budget",
    "no-space-40",
)
"""Those that ``make test`` tries as well."""


def matrix(kills: int = killing.KILLS) -> list[Fault]:
    """Every fault; of the random kills so many."""
    return [
        # First what takes longest, so that no lane is left alone with it.
        *killing.faults(kills),
        *crashing.FAULTS,
        *frameworks.FAULTS,
        *parents.FAULTS,
        *workers.FAULTS,
        *templates.FAULTS,
        *damage.FAULTS,
        *resuming.FAULTS,
        *storage.FAULTS,
        *hostile.FAULTS,
    ]


def named(faults: list[Fault], names: list[str]) -> list[Fault]:
    """Those of these names or groups; all where none is given.

    Raises:
        KeyError: there is no such name.
    """
    known = {fault.name: fault for fault in faults}
    groups = {fault.group for fault in faults}
    for name in names:
        if name not in known and name not in groups:
            raise KeyError(name)
    return [fault for fault in faults if not names or fault.name in names or fault.group in names]
