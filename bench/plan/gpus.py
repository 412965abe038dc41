"""NVIDIA GPUs as their driver lists them, without any framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

from bench.text import size_text

# Bits of NVML's clock event reasons that make a GPU slower than it could be, and how to say them.
_SLOWED_BY = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "temperature (software)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


@dataclass(frozen=True, kw_only=True)
class NvidiaGpu:
    """One GPU; a value its driver does not give is None.

    Attributes:
        name: product name.
        driver: version of the driver.
        memory_bytes: all of its memory.
        used_bytes: memory in use by anybody.
        utilization_percent: share of the last sampling period in which a kernel ran.
        slowed_by: what holds its clock down at this moment.
        sm_clock_mhz: clock of its processors at this moment.
        processes: those that can compute on it at this moment, whoever they belong to.
        slowed_by_power_ns: for how long the power cap has held its clock down so far.
        slowed_by_heat_ns: for how long its temperature has.
    """

    name: str
    driver: str
    memory_bytes: int | None = None
    used_bytes: int | None = None
    utilization_percent: int | None = None
    slowed_by: tuple[str, ...] = ()
    sm_clock_mhz: int | None = None
    processes: int | None = None
    slowed_by_power_ns: int | None = None
    slowed_by_heat_ns: int | None = None


@dataclass(frozen=True)
class Nvidia:
    """The GPUs that the driver lists, or the reason why there are none."""

    gpus: tuple[NvidiaGpu, ...] = ()
    reason: str | None = None


def nvidia() -> Nvidia:
    """Asks NVML; 20 ms, and no GPU is initialised."""
    try:
        with _nvml():
            gpus = tuple(_describe(index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        return Nvidia(reason=_reason(error))
    return Nvidia(gpus) if gpus else Nvidia(reason="the NVIDIA driver is loaded but lists no GPU")


def held_by_others(seen: Nvidia) -> str | None:
    """How much of the first GPU's memory is in use, in words; asked when a process of ours that used it has ended."""
    if not seen.gpus or seen.gpus[0].memory_bytes is None or seen.gpus[0].used_bytes is None:
        return None
    used, total = size_text(seen.gpus[0].used_bytes), size_text(seen.gpus[0].memory_bytes)
    return f"other processes hold {used} of the {total} of the {seen.gpus[0].name}"


@contextmanager
def _nvml() -> Iterator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _reason(error: pynvml.NVMLError) -> str:
    missing = pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    not_loaded = pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    if isinstance(error, type(missing)):
        return "no NVIDIA driver (its library NVML is not installed)"
    if isinstance(error, type(not_loaded)):
        return "the NVIDIA driver is installed but not loaded"
    return f"the NVIDIA driver does not answer ({error})"


def _describe(index: int) -> NvidiaGpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = _optional(pynvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _optional(pynvml.nvmlDeviceGetUtilizationRates, handle)
    slowed = _optional(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle) or 0
    processes = _optional(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    return NvidiaGpu(
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        driver=_text(pynvml.nvmlSystemGetDriverVersion()),
        memory_bytes=memory and int(memory.total),
        used_bytes=memory and int(memory.used),
        utilization_percent=rates and int(rates.gpu),
        slowed_by=tuple(words for bit, words in _SLOWED_BY.items() if slowed & bit),
        sm_clock_mhz=_optional(lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM), handle),
        processes=None if processes is None else len(processes),
        slowed_by_power_ns=_slowed_ns(handle, pynvml.NVML_PERF_POLICY_POWER),
        slowed_by_heat_ns=_slowed_ns(handle, pynvml.NVML_PERF_POLICY_THERMAL),
    )


def _slowed_ns(handle: Any, policy: int) -> int | None:
    seen = _optional(lambda gpu: pynvml.nvmlDeviceGetViolationStatus(gpu, policy), handle)
    return None if seen is None else int(seen.violationTime)


def _optional(ask: Callable[[Any], Any], handle: Any) -> Any:
    """A figure that some GPUs (MIG slices, integrated ones) do not give."""
    try:
        return ask(handle)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
