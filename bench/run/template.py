"""The template: a process that has imported a framework, initialised nothing, and forks a worker for every run.

A fork takes 0.1 s where an import takes seconds, and gives each run a process of its own all the same. It is safe only
because nothing here ever touches a device or starts a thread pool: a parent that has trained, or has merely listed its
devices, leaves every child hanging.

It speaks JSON lines. In: ``{"request": path, "log": path}``. Out: ``{"ready": true, "import_s": s}`` or
``{"failed": reason}`` once; for each request ``{"started": pid}`` and, when that worker has ended,
``{"wait_status": n, "rusage": {...}}`` as ``wait4`` gives them, the fork's own processor time added. Its keeper ends
it, with its worker, when the supervisor is gone.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

from bench.engines import catalogue
from bench.run import keeper, worker


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
    """Forks a worker per request line, and leaves nothing of it behind when it has ended."""
    keeper.adopt_orphans()
    template, number = os.getpid(), 0
    while line := _read_line():
        asked, number = json.loads(line), number + 1
        scratch = Path(tempfile.gettempdir()) / str(number)
        before_s = time.process_time()
        pid = os.fork()
        if pid == 0:
            become_worker(Path(asked["request"]), Path(asked["log"]), template, scratch, speaking)
        _say(speaking, started=pid)
        _, status, counted = os.wait4(pid, 0)
        forking_s = time.process_time() - before_s
        keeper.clear_up_after(pid)
        shutil.rmtree(scratch, ignore_errors=True)
        message = keeper.end_message(status, counted)
        message["rusage"]["ru_utime"] += forking_s
        _say(speaking, **message)


def become_worker(request: Path, log: Path, template: int, scratch: Path, speaking: int) -> NoReturn:
    """The forked child's whole life; ``speaking`` is the template's own."""
    code = 1
    try:
        os.setsid()
        keeper.die_with_parent(template)
        os.close(speaking)
        redirect(log)
        keep_temporary_files_in(scratch)
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


def keep_temporary_files_in(scratch: Path) -> None:
    """Gives this process a folder of its own for them, which the template removes."""
    scratch.mkdir()
    os.environ["TMPDIR"] = str(scratch)
    tempfile.tempdir = None


def redirect(log: Path) -> None:
    """Everything printed from here on, by Python or by C++, goes to the run's log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


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
