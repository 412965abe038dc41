"""Linux's files, from trees of our own."""

from pathlib import Path

import pytest

from bench.plan.system import CpuTimes, SystemFiles

CPU = "sys/devices/system/cpu"


class Tree:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = SystemFiles(root)

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_an_empty_machine_gives_a_reason_for_everything(tree: Tree) -> None:
    files = tree.files
    facts = [
        files.processor(), files.governor(), files.frequency_mhz(), files.turbo(), files.smt(), files.throttle_count(),
        files.clock_source(), files.cgroup_cpus(), files.cgroup_throttled(), files.cgroup_memory_bytes(),
        files.virtualization(), files.frequencies_mhz(), files.cpu_pressure_us(),
    ]  # fmt: skip
    assert all(fact.value is None and fact.reason for fact in facts)
    assert files.cpu_times() is None
    assert list(files.pci()) == []


def test_a_fact_without_a_value_carries_its_reason_into_json(tree: Tree) -> None:
    assert tree.files.smt().plain("smt") == {"smt": None, "smt_reason": "the kernel exposes no SMT state here"}
    tree.write(f"{CPU}/smt/active", "0")
    assert tree.files.smt().plain("smt") == {"smt": False}


def test_the_processors_name(tree: Tree) -> None:
    tree.write(
        "proc/cpuinfo", "processor : 0\nmodel name : AMD EPYC 9654\ncpu MHz : 2400.5\n\nprocessor : 1\nmodel name : X"
    )
    assert tree.files.processor().value == "AMD EPYC 9654"
    assert tree.files.frequency_mhz().value == 2400


def test_an_arm_processor_is_told_by_its_numbers(tree: Tree) -> None:
    tree.write("proc/cpuinfo", "processor : 0\nCPU implementer : 0x41\nCPU part : 0xd0c")
    assert tree.files.processor().value == "ARM implementer 0x41 part 0xd0c"


def test_governors_and_frequencies_over_all_processors(tree: Tree) -> None:
    for number, (governor, kilohertz) in enumerate([("powersave", 1_200_000), ("performance", 3_400_000)]):
        tree.write(f"{CPU}/cpu{number}/cpufreq/scaling_governor", governor)
        tree.write(f"{CPU}/cpu{number}/cpufreq/scaling_cur_freq", str(kilohertz))
    assert tree.files.governor().value == "performance,powersave"
    assert tree.files.frequency_mhz().value == 3400


@pytest.mark.parametrize(
    ("path", "text", "on"),
    [
        ("intel_pstate/no_turbo", "0", True),
        ("intel_pstate/no_turbo", "1", False),
        ("cpufreq/boost", "1", True),
        ("cpufreq/boost", "0", False),
    ],
)
def test_turbo_in_both_of_its_spellings(tree: Tree, path: str, text: str, on: bool) -> None:
    tree.write(f"{CPU}/{path}", text)
    assert tree.files.turbo().value is on


def test_throttle_counts_are_summed(tree: Tree) -> None:
    tree.write(f"{CPU}/cpu0/thermal_throttle/core_throttle_count", "3")
    tree.write(f"{CPU}/cpu1/thermal_throttle/core_throttle_count", "4")
    assert tree.files.throttle_count().value == 7


def test_the_tightest_limit_on_the_way_to_the_root_counts(tree: Tree) -> None:
    tree.write("proc/self/cgroup", "0::/pod/box")
    tree.write("sys/fs/cgroup/pod/box/cpu.max", "max 100000")
    tree.write("sys/fs/cgroup/pod/cpu.max", "150000 100000")
    tree.write("sys/fs/cgroup/pod/box/cpu.stat", "usage_usec 5\nnr_throttled 12\nthrottled_usec 7")
    tree.write("sys/fs/cgroup/pod/box/memory.max", "2147483648")
    tree.write("sys/fs/cgroup/pod/memory.max", "max")
    assert tree.files.cgroup_cpus().value == 1.5
    assert tree.files.cgroup_throttled().value == 12
    assert tree.files.cgroup_memory_bytes().value == 2**31


def test_inside_a_container_whose_group_is_mounted_as_the_root(tree: Tree) -> None:
    tree.write("proc/self/cgroup", "0::/../../elsewhere/box")
    tree.write("sys/fs/cgroup/cpu.max", "50000 100000")
    assert tree.files.cgroup_cpus().value == 0.5


def test_the_older_control_groups(tree: Tree) -> None:
    tree.write("proc/self/cgroup", "5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/box\n0::/")
    tree.write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "300000")
    tree.write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000")
    tree.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    tree.write("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1073741824")
    tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    assert tree.files.cgroup_cpus().value == 3.0
    assert tree.files.cgroup_memory_bytes().value == 2**30


def test_a_container_in_a_virtual_machine(tree: Tree) -> None:
    tree.write("proc/cpuinfo", "flags : fpu hypervisor sse")
    assert tree.files.virtualization().value == "virtual machine"
    tree.write("sys/class/dmi/id/sys_vendor", "QEMU")
    tree.write(".dockerenv", "")
    assert tree.files.virtualization().value == "container in a virtual machine (QEMU)"


def test_processor_times_come_from_the_first_line(tree: Tree) -> None:
    tree.write("proc/stat", "cpu  10 1 5 100 2 0 1 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0")
    assert tree.files.cpu_times() == CpuTimes(total=126, steal=7, idle=102)


def test_processor_times_of_some_processors_are_those_of_each_together(tree: Tree) -> None:
    tree.write("proc/stat", "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 0 0 5 0 0 0 0 0 0\ncpu7 2 0 0 3 1 0 0 4 0 0\nintr 9")
    assert tree.files.cpu_times([7]) == CpuTimes(total=10, steal=4, idle=4)
    assert tree.files.cpu_times({0, 7}) == CpuTimes(total=16, steal=4, idle=9)
    assert tree.files.cpu_times({0, 1}) is None
    assert tree.files.cpu_times([]) is None


def test_what_has_passed_between_two_looks() -> None:
    passed = CpuTimes(total=126, steal=7, idle=102).since(CpuTimes(total=100, steal=6, idle=80))
    assert passed == CpuTimes(total=26, steal=1, idle=22)


def test_what_is_neither_idle_nor_stolen_is_busy() -> None:
    assert CpuTimes(total=126, steal=7, idle=102).busy == 17


def test_frequencies_of_a_few_processors_stand_for_all(tree: Tree) -> None:
    for number in range(40):
        tree.write(f"{CPU}/cpu{number}/cpufreq/scaling_cur_freq", str(2_000_000 + number))
    seen = tree.files.frequencies_mhz(most=16).value
    assert len(seen) <= 16
    assert min(seen) == 2000.0


def test_frequencies_without_cpufreq_come_from_cpuinfo(tree: Tree) -> None:
    tree.write("proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2596.098\n\nprocessor\t: 1\ncpu MHz\t\t: 1200.5\n")
    assert tree.files.frequencies_mhz().value == [2596.098, 1200.5]


def test_pressure_is_that_of_some_task(tree: Tree) -> None:
    tree.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=52417\nfull avg10=0.00 total=9")
    assert tree.files.cpu_pressure_us().value == 52417


def test_pci_devices_with_vendor_and_class(tree: Tree) -> None:
    tree.write("sys/bus/pci/devices/0000:00:01.0/vendor", "0x10de")
    tree.write("sys/bus/pci/devices/0000:00:01.0/class", "0x030200")
    assert list(tree.files.pci()) == [("0x10de", "0x030200")]


@pytest.mark.parametrize(
    ("group", "path", "counter"),
    [
        ("0::/a/b", "sys/fs/cgroup/a/b/memory.events", "low 0\nmax 3\noom 2\noom_kill 7\noom_group_kill 1"),
        ("0::/a/b", "sys/fs/cgroup/a/memory.events", "oom_kill 7"),
        ("0::/../x", "sys/fs/cgroup/memory.events", "oom 2\noom_kill 7"),
        ("4:memory:/a", "sys/fs/cgroup/memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7"),
        ("4:cpu,memory:/a\n0::/", "sys/fs/cgroup/memory/memory.oom_control", "under_oom 0\noom_kill 7"),
        ("", "proc/vmstat", "pgfault 12\noom_kill 7"),
        ("0::/a", "proc/vmstat", "oom_kill 7"),
    ],
)
def test_kills_for_memory_are_counted_as_near_to_us_as_possible(
    tree: Tree, group: str, path: str, counter: str
) -> None:
    tree.write("proc/self/cgroup", group)
    tree.write("sys/fs/cgroup/other/memory.events", "oom_kill 99")
    assert tree.files.oom_kills().value is None
    assert tree.files.oom_kills().reason
    tree.write(path, counter)
    assert tree.files.oom_kills().value == 7


def test_our_own_group_counts_before_the_machine(tree: Tree) -> None:
    tree.write("proc/self/cgroup", "0::/a/b")
    tree.write("proc/vmstat", "oom_kill 50")
    tree.write("sys/fs/cgroup/a/memory.events", "oom_kill 5")
    tree.write("sys/fs/cgroup/a/b/memory.events", "oom_kill 1")
    assert tree.files.oom_kills().value == 1


def test_old_kernels_count_no_kills_in_a_group(tree: Tree) -> None:
    tree.write("proc/self/cgroup", "4:memory:/a")
    tree.write("sys/fs/cgroup/memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0")
    assert tree.files.oom_kills().value is None
