"""The keeper: a small process above every worker, template and probe, which leaves nothing of it behind.

``python -I -S keeper.py LIFELINE SCRATCH COMMAND...`` starts the command and sleeps, at no cost to what is measured,
until the command has ended or the lifeline (a descriptor of a pipe or socket to the supervisor) hangs up, which it does
whatever killed the supervisor. Then everything below it is killed: also what was stopped, holds Python's lock for
minutes, made a session of its own or lost its parent. Linux hands such orphans to the keeper (a subreaper, prctl(2)),
and kills the command when the keeper itself dies. The command's scratch folder is removed last.

It runs in the harness's own interpreter and imports nothing of this package, so it is there before the framework's
interpreter is, whatever that turns out to be. Where the lifeline is a socket it says how the command fares, in
lines of JSON: ``{"started": pid}`` and ``{"wait_status": n, "rusage": {...}}`` as ``wait4`` gives them, or
``{"not_started": reason}``.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_GRACE_S, _CLEARING_LIMIT_S = 0.5, 4.0
_SHARED_MEMORY = "/dev/shm"
_RUSAGE = ("ru_utime", "ru_stime", "ru_maxrss", "ru_majflt", "ru_nivcsw")


def main(arguments: Sequence[str]) -> NoReturn:
    """Starts the command, sees it and all below it to their end, and ends as it did."""
    lifeline, scratch, command = _own(int(arguments[0])), arguments[1], arguments[2:]
    _ask_kernel(_PR_SET_CHILD_SUBREAPER, 1)
    # Somebody may have stopped this process with all the others; then the lifeline's end would go unnoticed.
    _ask_kernel(_PR_SET_PDEATHSIG, signal.SIGCONT)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # Python writes to the pipe for signals that have a handler
    signal.set_wakeup_fd(wakes)
    pid, complaint = start(command)
    if pid is None:
        _tell(lifeline, not_started=complaint)
        _remove(scratch)
        os._exit(127)
    _tell(lifeline, started=pid)
    status, counted = _see_to_its_end(pid, lifeline, woken)
    clear_up_after(pid)
    _remove(scratch)
    _tell(lifeline, **end_message(status, counted))
    if sys.platform != "linux":
        os.killpg(0, signal.SIGKILL)
    _end_like(status)


def _own(lifeline: int) -> int:
    """The lifeline as a descriptor that the command does not inherit, not even as its standard input."""
    if lifeline != 0:
        os.set_inheritable(lifeline, False)
        return lifeline
    own = os.dup(0)
    _let_go_of(0)
    return own


def start(command: Sequence[str]) -> tuple[int | None, str]:
    """The pid of the command, which dies with this process; or None and why it cannot be started."""
    keeper = os.getpid()
    reading, writing = os.pipe()  # closed by a successful exec
    pid = os.fork()
    if pid == 0:
        _become(command, keeper, writing)
    os.close(writing)
    complaint = os.read(reading, 4096).decode()
    os.close(reading)
    if complaint:
        os.waitpid(pid, 0)
        return None, complaint
    _let_go_of(0, 1)
    return pid, ""


def _become(command: Sequence[str], keeper: int, complaints: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        # Python ignores some signals, and so would what it starts.
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(keeper)
        os.execvp(command[0], list(command))
    except OSError as error:
        os.write(complaints, (error.strerror or str(error)).encode())
    finally:
        os._exit(127)


def die_with_parent(parent: int) -> None:
    """Asks Linux to kill this process when its parent dies, and checks that it has not died already."""
    _ask_kernel(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Asks Linux to make this process the parent of what below it loses its own."""
    _ask_kernel(_PR_SET_CHILD_SUBREAPER, 1)


def clear_up_after(pid: int) -> None:
    """Leaves nothing of a process that has ended and was a child of this one; at once where there is nothing.

    What it had started is adopted by now. It gets a moment to end by itself, because what Python shares between
    processes is removed by a helper as soon as its owner is gone; then it is killed.
    """
    began_s = time.monotonic()
    while _reap() and (waited_s := time.monotonic() - began_s) < _CLEARING_LIMIT_S:
        if waited_s > _GRACE_S:
            _kill_all_below()
        time.sleep(0.005)
    _remove_shared_memory(pid)


def _kill_all_below() -> None:
    for pid in descendants(os.getpid()):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _remove_shared_memory(pid: int) -> None:
    """Libraries name theirs by their process, and remove it at an orderly end only (Intel's OpenMP, PyTorch)."""
    with suppress(OSError):
        for name in os.listdir(_SHARED_MEMORY):
            if name.startswith((f"__KMP_REGISTERED_LIB_{pid}_", f"torch_{pid}_")):
                os.unlink(f"{_SHARED_MEMORY}/{name}")


def descendants(pid: int) -> list[int]:
    """All processes below one, zombies left out; none where there is no /proc."""
    below: dict[int, list[int]] = {}
    for child, parent in _living():
        below.setdefault(parent, []).append(child)
    found, to_visit = list[int](), [pid]
    while to_visit:
        children = below.get(to_visit.pop(), [])
        found += children
        to_visit += children
    return found


def _living() -> Iterator[tuple[int, int]]:
    """Every process and its parent."""
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                # It may end as it is looked at. Its own name, in parentheses, may hold anything.
                with suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
                    if state != b"Z":
                        yield int(name), int(parent)


def _reap() -> bool:
    """Takes note of children that have ended; says whether there are others."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def _see_to_its_end(pid: int, lifeline: int, woken: int) -> tuple[int, Any]:
    """The command's wait status and usage; where the lifeline ends first, the command is killed."""
    watched = select.poll()
    watched.register(woken, select.POLLIN)
    watched.register(lifeline, select.POLLIN | select.POLLHUP)
    while True:
        events = watched.poll()
        ended, status, counted = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, counted
        if any(descriptor == lifeline for descriptor, _ in events):
            os.kill(pid, signal.SIGKILL)
            _, status, counted = os.wait4(pid, 0)
            return status, counted
        os.read(woken, 4096)  # another child's end, an orphan's: reaped with the rest


def _ask_kernel(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def end_message(status: int, counted: Any) -> dict[str, Any]:
    """How a process ended, for the supervisor; from what ``wait4`` gave."""
    return {"wait_status": status, "rusage": {name: getattr(counted, name) for name in _RUSAGE}}


def _let_go_of(*descriptors: int) -> None:
    """Who reads from the command or writes to it shall notice that it is gone, though this process is not."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _tell(lifeline: int, **message: Any) -> None:
    with suppress(OSError):  # a pipe cannot be written to from here, and nobody may be there any more
        os.write(lifeline, (json.dumps(message) + "\n").encode())


def _remove(scratch: str) -> None:
    if scratch:
        import shutil

        shutil.rmtree(scratch, ignore_errors=True)


def _end_like(status: int) -> NoReturn:
    """Ends this process as another one ended: by the same signal or with the same code."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the other's core, if any, is the one of interest
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        code = 128 - code
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
