"""Rules a value must satisfy: a test and the words for it, so that a refusal can state the rule it applied."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Names that become folders: one path component, safe on every file system, in a shell, a link and a terminal.
_NAME_LIMIT = 80
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{_NAME_LIMIT - 1}}}")
_TEXT_LIMIT = 4096
# Longer than any run, and the largest time that every way of waiting understands is not far above.
LONGEST_S = 1_000_000.0


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


def positive(high: float = math.inf) -> Rule:
    """A finite number above 0 and at most ``high``."""
    words = "a finite number above 0" + (f" and at most {high:g}" if math.isfinite(high) else "")
    return Rule(words, lambda value: _is_finite(value) and 0 < value <= high, float)


def seconds() -> Rule:
    """A time above 0 that can be waited for."""
    return positive(LONGEST_S)


def at_least(low: float, high: float = math.inf) -> Rule:
    """A finite number of at least ``low`` and at most ``high``."""
    words = f"a finite number of at least {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
    return Rule(words, lambda value: _is_finite(value) and low <= value <= high, _plain_float)


def between(low: float, high: float, *, with_low: bool = True, with_high: bool = True) -> Rule:
    """A number from ``low`` to ``high``, with or without the ends."""

    def holds(value: Any) -> bool:
        above = _is_finite(value) and (value >= low if with_low else value > low)
        return above and (value <= high if with_high else value < high)

    ends = f"{'from' if with_low else 'above'} {low:g} {'up to' if with_high else 'and below'} {high:g}"
    return Rule(f"a number {ends}", holds, _plain_float)


def choice(*options: str) -> Rule:
    """One of a few words."""
    return Rule(f"one of {', '.join(options)}", lambda value: value in options, options=options)


def flag() -> Rule:
    """True or false."""
    return Rule("true or false", lambda value: isinstance(value, bool))


def text() -> Rule:
    """Printable text that is neither empty nor endless."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, str)
            and value.strip() != ""
            and value.isprintable()
            and len(value.encode()) <= _TEXT_LIMIT
        )

    return Rule(f"text of at most {_TEXT_LIMIT:,} bytes without control characters", holds)


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
    """The name of one folder: no separators, no ``..``, nothing a shell, a link or a file system would trip over."""

    def holds(value: Any) -> bool:
        return isinstance(value, str) and _NAME.fullmatch(value) is not None and value.casefold() not in reserved

    apart = f", other than {' and '.join(reserved)}" if reserved else ""
    return Rule(
        f"a folder name of 1 to {_NAME_LIMIT} letters a-z, digits, '_', '-' and '.', "
        f"beginning with a letter, a digit or '_'{apart}",
        holds,
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


def _plain_float(value: float) -> float:
    """Without the sign of a zero, which no setting tells apart."""
    return float(value) + 0.0
