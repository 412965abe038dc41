"""What a fault is: something done to a sweep, how the sweep must end, what must be there then, and after a resume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.faults.sweeping import Ended, Scene


class NotHere(Exception):
    """This machine cannot show the fault; the message says why."""


Strike = Callable[[Scene], Ended]
"""Brings a scene's sweep to its disturbed end, and returns how the parent concerned ended."""

Mend = Callable[[Scene], None]
"""Takes the cause away, so that the sweep can be gone on with: a disk has room again, the folder is back."""


class Stage(Protocol):
    """Where faults happen."""

    def scene(self, name: str, settings: Sequence[str] = ()) -> Scene:
        """A folder of its own for the smallest sweep, with settings beside it."""

    def twin(self, settings: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The tables of an undisturbed sweep with the same settings."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One row of the matrix.

    Attributes:
        name: unique; what ``--only`` takes.
        group: rows of a kind.
        what: what happens, in a line.
        strike: does it; None where ``series`` does.
        series: does it many times over, and looks at what came of it each time.
        code: the exit code of the parent concerned; signals are negative.
        status: how the run struck must end; None where it must have no record, or no run is struck.
        words: what the parent's message must hold: the run or folder, the cause, the next command.
        reason: what the reason of the run struck must hold.
        settings: beside the smallest sweep's.
        mend: takes the cause away before the resume.
        resume: arguments after ``--resume DIR``; None where there is nothing to go on with.
        resumed_code: exit code of that.
        redone: whether a run that was recorded is rightly run again without its record being set aside.
        same_tables: whether the resumed sweep's tables must equal an undisturbed one's.
        orderly: whether the parent could clean up: nothing may be left behind already at the disturbed end.
        reports: whether the disturbed folder must make a report.
        whole: whether the resumed sweep makes its report as well; for most, that of the disturbed one is enough.
    """

    name: str
    group: str
    what: str
    strike: Strike | None = None
    series: Callable[[Stage, Row], None] | None = None
    code: int = 0
    status: str | None = None
    words: tuple[str, ...] = ()
    reason: str = ""
    settings: tuple[str, ...] = ()
    mend: Mend | None = None
    resume: tuple[str, ...] | None = ()
    resumed_code: int = 0
    redone: bool = False
    same_tables: bool = True
    orderly: bool = True
    reports: bool = True
    whole: bool = False


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was expected, and what was seen where it was something else."""

    name: str
    failure: str | None = None


@dataclass
class Row:
    """What came of a fault.

    Attributes:
        fault: the fault.
        seen: exit code and statuses.
        checks: everything that was looked at.
        not_here: why it could not be shown on this machine.
        seconds: how long it took.
    """

    fault: str
    group: str
    expected: str
    seen: str = ""
    checks: list[Check] = field(default_factory=list)
    not_here: str | None = None
    seconds: float = 0.0

    def check(self, name: str, passed: bool, failure: str) -> None:
        """Notes one check."""
        self.checks.append(Check(name, None if passed else failure))

    @property
    def failures(self) -> list[Check]:
        """The checks that did not pass."""
        return [check for check in self.checks if check.failure is not None]
