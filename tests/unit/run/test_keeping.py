"""What templates and keepers say is heard line by line, whatever else is printed between the lines."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.run.keeping import Messages


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_lines_that_are_no_message_are_passed_over(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b'welcome\n\n[1, 2]\n"hello"\n{"ready": true}\n{"cut')
    messages = Messages(reading)
    assert messages.next(10.0) == {"ready": True}
    assert messages.next(0.0) is None
    os.write(writing, b'": 1}\n')
    os.close(writing)
    assert messages.next(10.0) == {"cut": 1}
    assert messages.next(10.0) == {}


def test_who_prints_and_ends_has_said_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"garbage\nand half a line")
    os.close(writing)
    assert Messages(reading).next(10.0) == {}
