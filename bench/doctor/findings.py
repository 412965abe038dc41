"""A finding: one thing looked at, how bad it is for timing, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters to a measurement."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; ``advice`` is what a person can do, empty where nothing is wrong."""

    topic: str
    severity: Severity
    text: str
    advice: str = ""


def ok(topic: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(topic, Severity.OK, text)


def note(topic: str, text: str, advice: str = "") -> Finding:
    """Worth knowing when reading figures."""
    return Finding(topic, Severity.NOTE, text, advice)


def warning(topic: str, text: str, advice: str) -> Finding:
    """Will disturb timing."""
    return Finding(topic, Severity.WARNING, text, advice)
