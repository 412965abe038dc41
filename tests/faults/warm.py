"""A process that has imported the harness and becomes ``bench`` whenever asked: the real parent without its imports.

A fault takes two or three sweeps, and a sweep's imports take longer than its runs. So they are imported once, and every
parent is a fork in a session, folder, environment and temporary folder of its own, which then runs ``bench.cli.main``
and ends as any interpreter does. Nothing else happens in this process, so that a fork has nothing to inherit.

In: one line of JSON per parent, a ``Request``. Out: ``{"pid": n}`` at once, ``{"ended": n, "status": s}`` later.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from typing import Any

IMPORTED = (
    "bench.app",
    "bench.cli",
    "bench.report.build",
    "bench.report.terminal",
    "bench.analysis.precision",
    "hydra_plugins.rounds_sweeper._core",
    "sklearn.datasets",
    "tests.faults.planting",
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One parent.

    Attributes:
        arguments: what stands after ``bench``.
        folder: its working directory.
        environment: all of it.
        out: the file for standard output and, beside it, standard error.
        plants: calls of ``tests.faults.planting`` to be made first, each a name and its arguments.
    """

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    out: str
    plants: list[list[Any]] = field(default_factory=list)

    def to_line(self) -> bytes:
        """As ``from_line`` reads it."""
        return (json.dumps(asdict(self)) + "\n").encode()

    @classmethod
    def from_line(cls, line: bytes) -> Request:
        """What ``to_line`` wrote."""
        return cls(**json.loads(line))


def main() -> int:
    """Serves until standard input closes; in a fork, the whole life of a parent."""
    speaking = os.dup(1)
    os.dup2(2, 1)
    for name in IMPORTED:
        importlib.import_module(name)
    _say(speaking, ready=True)
    request = _serve(speaking)
    return 0 if request is None else _be(request)


def _serve(speaking: int) -> Request | None:
    """Forks; returns the request in every fork, and None once nobody asks any more."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    asked = b""
    while True:
        readable, _, _ = select.select([0, reading], [], [])
        if reading in readable:
            os.read(reading, 4096)
            _tell_ends(speaking)
        if 0 not in readable:
            continue
        heard = os.read(0, 65536)
        if not heard:
            return None
        *lines, asked = (asked + heard).split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, which sweeps would inherit
                for descriptor in (speaking, reading, writing):
                    os.close(descriptor)
                return Request.from_line(line)
            _say(speaking, pid=pid)


def _tell_ends(speaking: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say(speaking, ended=pid, status=status)


def _be(request: Request) -> int:
    """Becomes the parent that was asked for."""
    os.setsid()
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    tempfile.tempdir = None
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, f"{request.out}.out", os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, f"{request.out}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["bench", *request.arguments]
    from bench import cli
    from tests.faults import planting

    for name, *arguments in request.plants:
        getattr(planting, name)(*arguments)
    return cli.main(request.arguments)


def _say(speaking: int, **message: Any) -> None:
    os.write(speaking, (json.dumps(message) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
