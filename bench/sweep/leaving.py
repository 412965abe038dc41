"""How a sweep is left before its end: by Ctrl-C, by a scheduler's signal, or because its time is spent.

Ctrl-C lets the run under way finish, so that its record is not lost; a second one does not wait for it. A scheduler's
signal leaves at once: what follows it is a kill. However a sweep is left, what has its record stays, and ``bench sweep
--resume`` runs the rest.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import FrameType, TracebackType
from typing import Any, Self

Clock = Callable[[], float]


class Why(Enum):
    """What ended a sweep early: its name in the journal, the exit code, and the words for the user."""

    INTERRUPTED = ("interrupted", 130, "interrupted")
    TERMINATED = ("terminated", 143, "terminated")
    BUDGET = ("budget", 124, "the time budget (sweep.budget_s) is spent")

    def __init__(self, name: str, code: int, words: str) -> None:
        self.label = name
        self.code = code
        self.words = words


class Left(SystemExit):
    """A sweep is left; Hydra and its launchers let it pass.

    Attributes:
        why: what ended it.
        at_once: whether nobody waits for a report.
        resume: the command that goes on with it; None where nothing was begun.
    """

    def __init__(self, why: Why, *, at_once: bool = False) -> None:
        super().__init__(why.code)
        self.why = why
        self.at_once = at_once
        self.resume: str | None = None

    def __str__(self) -> str:
        if self.resume is None:
            return f"{self.why.words}, before anything was run"
        return f"{self.why.words}: what was measured is kept; to run the rest: {self.resume}"


class Leaving:
    """Watches, while a sweep runs, for what may end it.

    Args:
        budget_s: seconds after which no further run is begun; None is no bound.
        clock: seconds.
    """

    def __init__(self, budget_s: float | None = None, *, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._until_s = None if budget_s is None else clock() + budget_s
        self._asked: Left | None = None
        self._running = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        """Takes over the signals that end a program, but for those that somebody has it ignore (``nohup``)."""
        if threading.current_thread() is threading.main_thread():
            handlers = {signal.SIGINT: self._interrupted} | dict.fromkeys(_TERMINATING, self._terminated)
            for number, handler in handlers.items():
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, handler)
        _current.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives them back."""
        _current.remove(self)
        while self._before:
            signal.signal(*self._before.popitem())

    @contextmanager
    def run(self) -> Iterator[None]:
        """One run: not begun once the sweep is to be left, and finished before Ctrl-C leaves it.

        Raises:
            Left: before the run, or after it.
        """
        if self._until_s is not None and self._clock() >= self._until_s:
            raise Left(Why.BUDGET)
        self._running = True
        try:
            yield
        finally:
            self._running = False
        if self._asked is not None:
            raise self._asked

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._asked is None and self._running:
            self._asked = Left(Why.INTERRUPTED)
            print("\ninterrupted: finishing the run under way; Ctrl-C again stops now", file=sys.stderr, flush=True)
            return
        self._leave(Why.INTERRUPTED)

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self._leave(Why.TERMINATED)

    def _leave(self, why: Why) -> None:
        at_once, self._asked = self._asked is not None, Left(why)
        raise Left(why, at_once=at_once)


_TERMINATING = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
_current: list[Leaving] = []


@contextmanager
def one_run() -> Iterator[None]:
    """One run of the sweep that this process conducts; of no effect in a launcher's own processes.

    Raises:
        Left: the sweep is to be left.
    """
    if not _current:
        yield
        return
    with _current[-1].run():
        yield
