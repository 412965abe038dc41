"""Whether this is still the machine and the software that a sweep began on: its rounds are of one machine alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.plan.machine import PACKAGES
from bench.records import SweepRecord

_MACHINE = ("processor", "architecture", "physical_cores", "logical_cores", "cgroup_cpus", "nvidia_gpus")
_DRAWING = frozenset({"pandas", "pyarrow", "matplotlib", "seaborn", "jinja2", "rich"})
"""Packages that no measurement meets."""


def moved(record: SweepRecord, machine: Mapping[str, Any], software: Mapping[str, Any]) -> list[str]:
    """One line for everything that can change a measurement and is not as it was when the sweep began."""
    lines = [*_differences(record.machine, machine, _MACHINE)]
    lines += _differences(record.software, software, ("python",))
    packages = [name for name in PACKAGES if name not in _DRAWING]
    lines += _differences(record.software.get("packages", {}), software.get("packages", {}), packages)
    was, now = (of.get("interpreters", {}) for of in (record.software, software))
    for python in was.keys() & now.keys():
        if was[python] != now[python]:
            lines.append(f"the packages of {python}")
    return lines


def other_code(record: SweepRecord, bench_version: str, git: Mapping[str, Any] | None) -> str | None:
    """How the harness differs from the one that the sweep began with; None where it is surely the same."""
    if record.bench_version != bench_version:
        return f"it was begun with version {record.bench_version} of bench, this is {bench_version}"
    was, now = (_commit(state) for state in (record.git, git))
    if was != now:
        return f"it was begun with {was} of bench, this is {now}"
    if any(state is not None and state.get("dirty") is not False for state in (record.git, git)):
        return f"{was} of bench, then or now with changes that no commit holds"
    return None


def _commit(state: Mapping[str, Any] | None) -> str:
    return "no checkout" if state is None else f"commit {str(state.get('commit'))[:10]}"


def _differences(was: Mapping[str, Any], now: Mapping[str, Any], names: list[str] | tuple[str, ...]) -> Iterator[str]:
    """What an older record does not hold is not compared."""
    for name in names:
        if name in was and was[name] != now.get(name):
            yield f"{name}: was {_said(was[name])}, is {_said(now.get(name))}"


def _said(value: Any) -> str:
    return "not there" if value is None else str(value)
