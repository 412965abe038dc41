"""Tries one fault: the sweep is struck, looked at, gone on with and looked at again."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.records import Status
from tests.faults import checks
from tests.faults.fault import Fault, NotHere, Row
from tests.faults.sweeping import TINY, Ended, Hung, Scene, Warm

RUNS_FAILED = 3

Tables = dict[str, list[dict[str, Any]]]


class Trial:
    """Where faults are tried, one after the other.

    Args:
        root: a scratch folder.
        warm: the process that parents are forked from.
        reports: whether sweeps make reports; without, a fault takes a third of its time and shows everything else.
    """

    def __init__(self, root: Path, warm: Warm, *, reports: bool = True) -> None:
        self._root = root
        self._reports = reports
        self._warm = warm
        self._twins: dict[tuple[str, ...], Tables] = {}

    def scene(self, name: str, settings: Sequence[str] = ()) -> Scene:
        """A folder of its own for the smallest sweep, with settings beside it."""
        standing = () if self._reports else (("no_report",),)
        return Scene(self._root / name, self._warm, (*TINY, *settings), standing=standing)

    def run(self, fault: Fault) -> Row:
        """What comes of a fault."""
        row = Row(fault.name, fault.group, expected(fault))
        began_s = time.monotonic()
        scene = self.scene(fault.name, fault.settings)
        try:
            if fault.series is not None:
                fault.series(self, row)
            else:
                self._strike(fault, scene, row)
        except NotHere as why:
            row.not_here = str(why)
        except Hung as hung:
            row.check("ends", False, str(hung))
        except Exception as error:  # a check that cannot even be made is a failed one
            row.check("could be tried", False, f"{type(error).__name__}: {error}")
        finally:
            row.check("no survivors", *_nobody(scene))
            row.seconds = time.monotonic() - began_s
        return row

    def _strike(self, fault: Fault, scene: Scene, row: Row) -> None:
        assert fault.strike is not None
        shared = checks.shared_memory()
        ended = fault.strike(scene)
        ends = checks.ends_of(scene.folder)
        row.seen = f"{code_text(ended.code)} {_statuses(ends)}"
        row.check("exit code", ended.code == fault.code, f"{code_text(ended.code)}: {ended.said[-300:]}")
        if self._reports or ended.code not in (0, RUNS_FAILED):  # of runs, the summary under the report tells
            _check_words(fault, ended, row)
        _check_status(fault, ends, row)
        row.check("no survivors", *_nobody(scene))
        if fault.orderly:
            left = checks.left_behind(scene)
            row.check("nothing left behind", not left, f"at the disturbed end: {', '.join(left[:4])}")
        changed = checks.changed(scene.acknowledged, scene.folder, may_be_aside=True)
        row.check("records kept", not changed, f"struck: {', '.join(changed[:3])}")
        before = checks.acknowledged(scene.folder)
        for name, passed, failure in scene.observed:
            row.check(name, passed, failure)
        if self._reports and fault.reports and scene.folder.runs.is_dir() and not scene.folder.report_html.exists():
            _check_report(scene, row, "report of the disturbed sweep")
        if fault.resume is not None:
            self._resume(fault, scene, row, before)
        new = checks.left_in_shared_memory(shared)
        row.check("no shared memory", not new, f"/dev/shm: {', '.join(new)}")

    def _resume(self, fault: Fault, scene: Scene, row: Row, before: checks.Hashes) -> None:
        if fault.mend is not None:
            fault.mend(scene)
        scene.folder.report_html.unlink(missing_ok=True)
        resumed = scene.resume(*fault.resume or (), plants=[] if fault.whole else [["no_report"]])
        row.seen += f" → {code_text(resumed.code)}"
        passed = resumed.code == fault.resumed_code
        row.check("resumed exit code", passed, f"{code_text(resumed.code)}: {resumed.said[-300:]}")
        changed = checks.changed(before, scene.folder, may_be_aside=True)
        row.check("records kept", not changed, f"resumed: {', '.join(changed[:3])}")
        twice = checks.twice_recorded(scene)
        row.check("no run twice", fault.redone or not twice, ", ".join(twice[:3]))
        if fault.same_tables:
            difference = checks.first_difference(checks.tables_of(scene.folder), self.twin(fault.settings))
            row.check("tables as undisturbed", difference is None, difference or "")
        left = checks.left_behind(scene)
        row.check("nothing left behind", not left, f"resumed: {', '.join(left[:4])}")
        if fault.whole and self._reports:
            row.check("report", scene.folder.report_html.exists(), "the resumed sweep has no report.html")

    def twin(self, settings: Sequence[str]) -> Tables:
        """The tables of an undisturbed sweep with the same settings; their interpreter is nobody's fault."""
        key = tuple(settings)
        if key not in self._twins:
            scene = self.scene(f"twin-{len(self._twins)}", key)
            ended = scene.sweep(plants=[["no_report"]])
            if ended.code != 0:
                raise RuntimeError(f"the undisturbed sweep ended with {ended.code}: {ended.said[-300:]}")
            self._twins[key] = checks.tables_of(scene.folder)
        return self._twins[key]


def expected(fault: Fault) -> str:
    """Exit code and status as the matrix shows them."""
    if fault.series is not None:
        return "none lost"
    resumed = "" if fault.resume is None else f" → {fault.resumed_code}"
    return f"{code_text(fault.code)} {fault.status or '-'}{resumed}"


def code_text(code: int) -> str:
    """An exit code, or the signal's name."""
    return str(code) if code >= 0 else signal.Signals(-code).name


def _statuses(ends: Sequence[tuple[str, str]]) -> str:
    return ",".join(sorted({status for status, _ in ends if not Status(status).measured})) or "-"


def _check_words(fault: Fault, ended: Ended, row: Row) -> None:
    missing = [word for word in fault.words if word not in ended.said]
    row.check("message", not missing, f"says nothing of {missing}: …{ended.said[-400:]}")
    traceback = "Traceback (most recent call last)" in ended.said
    row.check("no traceback", not traceback, ended.err[-400:])


def _check_status(fault: Fault, ends: Sequence[tuple[str, str]], row: Row) -> None:
    if fault.status is None:
        return
    reasons = [reason for status, reason in ends if status == fault.status]
    row.check("status", bool(reasons), f"{_statuses(ends)}")
    row.check("reason", any(fault.reason in reason for reason in reasons), f"{reasons[:1]} lacks {fault.reason!r}")


def _check_report(scene: Scene, row: Row, name: str) -> None:
    ended = scene.bench("report", str(scene.folder.path))
    row.check(name, ended.code == 0, f"{code_text(ended.code)}: {ended.said[-300:]}")


def _nobody(scene: Scene) -> tuple[bool, str]:
    alive, seconds = checks.wait_until_gone(scene)
    return not alive and seconds <= checks.GONE_WITHIN_S, f"after {seconds:.1f} s: {alive[:3]}"
