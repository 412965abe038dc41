"""The template: a process that has imported a framework, initialised nothing, and forks a worker for every run.

A fork takes 0.1 s where an import takes seconds, and gives each run a process of its own all the same. It is safe only
because nothing here ever touches a device or starts a thread pool: a parent that has trained, or has merely listed its
devices, leaves every child hanging.

It speaks JSON lines. In: ``{"request": path, "log": path}``. Out: ``{"ready": true, "import_s": s}`` or
``{"failed": reason}`` once; for each request ``{"started": pid}`` and, when that worker has ended,
``{"wait_status": n, "usage": {...}}`` as ``wait4`` gives them, the fork's own processor time added. It ends, with its
worker, when its standard input closes.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from bench.engines import catalogue
from bench.run import worker
from bench.run.usage import Usage

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Imports, then serves until standard input closes; arguments are the framework and its backend or ``-``."""
    framework, backend = arguments[0], None if arguments[1] == "-" else arguments[1]
    speaking = _take_over_stdout()
    began_ns = time.perf_counter_ns()
    try:
        import_everything(framework, backend)
    except Exception as error:  # whatever an import raises is why this framework is unavailable
        _say(speaking, failed=f"{type(error).__name__}: {error}")
        return 1
    _say(speaking, ready=True, import_s=(time.perf_counter_ns() - began_ns) / 1e9)
    serve(speaking)
    return 0


def import_everything(framework: str, backend: str | None) -> None:
    """Imports the framework and the engines, and moves it all out of the garbage collector's sight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engines = catalogue.variant(framework, backend).modules.values()
        for module in (*catalogue.template_modules(framework, backend), *engines):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise touch, and so copy, every page of the imports


def serve(speaking: int) -> None:
    """Forks a worker per request line."""
    template = os.getpid()
    while line := _read_line():
        asked = json.loads(line)
        with ends_of_children() as child_ended:
            before_s = time.process_time()
            pid = os.fork()
            if pid == 0:
                become_worker(Path(asked["request"]), Path(asked["log"]), template, (speaking, *child_ended))
            _say(speaking, started=pid)
            status, used = wait_or_end_with_parent(pid, child_ended[0])
            used = replace(used, cpu_s=used.cpu_s + time.process_time() - before_s)
            _say(speaking, wait_status=status, usage=used.plain())


@contextmanager
def ends_of_children() -> Iterator[tuple[int, int]]:
    """A pipe that can be read when a child has ended. Not a pidfd: Pythons built on old systems have none."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # Python writes to the pipe for signals that have a handler
    signal.set_wakeup_fd(writing)
    try:
        yield reading, writing
    finally:
        _forget_children()
        os.close(reading)
        os.close(writing)


def _forget_children() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def become_worker(request: Path, log: Path, template: int, templates_own: Iterable[int]) -> NoReturn:
    """The forked child's whole life; descriptors of the template's own are closed first."""
    code = 1
    try:
        os.setsid()
        die_with_parent(template)
        _forget_children()
        for descriptor in templates_own:
            os.close(descriptor)
        redirect(log)
        worker.work(worker.read_request(request), isolation="fork")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # a fork must never return into the template's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def die_with_parent(parent: int) -> None:
    """Asks Linux to kill this process when the template dies, and checks that it has not died already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def redirect(log: Path) -> None:
    """Everything printed from here on, by Python or by C++, goes to the run's log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def wait_or_end_with_parent(pid: int, child_ended: int) -> tuple[int, Usage]:
    """The worker's wait status and its usage; if standard input closes first, the worker is killed and so are we."""
    while True:
        readable, _, _ = select.select([child_ended, 0], [], [])
        ended, status, counted = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, Usage.of(counted)
        if 0 in readable:
            with suppress(ProcessLookupError):  # it has not made its group yet
                os.killpg(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os._exit(1)
        os.read(child_ended, 4096)  # a signal that was not the worker's end, such as its stopping


def _take_over_stdout() -> int:
    """The pipe to the supervisor, moved out of the way of everything that prints."""
    speaking = os.dup(1)
    os.dup2(2, 1)
    return speaking


def _say(speaking: int, **message: Any) -> None:
    os.write(speaking, (json.dumps(message) + "\n").encode())


def _read_line() -> bytes:
    """One line from standard input, unbuffered: a fork must not inherit half a request."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            return b""
        line += byte
    return line
