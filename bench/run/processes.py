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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from bench.errors import Unavailable
from bench.run.usage import Usage
from bench.store.writer import storage_error

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_IMPORT_LIMIT_S = 300.0
_GRACE_S = 10.0


@dataclass(frozen=True)
class Exit:
    """How a process ended: by a code, by a signal's name, or (both None) unseen, with the template that ran it.

    ``usage`` is what the kernel counted for it, None where nobody was told.
    """

    code: int | None = None
    signal: str | None = None
    usage: Usage | None = field(default=None, compare=False)

    @classmethod
    def from_code(cls, code: int, usage: Usage | None = None) -> Exit:
        """From a return code in which signals are negative."""
        return cls(code=code, usage=usage) if code >= 0 else cls(signal=signal_name(-code), usage=usage)


UNSEEN = Exit()


class TemplateEnded(Exception):
    """A template that was there a moment ago is not any more; a new one may serve."""


class WorkerProcess(Protocol):
    """A worker on its way; ``pid`` leads its process group."""

    pid: int

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""

    def kill(self) -> None:
        """Ends its whole process group at once."""


def command(python: str | None, role: str, *arguments: str) -> list[str]:
    """The command line of a worker or template in the given interpreter (None: this one)."""
    return [python or sys.executable, str(_BOOTSTRAP), role, *arguments]


def launch(
    python: str | None, role: str, *arguments: str, environment: Mapping[str, str], **descriptors: Any
) -> subprocess.Popen[bytes]:
    """Starts an interpreter in a session of its own, its standard input a pipe from us.

    Raises:
        Unavailable: there is no such interpreter.
    """
    try:
        return subprocess.Popen(
            command(python, role, *arguments),
            bufsize=0,  # what a dead template did not take must not be tried again when its pipe is closed
            stdin=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            **descriptors,
        )
    except OSError as error:
        raise Unavailable(f"the interpreter {python or sys.executable} cannot be started: {error.strerror}") from error


class SpawnedWorker:
    """A worker in a fresh interpreter. Its standard input is its lifeline: it ends when ours closes."""

    def __init__(self, python: str | None, request: Path, log: Path, environment: Mapping[str, str]) -> None:
        with open_log(log) as output:
            self._process = launch(
                python, "worker", str(request), environment=environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid
        self._before, self._after = Usage.of_children(), Usage.of_children()
        # Popen.wait(timeout) polls; a thread in a plain wait does not. It is not joined: a join that Ctrl-C interrupts
        # takes the thread for ended (Python 3.11 and 3.12).
        self._ended = threading.Event()
        threading.Thread(target=self._wait_for_end, daemon=True).start()

    def _wait_for_end(self) -> None:
        self._process.wait()
        self._after = Usage.of_children()  # at once: what ends later, such as a template, is not this worker's
        self._ended.set()

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""
        if not self._ended.wait(timeout_s):
            return None
        if self._process.stdin is not None:
            self._process.stdin.close()
        end_group(self.pid)
        return Exit.from_code(self._process.returncode, self._after.since(self._before))

    def kill(self) -> None:
        """Ends its whole process group at once."""
        kill_group(self.pid)


class Template:
    """A process that has imported one framework and forks its workers."""

    def __init__(self, python: str | None, framework: str, backend: str | None, environment: Mapping[str, str]) -> None:
        self._said = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the template)
        self._last_words: str | None = None
        self._name = framework if backend is None else f"{framework} on {backend}"
        try:
            self._process = launch(
                python,
                "template",
                framework,
                backend or "-",
                environment=environment,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except Unavailable:
            self._errors.close()
            raise
        try:
            self.import_s = self._wait_until_ready()
        except BaseException:
            self.close()
            raise

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
        return self._last_words is None and self._process.poll() is None

    def start(self, request: Path, log: Path) -> ForkedWorker:
        """Forks a worker for a request.

        Raises:
            TemplateEnded: it ended in between.
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
            raise TemplateEnded(f"the template of {self._name} ended: {self.close()}")
        return ForkedWorker(self, int(message["started"]))

    def hear_end(self, timeout_s: float) -> Exit | None:
        """How the current worker ended; None where it has not."""
        message = self._hear(timeout_s)
        if message is None:
            return None
        if "wait_status" not in message:
            return UNSEEN
        return Exit.from_code(os.waitstatus_to_exitcode(int(message["wait_status"])), Usage(**message["usage"]))

    def close(self) -> str:
        """Ends the template and a worker it may have; returns how it ended and its last words on standard error."""
        if self._last_words is None:
            self._end()
            self._last_words = self._read_last_words()
        return self._last_words

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            self._process.wait()

    def _read_last_words(self) -> str:
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
        self.pid = pid

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""
        end = self._template.hear_end(timeout_s)
        if end is not None:
            end_group(self.pid)
        return end

    def kill(self) -> None:
        """Ends its whole process group at once."""
        kill_group(self.pid)


def open_log(log: Path) -> IO[bytes]:
    """A worker's log, to be appended to.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        return log.open("ab")
    except OSError as error:
        raise storage_error(log, error) from error


def kill_group(pid: int) -> None:
    """Kills a process group; a process that does not lead one yet is killed itself."""
    if not end_group(pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def end_group(pid: int) -> bool:
    """Kills what there is of a process group, if only what its leader left behind; says whether there was anything."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS answers the second for a group of zombies
        return False
    return True


def signal_name(number: int) -> str:
    """Such as ``SIGKILL``; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
