"""Can this framework use this device here? Yes and its name, or no and why: an answer, never an exception.

The questions are asked from cheap to dear: is the interpreter there, are the packages, is the hardware? Only where all
three say yes for a GPU or TPU is the framework started, once, in a process of its own, to open the device through its
own engine: a framework built for the CPU on a machine with a GPU then is one clear reason instead of a false row.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import bench
from bench.engines import catalogue
from bench.engines.probe import ANSWER_MARK
from bench.plan.host import Finished, Host, InterpreterError, ask_interpreter, clean_environment, this_host

OLDEST_PYTHON = (3, 11)
PROBE_TIMEOUT_S = 180.0
_BOOTSTRAP = Path(bench.__file__).parent / "run" / "bootstrap.py"

_NVIDIA_VENDOR, _INTEL_VENDOR, _GOOGLE_VENDOR = "0x10de", "0x8086", "0x1ae0"
_DISPLAY_CLASS = "0x03"
# Google's virtual disks and network cards carry the TPU's vendor number too.
_STORAGE_AND_NETWORK_CLASSES = ("0x01", "0x02")

_ASK_MODULES = """
import importlib.util, json, sys
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
print(json.dumps({"python": sys.version_info[:3], "missing": missing}))
"""


@dataclass(frozen=True)
class Availability:
    """Whether a framework can use a device here, why not, and the device's name where it is known."""

    ok: bool
    reason: str | None = None
    device_name: str | None = None


def availability(
    framework: str, backend: str | None, device: str, python: str | None = None, *, host: Host | None = None
) -> Availability:
    """Whether the framework (on Keras' backend) can use the device; asked once per process.

    Args:
        framework: ``pytorch``, ``keras`` or ``reference``.
        backend: Keras' backend, None elsewhere.
        device: ``cpu``, ``gpu`` or ``tpu``.
        python: the framework's own interpreter; None is ours.
        host: the machine; None is this one.
    """
    return _availability(framework, backend, device, python, host or this_host())


@functools.cache
def _availability(framework: str, backend: str | None, device: str, python: str | None, host: Host) -> Availability:
    expected = outlook(framework, backend, device, python, host=host)
    if not expected.ok or device == "cpu":
        return expected
    return probe(framework, backend, device, python, host=host)


def outlook(
    framework: str, backend: str | None, device: str, python: str | None = None, *, host: Host | None = None
) -> Availability:
    """The cheap part of ``availability``: nothing is initialised, so a yes for a GPU or TPU is not yet certain."""
    host = host or this_host()
    reason = (
        _impossible(framework, backend, device)
        or _missing_packages(framework, backend, python, host)
        or _missing_device(device, host)
    )
    if reason is not None:
        return Availability(ok=False, reason=reason)
    return Availability(ok=True, device_name=host.files.processor().value if device == "cpu" else None)


def probe(
    framework: str,
    backend: str | None,
    device: str,
    python: str | None = None,
    *,
    host: Host | None = None,
    timeout_s: float = PROBE_TIMEOUT_S,
) -> Availability:
    """Opens the device for real, through the framework's engine, in a process of its own."""
    host = host or this_host()
    loop = catalogue.fastest(framework, backend)
    request = {"framework": framework, "backend": backend, "loop": loop, "device": device}
    command = [python or sys.executable, str(_BOOTSTRAP), "probe", json.dumps(request)]
    variables = catalogue.environment_variables(framework, backend, threads=1, device=device)
    name = _title(framework, backend)
    try:
        finished = host.run(command, clean_environment(host.environ, variables), timeout_s)
    except OSError as error:
        return _no(f"{command[0]} cannot be started ({error.strerror}); correct framework.python")
    if finished.code is None:
        return _no(f"{name} did not open the {device} within {timeout_s:.0f} s; see if its driver hangs")
    answer = _answer(finished)
    if answer is None:
        return _no(f"{name} ended while it opened the {device} ({finished.last_words}); check its installation")
    return _judge(answer, name, device, host)


def _judge(answer: dict[str, str | None], name: str, device: str, host: Host) -> Availability:
    device_name, reason = answer["device_name"], answer["reason"]
    if reason is not None:
        return _no(f"{name} cannot use the {device}: {reason}")
    if device != "cpu" and _is_processor(device_name or "", host):
        return _no(f"{name} fell back from the {device} to the CPU; install a build of it for this {device}")
    return Availability(ok=True, device_name=device_name)


def _is_processor(device_name: str, host: Host) -> bool:
    says_so = re.search(r"\bcpu\b", device_name, re.IGNORECASE) is not None
    return not device_name or says_so or device_name == host.files.processor().value


def _answer(finished: Finished) -> dict[str, str | None] | None:
    """What the probe said, among whatever else the framework printed."""
    for line in reversed(finished.output.splitlines()):
        if line.startswith(ANSWER_MARK):
            answer: dict[str, str | None] = json.loads(line.removeprefix(ANSWER_MARK))
            return answer
    return None


def _impossible(framework: str, backend: str | None, device: str) -> str | None:
    """Why this could run nowhere."""
    known = backend in catalogue.BACKENDS.get(framework, ())
    return catalogue.why_not(framework, backend, catalogue.fastest(framework, backend) if known else "", device)


def _missing_packages(framework: str, backend: str | None, python: str | None, host: Host) -> str | None:
    names = tuple(dict.fromkeys(name.partition(".")[0] for name in catalogue.required_modules(framework, backend)))
    if python is not None and python != sys.executable:
        return _missing_elsewhere(_title(framework, backend), names, python, host)
    missing = [name for name in names if not host.has_module(name)]
    return _not_installed(_title(framework, backend), missing, "this environment") if missing else None


@functools.cache
def _missing_elsewhere(title: str, names: tuple[str, ...], python: str, host: Host) -> str | None:
    """The same question for another interpreter, which has to be started for it."""
    try:
        said = ask_interpreter(host, python, _ASK_MODULES, names)
    except InterpreterError as error:
        return f"{error}; correct framework.python"
    if tuple(said["python"][:2]) < OLDEST_PYTHON:
        version, oldest = (".".join(map(str, numbers)) for numbers in (said["python"], OLDEST_PYTHON))
        return f"the interpreter {python} is Python {version}; name one from {oldest} on with framework.python"
    return _not_installed(title, said["missing"], python) if said["missing"] else None


def _not_installed(title: str, missing: list[str], where: str) -> str:
    names = " and ".join(missing)
    return f"{title} needs {names}, not installed in {where}; install it or name an interpreter with framework.python"


def _missing_device(device: str, host: Host) -> str | None:
    if device == "gpu":
        return None if gpu_kinds(host) else _missing_gpu(host)
    return _missing_tpu(host) if device == "tpu" else None


def gpu_kinds(host: Host) -> list[str]:
    """The kinds of GPU whose drivers are there."""
    signs = {
        "CUDA": bool(host.nvidia().gpus) and not _hidden(host),
        "ROCm": host.files.exists("dev/kfd"),
        "XPU": _INTEL_VENDOR in host.files.read_all("sys/class/drm/renderD*/device/vendor"),
        "MPS": (host.system, host.architecture) == ("Darwin", "arm64"),
    }
    return [kind for kind, there in signs.items() if there]


def _hidden(host: Host) -> bool:
    return host.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")


def _missing_gpu(host: Host) -> str:
    nvidia = host.nvidia()
    if nvidia.gpus:
        return "CUDA_VISIBLE_DEVICES hides every NVIDIA GPU; unset it"
    displays = [vendor for vendor, kind in host.files.pci() if kind.startswith(_DISPLAY_CLASS)]
    if _NVIDIA_VENDOR in displays:
        return f"an NVIDIA GPU is on the PCI bus, but {nvidia.reason}; install or load the driver"
    return f"{nvidia.reason}, no ROCm (/dev/kfd), no Intel or Apple GPU; use a machine that has one, or device=cpu"


def _missing_tpu(host: Host) -> str | None:
    google = [kind for vendor, kind in host.files.pci() if vendor == _GOOGLE_VENDOR]
    if any(not kind.startswith(_STORAGE_AND_NETWORK_CLASSES) for kind in google):
        return None
    return "no Google accelerator on the PCI bus; use a machine that has one, or device=cpu"


def _title(framework: str, backend: str | None) -> str:
    return framework if backend is None else f"{framework} on {backend}"


def _no(reason: str) -> Availability:
    return Availability(ok=False, reason=reason)
