"""Watches over one worker: waits without spinning, and ends what takes too long or has stopped to work.

A worker shows signs of life between its epochs. An epoch of ten million steps, a long compile or a large data set gives
none for minutes, so that before a worker counts as stalled it is asked whether it has used its processor meanwhile:
one look per ``protocol.stall_s``, from outside, costs the measured process nothing. What spins without end is left to
``protocol.timeout_s``.

Where this process itself was stopped for a while (Ctrl-Z, a container that was frozen), that while counts for neither
limit: the worker may have been stopped with it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.cell import ProtocolSpec
from bench.run.heartbeat import last_beat_s, phase_in_words
from bench.run.keeping import UNSEEN, Exit
from bench.run.processes import WorkerProcess

_WORKING_SHARE = 0.01
"""Least share of one processor, since the last look, that counts as working."""
_END_LIMIT_S = 30.0
_OVERSLEPT_S = 5.0
"""A wait that ends so much too late was stopped itself; a loaded machine is not as late."""


def see_to_its_end(process: WorkerProcess, protocol: ProtocolSpec, heartbeat: Path) -> tuple[Exit, str | None]:
    """Waits for a worker; ends it where it takes too long, or shows no sign of life for too long.

    Returns:
        How it ended, and why it had to be ended (None where it ended by itself).
    """
    deadline_s = time.monotonic() + protocol.timeout_s
    life = _SignsOfLife(process.pid, heartbeat, protocol.stall_s)
    try:
        while True:
            now_s = time.monotonic()
            if now_s >= deadline_s:
                return _end(process), _why_ended("still running after", "timeout_s", protocol.timeout_s, heartbeat)
            if life.stalled(now_s):
                return _end(process), _why_ended("no sign of progress for", "stall_s", protocol.stall_s, heartbeat)
            patience_s = max(0.01, min(deadline_s, life.due_s) - now_s)
            end = process.wait(patience_s)
            if end is not None:
                return end, None
            waited_s = time.monotonic() - now_s
            if waited_s - patience_s > _OVERSLEPT_S:
                deadline_s += waited_s  # nobody knows when it was stopped
                life.resume()
    except BaseException:
        _end(process)
        raise


def _why_ended(what: str, setting: str, limit_s: float, heartbeat: Path) -> str:
    limit = f"{what} protocol.{setting} = {limit_s:g} s"
    return f"{limit}, in {phase_in_words(heartbeat)}: raise protocol.{setting} if that is too short"


class _SignsOfLife:
    """When a worker last showed that it works: by its heartbeat, else by the processor time it has used."""

    def __init__(self, pid: int, heartbeat: Path, stall_s: float) -> None:
        self._pid = pid
        self._heartbeat = heartbeat
        self._stall_s = stall_s
        self.resume()

    @property
    def due_s(self) -> float:
        """When to look next."""
        return self._last_s + self._stall_s

    def resume(self) -> None:
        """Looks from now on; nothing is known of what was before."""
        self._last_s = self._looked_s = time.monotonic()
        self._used_s = processor_times_s(self._pid)

    def stalled(self, now_s: float) -> bool:
        """Whether nothing has been seen of it for too long."""
        self._last_s = max(self._last_s, min(now_s, last_beat_s(self._heartbeat)))
        if now_s < self.due_s:
            return False
        if self._has_worked(now_s):
            self._last_s = now_s
        return now_s >= self.due_s

    def _has_worked(self, now_s: float) -> bool:
        used_s, before_s = processor_times_s(self._pid), self._used_s
        since_s = now_s - self._looked_s
        self._used_s, self._looked_s = used_s, now_s
        return used_since_s(before_s, used_s) >= _WORKING_SHARE * since_s


ProcessorTimes = dict[tuple[int, float], float]
"""Seconds by process: its number and when it was made, for numbers come again."""


def processor_times_s(pid: int) -> ProcessorTimes:
    """Processor time of a process and of each below it (compilers, for example); empty where it is gone."""
    try:
        process = psutil.Process(pid)
        family = (process, *process.children(recursive=True))
    except psutil.Error:
        return {}
    times_s: ProcessorTimes = {}
    for member in family:
        with suppress(psutil.Error):  # ended meanwhile, or another user's
            # User and system, its own and that of the children it has seen the end of.
            times_s[member.pid, member.create_time()] = sum(member.cpu_times()[:4])
    return times_s


def used_since_s(before_s: ProcessorTimes, now_s: ProcessorTimes) -> float:
    """What was used between two looks. A process that ended between them takes nothing away from the others."""
    return sum(max(0.0, used_s - before_s.get(process, 0.0)) for process, used_s in now_s.items())


def _end(process: WorkerProcess) -> Exit:
    process.kill()
    return process.wait(_END_LIMIT_S) or UNSEEN
