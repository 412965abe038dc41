"""What else uses this machine at the moment, measured for about a second."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from bench.doctor.findings import Finding, note, ok, warning
from bench.plan.system import CpuTimes
from bench.text import size_text

_BUSY_PERCENT = 10.0
_LOAD_NOTE, _LOAD_WARNING = 0.25, 0.75
_STEAL_WARNING = 0.005
_JITTER_NOTE, _JITTER_WARNING = 0.05, 0.25
_LOOP_S = 0.001
_READS = 1000
_SLOW_READ_NS = 1000


@dataclass(frozen=True)
class BusyProcess:
    """Another process and its share of one processor, in percent."""

    name: str
    pid: int
    percent: float


@dataclass(frozen=True)
class Jitter:
    """The same busy loop of about 1 ms, timed many times: seconds."""

    median_s: float
    p95_s: float
    worst_s: float

    @property
    def excess(self) -> float:
        """How far the 95th percentile lies above the median, as a share of it."""
        return self.p95_s / self.median_s - 1


@dataclass(frozen=True)
class Clock:
    """What reading the clock costs, and the smallest step it was seen to make: nanoseconds."""

    read_ns: float
    step_ns: int


def load(load_1min: float, usable: int) -> Finding:
    """Load average against the processors we may use."""
    text = f"{load_1min:.2f} over the last minute on {usable} processors"
    share = load_1min / usable
    if share < _LOAD_NOTE:
        return ok("load", text)
    finding = warning if share >= _LOAD_WARNING else note
    return finding("load", text, "wait until other programs have finished")


def steal(before: CpuTimes | None, after: CpuTimes | None) -> Finding:
    """Time that a virtual machine's host gave to others while we wanted to run."""
    if before is None or after is None:
        return note("steal", "not known: there is no /proc/stat here")
    passed = after.total - before.total
    share = (after.steal - before.steal) / passed if passed else 0.0
    text = f"{share:.1%} of processor time while measured"
    if share > _STEAL_WARNING:
        return warning(
            "steal", text, "other machines on this host take time: use dedicated processors, or another hour"
        )
    return ok("steal", text)


def busy_processes(busy: Sequence[BusyProcess]) -> Finding:
    """Other processes that computed while we looked."""
    if not busy:
        return ok("other processes", f"none above {_BUSY_PERCENT:.0f} % of a processor")
    first = ", ".join(f"{process.name} ({process.pid}) {process.percent:.0f} %" for process in busy[:3])
    more = f" and {len(busy) - 3} more" if len(busy) > 3 else ""
    return warning("other processes", f"{first}{more}", "end them or wait: they take cores, cache and memory bandwidth")


def swap(used_bytes: int, moved_bytes: int) -> Finding:
    """Swapping stops a process for milliseconds."""
    if moved_bytes:
        return warning("swap", "memory is being swapped now", "end what fills the memory")
    if used_bytes:
        return note("swap", f"{size_text(used_bytes)} in use, quiet at the moment", "keep enough memory free")
    return ok("swap", "none in use")


def jitter(measured: Jitter) -> Finding:
    """How much a busy 1 ms loop is disturbed."""
    text = (
        f"a {measured.median_s * 1e3:.1f} ms loop takes {measured.excess:+.0%} at the 95th percentile, "
        f"at worst {measured.worst_s * 1e3:.1f} ms"
    )
    if measured.excess < _JITTER_NOTE:
        return ok("timer test", text)
    finding = warning if measured.excess >= _JITTER_WARNING else note
    return finding("timer test", text, "something interrupts this processor: see load, steal and other processes")


def clock(measured: Clock, source: str | None) -> Finding:
    """A clock that the kernel must be asked for costs more to read than a short step."""
    text = f"{source or 'unknown source'}, {measured.read_ns:.0f} ns to read, steps of {measured.step_ns} ns"
    if max(measured.read_ns, measured.step_ns) < _SLOW_READ_NS:
        return ok("clock", text)
    return warning("clock", text, "boot with clocksource=tsc where the processor allows it")


def find_busy(wait: Callable[[], None]) -> list[BusyProcess]:
    """Other processes that computed during ``wait``, busiest first."""
    watched = [process for process in psutil.process_iter(["name"]) if process.pid != os.getpid()]
    for process in watched:
        _percent(process)
    wait()
    shares = (BusyProcess(process.info["name"] or "?", process.pid, _percent(process)) for process in watched)
    busy = [process for process in shares if process.percent >= _BUSY_PERCENT]
    return sorted(busy, key=lambda process: -process.percent)


def _percent(process: psutil.Process) -> float:
    """Share of one processor since the last call; a process that has ended, or is not ours to ask, counts as idle."""
    try:
        return process.cpu_percent()
    except psutil.Error:
        return 0.0


def measure_jitter(loops: int = 300, now_ns: Callable[[], int] = time.perf_counter_ns) -> Jitter:
    """Times the same arithmetic many times over."""
    turns = _turns_per_loop(now_ns)
    seconds = sorted(_timed(turns, now_ns) for _ in range(loops))
    return Jitter(statistics.median(seconds), seconds[int(0.95 * (loops - 1))], seconds[-1])


def _turns_per_loop(now_ns: Callable[[], int]) -> int:
    """Turns that take about 1 ms, from the fastest of a few tries."""
    trial = 10_000
    fastest_s = min(_timed(trial, now_ns) for _ in range(5))
    return max(1, round(trial * _LOOP_S / fastest_s))


def _timed(turns: int, now_ns: Callable[[], int]) -> float:
    began_ns = now_ns()
    for _ in range(turns):
        pass
    return (now_ns() - began_ns) / 1e9


def measure_clock(now_ns: Callable[[], int] = time.perf_counter_ns) -> Clock:
    """Reads the clock many times in a row."""
    readings = [now_ns() for _ in range(_READS)]
    steps = [later - earlier for earlier, later in itertools.pairwise(readings)]
    forward = [step for step in steps if step > 0]
    return Clock(read_ns=(readings[-1] - readings[0]) / len(steps), step_ns=min(forward, default=0))
