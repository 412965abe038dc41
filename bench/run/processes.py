"""Worker processes as the supervisor sees them: started fresh or forked from a template, waited for, ended.

Waiting never polls: a parent that spins beside the measured child takes a core from it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from bench.errors import NotInTime, Unavailable
from bench.run.keeping import UNSEEN, Exit, Kept, Messages
from bench.store.writer import storage_error

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_IMPORT_LIMIT_S = 300.0
_GRACE_S = 10.0
_NOT_ITS_OWN_DOING = ("SIGKILL", "SIGTERM")


_RAISE_IT = "raise protocol.timeout_s if that is too short"


class TemplateEnded(Exception):
    """A template that was there a moment ago is not any more; a new one may serve."""


class WorkerProcess(Protocol):
    """A worker on its way, at ``pid`` or below it."""

    pid: int

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""

    def kill(self) -> None:
        """Ends it and everything below it at once."""


def command(python: str | None, role: str, *arguments: str) -> list[str]:
    """The command line of a worker or template in the given interpreter (None: this one)."""
    return [python or sys.executable, str(_BOOTSTRAP), role, *arguments]


class SpawnedWorker:
    """A worker in a fresh interpreter, below a keeper of its own."""

    def __init__(self, python: str | None, request: Path, log: Path, environment: Mapping[str, str]) -> None:
        with open_log(log) as output:
            self._kept = Kept(
                command(python, "worker", str(request)),
                environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._kept.pid

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""
        return self._kept.wait(timeout_s)

    def kill(self) -> None:
        """Ends it and everything below it at once."""
        self._kept.end()


class Template:
    """A process that has imported one framework and forks its workers."""

    def __init__(
        self,
        python: str | None,
        framework: str,
        backend: str | None,
        environment: Mapping[str, str],
        limit_s: float = _IMPORT_LIMIT_S,
    ) -> None:
        """Starts it and waits until it has imported the framework, for ``limit_s`` seconds at most.

        Raises:
            Unavailable: the framework cannot be imported; ``NotInTime`` where it was not within the limit.
            TemplateEnded: somebody killed it meanwhile.
        """
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the template)
        self._last_words: str | None = None
        self._name = framework if backend is None else f"{framework} on {backend}"
        self._limit_s = min(limit_s, _IMPORT_LIMIT_S)
        try:
            self._kept = Kept(
                command(python, "template", framework, backend or "-"),
                environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        except BaseException:
            self._errors.close()
            raise
        assert self._kept.process.stdout is not None
        self._messages = Messages(self._kept.process.stdout.fileno())
        try:
            self.import_s = self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self) -> float:
        message = self._messages.next(self._limit_s)
        if message is not None and "ready" in message:
            return float(message["import_s"])
        if message is None:
            self.close()
            raise NotInTime(f"{self._name} was not imported within {self._limit_s:g} s", "", _RAISE_IT)
        end = self._kept.wait(_GRACE_S) or UNSEEN
        last_words = self.close()
        if "failed" not in message and end.signal in (None, *_NOT_ITS_OWN_DOING) and end.code is None:
            raise TemplateEnded(f"the template of {self._name} ended: {last_words}")
        raise Unavailable(f"{self._name} cannot be imported: {message.get('failed', last_words)}")

    @property
    def usable(self) -> bool:
        """Whether it still takes requests."""
        return self._last_words is None and self._kept.wait(0.0) is None

    def start(self, request: Path, log: Path) -> ForkedWorker:
        """Forks a worker for a request.

        Raises:
            TemplateEnded: it ended in between.
        """
        line = json.dumps({"request": str(request), "log": str(log)}) + "\n"
        try:
            assert self._kept.process.stdin is not None
            self._kept.process.stdin.write(line.encode())
            self._kept.process.stdin.flush()
        except BrokenPipeError:
            pass  # heard as silence just below
        message = self._messages.next(_GRACE_S)
        if message is None or "started" not in message:
            raise TemplateEnded(f"the template of {self._name} ended: {self.close()}")
        return ForkedWorker(self, int(message["started"]))

    def hear_end(self, timeout_s: float) -> Exit | None:
        """How the current worker ended; None where it has not."""
        message = self._messages.next(timeout_s)
        return None if message is None else Exit.from_message(message)

    def close(self) -> str:
        """Ends the template and a worker it may have; returns how it ended and its last words on standard error."""
        if self._last_words is None:
            end = self._kept.end()
            self._kept.close_pipes()
            self._last_words = self._read_last_words(end)
        return self._last_words

    def _read_last_words(self, end: Exit) -> str:
        with self._errors as errors:
            errors.seek(0)
            words = errors.read().decode(errors="replace").strip().splitlines()
        how = (end.signal or "SIGKILL") if end.code is None else f"exit code {end.code}"
        return f"{how}: {words[-1]}" if words else how


class ForkedWorker:
    """A worker forked from a template, which leaves nothing of it behind."""

    def __init__(self, template: Template, pid: int) -> None:
        self._template = template
        self.pid = pid

    def wait(self, timeout_s: float) -> Exit | None:
        """How it ended, or None where it is still running after ``timeout_s``."""
        end = self._template.hear_end(timeout_s)
        if end is UNSEEN:
            self._template.close()  # its keeper does then what it could not do any more
        return end

    def kill(self) -> None:
        """Ends it at once; the template ends what it had started."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def open_log(log: Path) -> IO[bytes]:
    """A worker's log, to be appended to.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        return log.open("ab")
    except OSError as error:
        raise storage_error(log, error) from error
