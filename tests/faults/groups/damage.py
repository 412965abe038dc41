"""Damaged records of a finished sweep: each is said, makes no number, is set aside, and its run is done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.store.layout import RunFolder
from tests.faults import checks
from tests.faults.fault import Fault, Strike
from tests.faults.sweeping import Ended, Scene

GROUP = "damage"

Harm = Callable[[Scene], object]


def finished(scene: Scene) -> None:
    """A sweep that ran to its end, but for its report."""
    ended = scene.sweep(plants=[["no_report"]])
    scene.observe("undisturbed so far", ended.code == 0, ended.said[-200:])


def reported(harm: Harm) -> Strike:
    """The report of a sweep that was damaged when it had finished."""

    def strike(scene: Scene) -> Ended:
        finished(scene)
        harm(scene)
        scene.acknowledged = checks.acknowledged(scene.folder)
        return scene.bench("report", str(scene.folder.path))

    return strike


def refused(harm: Harm) -> Strike:
    """The resume of such a sweep, which must not touch it."""

    def strike(scene: Scene) -> Ended:
        finished(scene)
        harm(scene)
        scene.acknowledged = checks.acknowledged(scene.folder)
        journal = scene.folder.journal.read_bytes()
        ended = scene.resume()
        scene.observe("journal untouched", scene.folder.journal.read_bytes() == journal, "it was written to")
        return ended

    return strike


def cut(path: Path) -> None:
    """Half of it is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path, at: float = 0.5) -> None:
    """One bit of it is another."""
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(bytes(content))


def rewrite(path: Path, **values: object) -> None:
    """Some of its values are others; its checksum is as it was."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _loss_altered(run: RunFolder) -> None:
    plain = json.loads(run.result.read_text())
    rewrite(run.result, initial_train_loss=0.5 * plain["initial_train_loss"])


def _others(scene: Scene) -> RunFolder:
    return scene.folder.run(json.loads(scene.folder.sweep_json.read_text())["rounds"][0][1], 0)


def _swapped(scene: Scene) -> None:
    one, other = scene.first_run().trace, _others(scene).trace
    mine = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(mine)


def _journal_cut(scene: Scene) -> None:
    path = scene.folder.journal
    path.write_bytes(path.read_bytes()[:-25])


def _journal_garbage(scene: Scene) -> None:
    path = scene.folder.journal
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2:2] = [bytes(range(128, 256)) + b"\x00\n", b'{"event": \n', b"[]\n", b"null\n"]
    path.write_bytes(b"".join(lines))


def _others_of_run_gone(scene: Scene) -> None:
    scene.first_run().request.unlink()
    scene.first_run().log.unlink()


def one(name: str, what: str, harm: Callable[[RunFolder], object], reason: str) -> Fault:
    """A fault of the first run's record."""
    return Fault(
        name=name,
        group=GROUP,
        what=what,
        strike=reported(lambda scene: harm(scene.first_run())),
        code=0,
        status="invalid",
        reason=reason,
        words=("invalid",),
    )


def plan(name: str, what: str, harm: Harm, code: int, words: tuple[str, ...]) -> Fault:
    """A fault of the plan: nothing can be done, and nothing is."""
    return Fault(
        name=name,
        group=GROUP,
        what=what,
        strike=refused(harm),
        code=code,
        words=words,
        resume=None,
        reports=False,
        orderly=False,
    )


def journal(name: str, what: str, harm: Harm) -> Fault:
    """A fault of the journal, which records outlive."""
    return Fault(name=name, group=GROUP, what=what, strike=reported(harm), code=0)


FAULTS = [
    one("result-cut", "half of result.json is gone", lambda run: cut(run.result), "damaged"),
    one("result-altered", "a loss in result.json is another number", _loss_altered, "checksum"),
    one("result-flipped", "one bit of result.json is another", lambda run: flip(run.result), "damaged"),
    one("result-empty", "result.json is empty", lambda run: run.result.write_bytes(b""), "damaged"),
    one(
        "result-zeros",
        "result.json is zeros, as after a power cut",
        lambda run: run.result.write_bytes(bytes(900)),
        "damaged",
    ),
    Fault(
        name="result-elsewhere",
        group=GROUP,
        whole=True,
        what="result.json of another run",
        code=0,
        status="invalid",
        reason="another run",
        words=("invalid",),
        strike=reported(lambda scene: shutil.copy(_others(scene).result, scene.first_run().result)),
    ),
    Fault(
        name="result-gone",
        group=GROUP,
        what="result.json is deleted: the run has not happened",
        code=0,
        redone=True,
        strike=reported(lambda scene: scene.first_run().result.unlink()),
    ),
    Fault(
        name="result-newer",
        group=GROUP,
        what="result.json of a newer version",
        code=2,
        reports=False,
        orderly=False,
        strike=refused(lambda scene: _newer(scene.first_run().result)),
        words=("schema_version 99", "newer version", "install"),
        resume=None,
    ),
    one("trace-cut", "half of the trace is gone", lambda run: cut(run.trace), "trace"),
    one("trace-flipped", "one bit of the trace is another", lambda run: flip(run.trace, 0.3), "trace"),
    one("trace-gone", "the trace is deleted", lambda run: run.trace.unlink(), "trace"),
    Fault(
        name="trace-swapped",
        group=GROUP,
        what="two runs have each other's trace",
        code=0,
        status="invalid",
        reason="trace",
        words=("invalid",),
        strike=reported(_swapped),
    ),
    plan(
        "sweep-cut",
        "half of sweep.json is gone",
        lambda scene: cut(scene.folder.sweep_json),
        4,
        ("sweep.json", "damaged", "restore"),
    ),
    plan(
        "sweep-altered",
        "the seed in sweep.json is another",
        lambda scene: rewrite(scene.folder.sweep_json, seed=7),
        4,
        ("sweep.json", "damaged", "restore"),
    ),
    plan(
        "sweep-gone",
        "sweep.json is deleted",
        lambda scene: scene.folder.sweep_json.unlink(),
        2,
        ("results/s", "no sweep", "bench sweep"),
    ),
    plan(
        "sweep-newer",
        "sweep.json of a newer version",
        lambda scene: _newer(scene.folder.sweep_json),
        2,
        ("schema_version 99", "newer version", "install"),
    ),
    journal("journal-cut", "the journal's last line is cut", _journal_cut),
    journal("journal-garbage", "binary garbage and foreign lines in the journal", _journal_garbage),
    journal("journal-gone", "the journal is deleted", lambda scene: scene.folder.journal.unlink()),
    Fault(
        name="request-gone",
        group=GROUP,
        what="request.json and the worker's log are deleted",
        code=0,
        strike=reported(_others_of_run_gone),
    ),
]


def _newer(path: Path) -> None:
    """As a newer version would write it: no checksum that this one could know."""
    plain = json.loads(path.read_text()) | {"schema_version": 99, "something_new": True}
    plain.pop("checksum", None)
    path.write_text(json.dumps(plain))
