"""NVML's answers, from a fake of its few calls."""

from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from bench.plan.gpus import Nvidia, NvidiaGpu, held_by_others, nvidia


def fail(code: int) -> Any:
    def call(*_: object) -> None:
        raise pynvml.NVMLError(code)

    return call


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    calls = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _: b"NVIDIA H200",
        "nvmlSystemGetDriverVersion": lambda: "580.95",
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=2**37, used=2**20),
        "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=0),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: 0x01 | 0x04 | 0x40,
    }
    for name, call in calls.items():
        monkeypatch.setattr(pynvml, name, call)
    return monkeypatch


def test_a_gpu_is_described(one_gpu: pytest.MonkeyPatch) -> None:
    assert nvidia() == Nvidia(
        (
            NvidiaGpu(
                name="NVIDIA H200",
                driver="580.95",
                memory_bytes=2**37,
                used_bytes=2**20,
                utilization_percent=0,
                slowed_by=("power cap", "temperature (hardware)"),
            ),
        )
    )


def test_what_slows_a_gpu_and_who_is_on_it_is_told(one_gpu: pytest.MonkeyPatch) -> None:
    one_gpu.setattr(pynvml, "nvmlDeviceGetClockInfo", lambda _, kind: {pynvml.NVML_CLOCK_SM: 1980}[kind])
    one_gpu.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: [SimpleNamespace(pid=7)])
    slowed = {pynvml.NVML_PERF_POLICY_POWER: 5, pynvml.NVML_PERF_POLICY_THERMAL: 9}
    one_gpu.setattr(
        pynvml, "nvmlDeviceGetViolationStatus", lambda _, policy: SimpleNamespace(violationTime=slowed[policy])
    )
    (gpu,) = nvidia().gpus
    assert (gpu.sm_clock_mhz, gpu.processes) == (1980, 1)
    assert (gpu.slowed_by_power_ns, gpu.slowed_by_heat_ns) == (5, 9)


def test_figures_that_a_gpu_does_not_give_are_none(one_gpu: pytest.MonkeyPatch) -> None:
    for name in ("MemoryInfo", "UtilizationRates", "CurrentClocksThrottleReasons"):
        one_gpu.setattr(pynvml, f"nvmlDeviceGet{name}", fail(pynvml.NVML_ERROR_NOT_SUPPORTED))
    assert nvidia().gpus == (NvidiaGpu(name="NVIDIA H200", driver="580.95"),)


def test_a_driver_without_gpus(one_gpu: pytest.MonkeyPatch) -> None:
    one_gpu.setattr(pynvml, "nvmlDeviceGetCount", lambda: 0)
    assert nvidia() == Nvidia(reason="the NVIDIA driver is loaded but lists no GPU")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "installed but not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "does not answer"),
    ],
)
def test_why_there_is_no_answer(one_gpu: pytest.MonkeyPatch, code: int, words: str) -> None:
    one_gpu.setattr(pynvml, "nvmlInit", fail(code))
    answer = nvidia()
    assert answer.gpus == ()
    assert words in (answer.reason or "")


def test_what_others_hold_of_a_gpu_is_said_where_the_driver_tells() -> None:
    full = NvidiaGpu(name="NVIDIA H100", driver="580", memory_bytes=85 * 10**9, used_bytes=84_120 * 10**6)
    assert held_by_others(Nvidia((full,))) == "other processes hold 84 GB of the 85 GB of the NVIDIA H100"
    assert held_by_others(Nvidia((NvidiaGpu(name="MIG slice", driver="580"),))) is None
    assert held_by_others(Nvidia(reason="no NVIDIA driver")) is None
