"""A process that is gone in the middle of writing: at the n-th call that changes the disk, and for good."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_STEPS = ("link", "mkdir", "open", "write", "fsync", "rename", "replace", "unlink", "rmdir")


class Crash(BaseException):
    """The process is gone."""


@contextmanager
def crash_at(step: int) -> Iterator[list[str]]:
    """Ends the block at the n-th such call, as a kill would; yields what was called then, nothing where it got through.

    Nothing more is done to the disk after it, not even by what cleans up.
    """
    happened: list[str] = []
    calls = 0

    def counted(name: str) -> Any:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if happened or calls == step:
                happened.append(name)
                raise Crash
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in _STEPS:
            patch.setattr(os, name, counted(name))
        try:
            yield happened
        except Crash:
            assert happened
