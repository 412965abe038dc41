"""Random SIGKILLs of the parent, each followed by a resume, until the sweep is done; and again with another sweep.

Half of the kills come at a random moment after the start, when the folder is claimed, the plan read and the journal
mended; half at a random moment after the first run, when records are written.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable

from tests.faults import checks
from tests.faults.fault import Fault, Row, Stage
from tests.faults.sweeping import PATIENCE_S, Parent, Scene

GROUP = "kills"
KILLS = 200
SHARES = 4
SETTINGS = ("batch_size=8,16,32,full", "protocol.rounds=12")
RUNS = 48
BEFORE_S, WITHIN_S = 1.2, 0.9


def kill_many(kills: int, seed: int) -> Callable[[Stage, Row], None]:
    """A fault's series: so many kills, at moments that follow from the seed."""

    def series(stage: Stage, row: Row) -> None:
        moments = random.Random(seed)
        done = sweeps = 0
        while done < kills:
            sweeps += 1
            scene = stage.scene(f"kills-{seed}-{sweeps}", SETTINGS)
            done += _kill_until_done(scene, moments, kills - done, row)
            _look(stage, scene, row, sweeps)
            shutil.rmtree(scene.root, ignore_errors=True)
        row.seen = f"{done} kills in {sweeps} sweeps of {RUNS} runs"

    return series


def _kill_until_done(scene: Scene, moments: random.Random, most: int, row: Row) -> int:
    """Kills and resumes until the sweep ends by itself, without a kill once there were enough; returns how many."""
    kills = 0
    while True:
        before = checks.acknowledged(scene.folder)
        parent = _start(scene)
        struck = kills < most and _killed(scene, parent, moments)
        ended = parent.wait()
        lost = checks.changed(before, scene.folder, may_be_aside=False)
        if lost:
            row.check(f"kill {kills}: records lost", False, f"{len(lost)}: {', '.join(lost[:3])}")
        if not struck or ended.code != -signal.SIGKILL:
            row.check("resumed until done", ended.code == 0, f"{ended.code}: {ended.said[-300:]}")
            return kills
        kills += 1
        alive, _ = checks.wait_until_gone(scene)
        if alive:
            row.check(f"kill {kills}: survivors", False, f"{alive[:3]}")


def _start(scene: Scene) -> Parent:
    if scene.folder.sweep_json.exists():
        return scene.start("sweep", "--resume", str(scene.folder.path), plants=[["no_report"]])
    return scene.begin(plants=[["no_report"]])


def _killed(scene: Scene, parent: Parent, moments: random.Random) -> bool:
    """Kills it at a random moment; False where it had ended before."""
    if moments.random() < 0.5:
        time.sleep(moments.uniform(0.0, BEFORE_S))
    else:
        _wait_for_a_run(scene, parent)
        time.sleep(moments.uniform(0.0, WITHIN_S))
    if not parent.running:
        return False
    parent.send(signal.SIGKILL)
    return True


def _wait_for_a_run(scene: Scene, parent: Parent) -> None:
    journal = scene.folder.journal
    size = journal.stat().st_size if journal.exists() else 0
    deadline_s = time.monotonic() + PATIENCE_S
    while parent.running and time.monotonic() < deadline_s:
        if journal.exists() and b"run_started" in journal.read_bytes()[size:]:
            return
        time.sleep(0.02)


def _look(stage: Stage, scene: Scene, row: Row, sweep: int) -> None:
    """No record lost, none unreadable, none twice; the tables of a sweep that was never disturbed, and its report."""
    results = scene.results()
    unreadable = [
        f"{result.cell_id} r{result.round}: {result.reason}" for result in results if not result.status.measured
    ]
    twice = checks.twice_recorded(scene)
    row.check(f"sweep {sweep}: all recorded", len(results) == RUNS, f"{len(results)} of {RUNS} runs")
    row.check(f"sweep {sweep}: none unreadable", not unreadable, f"{len(unreadable)}: {unreadable[:2]}")
    row.check(f"sweep {sweep}: none duplicated", not twice, f"{len(twice)}: {twice[:3]}")
    aside = [str(path) for path in scene.folder.runs.glob("*/r*/aside")]
    row.check(f"sweep {sweep}: none set aside", not aside, f"{aside[:3]}")
    difference = checks.first_difference(checks.tables_of(scene.folder), stage.twin(SETTINGS))
    row.check(f"sweep {sweep}: tables as undisturbed", difference is None, difference or "")
    left = checks.left_behind(scene)
    row.check(f"sweep {sweep}: nothing left behind", not left, ", ".join(left[:4]))
    report = scene.bench("report", str(scene.folder.path))
    row.check(f"sweep {sweep}: report", report.code == 0, report.said[-300:])


def faults(kills: int) -> list[Fault]:
    """So many kills, in shares that can be tried side by side."""
    shares = [kills // SHARES + (share < kills % SHARES) for share in range(SHARES)]
    return [
        Fault(
            name=f"kills-{number}",
            group=GROUP,
            what=f"{share} random SIGKILLs of the parent, each resumed",
            series=kill_many(share, seed=number),
        )
        for number, share in enumerate(shares, 1)
        if share
    ]
