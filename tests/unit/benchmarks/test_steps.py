"""``make bench`` from its command line to a sweep, on the one framework that is quick to start."""

from pathlib import Path

import pytest

from bench.analysis.tables import build_tables
from bench.store.benchmarks import import_benchmarks, read_benchmarks
from bench.store.layout import SweepFolder
from tests.benchmarks import steps


def test_a_file_of_its_own_becomes_a_run_of_every_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "steps.json"
    options = ["--batch-sizes", "500,1000", "--seconds", "0", "--json", str(path), "-k", "1000"]
    assert steps.main(["--only", "reference", *options]) == 0
    assert "benchmark 'batch 1000'" in capsys.readouterr().out
    file = read_benchmarks(path)
    import_benchmarks([file, file], SweepFolder(tmp_path / "sweep"))
    runs = build_tables(SweepFolder(tmp_path / "sweep")).runs
    assert runs[["framework", "batch_size", "round"]].values.tolist() == [
        ["reference", 1000, 0],
        ["reference", 1000, 1],
    ]
    (benchmark,) = file.benchmarks
    assert sorted(benchmark.stats.data)[0] * 1e6 <= runs["step_us"].iloc[0] <= sorted(benchmark.stats.data)[-1] * 1e6


def test_nothing_measured_is_a_failure(tmp_path: Path) -> None:
    assert steps.main(["--only", "none", "--json", str(tmp_path / "steps.json")]) == 1
