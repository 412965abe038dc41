"""Worker processes as the supervisor sees them: started fresh or forked from a template, waited for, ended.

Waiting never polls: a parent that spins beside the measured child takes a core from it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.errors import Unavailable

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_IMPORT_LIMIT_S = 300.0
_GRACE_S = 10.0


@dataclass(frozen=True)
class Exit:
    """How a process ended: by a code, by a signal's name, or (both None) unseen, with the template that ran it."""

    code: int | None = None
    signal: str | None = None

    @classmethod
    def from_code(cls, code: int) -> Exit:
        """From a return code in which signals are negative."""
        return cls(code=code) if code >= 0 else cls(signal=signal.Signals(-code).name)


UNSEEN = Exit()


class WorkerProcess(Protocol):
    """A worker on its way."""

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""

    def kill(self) -> None:
        """Ends its whole process group at once."""


def command(python: str | None, role: str, *arguments: str) -> list[str]:
    """The command line of a worker or template in the given interpreter (None: this one)."""
    return [python or sys.executable, str(_BOOTSTRAP), role, *arguments]


class SpawnedWorker:
    """A worker in a fresh interpreter. Its standard input is its lifeline: it ends when ours closes."""

    def __init__(self, python: str | None, request: Path, log: Path, environment: Mapping[str, str]) -> None:
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command(python, "worker", str(request)),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    start_new_session=True,
                )
        except OSError as error:
            raise Unavailable(f"the interpreter {python} cannot be started: {error.strerror}") from error
        # Popen.wait(timeout) polls; a thread in a plain wait does not.
        self._waiter = threading.Thread(target=self._process.wait, daemon=True)
        self._waiter.start()

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""
        self._waiter.join(timeout_s)
        if self._waiter.is_alive():
            return None
        if self._process.stdin is not None:
            self._process.stdin.close()
        return Exit.from_code(self._process.returncode)

    def kill(self) -> None:
        """Ends its whole process group at once."""
        kill_group(self._process.pid)


class Template:
    """A process that has imported one framework and forks its workers."""

    def __init__(self, python: str | None, framework: str, backend: str | None, environment: Mapping[str, str]) -> None:
        self._said = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the template)
        self._name = framework if backend is None else f"{framework} on {backend}"
        try:
            self._process = subprocess.Popen(
                command(python, "template", framework, backend or "-"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=dict(environment),
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise Unavailable(f"the interpreter {python} cannot be started: {error.strerror}") from error
        self.import_s = self._wait_until_ready()

    def _wait_until_ready(self) -> float:
        message = self._hear(_IMPORT_LIMIT_S)
        if message is not None and "ready" in message:
            return float(message["import_s"])
        reason = f"it was not imported within {_IMPORT_LIMIT_S:.0f} s" if message is None else message.get("failed")
        last_words = self.close()
        raise Unavailable(f"{self._name} cannot be imported: {reason or last_words}")

    @property
    def usable(self) -> bool:
        """Whether it still takes requests."""
        return self._process.poll() is None

    def start(self, request: Path, log: Path) -> ForkedWorker:
        """Forks a worker for a request.

        Raises:
            Unavailable: the template died in between.
        """
        line = json.dumps({"request": str(request), "log": str(log)}) + "\n"
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # heard as silence just below
        message = self._hear(_GRACE_S)
        if message is None or "started" not in message:
            raise Unavailable(f"the template of {self._name} ended: {self.close()}")
        return ForkedWorker(self, int(message["started"]))

    def hear_end(self, timeout_s: float) -> Exit | None:
        """How the current worker ended; None where it has not."""
        message = self._hear(timeout_s)
        if message is None:
            return None
        if "wait_status" not in message:
            return UNSEEN
        return Exit.from_code(os.waitstatus_to_exitcode(int(message["wait_status"])))

    def close(self) -> str:
        """Ends the template and a worker it may have; returns how it ended and its last words on standard error."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            self._process.wait()
        with self._errors as errors:
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip().splitlines()
        end = Exit.from_code(self._process.returncode)
        how = f"exit code {end.code}" if end.signal is None else end.signal
        return f"{how}: {words[-1]}" if words else how

    def _hear(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None after ``timeout_s``, an empty one where the template is gone."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._said:
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline_s - time.monotonic()))
            if not readable:
                return None
            heard = os.read(descriptor, 4096)
            if not heard:
                return {}
            self._said += heard
        line, self._said = self._said.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message


class ForkedWorker:
    """A worker forked from a template."""

    def __init__(self, template: Template, pid: int) -> None:
        self._template = template
        self._pid = pid

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""
        return self._template.hear_end(timeout_s)

    def kill(self) -> None:
        """Ends its whole process group at once."""
        kill_group(self._pid)


def kill_group(pid: int) -> None:
    """Kills a process group; a process that does not lead one yet is killed itself."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return
