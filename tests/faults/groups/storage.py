"""Disks that are full, become full, or may not be written; folders that vanish. The real thing where root can mount."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.faults import checks
from tests.faults.fault import Fault, NotHere, Strike
from tests.faults.groups.damage import finished
from tests.faults.sweeping import NAME, Ended, Scene

GROUP = "storage"
RESUMED = "results/s"


@contextmanager
def disk(scene: Scene, megabytes: int) -> Iterator[Path]:
    """A disk of that size where the results go; what is on it in the end is copied to where it was mounted.

    Raises:
        NotHere: only root can mount one.
    """
    place = scene.at / "results"
    place.mkdir()
    if _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)):
        raise NotHere("only root can mount a small disk")
    try:
        yield place
    finally:
        kept = scene.root / "kept"
        try:
            shutil.copytree(place, kept, symlinks=True, ignore=shutil.ignore_patterns("ballast"))
        finally:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
        shutil.copytree(kept, place, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(kept)


def _mount(*arguments: str) -> int:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 127


def filled(event: str, nth: int, left_bytes: int) -> Strike:
    """The disk is filled right after an event, but for so many bytes."""

    def strike(scene: Scene) -> Ended:
        with disk(scene, 64) as place:
            ended = scene.sweep(plants=[["fill_at", event, nth, str(place), left_bytes]])
            scene.acknowledged = checks.acknowledged(scene.folder)
            left = checks.left_behind(scene)
            scene.observe("nothing left behind on the full disk", not left, ", ".join(left[:3]))
            return ended

    return strike


def _too_small(scene: Scene) -> Ended:
    with disk(scene, 1):
        ended = scene.sweep()
        scene.observe("nothing begun", not scene.has_happened("run_started"), "a run was started")
        return ended


def _read_only(scene: Scene) -> Ended:
    with disk(scene, 64) as place:
        if _mount("-o", "remount,ro", str(place)):
            raise NotHere("cannot be mounted read-only")
        return scene.sweep()


def _read_only_resume(scene: Scene) -> Ended:
    with disk(scene, 64) as place:
        finished(scene)
        scene.first_run().result.unlink()
        scene.acknowledged = checks.acknowledged(scene.folder)
        if _mount("-o", "remount,ro", str(place)):
            raise NotHere("cannot be mounted read-only")
        return scene.resume()


def planted(*plants: Sequence[Any]) -> Callable[[Scene], Ended]:
    """A sweep with plants; ``AT`` among their arguments is the working directory."""

    def strike(scene: Scene) -> Ended:
        given = [[str(scene.at) if argument == AT else argument for argument in plant] for plant in plants]
        ended = scene.sweep(plants=given)
        scene.acknowledged = checks.acknowledged(scene.folder)
        return ended

    return strike


AT = "{at}"


def _removed(scene: Scene) -> Ended:
    ended = scene.sweep(plants=[["remove_at", "run_finished", 2, str(scene.folder.path)]])
    anew = scene.sweep(plants=[["no_report"]])
    scene.observe("the same command begins anew", anew.code == 0, f"{anew.code}: {anew.said[-200:]}")
    return ended


def _file_for_folder(scene: Scene) -> Ended:
    (scene.at / "results").write_text("a file")
    ended = scene.sweep()
    (scene.at / "results").unlink()
    return ended


def _read_only_cwd(scene: Scene) -> Ended:
    """Results are elsewhere, and the working directory may not be written: nothing else may want to."""
    elsewhere = scene.root / "elsewhere"
    ended = scene.sweep(f"sweep.dir={elsewhere}", plants=[["refuse_writes", str(scene.at), "EROFS", 1]])
    left = os.listdir(scene.at)
    scene.observe("nothing here", not left, f"{left}")
    scene.observe("all there", (elsewhere / NAME / "report.html").exists(), "no report")
    return ended


def stops(name: str, what: str, strike: Strike, words: tuple[str, ...], **more: Any) -> Fault:
    """Exit code 4: what was acknowledged stays, and the rest can be run once there is room."""
    return Fault(name=name, group=GROUP, what=what, strike=strike, code=4, words=words, **more)


FAULTS = [
    stops(
        "disk-too-small",
        "the disk has no room for the sweep",
        _too_small,
        ("results", "free", "sweep.dir="),
        resume=None,
    ),
    stops(
        "disk-fills-between",
        "the disk fills up between two runs",
        filled("run_finished", 2, 300_000),
        (RESUMED, "free", "--resume"),
    ),
    stops(
        "disk-fills-in-run", "the disk fills up in a run", filled("run_started", 2, 0), (RESUMED, "free", "--resume")
    ),
    stops(
        "disk-fills-report", "the disk fills up before the report", filled("sweep_finished", 1, 4096), (RESUMED, "free")
    ),
    *(
        stops(
            f"no-space-{nth}",
            f"the disk is full at the {nth}th write",
            planted(["refuse_writes", AT, "ENOSPC", nth]),
            ("results", "No space left", "free"),
            resume=() if nth > 12 else None,
        )
        for nth in (2, 15, 27, 40, 55)
    ),
    stops(
        "quota", "files may not grow beyond 30 kB (EFBIG)", planted(["limit_file_size", 30_000]), (RESUMED, "too large")
    ),
    stops(
        "io-error",
        "the disk fails (EIO)",
        planted(["refuse_writes_at", "run_started", 3, AT, "EIO"]),
        (RESUMED, "Input/output error"),
        orderly=False,
    ),
    stops(
        "read-only",
        "the disk is read-only",
        _read_only,
        ("results", "Read-only file system", "sweep.dir="),
        resume=None,
    ),
    stops(
        "becomes-read-only",
        "the disk becomes read-only in a run",
        planted(["refuse_writes_at", "run_started", 2, AT, "EROFS"]),
        (RESUMED, "Read-only file system", "--resume"),
        orderly=False,
    ),
    stops(
        "read-only-resume",
        "a sweep on a read-only disk is resumed",
        _read_only_resume,
        (RESUMED, "Read-only file system"),
        redone=True,
        orderly=False,
    ),
    stops("folder-removed", "somebody removes the sweep's folder", _removed, (RESUMED, "sweep.json"), resume=()),
    stops("file-for-folder", "results is a file", _file_for_folder, ("results", "sweep.dir="), resume=None),
    Fault(
        name="read-only-cwd",
        group=GROUP,
        what="results go elsewhere, and nothing is written here",
        strike=_read_only_cwd,
        code=0,
        resume=None,
    ),
]
