"""The exceptions a user can meet: each says the thing, the rule and the next step, and knows its exit code."""

from __future__ import annotations

from bench.text import one_line


class BenchError(Exception):
    """A failure that is explained rather than traced back.

    Args:
        thing: what is wrong, naming the key, file or run concerned.
        rule: what holds instead.
        next_step: what the user can do now.
    """

    exit_code = 1

    def __init__(self, thing: str, rule: str = "", next_step: str = "") -> None:
        super().__init__(thing, rule, next_step)
        self.thing = thing
        self.rule = rule
        self.next_step = next_step

    def __str__(self) -> str:
        # What is refused is quoted, and may hold anything. Only the rule may have several lines: a difference, say.
        rules = [one_line(line) for line in self.rule.split("\n")]
        return "\n".join(line for line in (one_line(self.thing), *rules, one_line(self.next_step)) if line)


class UsageError(BenchError):
    """Wrong usage, config or data: nothing was started."""

    exit_code = 2


class StorageError(BenchError):
    """The results folder cannot be written or read."""

    exit_code = 4


class FolderInUse(BenchError):
    """Another sweep holds the folder."""

    exit_code = 5


class RequiredMissing(BenchError):
    """A framework or device that was required is not there."""

    exit_code = 6


class Unavailable(BenchError):
    """This cell cannot run here; the reason becomes the run's row, not a failure of the sweep."""


class NotInTime(Unavailable):
    """Whether this cell can run here is not known: its framework was not imported within the time of a run."""
