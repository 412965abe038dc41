"""Whether the processor keeps one speed and is ours alone: frequency, shared cores, limits, virtual machines."""

from __future__ import annotations

from bench.doctor.findings import Finding, note, ok, warning
from bench.plan.system import Fact

_STEADY_GOVERNORS = {"performance"}


def governor(fact: Fact) -> Finding:
    """A governor other than ``performance`` lets the frequency follow the load."""
    if fact.value is None:
        return note(
            "governor", f"not known: {fact.reason}", "in a virtual machine the host decides; see the timer test"
        )
    if set(fact.value.split(",")) <= _STEADY_GOVERNORS:
        return ok("governor", fact.value)
    return warning("governor", f"{fact.value}: the frequency follows the load", "cpupower frequency-set -g performance")


def turbo(fact: Fact) -> Finding:
    """Turbo makes the speed depend on heat and on what the other cores do."""
    if fact.value is None:
        return note("turbo", f"not known: {fact.reason}")
    if not fact.value:
        return ok("turbo", "off")
    return note("turbo", "on: speed depends on heat and on the other cores", "switch it off for the steadiest figures")


def smt(fact: Fact) -> Finding:
    """Two hardware threads on one core slow each other."""
    if fact.value is None:
        return note("SMT", f"not known: {fact.reason}")
    if not fact.value:
        return ok("SMT", "off: a processor is a core")
    return note("SMT", "on: two processors share a core", "leave half of the processors idle, or switch SMT off")


def processors(usable: int | None) -> Finding:
    """With a single processor the harness and the measured child take turns."""
    if usable is None:
        return note("processors", "not known: this system has no processor affinity")
    if usable > 1:
        return ok("processors", f"{usable} usable")
    return warning(
        "processors", "1 usable: the harness and the measured child share it", "allow at least 2 (taskset, cpuset)"
    )


def quota(cgroup_cpus: Fact, throttled: Fact, usable: int | None) -> Finding:
    """A control group's CPU limit stops processes in the middle of a step once the share is used up."""
    if cgroup_cpus.value is None:
        return ok("CPU limit", str(cgroup_cpus.reason))
    text = f"{cgroup_cpus.value:g} processors' worth of time"
    if throttled.value:
        text += f"; it stopped this group {throttled.value} times so far"
    if usable is not None and cgroup_cpus.value >= usable and not throttled.value:
        return ok("CPU limit", text)
    return warning("CPU limit", text, "raise the limit (docker --cpus, Kubernetes limits) or give whole processors")


def throttling(before: Fact, after: Fact) -> Finding:
    """Heat or power limits slow a core; a count that grows while we look is happening now."""
    if after.value is None:
        return note("throttling", f"not known: {after.reason}")
    if before.value is not None and after.value > before.value:
        return warning(
            "throttling", "heat or power is slowing the processor now", "let it cool down, improve its cooling"
        )
    if after.value:
        return note("throttling", f"{after.value} times since boot", "watch the steady times of long sweeps for drift")
    return ok("throttling", "never since boot")


def virtualization(fact: Fact) -> Finding:
    """Neighbours on the same host are out of sight."""
    if fact.value is None:
        return ok("virtualization", str(fact.reason))
    return note("virtualization", fact.value, "neighbours on the host cannot be seen; compare whole sweeps, not runs")
