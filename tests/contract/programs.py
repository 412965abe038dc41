"""Where compiled programs lie while the tests run: one folder for all test workers and for the processes they start.

Some programs take a compiler ten seconds, and most tests need the same few. They are kept as a sweep keeps them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "BENCH_TESTS_PROGRAMS"


def programs_folder() -> Path | None:
    """The folder; None outside a test session, where nothing is kept."""
    folder = os.environ.get(VARIABLE)
    return Path(folder) if folder else None


@contextmanager
def kept_for_this_session() -> Iterator[None]:
    """Makes the folder in the process that came first, and removes it when that one ends; the others share it."""
    if VARIABLE in os.environ:
        yield
        return
    folder = tempfile.mkdtemp(prefix="bench-tests-programs-")
    os.environ[VARIABLE] = folder
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)
