"""The memory pass: the resident set rises by what training allocates, and says so where it cannot tell."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.run.memory import ResidentSet, return_freed_memory_at_once

MIB = 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the resident set's peak can be reset on Linux only")


def test_the_peak_remembers_what_is_gone_and_can_be_reset() -> None:
    rss = ResidentSet()
    assert return_freed_memory_at_once() is None
    rss.reset_peak()
    before = rss.current_bytes()
    block = np.ones(64 * MIB, dtype=np.uint8)
    del block
    assert 60 * MIB < rss.peak_bytes() - before < 80 * MIB
    rss.reset_peak()
    assert rss.peak_bytes() - rss.current_bytes() < 4 * MIB


def test_a_system_without_the_file_says_why(tmp_path: Path) -> None:
    assert "only be reset on Linux" in (ResidentSet(tmp_path).why_not() or "")


def test_a_status_without_the_line_is_an_error_and_no_zero(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(LookupError, match="VmRSS"):
        ResidentSet(tmp_path).current_bytes()
