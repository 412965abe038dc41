"""What else the machine did during a run: a look before the worker is asked, one after it has ended, nothing between.

Both looks are the supervisor's and read a few files of /proc and /sys. They lie outside the worker's life and so
outside every timed window; between them nobody polls. How much of the machine's work was the worker's, the kernel tells
whoever waited for its end.

What others and the host took is counted in processors, on those that the worker may use: of a large machine a share
hides the one that the worker had to share, and on a machine shared by affinity strangers elsewhere are nobody's loss.
Who computes on the other hardware thread of a core, or fills a cache or the memory bus, is not seen.

A GPU is looked at for runs that use one: before the worker is there and after it has gone whoever computes on it is a
stranger. For how long heat or power slowed it meanwhile, its own counters tell.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench.plan.gpus import Nvidia, NvidiaGpu, nvidia
from bench.plan.system import CpuTimes, Fact, SystemFiles
from bench.records import NoiseRecord
from bench.run.usage import Usage

_NO_STAT = "there is no /proc/stat here"
_NO_AFFINITY = "this system does not say which processors the run may use"
_NOT_ALL = "/proc/stat does not tell of each processor that the run may use"
_MOVED = "the processors that the run may use changed meanwhile"
_NO_WORD = "the worker vanished with its template, and nobody counted what it used"
_NO_TIME = "the run was too short for the kernel's clock"
_NO_GPU = "the run used no GPU"
_GPU_DOES_NOT_TELL = "the GPU's driver does not tell"

GPU_SLOWED_SHARE = 0.01
"""Share of a run for which heat or power may slow its GPU and the record still names neither."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The machine at one moment.

    Attributes:
        at_s: monotonic seconds.
        harness_cpu_s: processor time of this process so far, in seconds.
        load: load average over the last minute.
        times: processor time since boot, in jiffies, of all processors; None where it is not known.
        processors: those that the harness may use, and so its workers; None where it is not known.
        usable: the time of those alone; None where it is not known.
        frequencies_mhz: of some processors.
        thermal_throttles: since boot.
        limit_throttles: of our control group so far.
        pressure_us: microseconds since boot in which somebody waited for a processor.
        gpus: NVIDIA's; None where the run uses none.
    """

    at_s: float
    harness_cpu_s: float
    load: Fact
    times: CpuTimes | None
    processors: frozenset[int] | None
    usable: CpuTimes | None
    frequencies_mhz: Fact
    thermal_throttles: Fact
    limit_throttles: Fact
    pressure_us: Fact
    gpus: Nvidia | None = None


def look(files: SystemFiles | None = None, *, gpu: bool = False) -> Look:
    """Looks at the machine; takes about a millisecond, and 20 more for its GPUs."""
    files = files or SystemFiles()
    processors = _usable_processors()
    return Look(
        at_s=time.monotonic(),
        harness_cpu_s=time.process_time(),
        load=_load(),
        times=files.cpu_times(),
        processors=processors,
        usable=files.cpu_times(processors) if processors else None,
        frequencies_mhz=files.frequencies_mhz(),
        thermal_throttles=files.throttle_count(),
        limit_throttles=files.cgroup_throttled(),
        pressure_us=files.cpu_pressure_us(),
        gpus=nvidia() if gpu else None,
    )


def noise_between(before: Look, after: Look, used: Usage | None, *, ticks_per_s: float | None = None) -> NoiseRecord:
    """What happened between two looks.

    Args:
        before: the machine before the worker was asked.
        after: the machine after it had ended.
        used: what the kernel counted for the worker; None where nobody was told.
        ticks_per_s: jiffies per second; the system's own unless given.
    """
    period_s = after.at_s - before.at_s
    own_s = None if used is None else used.cpu_s + after.harness_cpu_s - before.harness_cpu_s
    own = None if own_s is None else own_s * (ticks_per_s or _ticks_per_s())
    everywhere, here = _passed_times(before.times, after.times, _NO_STAT), _passed_here(before, after)
    number = len(before.processors) if before.processors else os.cpu_count()
    facts = {
        "processors": Fact(number),
        "load_before": before.load,
        "load_after": after.load,
        "steal_share": _steal(everywhere),
        "others_share": _others(everywhere, own),
        "steal_processors": _worth(_steal(here), number),
        "others_processors": _worth(_others(here, own), number),
        "thermal_throttles": _passed(before.thermal_throttles, after.thermal_throttles),
        "limit_throttles": _passed(before.limit_throttles, after.limit_throttles),
        "cpu_pressure_share": _pressure(before, after, period_s),
        "involuntary_switches": Fact(used.involuntary_switches) if used else Fact(None, _NO_WORD),
        "major_faults": Fact(used.major_faults) if used else Fact(None, _NO_WORD),
    }
    facts |= _frequencies(before.frequencies_mhz, after.frequencies_mhz)
    facts |= _gpu(before.gpus, after.gpus, period_s)
    reasons = {name: fact.reason for name, fact in facts.items() if fact.value is None and fact.reason}
    values: dict[str, Any] = {name: fact.value for name, fact in facts.items()}
    return NoiseRecord(period_s=period_s, reasons=reasons, **values)


def _load() -> Fact:
    try:
        return Fact(round(os.getloadavg()[0], 2))
    except OSError:
        return Fact(None, "the system gives no load average")


def _usable_processors() -> frozenset[int] | None:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _ticks_per_s() -> float:
    return float(os.sysconf("SC_CLK_TCK"))


def _passed_here(before: Look, after: Look) -> Fact:
    """``CpuTimes`` of the processors that the run may use: its own time was spent on them and nowhere else."""
    if before.processors is None:
        return Fact(None, _NO_AFFINITY)
    if before.processors != after.processors:
        return Fact(None, _MOVED)
    return _passed_times(before.usable, after.usable, _NO_STAT if before.times is None else _NOT_ALL)


def _passed_times(before: CpuTimes | None, after: CpuTimes | None, otherwise: str) -> Fact:
    """``CpuTimes`` between two looks."""
    if before is None or after is None:
        return Fact(None, otherwise)
    passed = after.since(before)
    return Fact(passed) if passed.total > 0 else Fact(None, _NO_TIME)


def _steal(passed: Fact) -> Fact:
    return passed if passed.value is None else Fact(_share(passed.value.steal, passed.value.total))


def _others(passed: Fact, own: float | None) -> Fact:
    """The kernel counts in jiffies and the worker in microseconds, so a small share may come out below 0: it is 0.

    Args:
        passed: ``CpuTimes`` between two looks.
        own: jiffies of the worker and the harness; None where nobody counted them.
    """
    if passed.value is None:
        return passed
    return Fact(None, _NO_WORD) if own is None else Fact(_share(passed.value.busy - own, passed.value.total))


def _worth(share: Fact, processors: int | None) -> Fact:
    """A share of some processors' time as so many processors' worth of it."""
    return share if share.value is None or processors is None else Fact(share.value * processors)


def _share(part: float, whole: float) -> float:
    return min(max(part / whole, 0.0), 1.0)


def _passed(before: Fact, after: Fact) -> Fact:
    """How much a counter has grown."""
    if before.value is None or after.value is None:
        return Fact(None, before.reason or after.reason)
    return Fact(max(0, after.value - before.value))


def _pressure(before: Look, after: Look, period_s: float) -> Fact:
    waited = _passed(before.pressure_us, after.pressure_us)
    if waited.value is None:
        return waited
    return Fact(_share(waited.value / 1e6, period_s)) if period_s > 0 else Fact(None, _NO_TIME)


def _frequencies(before: Fact, after: Fact) -> dict[str, Fact]:
    seen = [*(before.value or []), *(after.value or [])]
    if not seen:
        nothing = Fact(None, before.reason or after.reason)
        return dict.fromkeys(("frequency_min_mhz", "frequency_mean_mhz", "frequency_max_mhz"), nothing)
    return {
        "frequency_min_mhz": Fact(min(seen)),
        "frequency_mean_mhz": Fact(round(fmean(seen), 1)),
        "frequency_max_mhz": Fact(max(seen)),
    }


def _gpu(before: Nvidia | None, after: Nvidia | None, period_s: float) -> dict[str, Fact]:
    if before is None or after is None:
        return _no_gpu(_NO_GPU)
    if not before.gpus or not after.gpus:
        return _no_gpu(before.reason or after.reason or _GPU_DOES_NOT_TELL)
    if len(before.gpus) > 1 or len(after.gpus) > 1:
        return _no_gpu(f"there are {len(before.gpus)} GPUs, and which of them the run used is not known")
    first, last = before.gpus[0], after.gpus[0]
    return {
        "gpu_clock_mhz": _told(last.sm_clock_mhz),
        "gpu_slowed_by": _slowed_by(first, last, period_s),
        "gpu_others": _told(_most(first.processes, last.processes)),
    }


def _no_gpu(reason: str) -> dict[str, Fact]:
    return dict.fromkeys(("gpu_clock_mhz", "gpu_slowed_by", "gpu_others"), Fact(None, reason))


def _told(value: int | None) -> Fact:
    return Fact(value, None if value is not None else _GPU_DOES_NOT_TELL)


def _most(first: int | None, last: int | None) -> int | None:
    return None if first is None or last is None else max(first, last)


def _slowed_by(first: NvidiaGpu, last: NvidiaGpu, period_s: float) -> Fact:
    """What held the clock down at a look or, by the counters, meanwhile. That nothing did, only the counters know."""
    shares = {
        "temperature": _slowed_share(first.slowed_by_heat_ns, last.slowed_by_heat_ns, period_s),
        "power": _slowed_share(first.slowed_by_power_ns, last.slowed_by_power_ns, period_s),
    }
    at_looks = " ".join((*first.slowed_by, *last.slowed_by))
    found = [what for what, share in shares.items() if (share or 0.0) > GPU_SLOWED_SHARE or what in at_looks]
    found += ["hardware"] if "hardware slowdown" in at_looks and not found else []
    if not found and None in shares.values():
        return Fact(None, "the GPU does not count for how long it was slowed")
    return Fact(", ".join(found) or "nothing")


def _slowed_share(before_ns: int | None, after_ns: int | None, period_s: float) -> float | None:
    if before_ns is None or after_ns is None or period_s <= 0:
        return None
    return (after_ns - before_ns) / 1e9 / period_s
