"""Rules a value must satisfy: a test and the words for it, so that a refusal can state the rule it applied."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Names that become folders: one path component, safe on every file system and in a terminal.
_NAME_LIMIT = 80
_NAME_FORBIDDEN = frozenset('/\\:*?"<>|')


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
        words: the rule, to be read after "must be".
        holds: whether a value, as Hydra parsed it, satisfies the rule.
        convert: makes the stored value of a value that satisfies it.
        options: the allowed words, where they can be listed.
    """

    words: str
    holds: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value
    options: tuple[str, ...] = ()


def setting(default: Any, rule: Rule) -> Any:
    """A dataclass field that carries its rule."""
    return field(default=default, metadata={"rule": rule})


def integer(low: int, high: int | None = None) -> Rule:
    """A whole number of at least ``low`` and at most ``high``."""
    words = f"a whole number of at least {low:,}" if high is None else f"a whole number from {low:,} to {high:,}"
    return Rule(words, lambda value: _is_integer(value) and value >= low and (high is None or value <= high))


def positive() -> Rule:
    """A finite number above 0."""
    return Rule("a finite number above 0", lambda value: _is_finite(value) and value > 0, float)


def at_least(low: float) -> Rule:
    """A finite number of at least ``low``."""
    return Rule(f"a finite number of at least {low:g}", lambda value: _is_finite(value) and value >= low, float)


def between(low: float, high: float, *, with_low: bool = True, with_high: bool = True) -> Rule:
    """A number from ``low`` to ``high``, with or without the ends."""

    def holds(value: Any) -> bool:
        above = _is_finite(value) and (value >= low if with_low else value > low)
        return above and (value <= high if with_high else value < high)

    ends = f"{'from' if with_low else 'above'} {low:g} {'up to' if with_high else 'and below'} {high:g}"
    return Rule(f"a number {ends}", holds, float)


def choice(*options: str) -> Rule:
    """One of a few words."""
    return Rule(f"one of {', '.join(options)}", lambda value: value in options, options=options)


def flag() -> Rule:
    """True or false."""
    return Rule("true or false", lambda value: isinstance(value, bool))


def text() -> Rule:
    """Printable text that is not empty."""
    return Rule("text", lambda value: isinstance(value, str) and value.strip() != "" and value.isprintable())


def words() -> Rule:
    """A list of words."""
    one = text()
    return Rule(
        "a list of words such as [keras,gpu]",
        lambda value: isinstance(value, list) and all(map(one.holds, value)),
        tuple,
    )


def some_of(*options: str) -> Rule:
    """A list of a few words."""

    def holds(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(word, str) and word in options for word in value)

    return Rule(f"a list of {', '.join(options)}", holds, tuple)


def folder_name(*, reserved: tuple[str, ...] = ()) -> Rule:
    """The name of one folder: no separators, no ``..``, nothing a terminal or a file system would trip over."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, str)
            and 0 < len(value.encode()) <= _NAME_LIMIT
            and value.isprintable()
            and not _NAME_FORBIDDEN & set(value)
            and not value.startswith((".", "-", " "))
            and not value.endswith((".", " "))
            and value not in reserved
        )

    apart = f", other than {' and '.join(reserved)}" if reserved else ""
    return Rule(
        f"a folder name of 1 to {_NAME_LIMIT} bytes without path separators, '..' or a leading dot{apart}", holds
    )


def optional(rule: Rule) -> Rule:
    """Nothing (null), or what ``rule`` says."""
    return Rule(
        f"null or {rule.words}",
        lambda value: value is None or rule.holds(value),
        lambda value: None if value is None else rule.convert(value),
        rule.options,
    )


def either(word: str, rule: Rule) -> Rule:
    """One special word, or what ``rule`` says."""
    return Rule(f"{rule.words}, or '{word}'", lambda value: value == word or rule.holds(value), options=(word,))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    # An int beyond the range of floats is no usable number either.
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
