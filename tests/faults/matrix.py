"""All faults, in the order in which they are shown."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.groups import parents, templates, workers

FAULTS: list[Fault] = [
    *parents.FAULTS,
    *workers.FAULTS,
    *templates.FAULTS,
]


def named(names: list[str]) -> list[Fault]:
    """The faults of these names or groups; all where none is given.

    Raises:
        KeyError: there is no such name.
    """
    known = {fault.name: fault for fault in FAULTS}
    groups = {fault.group for fault in FAULTS}
    for name in names:
        if name not in known and name not in groups:
            raise KeyError(name)
    return [fault for fault in FAULTS if not names or fault.name in names or fault.group in names]
