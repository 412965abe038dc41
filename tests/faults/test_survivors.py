"""Nothing outlives the supervisor: whatever its workers were doing, its SIGKILL ends them and clears up behind them.

A supervisor in a process of its own is killed. All that it ever started carries a mark in its environment, so that
what left its group, its session and its parent is found as well.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from bench.cell import Cell
from bench.run.supervisor import close_templates, run_cell
from bench.store.layout import SweepFolder
from tests.faults import interpreters as faults
from tests.faults.cells import make_cell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

SLOW = pytest.mark.faults
ISOLATIONS = ("fork", "spawn")
FORK_SOON, SPAWN_SOON = (
    [pytest.param(isolation, marks=() if isolation == soon else SLOW) for isolation in ISOLATIONS]
    for soon in ISOLATIONS
)
"""Both isolations, of which one is always tried and the other by ``make faults``."""
MARK = "BENCH_TEST_SUPERVISOR"
# What was killed is gone at once, but a crowded machine may take long to say so.
WITHIN_S = 60.0
_SUPERVISOR = """
import json, sys
from pathlib import Path
from bench.cell import Cell
from bench.run.supervisor import run_cell
from bench.store.layout import SweepFolder

cell = Cell(**(vars(Cell.from_plain(json.loads(sys.argv[2]))) | {"python": sys.argv[3] or None}))
for round_ in range(int(sys.argv[4])):
    run_cell(SweepFolder(Path(sys.argv[1])), cell, round_=round_, order_in_round=0)
    print(round_, flush=True)
"""


class Supervisor:
    """A supervisor in a process of its own, and the places where it may leave something."""

    def __init__(self, path: Path, cell: Cell, rounds: int = 1) -> None:
        self.mark = str(path)
        self.temporary = path / "tmp"
        for folder in (path / "sweep", self.temporary):
            folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SUPERVISOR, path / "sweep", json.dumps(cell.to_plain()), cell.python or "",
             str(rounds)],
            env=os.environ | {MARK: self.mark, "TMPDIR": str(self.temporary), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        )  # fmt: skip

    def started(self) -> list[psutil.Process]:
        """Everything alive that it has started."""
        return [process for process in psutil.process_iter() if self._carries_mark(process)]

    def kill(self) -> None:
        """Ends it as nobody can prepare for."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _carries_mark(self, process: psutil.Process) -> bool:
        try:
            alive = process.pid != self.process.pid and process.status() != psutil.STATUS_ZOMBIE
            return alive and process.environ().get(MARK) == self.mark
        except psutil.Error:
            return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    supervisors: list[Supervisor] = []

    def started(cell: Cell, **arguments: Any) -> Supervisor:
        (tmp_path / str(len(supervisors))).mkdir()
        supervisors.append(Supervisor(tmp_path / str(len(supervisors)), cell, **arguments))
        return supervisors[-1]

    yield started
    for supervisor in supervisors:
        supervisor.kill()
        for process in supervisor.started():
            process.kill()


def wait_until(what: Callable[[], Any]) -> None:
    """Fails after a time that no machine needs."""
    deadline = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < deadline, "it did not come to it"
        time.sleep(0.02)


def marked(fault: str, marker: Path) -> str:
    """The fault, announced by a file."""
    return f"Path({str(marker)!r}).touch(); {fault}"


def assert_nothing_is_left(supervisor: Supervisor) -> None:
    wait_until(lambda: not supervisor.started())
    wait_until(lambda: not list(supervisor.temporary.iterdir()))


@pytest.mark.parametrize("isolation", SPAWN_SOON)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.HANG_WITH_THE_LOCK, id="holds Python's lock"),
        pytest.param(faults.STOP_WITH_CHILD_APART, id="stopped, with a child in a session of its own", marks=SLOW),
        pytest.param(faults.HANG_WITH_DAEMON, id="with a daemon", marks=SLOW),
        pytest.param(f"{faults.SCRATCH}; {faults.SPIN}", id="spins, with temporary files", marks=SLOW),
    ],
)
def test_a_worker_does_not_outlive_its_supervisor(
    start: Callable[..., Supervisor], tmp_path: Path, isolation: str, fault: str
) -> None:
    marker = tmp_path / "there"
    python = faults.faulty_python(tmp_path / "bad", marked(fault, marker))
    supervisor = start(make_cell(protocol={"isolation": isolation}, python=python))
    wait_until(marker.exists)
    assert supervisor.started()
    supervisor.kill()
    assert_nothing_is_left(supervisor)


@pytest.mark.parametrize("isolation", FORK_SOON)
def test_nor_does_it_where_everything_was_stopped(
    start: Callable[..., Supervisor], tmp_path: Path, isolation: str
) -> None:
    marker = tmp_path / "there"
    python = faults.faulty_python(tmp_path / "bad", marked(faults.HANG_WITH_CHILD_APART, marker))
    supervisor = start(make_cell(protocol={"isolation": isolation}, python=python))
    wait_until(marker.exists)
    for pid in (*(process.pid for process in supervisor.started()), supervisor.process.pid):
        os.kill(pid, signal.SIGSTOP)
    supervisor.kill()
    assert_nothing_is_left(supervisor)


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    "end", [pytest.param(faults.KILL, id="killed"), pytest.param(faults.HANG, id="hangs", marks=SLOW)]
)
def test_no_shared_memory_outlives_a_worker(folder: SweepFolder, tmp_path: Path, isolation: str, end: str) -> None:
    python = faults.faulty_python(tmp_path / "bad", f"{faults.SHARE}; {end}")
    cell = make_cell(protocol={"isolation": isolation, "timeout_s": 3.0}, python=python)
    assert run_cell(folder, cell, round_=0, order_in_round=0).status.failed
    lines = folder.run(cell.id, 0).log.read_text().splitlines()
    names = [line.split()[1] for line in lines if line.startswith("shares ")]
    assert len(names) == 2
    assert not [name for name in names if Path("/dev/shm", name).exists()]


@pytest.mark.parametrize("isolation", FORK_SOON)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("#!/bin/sh\ntouch {marker}\nsleep 3600\n", id="no Python", marks=SLOW),
        pytest.param(
            "#!{python}\nimport ctypes, pathlib\npathlib.Path({marker!r}).touch()\nctypes.PyDLL(None).sleep(3600)\n",
            id="holds Python's lock",
        ),
    ],
)
def test_an_import_does_not_outlive_the_supervisor(
    start: Callable[..., Supervisor], tmp_path: Path, isolation: str, text: str
) -> None:
    marker = tmp_path / "there"
    python = faults.script(tmp_path / "bad", text.format(marker=str(marker), python=sys.executable))
    supervisor = start(make_cell(protocol={"isolation": isolation}, python=python))
    wait_until(marker.exists)
    supervisor.kill()
    assert_nothing_is_left(supervisor)


@SLOW
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_at_no_moment_does_anything_outlive_it(start: Callable[..., Supervisor], isolation: str) -> None:
    random = Random(5)
    for _ in range(4):
        supervisor = start(make_cell(protocol={"isolation": isolation}), rounds=1000)
        assert supervisor.process.stdout is not None
        assert supervisor.process.stdout.readline()  # it has imported all it needs and is at its second run
        time.sleep(random.uniform(0, 0.3))
        supervisor.kill()
        assert_nothing_is_left(supervisor)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SweepFolder]:
    (tmp_path / "sweep").mkdir()
    yield SweepFolder(tmp_path / "sweep")
    close_templates()


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(f"{faults.SCRATCH}; {faults.KILL_WITH_CHILD_APART}", id="killed"),
        pytest.param(f"{faults.SCRATCH}; {faults.KILL_TEMPLATE_WITH_CHILD_APART}", id="its parent killed"),
        pytest.param(f"{faults.SCRATCH}; {faults.HANG_WITH_DAEMON}", id="ended for its time", marks=SLOW),
    ],
)
def test_nothing_outlives_a_worker(
    folder: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str, fault: str
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv(MARK, str(tmp_path))
    python = faults.faulty_python(tmp_path / "bad", fault)
    cell = make_cell(protocol={"isolation": isolation, "timeout_s": 3.0}, python=python)
    assert run_cell(folder, cell, round_=0, order_in_round=0).status.failed
    close_templates()
    wait_until(lambda: not marked_processes(tmp_path))
    assert not list((tmp_path / "tmp").iterdir())


def marked_processes(path: Path) -> list[int]:
    """What this process started for a test and is still alive."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(MARK) == str(path)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
