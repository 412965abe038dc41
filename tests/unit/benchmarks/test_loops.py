"""The benchmark of loops from its command line to its file, on the one framework that is quick to start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import floor, loops

pytestmark = pytest.mark.skipif(floor.compiler() is None, reason="no C compiler here")


def test_it_writes_a_file_that_pytest_benchmark_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "made" / "loops.json"
    code = loops.main(["--only", "reference", "--batch-sizes", "500,1000", "--seconds", "0.1", "--json", str(written)])
    shown = capsys.readouterr().out
    benchmarks = json.loads(written.read_text())["benchmarks"]
    assert code == 0, shown
    assert "reference has no loop fused" in shown
    assert sorted({benchmark["group"] for benchmark in benchmarks}) == ["batch 1000", "batch 500"]
    oracle = next(b for b in benchmarks if b["extra_info"]["family"][0] == "reference")
    low, median, high = (oracle["extra_info"]["step_us"][i] for i in (1, 0, 2))
    assert low <= median <= high
    # The benchmark's own statistics are in seconds per step.
    assert oracle["stats"]["median"] * 1e6 == pytest.approx(median)
    compare = [sys.executable, "-m", "pytest_benchmark", "compare", str(written), "--group-by=group"]
    compared = subprocess.run(compare, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert "reference-eager" in compared


def test_without_a_compiler_there_are_times_and_no_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    written = tmp_path / "loops.json"
    code = loops.main(["--only", "reference", "--batch-sizes", "1000", "--seconds", "0", "--json", str(written)])
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert "no C compiler" in shown
    assert [b["extra_info"]["x_floor"] for b in json.loads(written.read_text())["benchmarks"]] == [None]


def test_a_loop_that_fails_is_told_and_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "loops.json"
    code = loops.main(["--only", "reference", "--batch-sizes", "0", "--json", str(written)])
    assert code == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
