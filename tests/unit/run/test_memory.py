"""The memory pass: the resident set rises by what training allocates, and says so where it cannot tell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.run.memory import ResidentSet

MIB = 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the resident set's peak can be reset on Linux only")

IN_A_FRESH_PROCESS = f"""
import numpy as np
from bench.run.memory import ResidentSet, return_freed_memory_at_once

rss = ResidentSet()
assert return_freed_memory_at_once() is None
rss.reset_peak()
before = rss.current_bytes()
block = np.ones({64 * MIB}, dtype=np.uint8)
del block
print(rss.peak_bytes() - before)
rss.reset_peak()
print(rss.peak_bytes() - rss.current_bytes())
"""


def test_the_peak_remembers_what_is_gone_and_can_be_reset() -> None:
    # In a process of its own, as every memory pass is: one that has freed much serves the block from that.
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS], capture_output=True, text=True, timeout=60, check=True
    )
    risen, after_reset = map(int, done.stdout.split())
    assert 60 * MIB < risen < 80 * MIB
    assert after_reset < 4 * MIB


def test_a_system_without_the_file_says_why(tmp_path: Path) -> None:
    assert "only be reset on Linux" in (ResidentSet(tmp_path).why_not() or "")


def test_a_status_without_the_line_is_an_error_and_no_zero(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("Name:\tpython\n")
    with pytest.raises(LookupError, match="VmRSS"):
        ResidentSet(tmp_path).current_bytes()
