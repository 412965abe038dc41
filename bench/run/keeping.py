"""The supervisor's side of a keeper: a command started below one, heard of and ended through the lifeline.

Whatever ends the supervisor closes the lifeline, and with it goes everything that the command has started.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from bench.errors import StorageError, Unavailable
from bench.run.usage import Usage

_KEEPER = Path(__file__).with_name("keeper.py")
_START_LIMIT_S = 60.0
_END_LIMIT_S = 10.0


@dataclass(frozen=True)
class Exit:
    """How a process ended: by a code, by a signal's name, or (both None) unseen, with the process that watched it.

    ``usage`` is what the kernel counted for it, None where nobody was told.
    """

    code: int | None = None
    signal: str | None = None
    usage: Usage | None = field(default=None, compare=False)

    @classmethod
    def from_code(cls, code: int, usage: Usage | None = None) -> Exit:
        """From a return code in which signals are negative."""
        return cls(code=code, usage=usage) if code >= 0 else cls(signal=signal_name(-code), usage=usage)

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Exit:
        """From a keeper's or a template's ``{"wait_status": n, "rusage": {...}}``; ``UNSEEN`` where it says nothing."""
        if "wait_status" not in message:
            return UNSEEN
        usage = Usage.of(SimpleNamespace(**message["rusage"]))
        return cls.from_code(os.waitstatus_to_exitcode(int(message["wait_status"])), usage)


UNSEEN = Exit()


def signal_name(number: int) -> str:
    """Such as ``SIGKILL``; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Messages:
    """Lines of JSON from a descriptor, waited for without polling."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._said = b""

    def next(self, timeout_s: float) -> dict[str, Any] | None:
        """The next one; None after ``timeout_s``, an empty one where nobody speaks any more.

        Lines that are none are passed over: an interpreter's start-up files may print what they like.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            line = self._next_line(deadline_s)
            if not line:
                return None if line is None else {}
            with suppress(ValueError, RecursionError):
                message = json.loads(line)
                if isinstance(message, dict):
                    return message

    def _next_line(self, deadline_s: float) -> bytes | None:
        """With its end; None after the deadline, nothing where nobody speaks any more."""
        while b"\n" not in self._said:
            readable, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline_s - time.monotonic()))
            if not readable:
                return None
            heard = os.read(self._descriptor, 4096)
            if not heard:
                return b""
            self._said += heard
        line, end, self._said = self._said.partition(b"\n")
        return line + end


class Kept:
    """A command below a keeper, in a session of its own, with a folder of its own for temporary files.

    Attributes:
        pid: of the keeper, which leads the process group.
        scratch: the folder; the keeper removes it.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], **descriptors: Any) -> None:
        """Starts it.

        Raises:
            Unavailable: there is no such interpreter, or it cannot be executed.
            StorageError: there is no place for temporary files.
        """
        check_interpreter(command[0])
        self._end: Exit | None = None
        self.scratch = _scratch()
        self._lifeline, theirs = socket.socketpair()
        with theirs:
            try:
                self.process = subprocess.Popen(
                    keeper_command(theirs.fileno(), self.scratch, command),
                    bufsize=0,  # what a dead template did not take must not be tried again when its pipe is closed
                    env={**environment, "TMPDIR": self.scratch},
                    start_new_session=True,
                    pass_fds=[theirs.fileno()],
                    **descriptors,
                )
            except OSError as error:
                self._forget()
                raise Unavailable(f"{sys.executable} cannot be started: {error.strerror}") from error
        self.pid = self.process.pid
        self._messages = Messages(self._lifeline.fileno())
        self._wait_for_start(command[0])

    def wait(self, timeout_s: float) -> Exit | None:
        """How the command ended, after everything below it has; None where it is still there after ``timeout_s``."""
        if self._end is None:
            message = self._messages.next(timeout_s)
            if message is None:
                return None
            self._close(Exit.from_message(message))
        return self._end

    def end(self) -> Exit:
        """Ends the command and everything below it, if it has not ended; how it ended."""
        if self._end is None:
            with suppress(OSError):
                self._lifeline.shutdown(socket.SHUT_WR)
        end = self.wait(_END_LIMIT_S)
        if end is not None:
            return end
        kill_group(self.pid)
        self._close(UNSEEN)
        return UNSEEN

    def _wait_for_start(self, interpreter: str) -> None:
        try:
            message = self._messages.next(_START_LIMIT_S) or {}
            if "started" not in message:
                reason = message.get("not_started", "its keeper ended")
                raise Unavailable(f"the interpreter {interpreter} cannot be started: {reason}")
        except BaseException:
            self.end()
            self.close_pipes()
            raise

    def close_pipes(self) -> None:
        """Closes our ends of the command's standard input and output, where they are pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _close(self, end: Exit) -> None:
        if end is UNSEEN:  # only a keeper that died itself leaves anything behind
            end_group(self.pid)
            end_all_with(self.scratch)
        self.process.wait()
        self._end = end
        self._forget()

    def _forget(self) -> None:
        self._lifeline.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def keeper_command(lifeline: int, scratch: str, command: Sequence[str]) -> list[str]:
    """The command line of a command below a keeper."""
    return [sys.executable, "-I", "-S", str(_KEEPER), str(lifeline), scratch, *command]


def check_interpreter(python: str) -> None:
    """Makes sure that there is something to execute.

    Raises:
        Unavailable: there is not.
    """
    if shutil.which(python) is not None:
        return
    why = "it may not be executed" if Path(python).exists() else "there is no such file"
    raise Unavailable(
        f"the interpreter {python} cannot be started: {why}", "", "name an interpreter with framework.python"
    )


def _scratch() -> str:
    try:
        return tempfile.mkdtemp(prefix="bench-scratch-")
    except OSError as error:
        raise StorageError(
            f"no folder for temporary files can be made: {error.strerror or error}",
            "workers and their compilers need one",
            "free some space there, or name another folder in the variable TMPDIR",
        ) from error


def end_all_with(scratch: str) -> None:
    """Kills what was started with its temporary files in a folder: all that was below one keeper, and nothing else."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TMPDIR", "").startswith(scratch):
                process.kill()


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
