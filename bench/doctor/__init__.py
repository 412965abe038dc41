"""What is installed, what each framework can run on here, and what on this machine will disturb a timing.

``findings`` (the noun), ``software`` (versions, devices, thread pools), ``processor`` (speed and sharing), ``noise``
(who else computes), ``disk`` (where results go). Each check takes plain values and returns findings; this module
collects the values and prints.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import psutil
from rich.console import Console
from rich.text import Text

from bench.doctor import disk, noise, processor
from bench.doctor import software as programs
from bench.doctor.findings import Finding, Severity
from bench.plan import devices, machine
from bench.plan.host import Host, this_host

_WINDOW_S = 1.0
_STYLES = {Severity.OK: "green", Severity.NOTE: "yellow", Severity.WARNING: "bold red"}


def run_doctor(
    console: Console, *, probe: bool = False, results: Path = Path("results"), host: Host | None = None
) -> int:
    """Prints what it finds, section by section; takes about two seconds, more with ``probe``.

    Args:
        console: where to print.
        probe: whether to start every framework on every device, each in a process of its own.
        results: where sweeps are written.
        host: the machine; None is this one.

    Returns:
        0: a disturbed machine is a finding, not a failure.
    """
    host = host or this_host()
    seen = Counter[Severity]()
    for title, findings in (
        ("Installed", programs.version_findings(machine.software())),
        ("Devices", device_findings(host, probe=probe)),
        ("Processor and system", system_findings(host)),
        ("Results folder", disk.disk_findings(results)),
    ):
        show(console, title, findings)
        seen.update(finding.severity for finding in findings)
    console.print(
        Text("\n" + ", ".join(_counted(seen[kind], kind.value) for kind in (Severity.WARNING, Severity.NOTE)))
    )
    return 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def device_findings(host: Host, *, probe: bool) -> list[Finding]:
    """What can run here; with ``probe`` each device that looks usable is really opened."""

    def ask(framework: str, backend: str | None, device: str) -> devices.Availability:
        expected = devices.outlook(framework, backend, device, host=host)
        return devices.probe(framework, backend, device, host=host) if expected.ok and probe else expected

    return programs.device_findings(ask, certain=probe) + programs.gpu_findings(host.nvidia().gpus)


def system_findings(host: Host) -> list[Finding]:
    """Watches the machine for about a second and judges what it is and what it did."""
    files, allowed = host.files, machine.affinity().value
    usable = None if allowed is None else len(allowed)
    load_1min = os.getloadavg()[0]
    times, throttled, swapped = files.cpu_times(), files.throttle_count(), _swapped_bytes()
    tests: list[Finding] = []
    busy = noise.find_busy(lambda: tests.extend(_timer_tests(host)))
    return [
        *programs.thread_findings(),
        processor.processors(usable),
        processor.quota(files.cgroup_cpus(), files.cgroup_throttled(), usable),
        processor.governor(files.governor()),
        processor.turbo(files.turbo()),
        processor.smt(files.smt()),
        processor.throttling(throttled, files.throttle_count()),
        processor.virtualization(files.virtualization()),
        noise.load(load_1min, usable or psutil.cpu_count() or 1),
        noise.steal(times, files.cpu_times()),
        noise.busy_processes(busy),
        noise.swap(psutil.swap_memory().used, _swapped_bytes() - swapped),
        *tests,
    ]


def _timer_tests(host: Host) -> list[Finding]:
    began_s = time.monotonic()
    tests = [
        noise.jitter(noise.measure_jitter()),
        noise.clock(noise.measure_clock(), host.files.clock_source().value),
    ]
    time.sleep(max(0.0, _WINDOW_S - (time.monotonic() - began_s)))
    return tests


def _swapped_bytes() -> int:
    swap = psutil.swap_memory()
    return int(swap.sin + swap.sout)


def show(console: Console, title: str, findings: Iterable[Finding]) -> None:
    """One section: a line per finding, its advice below it."""
    findings = list(findings)
    width = max(len(finding.topic) for finding in findings)
    console.print(Text(f"\n{title}", style="bold"))
    for finding in findings:
        severity = Text(f"  {finding.severity.value:<8}", style=_STYLES[finding.severity])
        console.print(severity + Text(f"{finding.topic:<{width}}  {finding.text}"), soft_wrap=True)
        if finding.advice:
            console.print(Text(f"{'':{12 + width}}-> {finding.advice}", style="dim"), soft_wrap=True)
