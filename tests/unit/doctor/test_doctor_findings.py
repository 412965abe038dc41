"""Each check of the doctor, from plain values."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.doctor import disk, noise, processor, software
from bench.doctor.findings import Finding, Severity
from bench.doctor.noise import BusyProcess, Clock, Jitter
from bench.plan.devices import Availability
from bench.plan.gpus import NvidiaGpu
from bench.plan.system import CpuTimes, Fact

UNKNOWN = Fact(None, "not exposed")
OK, NOTE, WARNING = Severity.OK, Severity.NOTE, Severity.WARNING


@pytest.mark.parametrize(
    ("finding", "severity"),
    [
        (processor.governor(Fact("performance")), OK),
        (processor.governor(Fact("performance,powersave")), WARNING),
        (processor.governor(UNKNOWN), NOTE),
        (processor.turbo(Fact(False)), OK),
        (processor.turbo(Fact(True)), NOTE),
        (processor.turbo(UNKNOWN), NOTE),
        (processor.smt(Fact(False)), OK),
        (processor.smt(Fact(True)), NOTE),
        (processor.smt(UNKNOWN), NOTE),
        (processor.processors(2), OK),
        (processor.processors(1), WARNING),
        (processor.processors(None), NOTE),
        (processor.quota(UNKNOWN, UNKNOWN, 4), OK),
        (processor.quota(Fact(4.0), Fact(0), 4), OK),
        (processor.quota(Fact(1.5), Fact(0), 4), WARNING),
        (processor.quota(Fact(4.0), Fact(3), 4), WARNING),
        (processor.throttling(Fact(0), Fact(0)), OK),
        (processor.throttling(Fact(5), Fact(5)), NOTE),
        (processor.throttling(Fact(5), Fact(6)), WARNING),
        (processor.throttling(UNKNOWN, UNKNOWN), NOTE),
        (processor.virtualization(UNKNOWN), OK),
        (processor.virtualization(Fact("container")), NOTE),
        (noise.load(0.1, 2), OK),
        (noise.load(0.5, 2), NOTE),
        (noise.load(1.5, 2), WARNING),
        (noise.load(1.5, 64), OK),
        (noise.steal(CpuTimes(1000, 10), CpuTimes(2000, 14)), OK),
        (noise.steal(CpuTimes(1000, 10), CpuTimes(2000, 20)), WARNING),
        (noise.steal(CpuTimes(1000, 10), CpuTimes(1000, 10)), OK),
        (noise.steal(None, None), NOTE),
        (noise.busy_processes([]), OK),
        (noise.busy_processes([BusyProcess("browser", 7, 80.0)]), WARNING),
        (noise.swap(0, 0), OK),
        (noise.swap(2**20, 0), NOTE),
        (noise.swap(2**20, 4096), WARNING),
        (noise.jitter(Jitter(0.001, 0.00104, 0.002)), OK),
        (noise.jitter(Jitter(0.001, 0.0011, 0.002)), NOTE),
        (noise.jitter(Jitter(0.001, 0.002, 0.005)), WARNING),
        (noise.clock(Clock(50.0, 40), "tsc"), OK),
        (noise.clock(Clock(1500.0, 40), "hpet"), WARNING),
        (noise.clock(Clock(50.0, 15_600_000), None), WARNING),
        (disk.space(Path("results"), 2**34), OK),
        (disk.space(Path("results"), 2**29), WARNING),
        (disk.fsync(0.003), OK),
        (disk.fsync(0.2), NOTE),
    ],
)
def test_how_bad_each_thing_is(finding: Finding, severity: Severity) -> None:
    assert finding.severity is severity
    assert finding.text
    if severity is WARNING:
        assert finding.advice


def test_a_busy_machine_names_who_is_busy() -> None:
    busy = [BusyProcess(name, pid, 90.0 - pid) for pid, name in enumerate(("a", "b", "c", "d", "e"))]
    assert noise.busy_processes(busy).text == "a (0) 90 %, b (1) 89 %, c (2) 88 % and 2 more"


def scripted(*readings_ns: int) -> Iterator[int]:
    yield from readings_ns


def test_jitter_is_the_spread_of_the_same_loop() -> None:
    calibration = [reading for start in range(5) for reading in (start * 10**8, start * 10**8 + 10**9)]
    durations_ns = [1_000_000] * 19 + [3_000_000]
    loops: list[int] = []
    now_ns = 10**10
    for duration_ns in durations_ns:
        loops += [now_ns, now_ns + duration_ns]
        now_ns += 10 * duration_ns
    clock = scripted(*calibration, *loops)
    measured = noise.measure_jitter(loops=20, now_ns=lambda: next(clock))
    assert measured == Jitter(median_s=0.001, p95_s=0.001, worst_s=0.003)
    assert measured.excess == 0.0


def test_the_clock_is_read_in_a_row() -> None:
    clock = iter(range(0, 100_000, 50))
    assert noise.measure_clock(lambda: next(clock)) == Clock(read_ns=50.0, step_ns=50)


def test_a_clock_that_stands_still_for_a_while_shows_its_step() -> None:
    clock = iter(reading // 10 * 1000 for reading in range(1000))
    assert noise.measure_clock(lambda: next(clock)).step_ns == 1000


def test_syncing_leaves_nothing_behind(tmp_path: Path) -> None:
    assert disk.measure_fsync(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []


def test_before_the_first_sweep_the_folder_above_is_tried(tmp_path: Path) -> None:
    findings = disk.disk_findings(tmp_path / "not/yet")
    assert str(tmp_path) in findings[0].text
    assert not (tmp_path / "not").exists()


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> float:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "measure_fsync", refuse)
    (finding,) = disk.disk_findings(tmp_path)
    assert finding.severity is WARNING
    assert "Permission denied" in finding.text


def no_gpu(framework: str, backend: str | None, device: str) -> Availability:
    if device == "cpu":
        return Availability(ok=True, device_name="Fast CPU")
    return Availability(ok=False, reason=f"no {device} here; buy one")


def test_what_is_missing_for_all_is_said_once() -> None:
    findings = software.device_findings(no_gpu, certain=False)
    missing = [finding for finding in findings if finding.severity is not OK]
    assert [finding.topic for finding in missing] == ["gpu: unavailable", "tpu: unavailable"]
    assert missing[0].text == "pytorch, keras on tensorflow, keras on jax, keras on torch, reference: no gpu here"
    assert missing[0].advice == "buy one"


def test_only_an_opened_device_is_called_opened() -> None:
    def everything(framework: str, backend: str | None, device: str) -> Availability:
        return Availability(ok=True, device_name="Fast CPU" if device == "cpu" else None)

    guessed = {finding.topic: finding.text for finding in software.device_findings(everything, certain=False)}
    assert guessed["cpu: pytorch"] == "installed"
    assert "--probe" in guessed["gpu: pytorch"]
    opened = {finding.topic: finding.text for finding in software.device_findings(everything, certain=True)}
    assert opened["cpu: pytorch"] == "opened Fast CPU"


def test_a_framework_that_is_not_installed_is_a_warning() -> None:
    def none(framework: str, backend: str | None, device: str) -> Availability:
        return Availability(ok=False, reason=f"{framework} is not installed; install it")

    findings = software.device_findings(none, certain=False)
    on_cpu = [finding for finding in findings if finding.topic.startswith("cpu")]
    assert {finding.severity for finding in on_cpu} == {WARNING}
    assert "pytorch is not installed" in on_cpu[0].text


@pytest.mark.parametrize(
    ("gpu", "severity", "words"),
    [
        (NvidiaGpu(name="H200", driver="580"), OK, "idle"),
        (NvidiaGpu(name="H200", driver="580", used_bytes=8_000_000_000), WARNING, "8.0 GB"),
        (NvidiaGpu(name="H200", driver="580", utilization_percent=40), WARNING, "40 % busy"),
        (NvidiaGpu(name="H200", driver="580", slowed_by=("power cap",)), WARNING, "slowed by power cap"),
    ],
)
def test_a_gpu_should_be_idle_and_at_full_speed(gpu: NvidiaGpu, severity: Severity, words: str) -> None:
    (finding,) = software.gpu_findings((gpu,))
    assert finding.severity is severity
    assert words in finding.text


def test_versions_name_what_is_installed_only() -> None:
    told = {"python": "3.11.7", "executable": "python", "packages": {"torch": "2.13.0", "jax": None}}
    assert "torch 2.13.0" in software.version_findings(told)[1].text
    assert "jax" not in software.version_findings(told)[1].text
