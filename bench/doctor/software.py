"""What is installed, which devices each framework can use, and the thread pools of the harness itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import threadpoolctl

from bench import __version__
from bench.doctor.findings import Finding, Severity, note, ok, warning
from bench.engines import catalogue
from bench.plan.devices import Availability
from bench.plan.gpus import NvidiaGpu
from bench.text import size_text

_GPU_IDLE_BYTES = 1 << 30
_GPU_BUSY_PERCENT = 5


def version_findings(software: dict[str, Any]) -> list[Finding]:
    """The versions of everything that is installed, in one line each for frameworks and the rest."""
    packages = {name: version for name, version in software["packages"].items() if version is not None}
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    return [
        ok("python", f"{software['python']} ({software['executable']})"),
        ok("packages", f"bench {__version__}, {listed}"),
    ]


def device_findings(ask: Callable[[str, str | None, str], Availability], *, certain: bool) -> list[Finding]:
    """Every framework on every backend and device: usable or why not.

    Args:
        ask: as ``bench.plan.devices.outlook`` or ``probe``.
        certain: whether ``ask`` really opens the device.
    """
    missing: dict[tuple[str, str], list[str]] = {}
    usable: list[Finding] = []
    for framework, backend, device in _every_combination():
        answer, name = ask(framework, backend, device), " on ".join(part for part in (framework, backend) if part)
        if answer.ok:
            usable.append(_usable(f"{device}: {name}", device, answer.device_name if certain else None))
        else:
            missing.setdefault((device, answer.reason or "no reason given"), []).append(name)
    return usable + [_missing(device, names, reason) for (device, reason), names in missing.items()]


def _every_combination() -> Iterator[tuple[str, str | None, str]]:
    for device in catalogue.DEVICES:
        for framework in catalogue.FRAMEWORKS:
            yield from ((framework, backend, device) for backend in catalogue.BACKENDS[framework])


def _usable(topic: str, device: str, opened: str | None) -> Finding:
    if opened is not None:
        return ok(topic, f"opened {opened}")
    if device == "cpu":
        return ok(topic, "installed")
    return ok(topic, "hardware and packages are there; bench doctor --probe opens it")


def _missing(device: str, names: list[str], reason: str) -> Finding:
    """One finding for all that miss the same thing; that nothing runs on the CPU is worse than having no GPU."""
    what, _, advice = reason.partition("; ")
    severity = Severity.WARNING if device == "cpu" else Severity.NOTE
    text = what if what.startswith(names[0]) else f"{', '.join(names)}: {what}"
    return Finding(f"{device}: unavailable", severity, text, advice)


def thread_findings() -> list[Finding]:
    """The BLAS and OpenMP pools of this process; workers set their own."""
    pools = threadpoolctl.threadpool_info()
    if not pools:
        return [note("threads", "no BLAS or OpenMP pool is loaded")]
    text = ", ".join(f"{pool['internal_api']} {pool['version']} with {pool['num_threads']}" for pool in pools)
    return [ok("threads", f"{text} in the harness; every worker has protocol.threads")]


def gpu_findings(gpus: tuple[NvidiaGpu, ...]) -> list[Finding]:
    """Whether each NVIDIA GPU is idle and at full speed."""
    return [_gpu_finding(index, gpu) for index, gpu in enumerate(gpus)]


def _gpu_finding(index: int, gpu: NvidiaGpu) -> Finding:
    topic = f"GPU {index}"
    if gpu.slowed_by:
        return warning(
            topic, f"{gpu.name} is slowed by {', '.join(gpu.slowed_by)}", "let it cool down, or raise its power limit"
        )
    if (gpu.used_bytes or 0) > _GPU_IDLE_BYTES or (gpu.utilization_percent or 0) > _GPU_BUSY_PERCENT:
        text = f"{gpu.name} is in use: {size_text(gpu.used_bytes or 0)}, {gpu.utilization_percent or 0} % busy"
        return warning(topic, text, "end its other users (nvidia-smi lists them)")
    return ok(topic, f"{gpu.name}, driver {gpu.driver}, idle")
