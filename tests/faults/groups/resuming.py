"""Resumes that must do nothing, must be refused, or come at a bad time; two sweeps in one folder."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from tests.faults import checks, interpreters
from tests.faults.fault import Fault, Strike
from tests.faults.groups.damage import finished
from tests.faults.groups.workers import faulty
from tests.faults.sweeping import Ended, Scene

GROUP = "resume"
LIMITS = ("protocol.rounds=10", "protocol.precision=0.0001", "protocol.max_rounds=12", "batch_size=16")


def once_finished(*arguments: str, plants: Sequence[Sequence[Any]] = ()) -> Strike:
    """A sweep that has finished is gone on with."""

    def strike(scene: Scene) -> Ended:
        finished(scene)
        scene.acknowledged = checks.acknowledged(scene.folder)
        ended = scene.resume(*arguments, plants=plants)
        _nothing_changed(scene)
        return ended

    return strike


def again(*more: str, plants: Sequence[Sequence[Any]] = ()) -> Strike:
    """The same name is asked for again, with other settings beside it."""

    def strike(scene: Scene) -> Ended:
        finished(scene)
        scene.acknowledged = checks.acknowledged(scene.folder)
        ended = scene.sweep(*more, plants=plants)
        _nothing_changed(scene)
        return ended

    return strike


def _nothing_changed(scene: Scene) -> None:
    changed = checks.changed(scene.acknowledged, scene.folder, may_be_aside=False)
    scene.observe("no record touched", not changed, ", ".join(changed[:3]))
    scene.observe("no run more", len(scene.results()) == 4, f"{len(scene.results())} of 4")


def _retried_in_vain(scene: Scene) -> Ended:
    """What is retried fails again: both records are there, one of them aside."""
    lasting = faulty(scene, interpreters.RAISE_MEMORY)
    scene.sweep(lasting, plants=[["no_report"]])
    scene.acknowledged = checks.acknowledged(scene.folder)
    (scene.root / "struck").unlink()
    ended = scene.resume("--retry", "oom")
    aside = list(scene.folder.runs.glob("*/r0/aside/1/result.json"))
    scene.observe("the first record is aside", bool(aside), "there is none")
    return ended


def _killed_in_resume(scene: Scene) -> Ended:
    scene.sweep(plants=[["no_report"], ["signal_at", "run_started", 2, signal.SIGKILL]])
    scene.acknowledged = checks.acknowledged(scene.folder)
    return scene.resume(plants=[["signal_at", "run_finished", 1, signal.SIGKILL]])


def _interrupted_in_added_round(scene: Scene) -> Ended:
    ended = scene.sweep(plants=[["no_report"], ["signal_at", "run_started", 11, signal.SIGTERM]])
    scene.observe("a round was added", scene.has_happened("round_added"), "none was announced")
    return ended


def _second_sweep(scene: Scene) -> Ended:
    """A second sweep comes while the first one is in a run."""
    go_on = scene.root / "go-on"
    first = scene.begin(plants=[["no_report"], ["pause_at", "run_started", 2, str(go_on)]])
    scene.wait_until(lambda: scene.has_happened("run_started", 2), first)
    second = scene.resume()
    named = str(first.pid) in second.said
    scene.observe("says who", named, f"does not name process {first.pid}: {second.said[-200:]}")
    go_on.touch()
    ended = first.wait()
    scene.observe("first goes on", ended.code == 0, f"{ended.code}: {ended.said[-200:]}")
    return second


def _report_meanwhile(scene: Scene) -> Ended:
    go_on = scene.root / "go-on"
    first = scene.begin(plants=[["no_report"], ["pause_at", "run_started", 3, str(go_on)]])
    scene.wait_until(lambda: scene.has_happened("run_started", 3), first)
    report = scene.bench("report", str(scene.folder.path))
    go_on.touch()
    ended = first.wait()
    scene.observe("the sweep goes on", ended.code == 0, f"{ended.code}: {ended.said[-200:]}")
    return report


def _stale_lock(scene: Scene) -> Ended:
    finished(scene)
    scene.first_run().result.unlink()
    scene.folder.lock.write_text("999999999\n")
    return scene.resume()


def _budget(scene: Scene) -> Ended:
    ended = scene.sweep("sweep.budget_s=0.001")
    scene.observe("says so in the journal", scene.has_happened("sweep_stopped"), "no sweep_stopped")
    return ended


def refused(name: str, what: str, strike: Strike, words: tuple[str, ...], **more: Any) -> Fault:
    """Exit code 2, and nothing is touched; a resume without the mistake then finds nothing to do."""
    return Fault(name=name, group=GROUP, what=what, strike=strike, code=2, words=words, reports=False, **more)


def _nowhere(scene: Scene) -> Ended:
    return scene.bench("sweep", "--resume", "results/nowhere")


def _no_sweep(scene: Scene) -> Ended:
    (scene.at / "results" / "empty").mkdir(parents=True)
    ended = scene.bench("sweep", "--resume", "results/empty")
    scene.observe("nothing written", not any((scene.at / "results" / "empty").iterdir()), "something was")
    return ended


FAULTS = [
    Fault(
        name="nothing-to-do",
        group=GROUP,
        what="a finished sweep is resumed",
        strike=once_finished(),
        code=0,
        words=("4 of 4 runs",),
    ),
    Fault(
        name="same-command",
        group=GROUP,
        what="the same command again, finished or not",
        strike=again(),
        code=0,
        words=("4 of 4 runs",),
    ),
    refused(
        "changed-plan",
        "the same name with other batch sizes",
        again("batch_size=16,20"),
        ("results/s", "another plan", "batch_size", "20", "--resume"),
    ),
    refused(
        "changed-rounds",
        "the same name with more rounds",
        again("protocol.rounds=3"),
        ("another plan", "protocol.rounds", "--resume"),
    ),
    refused(
        "other-software",
        "NumPy has another version now",
        once_finished(plants=[["other_software", "numpy", "0.1"]]),
        ("results/s", "numpy", "0.1", "bench compare"),
    ),
    refused(
        "other-machine",
        "another processor",
        once_finished(plants=[["other_machine"]]),
        ("results/s", "Another Processor 9000", "bench compare"),
    ),
    refused("retry-unknown", "--retry of no status", once_finished("--retry", "bogus"), ("bogus", "oom")),
    refused("retry-alone", "--retry without --resume", again("--retry", "oom"), ("--retry", "--resume")),
    Fault(
        name="retry-nothing",
        group=GROUP,
        what="--retry of what did not happen",
        strike=once_finished("--retry", "oom,timeout"),
        code=0,
        words=("4 of 4 runs",),
    ),
    Fault(
        name="retry-in-vain",
        group=GROUP,
        what="what is retried fails again, then does not",
        strike=_retried_in_vain,
        code=3,
        status="oom",
        reason="can't allocate memory",
        words=("oom", "--retry oom"),
        resume=("--retry", "oom"),
    ),
    Fault(
        name="kill-resume",
        group=GROUP,
        what="SIGKILL in the resume after a SIGKILL",
        strike=_killed_in_resume,
        code=-signal.SIGKILL,
        orderly=False,
    ),
    Fault(
        name="added-round",
        group=GROUP,
        what="SIGTERM in a round that was added for precision",
        settings=LIMITS,
        strike=_interrupted_in_added_round,
        code=143,
        words=("terminated", "--resume"),
    ),
    refused(
        "resume-nowhere",
        "--resume of a folder that is not there",
        _nowhere,
        ("results/nowhere", "bench sweep"),
        resume=None,
    ),
    refused(
        "resume-empty",
        "--resume of a folder without a sweep",
        _no_sweep,
        ("results/empty", "no sweep", "bench sweep"),
        resume=None,
    ),
    Fault(
        name="second-sweep",
        group=GROUP,
        what="two sweeps in one folder",
        strike=_second_sweep,
        code=5,
        words=("results/s", "in use", "wait for it"),
    ),
    Fault(
        name="report-meanwhile",
        group=GROUP,
        what="a report while the sweep runs",
        strike=_report_meanwhile,
        code=0,
    ),
    Fault(
        name="stale-lock", group=GROUP, what="a lock file that nobody holds", strike=_stale_lock, code=0, redone=True
    ),
    Fault(
        name="budget",
        group=GROUP,
        what="sweep.budget_s is spent",
        strike=_budget,
        code=124,
        words=("sweep.budget_s", "kept", "bench sweep --resume results/s"),
        resume=("sweep.budget_s=600",),
    ),
]
