"""Looks at the machine, from trees of our own: what lies between two, and a reason for all that is not known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.plan.system import CpuTimes, Fact, SystemFiles
from bench.run.keeping import Exit
from bench.run.noise import Look, look, noise_between
from bench.run.usage import Usage

CPU = "sys/devices/system/cpu"
USED = Usage(cpu_s=1.0, involuntary_switches=12, major_faults=3)
NOTHING = Fact(None, "not here")
BEFORE = Look(
    at_s=100.0,
    harness_cpu_s=5.0,
    load=Fact(0.5),
    times=CpuTimes(total=1_000, steal=10, idle=800),
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
    assert (noise.frequency_min_mhz, noise.frequency_mean_mhz, noise.frequency_max_mhz) == (1000.0, 2250.0, 3000.0)
    assert (noise.thermal_throttles, noise.limit_throttles) == (2, 0)
    assert noise.cpu_pressure_share == pytest.approx(0.25)
    assert (noise.involuntary_switches, noise.major_faults) == (12, 3)
    assert noise.reasons == {}


def test_jiffies_that_fall_short_of_the_workers_own_time_leave_nothing_to_others() -> None:
    noise = noise_between(BEFORE, AFTER, replace(USED, cpu_s=5.0), ticks_per_s=100)
    assert noise.others_share == 0.0


def test_a_worker_that_nobody_counted_leaves_its_figures_open() -> None:
    noise = noise_between(BEFORE, AFTER, None, ticks_per_s=100)
    assert (noise.others_share, noise.involuntary_switches, noise.major_faults) == (None, None, None)
    assert set(noise.reasons) == {"others_share", "involuntary_switches", "major_faults"}
    assert noise.steal_share is not None


def test_what_the_machine_does_not_tell_has_its_reason() -> None:
    blind = replace(
        BEFORE, load=NOTHING, times=None, frequencies_mhz=NOTHING, thermal_throttles=NOTHING, limit_throttles=NOTHING,
        pressure_us=NOTHING,
    )  # fmt: skip
    noise = noise_between(blind, replace(blind, at_s=101.0), USED, ticks_per_s=100)
    unknown = {name for name, value in vars(noise).items() if value is None}
    assert unknown == set(noise.reasons)
    assert all(noise.reasons.values())


def test_two_looks_within_one_tick_tell_no_shares() -> None:
    noise = noise_between(BEFORE, BEFORE, USED, ticks_per_s=100)
    assert (noise.steal_share, noise.others_share) == (None, None)


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
