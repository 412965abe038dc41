"""What goes wrong inside a parent: planted from outside before it starts, so that the harness has no switch for tests.

Each function patches what every program stands on: the calls of the operating system, or the journal's own word of
where the sweep is.
"""

from __future__ import annotations

import errno
import importlib
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

from bench.store.layout import SweepFolder
from tests.faults import steps


def die_at(folder: str, number: int, half: bool = False) -> None:
    """SIGKILL before the storage step of that number below the folder, or after half the bytes of a write."""

    def die(step: steps.Step, count: int) -> int | None:
        if count != number:
            return None
        if half and step.size:
            return step.size // 2
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    steps.watch(folder, die, then=lambda: os.kill(os.getpid(), signal.SIGKILL))


def count_steps(folder: str, into: str) -> None:
    """Writes the name of every storage step below the folder to a file outside it, one a line."""
    descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    write = os.write

    def note(step: steps.Step, _count: int) -> None:
        write(descriptor, f"{step.verb} {int(step.size > 1)} {step.path}\n".encode())

    steps.watch(folder, note)


def refuse_writes(folder: str, error: str, first: int, names: str = "") -> None:
    """Every write below the folder from the ``first`` on fails with the named error; of those paths only."""
    number = getattr(errno, error)
    seen = 0

    def refuse(step: steps.Step, _count: int) -> None:
        nonlocal seen
        if names not in step.path or (error == "ENOSPC" and step.verb not in ("write", "open", "mkdir")):
            return
        seen += 1
        if seen >= first:
            raise OSError(number, os.strerror(number), step.path)

    steps.watch(folder, refuse)


def no_report() -> None:
    """The sweep makes no report: for faults of the records, by the hundred."""
    from bench.report import build, terminal

    build.build_report = lambda *_a, **_k: None
    terminal.print_summary = lambda *_a, **_k: None


def signal_at(event: str, nth: int, *signals: int) -> None:
    """The parent gets signals right after it has journalled the nth event of that name."""
    _at(event, nth, lambda: _send(signals))


def signal_in(module: str, function: str, number: int) -> None:
    """The parent gets a signal as it calls a function."""
    room = importlib.import_module(module)
    call = getattr(room, function)

    def interrupted(*arguments: Any, **named: Any) -> Any:
        os.kill(os.getpid(), number)
        return call(*arguments, **named)

    setattr(room, function, interrupted)


def pause_at(event: str, nth: int, until: str) -> None:
    """The parent waits right after the nth event of that name until a file is there: time for somebody else to come."""

    def wait() -> None:
        deadline_s = time.monotonic() + 60
        while not os.path.exists(until) and time.monotonic() < deadline_s:
            time.sleep(0.02)

    _at(event, nth, wait)


def remove_at(event: str, nth: int, folder: str) -> None:
    """Somebody removes a folder right after the nth event of that name."""
    _at(event, nth, lambda: shutil.rmtree(folder))


def fill_at(event: str, nth: int, folder: str, left_bytes: int) -> None:
    """Somebody fills the disk of a folder, but for so many bytes, right after the nth event of that name."""

    def fill() -> None:
        free = shutil.disk_usage(folder).free
        with open(os.path.join(folder, "ballast"), "wb") as file:
            file.write(bytes(max(0, free - left_bytes)))

    _at(event, nth, fill)


def refuse_writes_at(event: str, nth: int, folder: str, error: str) -> None:
    """From the nth event of that name on, every storage step below the folder fails with the named error."""
    _at(event, nth, lambda: refuse_writes(folder, error, 1))


def _send(signals: tuple[int, ...]) -> None:
    for number in signals:
        os.kill(os.getpid(), number)


def _at(awaited: str, nth: int, act: Callable[[], object]) -> None:
    from bench.store import journal

    append = journal.append
    seen = 0

    def telling(folder: SweepFolder, event: str, **details: Any) -> None:
        nonlocal seen
        append(folder, event, **details)
        seen += event == awaited
        if seen == nth and event == awaited:
            act()

    journal.append = telling


def close_stdout() -> None:
    """Whoever read standard output has left."""
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    os.close(writing)


def limit_file_size(most_bytes: int) -> None:
    """No file grows beyond that (EFBIG): a quota, for real."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def ignore_hangup() -> None:
    """As ``nohup`` starts a program."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def limit_memory(most_bytes: int) -> None:
    """As ``ulimit -v`` starts a program: it and all below it may address so much."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))


def import_within(seconds: float) -> None:
    """A template that has not imported its framework by then is given up, after seconds instead of minutes."""
    from bench.run import processes

    processes._IMPORT_LIMIT_S = seconds


def other_software(package: str, version: str) -> None:
    """As if that package had been installed in another version since."""
    from bench.plan.machine import software

    def pretended(*arguments: Any, **named: Any) -> Any:
        found = software(*arguments, **named)
        return found | {"packages": found["packages"] | {package: version}}

    _everywhere("software", pretended)


def other_machine() -> None:
    """As if the folder had been carried to a machine with another processor."""
    from bench.plan.machine import machine

    def pretended(*arguments: Any, **named: Any) -> Any:
        return machine(*arguments, **named) | {"processor": "Another Processor 9000", "hostname": "elsewhere"}

    _everywhere("machine", pretended)


def _everywhere(name: str, pretended: Any) -> None:
    """In every module that has asked for it by its name."""
    for room in ("bench.plan.machine", "bench.sweep.record", "bench.sweep.resuming"):
        module = importlib.import_module(room)
        if hasattr(module, name):
            setattr(module, name, pretended)
