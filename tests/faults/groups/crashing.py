"""A crash at every storage step: before each of them, and in the middle of each write.

The steps are counted in a run of their own (``tests.faults.steps``), and the parent dies at each of them in turn. What
had its record then must have it afterwards, byte for byte, and a resume must end as if nothing had been. A sweep has
one cell that runs, one that cannot, and two rounds: every kind of record, journal line and link is written once at
least. The resume that is crashed begins with all there is to mend: a record that was altered, one that was never
finished, halves of files, and a journal that was cut.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults import checks
from tests.faults.fault import Fault, NotHere, Row, Stage
from tests.faults.sweeping import Ended, Scene

GROUP = "crash"
SETTINGS = ("batch_size=full", "device=cpu,tpu")
PARTS = 2
REPORT_STRIDE = 15

Step = tuple[int, bool]
"""The number of a step, and whether it is to happen by half."""


def steps_of(stage: Stage, name: str, begin: Any, arguments: Sequence[str]) -> list[Step]:
    """Every crash there is to try in one command: before each step, and in the middle of every write."""
    scene = begin(stage, f"{name}-count")
    into = scene.root / "steps"
    if not Path("/proc/self/fd").is_dir():
        raise NotHere("paths of descriptors cannot be asked for without /proc")
    _command(scene, arguments, [["count_steps", str(scene.at), str(into)]])
    written = [line.split(" ", 2)[:2] for line in into.read_text().splitlines()]
    before = [(number, False) for number in range(1, len(written) + 1)]
    half = [(number, True) for number, (verb, long) in enumerate(written, 1) if verb == "write" and long == "1"]
    shutil.rmtree(scene.root)
    return before + half


def fresh(stage: Stage, name: str) -> Scene:
    """Nothing yet."""
    return stage.scene(name, SETTINGS)


def interrupted(stage: Stage, name: str) -> Scene:
    """A sweep that was killed in its second run, and then suffered."""
    kept = stage.scene("crash-interrupted", SETTINGS)
    if not kept.folder.path.exists():
        kept.sweep(plants=[["no_report"], ["signal_at", "run_started", 2, signal.SIGKILL]])
        first = kept.first_run()
        first.result.write_bytes(first.result.read_bytes().replace(b'"wall_s": ', b'"wall_s": 9', 1))
        (first.path / ".trace.parquet.1.part").write_bytes(b"half")
        journal = kept.folder.journal
        journal.write_bytes(journal.read_bytes()[:-20])
    scene = stage.scene(name, SETTINGS)
    shutil.copytree(kept.at, scene.at, symlinks=True, dirs_exist_ok=True)
    return scene


def crash_all(name: str, begin: Any, arguments: tuple[str, ...], part: int) -> Any:
    """A fault's series: one of ``PARTS`` shares of all crashes of a command."""

    def series(stage: Stage, row: Row) -> None:
        steps = steps_of(stage, f"{name}-{part}", begin, arguments)
        share = steps[part::PARTS]
        for number, half in share:
            scene = begin(stage, f"{name}-{number}{'-half' if half else ''}")
            _crash(stage, scene, row, arguments, number, half)
            shutil.rmtree(scene.root, ignore_errors=True)
        failed = len({check.name for check in row.failures})
        row.seen = f"{len(share)} of {len(steps)} crashes, {failed} with losses"

    return series


def _crash(stage: Stage, scene: Scene, row: Row, arguments: tuple[str, ...], number: int, half: bool) -> None:
    where = f"step {number}{' by half' if half else ''}"
    before = checks.acknowledged(scene.folder)
    ended = _command(scene, arguments, [["die_at", str(scene.at), number, half]])
    problems = [f"ended with {ended.code}: {ended.said[-200:]}"] if ended.code != -signal.SIGKILL else []
    problems += _lost(scene, before)
    before = checks.acknowledged(scene.folder)
    resumable = scene.folder.sweep_json.exists()
    resumed = _command(scene, ("--resume", str(scene.folder.path)) if resumable else (), [])
    if resumed.code != 0:
        problems.append(f"resumed with {resumed.code}: {resumed.said[-300:]}")
    else:
        problems += _lost(scene, before) + checks.twice_recorded(scene) + checks.left_behind(scene)
        difference = checks.first_difference(checks.tables_of(scene.folder), stage.twin(SETTINGS))
        problems += [] if difference is None else [difference]
    alive, _ = checks.wait_until_gone(scene)
    problems += alive
    row.check(where, not problems, "; ".join(problems)[:600])


def _lost(scene: Scene, before: checks.Hashes) -> list[str]:
    return [f"lost {name}" for name in checks.changed(before, scene.folder, may_be_aside=True)]


def _command(scene: Scene, arguments: Sequence[str], plants: list[list[Any]]) -> Ended:
    """The sweep from its start, or what goes on with it; no report, which is derived."""
    plants = [["no_report"], *plants]
    if not arguments:
        return scene.sweep(plants=plants)
    return scene.resume(plants=plants)


def crash_report(stage: Stage, row: Row) -> None:
    """Every fifteenth step of the report: all it writes is derived."""
    whole = stage.scene("crash-report", SETTINGS)
    whole.sweep(plants=[["no_report"]])
    into = whole.root / "steps"
    whole.bench("report", str(whole.folder.path), plants=[["count_steps", str(whole.at), str(into)]])
    number = len(into.read_text().splitlines())
    page = whole.folder.report_html.read_bytes()
    tried = range(1, number + 1, REPORT_STRIDE)
    for step in tried:
        scene = stage.scene(f"crash-report-{step}", SETTINGS)
        shutil.copytree(whole.folder.runs, scene.folder.runs)
        for path in (whole.folder.sweep_json, whole.folder.journal):
            shutil.copy(path, scene.folder.path)
        before = checks.acknowledged(scene.folder)
        ended = scene.bench("report", str(scene.folder.path), plants=[["die_at", str(scene.at), step]])
        again = scene.bench("report", str(scene.folder.path))
        problems = _lost(scene, before)
        problems += [] if ended.code == -signal.SIGKILL else [f"ended with {ended.code}"]
        problems += [] if again.code == 0 else [f"again: {again.code} {again.said[-200:]}"]
        problems += (
            [] if scene.folder.report_html.read_bytes() == page else ["the report is not the same, byte for byte"]
        )
        row.check(f"step {step}", not problems, "; ".join(problems)[:600])
        shutil.rmtree(scene.root, ignore_errors=True)
    row.seen = f"{len(tried)} of {number} steps"


FAULTS = [
    *(
        Fault(
            name=f"crash-sweep-{part + 1}",
            group=GROUP,
            what="SIGKILL at every storage step of a sweep",
            series=crash_all("crash-sweep", fresh, (), part),
        )
        for part in range(PARTS)
    ),
    *(
        Fault(
            name=f"crash-resume-{part + 1}",
            group=GROUP,
            what="SIGKILL at every storage step of a resume that mends",
            series=crash_all("crash-resume", interrupted, ("--resume",), part),
        )
        for part in range(PARTS)
    ),
    Fault(name="crash-report", group=GROUP, what="SIGKILL at storage steps of the report", series=crash_report),
]
