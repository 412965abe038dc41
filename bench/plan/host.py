"""What the planning side asks of the machine, behind one object, so that tests can hand in a machine of their own."""

from __future__ import annotations

import errno
import functools
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import bench
from bench.plan.gpus import Nvidia, nvidia
from bench.plan.system import SystemFiles

ASK_TIMEOUT_S = 60.0
_END_LIMIT_S = 10.0
_KEEPER = Path(bench.__file__).parent / "run" / "keeper.py"


@dataclass(frozen=True)
class Finished:
    """A command that ended, or (``code`` None) was ended because its time was up."""

    code: int | None
    output: str = ""
    errors: str = ""

    @property
    def last_words(self) -> str:
        """How it ended and the last line it wrote to standard error."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        code = self.code or 0
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        return f"{how}: {lines[-1]}" if lines else how


def run_bounded(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Finished:
    """Runs a command in a process group of its own, which is killed as a whole when the time is up.

    A keeper (``bench/run/keeper.py``) stands above it, so that it ends with us, whatever ends us. Its output goes to
    files: a pipe that a grandchild keeps open would be waited for beyond the time limit.

    Raises:
        OSError: the command cannot be started.
    """
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), "0", "", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env=dict(environment),
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        return Finished(code, _text(output), _text(errors))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its keeper kills everything below it when the pipe closes; the group is killed in case that one is gone."""
    if process.stdin is not None:
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_LIMIT_S)
    with suppress(ProcessLookupError, PermissionError):  # all gone already (macOS says it the second way)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def has_module(name: str) -> bool:
    """Whether this interpreter could import a top-level package; nothing is imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # already imported, without a spec
        return True


def clean_environment(inherited: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of a framework's process: ours without what would tune it behind our back, and ``variables``.

    Launchers change thread counts (joblib's workers do), so every ``*_NUM_THREADS`` is dropped and set anew.
    """
    not_ours = ("PYTHONPATH", "PYTHONWARNINGS", "KERAS_BACKEND")
    kept = {
        name: value for name, value in inherited.items() if not name.endswith("_NUM_THREADS") and name not in not_ours
    }
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"} | dict(variables)


@dataclass(frozen=True, eq=False)
class Host:
    """The machine and this interpreter's packages.

    Attributes:
        system: as ``platform.system()``.
        architecture: as ``platform.machine()``.
        files: /dev, /proc and /sys.
        environ: the environment variables.
        nvidia: asks the NVIDIA driver.
        has_module: whether this interpreter could import a package.
        run: runs a command within a time limit.
    """

    system: str
    architecture: str
    files: SystemFiles = field(default_factory=SystemFiles)
    environ: Mapping[str, str] = field(default_factory=dict)
    nvidia: Callable[[], Nvidia] = nvidia
    has_module: Callable[[str], bool] = has_module
    run: Callable[[Sequence[str], Mapping[str, str], float], Finished] = run_bounded


class InterpreterError(Exception):
    """An interpreter that cannot be asked; the text says why."""


def ask_interpreter(host: Host, python: str, code: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Runs a few lines in another interpreter and returns the JSON object they print last.

    Raises:
        InterpreterError: the interpreter is missing, broken, silent or no Python.
    """
    if shutil.which(python) is None:
        raise InterpreterError(f"the interpreter {python} does not exist or may not be run")
    try:
        finished = host.run([python, "-c", code, *arguments], clean_environment(host.environ, {}), ASK_TIMEOUT_S)
    except OSError as error:
        raise InterpreterError(f"the interpreter {python} cannot be started ({error.strerror})") from error
    if finished.code is None:
        raise InterpreterError(f"the interpreter {python} did not answer within {ASK_TIMEOUT_S:.0f} s")
    try:
        answer: dict[str, Any] = json.loads(finished.output.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise InterpreterError(f"the interpreter {python} is broken or no Python ({finished.last_words})") from error
    return answer


@functools.cache
def this_host() -> Host:
    """The machine we run on."""
    return Host(system=platform.system(), architecture=platform.machine(), environ=os.environ)
