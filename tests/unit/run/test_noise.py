"""Looks at the machine, from trees of our own: what lies between two, and a reason for all that is not known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.disturbance import disturbance
from bench.plan.gpus import Nvidia, NvidiaGpu
from bench.plan.system import CpuTimes, Fact, SystemFiles
from bench.records import NoiseRecord
from bench.run.keeping import Exit
from bench.run.noise import Look, look, noise_between
from bench.run.usage import Usage

CPU = "sys/devices/system/cpu"
USED = Usage(cpu_s=1.0, involuntary_switches=12, major_faults=3)
NOTHING = Fact(None, "not here")
ON_GPU = ("gpu_clock_mhz", "gpu_slowed_by", "gpu_others")
BEFORE = Look(
    at_s=100.0,
    harness_cpu_s=5.0,
    load=Fact(0.5),
    times=CpuTimes(total=1_000, steal=10, idle=800),
    processors=frozenset({0, 1}),
    usable=CpuTimes(total=1_000, steal=10, idle=800),
    frequencies_mhz=Fact([2000.0, 3000.0]),
    thermal_throttles=Fact(4),
    limit_throttles=Fact(0),
    pressure_us=Fact(1_000_000),
)
# Two seconds on two processors: 400 jiffies, of which 8 were stolen and 222 idle: 170 busy, 100 of the worker's.
AFTER = replace(
    BEFORE,
    at_s=102.0,
    harness_cpu_s=5.1,
    load=Fact(0.9),
    times=CpuTimes(total=1_400, steal=18, idle=1_022),
    usable=CpuTimes(total=1_400, steal=18, idle=1_022),
    frequencies_mhz=Fact([1000.0, 3000.0]),
    thermal_throttles=Fact(6),
    pressure_us=Fact(1_500_000),
)


def test_what_lies_between_two_looks() -> None:
    noise = noise_between(BEFORE, AFTER, USED, ticks_per_s=100)
    assert noise.period_s == 2.0
    assert (noise.load_before, noise.load_after) == (0.5, 0.9)
    assert noise.steal_share == pytest.approx(8 / 400)
    assert noise.others_share == pytest.approx((170 - 100 - 10) / 400)
    assert noise.steal_processors == pytest.approx(8 / 200)
    assert noise.others_processors == pytest.approx((170 - 100 - 10) / 200)
    assert noise.processors == 2
    assert (noise.frequency_min_mhz, noise.frequency_mean_mhz, noise.frequency_max_mhz) == (1000.0, 2250.0, 3000.0)
    assert (noise.thermal_throttles, noise.limit_throttles) == (2, 0)
    assert noise.cpu_pressure_share == pytest.approx(0.25)
    assert (noise.involuntary_switches, noise.major_faults) == (12, 3)
    assert set(noise.reasons.values()) == {"the run used no GPU"}
    assert set(noise.reasons) == set(ON_GPU)


def test_jiffies_that_fall_short_of_the_workers_own_time_leave_nothing_to_others() -> None:
    noise = noise_between(BEFORE, AFTER, replace(USED, cpu_s=5.0), ticks_per_s=100)
    assert noise.others_share == 0.0


def test_a_worker_that_nobody_counted_leaves_its_figures_open() -> None:
    noise = noise_between(BEFORE, AFTER, None, ticks_per_s=100)
    assert (noise.others_share, noise.involuntary_switches, noise.major_faults) == (None, None, None)
    assert set(noise.reasons) == {"others_share", "others_processors", "involuntary_switches", "major_faults", *ON_GPU}
    assert noise.steal_share is not None


def test_what_the_machine_does_not_tell_has_its_reason() -> None:
    blind = replace(
        BEFORE, load=NOTHING, times=None, usable=None, frequencies_mhz=NOTHING, thermal_throttles=NOTHING,
        limit_throttles=NOTHING, pressure_us=NOTHING,
    )  # fmt: skip
    noise = noise_between(blind, replace(blind, at_s=101.0), USED, ticks_per_s=100)
    unknown = {name for name, value in vars(noise).items() if value is None}
    assert unknown == set(noise.reasons)
    assert all(noise.reasons.values())


def test_two_looks_within_one_tick_tell_no_shares() -> None:
    noise = noise_between(BEFORE, BEFORE, USED, ticks_per_s=100)
    assert (noise.steal_share, noise.others_share) == (None, None)
    assert (noise.steal_processors, noise.others_processors) == (None, None)


class Machine:
    """A second on 64 processors, as /proc/stat tells it before and after."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self._stat, self._patch = root / "proc" / "stat", patch
        self._stat.parent.mkdir()
        self._files = SystemFiles(root)

    def second(self, busy: dict[int, int], stolen: dict[int, int], *, usable: set[int]) -> NoiseRecord:
        """What a worker sees that computed for all of it on processor 3, the busy jiffies being its own and others'."""
        self._patch.setattr(os, "sched_getaffinity", lambda _: usable, raising=False)
        self._write({}, {}, 0)
        before = look(self._files)
        self._write(busy, stolen, 100)
        return noise_between(before, look(self._files), USED, ticks_per_s=100)

    def _write(self, busy: dict[int, int], stolen: dict[int, int], jiffies: int) -> None:
        each = [_line(f"cpu{n}", busy.get(n, 0), stolen.get(n, 0), jiffies) for n in range(64)]
        everywhere = _line("cpu", sum(busy.values()), sum(stolen.values()), 64 * jiffies)
        self._stat.write_text("\n".join([everywhere, *each, "intr 1 2 3"]))


def _line(name: str, busy: int, stolen: int, jiffies: int) -> str:
    return f"{name} {busy} 0 0 {jiffies - busy - stolen} 0 0 0 {stolen} 0 0"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_hog_on_one_of_64_processors_is_seen(machine: Machine) -> None:
    noise = machine.second({3: 100, 5: 100}, {}, usable=set(range(64)))
    assert noise.others_processors == pytest.approx(1.0, abs=0.05)
    assert noise.others_share == pytest.approx(1 / 64, abs=0.001)
    assert disturbance(noise, threads=1) == "others"


def test_strangers_on_processors_that_the_run_may_not_use_disturb_nobody(machine: Machine) -> None:
    noise = machine.second(dict.fromkeys(range(3, 64), 100), {}, usable={2, 3})
    assert noise.processors == 2
    assert noise.others_processors == pytest.approx(0.0, abs=0.05)
    assert noise.others_share == pytest.approx(60 / 64, abs=0.001)
    assert disturbance(noise, threads=1) is None


def test_what_the_host_takes_counts_on_processors_that_the_run_may_use(machine: Machine) -> None:
    ours, theirs = (machine.second({3: 95}, {place: 5}, usable={2, 3}) for place in (3, 40))
    assert ours.steal_processors == pytest.approx(0.05)
    assert theirs.steal_processors == 0.0
    assert [disturbance(noise, threads=1) for noise in (ours, theirs)] == ["steal", None]


def test_a_container_that_numbers_its_processors_anew_is_judged_by_its_share(machine: Machine) -> None:
    noise = machine.second({3: 100}, {}, usable={70, 71})
    assert noise.others_processors is None
    assert "does not tell of each processor" in noise.reasons["others_processors"]
    assert noise.others_share is not None


def test_processors_that_changed_meanwhile_tell_nothing_of_others() -> None:
    noise = noise_between(BEFORE, replace(AFTER, processors=frozenset({1})), USED, ticks_per_s=100)
    assert (noise.steal_processors, noise.others_processors) == (None, None)
    assert "changed meanwhile" in noise.reasons["others_processors"]


GPU = NvidiaGpu(
    name="NVIDIA H100", driver="580", sm_clock_mhz=345, processes=0, slowed_by_power_ns=10**9, slowed_by_heat_ns=0
)


def on_gpu(before: Nvidia, after: Nvidia) -> NoiseRecord:
    """A run of two seconds on a GPU."""
    return noise_between(replace(BEFORE, gpus=before), replace(AFTER, gpus=after), USED, ticks_per_s=100)


@pytest.mark.parametrize(
    ("changes", "slowed_by", "others", "disturbed"),
    [
        ({}, "nothing", 0, None),
        ({"slowed_by_power_ns": 10**9 + 10**7}, "nothing", 0, None),
        ({"slowed_by_power_ns": 10**9 + 10**8}, "power", 0, "gpu_power"),
        ({"slowed_by_heat_ns": 10**8, "processes": 2}, "temperature", 2, "gpu_temperature, gpu_others"),
        ({"slowed_by": ("temperature (hardware)", "power cap")}, "temperature, power", 0, "gpu_temperature, gpu_power"),
        ({"slowed_by": ("hardware slowdown",)}, "hardware", 0, "gpu_hardware"),
        ({"slowed_by_heat_ns": None, "processes": None}, None, None, None),
    ],
)
def test_what_slowed_a_gpu_and_who_shared_it(
    changes: dict[str, Any], slowed_by: str | None, others: int | None, disturbed: str | None
) -> None:
    noise = on_gpu(Nvidia((GPU,)), Nvidia((replace(GPU, sm_clock_mhz=1980, **changes),)))
    assert (noise.gpu_clock_mhz, noise.gpu_slowed_by, noise.gpu_others) == (1980, slowed_by, others)
    assert ("gpu_slowed_by" in noise.reasons) == (slowed_by is None)
    quiet = replace(noise, others_processors=0.0, steal_processors=0.0, thermal_throttles=0)
    assert disturbance(quiet, threads=1) == disturbed


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (Nvidia(reason="no NVIDIA driver"), "no NVIDIA driver"),
        (Nvidia((GPU, GPU)), "there are 2 GPUs, and which of them the run used is not known"),
    ],
)
def test_why_nothing_is_known_of_a_gpu(seen: Nvidia, words: str) -> None:
    noise = on_gpu(seen, seen)
    assert {noise.reasons[name] for name in ON_GPU} == {words}


@pytest.mark.parametrize("gpu", [False, True])
def test_a_gpu_is_asked_only_for_runs_that_use_one(gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Nvidia((GPU,))
    monkeypatch.setattr("bench.run.noise.nvidia", lambda: asked)
    assert look(SystemFiles(tmp_path), gpu=gpu).gpus is (asked if gpu else None)


def test_a_look_reads_the_files_of_the_system(tmp_path: Path) -> None:
    for path, text in {
        "proc/stat": "cpu  10 1 5 100 2 0 1 7 0 0",
        "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=52417",
        f"{CPU}/cpu0/cpufreq/scaling_cur_freq": "2500000",
        f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "3",
        "proc/self/cgroup": "0::/box",
        "sys/fs/cgroup/box/cpu.stat": "nr_throttled 5",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    seen = look(SystemFiles(tmp_path))
    assert seen.times == CpuTimes(total=126, steal=7, idle=102)
    assert seen.frequencies_mhz.value == [2500.0]
    assert (seen.thermal_throttles.value, seen.limit_throttles.value, seen.pressure_us.value) == (3, 5, 52417)


def test_an_empty_system_can_be_looked_at(tmp_path: Path) -> None:
    seen = look(SystemFiles(tmp_path))
    assert seen.times is None
    assert all(f.value is None and f.reason for f in (seen.frequencies_mhz, seen.thermal_throttles, seen.pressure_us))


def test_the_kernel_counts_a_child_to_its_end() -> None:
    child = subprocess.Popen([sys.executable, "-c", "sum(range(3_000_000))"])
    _, _, counted = os.wait4(child.pid, 0)
    child.returncode = 0
    used = Usage.of(counted)
    assert used.cpu_s > 0
    assert Usage(**used.plain()) == used


def test_a_child_that_is_killed_was_counted_as_well() -> None:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    _, status, counted = os.wait4(pid, 0)
    end = Exit.from_code(os.waitstatus_to_exitcode(status), Usage.of(counted))
    assert end == Exit(signal="SIGKILL")
    assert end.usage is not None
