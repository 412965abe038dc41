"""Ends of the parent: every signal that ends a program, at every stage of a sweep."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.faults import checks
from tests.faults.fault import Fault, Strike
from tests.faults.sweeping import Ended, Parent, Scene

GROUP = "parent"
RESUME = "bench sweep --resume results/s"
RUNS = 4


def at(event: str, nth: int, *signals: int, recorded: int | None = None) -> Strike:
    """The parent gets signals right after an event; then so many runs have their record (None: not looked at)."""

    def strike(scene: Scene) -> Ended:
        ended = scene.sweep(plants=[["signal_at", event, nth, *signals]])
        found = len(scene.results())
        scene.observe("runs recorded", recorded in (None, found), f"{found}, not {recorded}")
        return ended

    return strike


def once(seen: Callable[[Scene], object], number: int) -> Strike:
    """The parent gets a signal as soon as something can be seen."""

    def strike(scene: Scene) -> Ended:
        parent = scene.begin()
        scene.wait_until(lambda: seen(scene), parent)
        scene.acknowledged |= checks.acknowledged(scene.folder)
        parent.send(number)
        return parent.wait()

    return strike


def in_report(scene: Scene) -> bool:
    """The tables are being written, figures and pages are still to come."""
    return scene.folder.tables.exists()


def _suspended(scene: Scene) -> Ended:
    parent = scene.begin()
    scene.wait_until(lambda: scene.has_happened("run_started"), parent)
    parent.send(signal.SIGSTOP)
    _wait_until_stopped(parent)
    parent.send(signal.SIGCONT)
    return parent.wait()


def _wait_until_stopped(parent: Parent) -> None:
    status = Path(f"/proc/{parent.pid}/stat")
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] not in "Tt":
        pass


def _while_planning(scene: Scene) -> Ended:
    ended = scene.sweep(plants=[["signal_in", "hydra_plugins.rounds_sweeper._core", "make_plan", signal.SIGINT]])
    scene.observe("nothing begun", not scene.folder.path.exists(), "there is a folder")
    return ended


FAULTS = [
    Fault(
        name="ctrl-c-planning",
        group=GROUP,
        what="Ctrl-C before anything was run",
        strike=_while_planning,
        code=130,
        words=("interrupted",),
        resume=None,
    ),
    Fault(
        name="ctrl-c-start",
        group=GROUP,
        what="Ctrl-C after the plan was written, before the first run",
        strike=at("sweep_started", 1, signal.SIGINT, recorded=0),
        code=130,
        words=("interrupted", RESUME),
    ),
    Fault(
        name="ctrl-c-run",
        group=GROUP,
        whole=True,
        what="Ctrl-C in a run: it is finished first",
        strike=at("run_started", 2, signal.SIGINT, recorded=2),
        code=130,
        words=("interrupted", "kept", RESUME),
    ),
    Fault(
        name="ctrl-c-twice",
        group=GROUP,
        what="Ctrl-C twice in a run: it is not waited for",
        strike=at("run_started", 2, signal.SIGINT, signal.SIGINT, recorded=1),
        code=130,
        words=("interrupted", RESUME),
    ),
    Fault(
        name="ctrl-c-between",
        group=GROUP,
        what="Ctrl-C as a run has been recorded",
        strike=at("run_finished", 2, signal.SIGINT, recorded=2),
        code=130,
        words=("interrupted", RESUME),
    ),
    Fault(
        name="ctrl-c-report",
        group=GROUP,
        what="Ctrl-C while the report is made",
        strike=once(in_report, signal.SIGINT),
        code=130,
        words=("interrupted", RESUME),
    ),
    Fault(
        name="term-start",
        group=GROUP,
        what="SIGTERM after the plan was written",
        strike=at("sweep_started", 1, signal.SIGTERM, recorded=0),
        code=143,
        words=("terminated", RESUME),
    ),
    Fault(
        name="term-run",
        group=GROUP,
        what="SIGTERM in a run",
        strike=at("run_started", 3, signal.SIGTERM, recorded=2),
        code=143,
        words=("terminated", "kept", RESUME),
    ),
    Fault(
        name="term-report",
        group=GROUP,
        whole=True,
        what="SIGTERM while the report is made",
        strike=once(in_report, signal.SIGTERM),
        code=143,
        words=("terminated", RESUME),
    ),
    Fault(
        name="usr1-run",
        group=GROUP,
        what="SIGUSR1 in a run, as schedulers warn",
        strike=at("run_started", 2, signal.SIGUSR1, recorded=1),
        code=143,
        words=("terminated", RESUME),
    ),
    Fault(
        name="hup-run",
        group=GROUP,
        what="the terminal is closed in a run",
        strike=at("run_started", 2, signal.SIGHUP, recorded=1),
        code=143,
        words=("terminated", RESUME),
    ),
    Fault(
        name="hup-nohup",
        group=GROUP,
        what="the same under nohup",
        strike=lambda scene: scene.sweep(plants=[["ignore_hangup"], ["signal_at", "run_started", 2, signal.SIGHUP]]),
        code=0,
    ),
    Fault(
        name="kill-start",
        group=GROUP,
        what="SIGKILL after the plan was written",
        strike=at("sweep_started", 1, signal.SIGKILL, recorded=0),
        code=-signal.SIGKILL,
        orderly=False,
    ),
    Fault(
        name="kill-run",
        group=GROUP,
        what="SIGKILL in a run",
        strike=at("run_started", 3, signal.SIGKILL, recorded=2),
        code=-signal.SIGKILL,
        orderly=False,
    ),
    Fault(
        name="kill-spawned-run",
        group=GROUP,
        what="SIGKILL in a run of a fresh interpreter",
        settings=("protocol.isolation=spawn",),
        strike=once(lambda scene: scene.has_happened("run_started", 2), signal.SIGKILL),
        code=-signal.SIGKILL,
        orderly=False,
    ),
    Fault(
        name="kill-between",
        group=GROUP,
        what="SIGKILL as a run has been recorded",
        strike=at("run_finished", 3, signal.SIGKILL, recorded=3),
        code=-signal.SIGKILL,
        orderly=False,
    ),
    Fault(
        name="kill-report",
        group=GROUP,
        whole=True,
        what="SIGKILL while the report is made",
        strike=once(in_report, signal.SIGKILL),
        code=-signal.SIGKILL,
        orderly=False,
    ),
    Fault(
        name="suspended",
        group=GROUP,
        what="Ctrl-Z and fg in a run",
        strike=_suspended,
        code=0,
    ),
    Fault(
        name="reader-left",
        group=GROUP,
        what="standard output is a pipe that nobody reads any more",
        strike=lambda scene: scene.sweep(plants=[["close_stdout"]]),
        code=0,
    ),
]
