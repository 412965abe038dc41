"""A sweep in which a batch size runs out of memory spares the larger ones, says so, and runs them where asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records import RunResult, Status
from bench.store.layout import SweepFolder
from bench.store.reader import read_results, read_sweep
from bench.sweep.skipping import is_skipped_after_oom
from tests.e2e.running import QUICK, TINY, run
from tests.faults.interpreters import faulty_python

OOM_FROM_32 = "if self.cell.batch_size >= 32: raise MemoryError('planted')"


@pytest.fixture
def sweep(tmp_path: Path) -> list[str]:
    python = faulty_python(tmp_path / "bad", OOM_FROM_32, method="Engine.step", after=0)
    sizes = (
        "batch_size=8,32,64,full",
        f"interpreters.reference={python}",
        "protocol.memory=false",
        "protocol.control=false",
    )
    return ["bench", "sweep", *TINY, *QUICK, *sizes, "sweep.name=s"]


def by_size(folder: SweepFolder) -> dict[int, list[RunResult]]:
    sizes = {planned.id: planned.cell["batch_size"] for planned in read_sweep(folder).cells}
    runs: dict[int, list[RunResult]] = {}
    for result in read_results(folder):
        runs.setdefault(sizes[result.cell_id], []).append(result)
    return runs


def test_larger_batch_sizes_are_spared_and_are_rows(tmp_path: Path, sweep: list[str]) -> None:
    ended = run(tmp_path, *sweep)
    assert ended.returncode == 3, ended.stderr
    runs = by_size(SweepFolder(tmp_path / "results" / "s"))
    assert [len(rows) for rows in runs.values()] == [2] * 4
    assert [row.status for row in runs[32]] == [Status.OOM] * 2
    assert not any(row.status is Status.OOM or is_skipped_after_oom(row) for row in runs[8])
    for size in (64, 100):
        assert all(row.status is Status.OOM or is_skipped_after_oom(row) for row in runs[size])
        assert runs[size][1].reason == "skipped after oom at batch 32"  # whatever came first in the first round
    assert ended.stdout.count("unavailable  skipped after oom at batch") == sum(
        map(is_skipped_after_oom, [*runs[64], *runs[100]])
    )
    assert "skipped after oom at batch 32" in (tmp_path / "results" / "s" / "report.html").read_text()


@pytest.mark.faults
def test_the_setting_runs_them_all_the_same(tmp_path: Path, sweep: list[str]) -> None:
    assert run(tmp_path, *sweep, "sweep.skip_after_oom=false").returncode == 3
    runs = by_size(SweepFolder(tmp_path / "results" / "s"))
    assert {row.status for size in (32, 64, 100) for row in runs[size]} == {Status.OOM}
