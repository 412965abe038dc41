"""The machine, the software and the source of a sweep: what ``sweep.json`` keeps of where its numbers come from."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from bench.plan.host import ASK_TIMEOUT_S, Host, InterpreterError, ask_interpreter, this_host
from bench.plan.system import Fact

PACKAGES = (
    "numpy", "torch", "torch-tpu", "torch_xla", "keras", "tensorflow", "tensorflow-cpu", "tensorflow-metal", "jax",
    "jaxlib", "jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu", "triton", "nvidia-cublas", "nvidia-cublas-cu12",
    "nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "mkl", "hydra-core", "omegaconf", "hydra-joblib-launcher",
    "hydra-submitit-launcher", "pandas", "pyarrow", "scipy", "scikit-learn", "matplotlib", "seaborn", "jinja2", "rich",
    "psutil", "threadpoolctl", "nvidia-ml-py",
)  # fmt: skip
"""Distributions whose version can change a figure, or how one is drawn."""

_ASK_VERSIONS = """
import importlib.metadata, json, platform, sys
versions = {}
for name in sys.argv[1:]:
    try:
        versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        versions[name] = None
print(json.dumps({"python": platform.python_version(), "packages": versions}))
"""


def machine(host: Host | None = None) -> dict[str, Any]:
    """Processor, memory, limits, system and GPUs as plain JSON values.

    A value that the machine does not give is None and has its reason in ``<name>_reason``. Sizes are in bytes,
    frequencies in MHz; ``cgroup_cpus`` is in processors; ``load_average`` is over 1, 5 and 15 minutes.
    """
    host = host or this_host()
    facts = _processor_facts(host) | _limit_facts(host) | _system_facts(host) | _gpu_facts(host)
    return {key: value for name, fact in facts.items() for key, value in fact.plain(name).items()}


def _processor_facts(host: Host) -> dict[str, Fact]:
    files = host.files
    return {
        "processor": processor_name(host),
        "architecture": Fact(host.architecture),
        "physical_cores": Fact(psutil.cpu_count(logical=False), "the system does not tell cores from threads"),
        "logical_cores": Fact(psutil.cpu_count(logical=True), "the system does not count its processors"),
        "affinity": affinity(),
        "frequency_mhz": files.frequency_mhz(),
        "governor": files.governor(),
        "turbo": files.turbo(),
        "smt": files.smt(),
        "load_average": Fact([round(load, 2) for load in os.getloadavg()]),
    }


def _limit_facts(host: Host) -> dict[str, Fact]:
    return {
        "memory_bytes": Fact(psutil.virtual_memory().total),
        "swap_bytes": Fact(psutil.swap_memory().total),
        "cgroup_cpus": host.files.cgroup_cpus(),
        "cgroup_memory_bytes": host.files.cgroup_memory_bytes(),
    }


def _system_facts(host: Host) -> dict[str, Fact]:
    return {
        "system": Fact(host.system),
        "distribution": _distribution(),
        "kernel": Fact(platform.release()),
        "virtualization": host.files.virtualization(),
        "clock_source": host.files.clock_source(),
        "python": Fact(platform.python_version()),
    }


def _gpu_facts(host: Host) -> dict[str, Fact]:
    answer = host.nvidia()
    gpus = [{"name": gpu.name, "driver": gpu.driver, "memory_bytes": gpu.memory_bytes} for gpu in answer.gpus]
    return {"nvidia_gpus": Fact(gpus or None, answer.reason)}


def processor_name(host: Host) -> Fact:
    """The processor's model name, from Linux or from macOS."""
    if host.system != "Darwin":
        return host.files.processor()
    finished = host.run(["sysctl", "-n", "machdep.cpu.brand_string"], host.environ, ASK_TIMEOUT_S)
    name = finished.output.strip()
    return Fact(name) if name else Fact(None, f"sysctl names no processor ({finished.last_words})")


def affinity() -> Fact:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return Fact(sorted(os.sched_getaffinity(0)))
    return Fact(None, "this system has no processor affinity")


def _distribution() -> Fact:
    try:
        return Fact(platform.freedesktop_os_release()["PRETTY_NAME"])
    except OSError:
        return Fact(None, "the system has no os-release file")


def software(pythons: Iterable[str] = (), host: Host | None = None) -> dict[str, Any]:
    """Versions of Python and of every package that matters; None stands for a package that is not installed.

    Args:
        pythons: other interpreters that frameworks use, each asked in one subprocess.
        host: the machine; None is this one.

    Returns:
        ``python``, ``executable``, ``packages`` and, where any were asked, ``interpreters``: the same for each path,
        or its ``reason`` where it does not answer.
    """
    own = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": {name: installed_version(name) for name in PACKAGES},
    }
    others = {python: _software_of(python, host or this_host()) for python in pythons if python != sys.executable}
    return own | ({"interpreters": others} if others else {})


def installed_version(name: str) -> str | None:
    """The version of an installed distribution, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@functools.cache
def _software_of(python: str, host: Host) -> dict[str, Any]:
    try:
        return ask_interpreter(host, python, _ASK_VERSIONS, PACKAGES)
    except InterpreterError as error:
        return {"python": None, "reason": str(error)}


def git_state(path: Path) -> dict[str, Any] | None:
    """``commit`` and ``dirty`` of the checkout that holds ``path``; None outside one, or without git."""
    commit = _git(path, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(path, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else changes != ""}


def _git(path: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(path), *arguments]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return finished.stdout.strip() if finished.returncode == 0 else None
