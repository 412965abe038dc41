"""What Linux says of itself in /proc and /sys: each thing as a value, or the reason why there is none here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

_CPU = "sys/devices/system/cpu"
_CONTAINER_WORDS = re.compile(r"docker|kubepods|containerd|libpod|lxc")
_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes "no limit" as a number close to 2**63
_OOM_COUNTERS = ("memory.events", "memory.oom_control")  # of control groups of version 2 and 1

T = TypeVar("T")


@dataclass(frozen=True)
class Fact:
    """A value, or None and the reason why it is not known here."""

    value: Any
    reason: str | None = None

    def plain(self, name: str) -> dict[str, Any]:
        """The fact as JSON-ready items: ``name``, and ``name_reason`` where there is no value."""
        return {name: self.value} if self.value is not None else {name: None, f"{name}_reason": self.reason}


@dataclass(frozen=True)
class CpuTimes:
    """Jiffies since boot, or between two moments, summed over processors; ``idle`` waits for disks too."""

    total: int
    steal: int
    idle: int = 0

    @property
    def busy(self) -> int:
        """Jiffies in which somebody here computed."""
        return self.total - self.idle - self.steal

    @classmethod
    def of(cls, line: str) -> Self | None:
        """From what follows a processor's name in /proc/stat; None where that is too little."""
        fields = [int(text) for text in line.split()[:8]]
        return cls(total=sum(fields), steal=fields[7], idle=fields[3] + fields[4]) if len(fields) == 8 else None

    def since(self, earlier: CpuTimes) -> CpuTimes:
        """What has passed since an earlier look at the same processors."""
        return CpuTimes(
            total=self.total - earlier.total, steal=self.steal - earlier.steal, idle=self.idle - earlier.idle
        )


def _spread(every: Sequence[T], most: int) -> Sequence[T]:
    return every[:: max(1, -(-len(every) // most))]


@dataclass(frozen=True)
class SystemFiles:
    """Reads the files below ``root``; tests give a folder of their own."""

    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        """The stripped text of a file, or None where it is absent or may not be read."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        """Whether the path is there."""
        return (self.root / path).exists()

    def read_all(self, pattern: str) -> list[str]:
        """The texts of all readable files that match a glob pattern, in the order of their names."""
        texts = (self.read(str(path.relative_to(self.root))) for path in sorted(self.root.glob(pattern)))
        return [text for text in texts if text]

    def processor(self) -> Fact:
        """The processor's model name."""
        fields = self._cpuinfo()
        if name := fields.get("model name"):
            return Fact(name)
        if "CPU part" in fields:  # ARM kernels give numbers instead of a name
            return Fact(f"ARM implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}")
        return Fact(None, "/proc/cpuinfo names no processor model")

    def governor(self) -> Fact:
        """The frequency governors in force, joined with commas."""
        governors = sorted(set(self.read_all(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")))
        return Fact(",".join(governors)) if governors else Fact(None, "cpufreq is not exposed here")

    def frequency_mhz(self) -> Fact:
        """The highest current frequency of any processor, in MHz."""
        kilohertz = [int(text) for text in self.read_all(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq")]
        if kilohertz:
            return Fact(round(max(kilohertz) / 1000))
        if megahertz := self._cpuinfo().get("cpu MHz"):
            return Fact(round(float(megahertz)))
        return Fact(None, "neither cpufreq nor /proc/cpuinfo gives a frequency")

    def turbo(self) -> Fact:
        """Whether the processor may run above its base frequency."""
        if (no_turbo := self.read(f"{_CPU}/intel_pstate/no_turbo")) is not None:
            return Fact(no_turbo == "0")
        if (boost := self.read(f"{_CPU}/cpufreq/boost")) is not None:
            return Fact(boost == "1")
        return Fact(None, "the kernel exposes no turbo switch here")

    def smt(self) -> Fact:
        """Whether two hardware threads share a core."""
        if (active := self.read(f"{_CPU}/smt/active")) is not None:
            return Fact(active == "1")
        return Fact(None, "the kernel exposes no SMT state here")

    def throttle_count(self) -> Fact:
        """Times that heat or power slowed a core since boot."""
        counts = self.read_all(f"{_CPU}/cpu[0-9]*/thermal_throttle/core_throttle_count")
        return Fact(sum(map(int, counts))) if counts else Fact(None, "no thermal throttle counters here")

    def clock_source(self) -> Fact:
        """What the kernel reads the time from."""
        source = self.read("sys/devices/system/clocksource/clocksource0/current_clocksource")
        return Fact(source) if source else Fact(None, "the kernel does not name its clock source here")

    def cgroup_cpus(self) -> Fact:
        """Processors' worth of time that the control group allows; the tightest limit on the way to the root."""
        limits = [limit for folder in self._cgroup_folders("cpu") if (limit := self._cpu_limit(folder)) is not None]
        return Fact(min(limits)) if limits else Fact(None, "no control-group CPU limit")

    def cgroup_throttled(self) -> Fact:
        """Times that the CPU limit stopped this control group."""
        for folder in self._cgroup_folders("cpu"):
            match = re.search(r"^nr_throttled (\d+)", self.read(f"{folder}/cpu.stat") or "", re.MULTILINE)
            if match:
                return Fact(int(match[1]))
        return Fact(None, "the control group counts no throttling")

    def cgroup_memory_bytes(self) -> Fact:
        """Bytes of memory that the control group allows."""
        texts = (
            self.read(f"{folder}/{name}")
            for folder in self._cgroup_folders("memory")
            for name in ("memory.max", "memory.limit_in_bytes")
        )
        limits = [int(text) for text in texts if text and text.isdigit() and int(text) < _UNLIMITED_BYTES]
        return Fact(min(limits)) if limits else Fact(None, "no control-group memory limit")

    def oom_kills(self) -> Fact:
        """Processes killed for memory so far: in our control group and those inside it, else on the whole machine."""
        names = [f"{folder}/{name}" for folder in self._cgroup_folders("memory") for name in _OOM_COUNTERS]
        for name in (*names, "proc/vmstat"):
            if match := re.search(r"^oom_kill (\d+)", self.read(name) or "", re.MULTILINE):
                return Fact(int(match[1]))
        return Fact(None, "the kernel counts no kills for memory here")

    def virtualization(self) -> Fact:
        """``container``, ``virtual machine (vendor)`` or both; None on bare metal."""
        found = [text for text in (self._container(), self._virtual_machine()) if text]
        return Fact(" in a ".join(found)) if found else Fact(None, "no sign of a container or virtual machine")

    def cpu_times(self, processors: Collection[int] | None = None) -> CpuTimes | None:
        """Processor time since boot, of all processors or of these; None where /proc/stat does not tell it of each."""
        lines = (self.read("proc/stat") or "").splitlines()
        told = {name: rest for name, _, rest in (line.partition(" ") for line in lines) if name.startswith("cpu")}
        names = ["cpu"] if processors is None else [f"cpu{number}" for number in processors]
        each = [times for name in names if (times := CpuTimes.of(told.get(name, ""))) is not None]
        if not each or len(each) < len(names):
            return None
        return CpuTimes(
            total=sum(t.total for t in each), steal=sum(t.steal for t in each), idle=sum(t.idle for t in each)
        )

    def frequencies_mhz(self, most: int = 16) -> Fact:
        """Current frequencies of up to so many processors, evenly spread, in MHz.

        Not of all: asking wakes each of them, and a large machine would take longer to answer than a short run.
        """
        paths = sorted(self.root.glob(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq"))
        texts = [self.read(str(path.relative_to(self.root))) for path in _spread(paths, most)]
        if kilohertz := [int(text) for text in texts if text]:
            return Fact([number / 1000 for number in kilohertz])
        found = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", self.read("proc/cpuinfo") or "", re.MULTILINE)
        if found:
            return Fact([float(text) for text in _spread(found, most)])
        return Fact(None, "neither cpufreq nor /proc/cpuinfo gives a frequency")

    def cpu_pressure_us(self) -> Fact:
        """Microseconds since boot in which a task that wanted to run had to wait (pressure stall information)."""
        match = re.search(r"^some .*total=(\d+)", self.read("proc/pressure/cpu") or "", re.MULTILINE)
        return Fact(int(match[1])) if match else Fact(None, "the kernel keeps no pressure figures here")

    def pci(self) -> Iterator[tuple[str, str]]:
        """Vendor and class of every PCI device, such as ``("0x10de", "0x030000")``."""
        for folder in sorted((self.root / "sys/bus/pci/devices").glob("*")):
            inside = folder.relative_to(self.root)
            yield self.read(f"{inside}/vendor") or "", self.read(f"{inside}/class") or ""

    def _cpuinfo(self) -> dict[str, str]:
        first = (self.read("proc/cpuinfo") or "").split("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        return {key.strip(): value.strip() for key, _, value in pairs}

    def _container(self) -> str | None:
        if name := self.read("run/systemd/container"):
            return f"container ({name})"
        marked = self.exists(".dockerenv") or self.exists("run/.containerenv")
        if marked or _CONTAINER_WORDS.search(self.read("proc/1/cgroup") or ""):
            return "container"
        return None

    def _virtual_machine(self) -> str | None:
        if "hypervisor" not in self._cpuinfo().get("flags", "").split():
            return None
        vendor = self.read("sys/class/dmi/id/sys_vendor")
        return f"virtual machine ({vendor})" if vendor else "virtual machine"

    def _cgroup_folders(self, controller: str) -> list[str]:
        """Folders of this process' control group, deepest first, for version 2 and 1 of the interface."""
        folders: list[str] = []
        for line in (self.read("proc/self/cgroup") or "").splitlines():
            _, controllers, path = [*line.split(":", 2), "", ""][:3]
            if controllers and controller not in controllers.split(","):
                continue
            base = Path("sys/fs/cgroup") / (controller if controllers else "")
            inside = base / path.lstrip("/")
            folders += [str(folder) for folder in (inside, *inside.parents) if folder.is_relative_to(base)]
        return folders

    def _cpu_limit(self, folder: str) -> float | None:
        if text := self.read(f"{folder}/cpu.max"):
            quota, _, period = text.partition(" ")
        else:
            quota = self.read(f"{folder}/cpu.cfs_quota_us") or "max"
            period = self.read(f"{folder}/cpu.cfs_period_us") or "100000"
        return None if quota in ("max", "-1") else int(quota) / int(period or 100_000)
