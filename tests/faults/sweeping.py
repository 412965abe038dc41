"""Starts real sweeps in folders of their own: the smallest that have rounds, runs of several cells, and a report."""

from __future__ import annotations

import itertools
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.records import RunResult
from bench.store.layout import RunFolder, SweepFolder
from bench.store.reader import read_results
from tests.faults.warm import Request

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
MARK = "BENCH_FAULT_SCENE"
NAME = "s"

TINY = (
    "framework=reference", "device=cpu", "loop=eager", "batch_size=16,full", "budget=epochs2", "data.n=40",
    "protocol.rounds=2", "protocol.steady_min_s=0", "protocol.steady_min_epochs=1", "protocol.memory=false",
    "protocol.control=false", "protocol.parity_steps=0", f"sweep.name={NAME}",
)  # fmt: skip


class Hung(Exception):
    """A parent did not end in time; it was killed."""


@dataclass(frozen=True)
class Ended:
    """How a parent ended: its exit code, with signals as negative numbers, and what it said on both streams."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """Both streams, every run of white space one space."""
        return " ".join(f"{self.out} {self.err}".split())


class Warm:
    """The one process that parents are forked from (``tests.faults.warm``)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            bufsize=0,
            start_new_session=True,
        )
        self._said = b""
        self._ended: dict[int, int] = {}
        self._hear()

    def start(self, request: Request) -> int:
        """Forks a parent; returns its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(request.to_line())
        while "pid" not in (message := self._hear()):
            pass
        return int(message["pid"])

    def status(self, pid: int, deadline_s: float) -> int | None:
        """The wait status of a parent, None where it is still there at the deadline (monotonic seconds)."""
        while pid not in self._ended:
            if not self._hear(deadline_s):
                return None
        return self._ended[pid]

    def close(self) -> None:
        """Ends it."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()

    def _hear(self, deadline_s: float | None = None) -> dict[str, Any]:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._said:
                left = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
                if not selector.select(left):
                    return {}
                heard = os.read(self._process.stdout.fileno(), 65536)
                if not heard:
                    raise RuntimeError("the warm process has ended")
                self._said += heard
        line, self._said = self._said.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        if "ended" in message:
            self._ended[message["ended"]] = message["status"]
        return message


@dataclass
class Parent:
    """A ``bench`` on its way."""

    pid: int
    files: Path
    warm: Warm
    began_s: float = field(default_factory=time.monotonic)

    def send(self, number: int) -> None:
        """Sends a signal, if it is still there."""
        if self.warm.status(self.pid, 0.0) is None:
            os.kill(self.pid, number)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.warm.status(self.pid, 0.0) is None

    def wait(self, patience_s: float = PATIENCE_S) -> Ended:
        """Its end.

        Raises:
            Hung: there is none in time.
        """
        status = self.warm.status(self.pid, time.monotonic() + patience_s)
        if status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.warm.status(self.pid, time.monotonic() + patience_s)
            raise Hung(f"bench was still running after {patience_s:.0f} s: {self._read('.out')[-300:]}")
        code = os.waitstatus_to_exitcode(status)
        return Ended(code, self._read(".out"), self._read(".err"), time.monotonic() - self.began_s)

    def _read(self, suffix: str) -> str:
        path = self.files.with_name(self.files.name + suffix)
        return path.read_text(errors="replace") if path.exists() else ""


@dataclass
class Scene:
    """Where one fault happens: a folder, an environment and a temporary folder of its own.

    Attributes:
        root: everything lies below it; ``root / "at"`` is the working directory.
        settings: of its sweep.
        environment: variables beside those that every parent gets.
        pids: every parent that was started.
        acknowledged: hashes of records that must be there from now on.
        standing: what is planted in every parent.
        results_folder: where results go, in the working directory.
        observed: what the strike itself looked at: name, whether it was as expected, what was seen else.
    """

    root: Path
    warm: Warm
    settings: tuple[str, ...] = TINY
    environment: dict[str, str] = field(default_factory=dict)
    pids: list[int] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    standing: tuple[tuple[Any, ...], ...] = ()
    results_folder: str = "results"
    observed: list[tuple[str, bool, str]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        for path in (self.at, self.temporary, self.said):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def at(self) -> Path:
        """The working directory of its parents."""
        return self.root / "at"

    @property
    def temporary(self) -> Path:
        """What they are told to use for temporary files."""
        return self.root / "tmp"

    @property
    def said(self) -> Path:
        """What they print."""
        return self.root / "said"

    @property
    def folder(self) -> SweepFolder:
        """The sweep's folder."""
        return SweepFolder(self.at / self.results_folder / NAME)

    @property
    def mark(self) -> str:
        """The value of the variable ``MARK`` by which its processes are known."""
        return str(self.root)

    def observe(self, name: str, passed: bool, failure: str = "") -> None:
        """Notes what a strike looked at."""
        self.observed.append((name, passed, failure))

    def start(self, *arguments: str, plants: Sequence[Sequence[Any]] = ()) -> Parent:
        """Starts ``bench ARGUMENTS``."""
        files = self.said / str(next(self._numbers))
        request = Request(
            arguments=list(arguments),
            folder=str(self.at),
            environment=self._environment(),
            out=str(files),
            plants=[list(plant) for plant in (*self.standing, *plants)],
        )
        parent = Parent(self.warm.start(request), files, self.warm)
        self.pids.append(parent.pid)
        return parent

    def bench(self, *arguments: str, plants: Sequence[Sequence[Any]] = ()) -> Ended:
        """Runs ``bench ARGUMENTS`` to its end."""
        return self.start(*arguments, plants=plants).wait()

    def sweep(self, *more: str, plants: Sequence[Sequence[Any]] = ()) -> Ended:
        """Runs its sweep to its end."""
        return self.bench("sweep", *self.settings, *more, plants=plants)

    def begin(self, *more: str, plants: Sequence[Sequence[Any]] = ()) -> Parent:
        """Starts its sweep."""
        return self.start("sweep", *self.settings, *more, plants=plants)

    def resume(self, *more: str, plants: Sequence[Sequence[Any]] = ()) -> Ended:
        """Goes on with its sweep."""
        return self.bench("sweep", "--resume", str(self.folder.path), *more, plants=plants)

    def results(self) -> list[RunResult]:
        """Every record there is."""
        return read_results(self.folder) if self.folder.runs.is_dir() else []

    def events(self) -> list[dict[str, Any]]:
        """The lines of the journal that can be read."""
        events = []
        lines = self.folder.journal.read_bytes().splitlines() if self.folder.journal.exists() else []
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                events.append(event)
        return events

    def wait_until(self, seen: Callable[[], object], parent: Parent) -> None:
        """Waits until something can be seen of a parent.

        Raises:
            Hung: it never could.
        """
        deadline_s = time.monotonic() + PATIENCE_S
        while not seen():
            if time.monotonic() > deadline_s or not parent.running:
                raise Hung("bench ended, or waited, before what was waited for could be seen")
            time.sleep(0.01)

    def has_happened(self, event: str, times: int = 1) -> bool:
        """Whether the journal tells of an event, so many times."""
        return [one.get("event") for one in self.events()].count(event) >= times

    def first_run(self) -> RunFolder:
        """The run that comes first in the plan."""
        plain = json.loads(self.folder.sweep_json.read_text())
        return self.folder.run(plain["rounds"][0][0], 0)

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ}
        return kept | {
            MARK: self.mark,
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            **self.environment,
        }


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder outside the repository that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-faults-", ignore_cleanup_errors=True) as path:
        yield Path(path).resolve()
