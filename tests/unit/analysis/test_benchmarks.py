"""A sweep as a file of pytest-benchmark, and back: its arithmetic, its own command, every timing to the last bit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_benchmark.stats import Stats

from bench import cli
from bench.analysis.benchmarks import WRITTEN_AS, benchmarks_of, left_out, statistics_of
from bench.analysis.tables import Tables, build_tables
from bench.errors import UsageError
from bench.records import SCHEMA_VERSION, RunResult, Status
from bench.store.benchmarks import BenchmarkFile, import_benchmarks, read_benchmarks
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from bench.store.trace import trace_table
from bench.store.writer import write_json, write_result
from tests.synthetic import disk_not_awaited, make_sweep

Plain = dict[str, Any]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[SweepFolder, Plain]:
    folder = make_sweep(tmp_path_factory.mktemp("sweeps") / "synthetic", batch_sizes=(32, "full"), rounds=5)
    return folder, benchmarks_of(build_tables(folder), read_sweep(folder))


def written(plain: Any, path: Path) -> Path:
    path.write_text(json.dumps(plain))
    return path


def imported(files: list[BenchmarkFile], path: Path) -> Tables:
    with disk_not_awaited():
        import_benchmarks(files, SweepFolder(path))
    return build_tables(SweepFolder(path))


def timing(tables: Tables) -> list[Plain]:
    names = ["cell_id", "round", "order_in_round", "step_us", "samples_per_s", "first_step_s", "timed_epochs", "status"]
    timed = tables.runs[tables.runs["step_us"].notna()]
    return timed[names].sort_values(["cell_id", "round"]).to_dict("records")  # type: ignore[return-value]


# --- out --------------------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=40))
def test_the_statistics_are_those_of_pytest_benchmark(data: list[float]) -> None:
    theirs: Any = Stats()  # type: ignore[no-untyped-call]
    for value in data:
        theirs.update(value)
    assert statistics_of(data) == theirs.as_dict() | {"data": data, "iterations": 1}


def test_a_file_has_what_pytest_benchmark_writes(exported: tuple[SweepFolder, Plain], tmp_path: Path) -> None:
    test = tmp_path / "test_one.py"
    test.write_text("def test_one(benchmark):\n    benchmark.pedantic(int, rounds=3)\n")
    path = tmp_path / "theirs.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name, f"--benchmark-json={path}"]
    # In a process that takes itself for a worker of pytest-xdist it would time nothing.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, env=alone)
    theirs, ours = json.loads(path.read_text()), exported[1]
    assert ours.keys() - theirs.keys() == {"bench"}
    assert theirs.keys() <= ours.keys()
    assert ours["version"] == theirs["version"] == WRITTEN_AS
    assert ours["machine_info"].keys() == theirs["machine_info"].keys()
    assert {"id", "time", "dirty", "project", "branch"} <= ours["commit_info"].keys()
    assert ours["benchmarks"][0].keys() == theirs["benchmarks"][0].keys()
    assert ours["benchmarks"][0]["stats"].keys() == theirs["benchmarks"][0]["stats"].keys()


def test_pytest_benchmark_compares_two_files(exported: tuple[SweepFolder, Plain], tmp_path: Path) -> None:
    files = [str(written(exported[1], tmp_path / f"{name}.json")) for name in ("old", "new")]
    compare = [sys.executable, "-m", "pytest_benchmark", "compare", *files]
    for options in (["--group-by=group"], ["--between=median", "--group-by=group"]):
        done = subprocess.run([*compare, *options], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert "pytorch-eager-cpu-b32" in done.stdout
        assert not done.stderr


def test_cells_without_a_timed_run_are_named_and_left_out(exported: tuple[SweepFolder, Plain]) -> None:
    folder, plain = exported
    tables = build_tables(folder)
    ids = [benchmark["extra_info"]["cell_id"] for benchmark in plain["benchmarks"]]
    assert sorted(ids + left_out(tables)) == sorted(tables.cells["cell_id"])
    never = tables.cells[tables.cells["n_measured"] == 0]
    assert sorted(left_out(tables)) == sorted(never["cell_id"])
    assert (never["status"] == "diverged").any()


# --- and back ---------------------------------------------------------------------------------------------------------


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(windows=st.lists(st.lists(st.integers(1, 10**12), min_size=1, max_size=6), min_size=1, max_size=4))
def test_there_and_back_is_exact(windows: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    scratch = tmp_path_factory.mktemp("round_trip")
    folder = make_sweep(
        scratch / "sweep", frameworks=("pytorch",), loops=("eager",), batch_sizes=(300,), devices=("cpu",),
        rounds=len(windows), failures=False, epochs=1,
    )  # fmt: skip
    (cell,) = read_sweep(folder).cells
    with disk_not_awaited():
        for round_, windows_ns in enumerate(windows):
            write_windows(folder, cell.id, round_, windows_ns)
    before = build_tables(folder)
    write_json(scratch / "file.json", benchmarks_of(before, read_sweep(folder)))
    after = imported([read_benchmarks(scratch / "file.json")], scratch / "imported")
    assert timing(after) == timing(before)
    steady = before.epochs[before.epochs["phase"] == "steady"]
    assert after.epochs["window_ns"].tolist() == steady["window_ns"].tolist()


def write_windows(folder: SweepFolder, cell_id: str, round_: int, windows_ns: list[int]) -> None:
    """A run of that cell of four steps, whose steady windows these are."""
    n = len(windows_ns)
    rows = {"phase": np.full(n, "steady"), "epoch": np.arange(n), "samples": np.full(n, 1000), "updates": np.full(n, 4)}
    none = {name: np.full(n, np.nan) for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")}
    steps = {name: np.empty(0) for name in ("epoch", "step", "batch_samples", "loss")}
    arrays = {f"epoch_{name}": values for name, values in (rows | none | {"window_ns": np.array(windows_ns)}).items()}
    result = RunResult(cell_id=cell_id, round=round_, order_in_round=0, status=Status.OK, started_at="")
    result = replace(result, phases=replace(result.phases, first_step_s=0.1 * (1 + round_)))
    folder.run(cell_id, round_).result.unlink(missing_ok=True)
    write_result(folder.run(cell_id, round_), result, trace_table(arrays | {f"step_{k}": v for k, v in steps.items()}))


def test_a_sweep_comes_back_with_its_cells_its_order_and_where_it_was_measured(
    exported: tuple[SweepFolder, Plain], tmp_path: Path
) -> None:
    folder, plain = exported
    after = imported([read_benchmarks(written(plain, tmp_path / "file.json"))], tmp_path / "imported")
    assert timing(after) == timing(build_tables(folder))
    ours, theirs = read_sweep(SweepFolder(tmp_path / "imported")), read_sweep(folder)
    cells = {planned.id: planned.cell for planned in theirs.cells}
    assert all(planned.cell == cells[planned.id] for planned in ours.cells)
    assert (ours.machine, ours.software, ours.git) == (theirs.machine, theirs.software, theirs.git)
    assert set(after.runs["parity_reason"]) == {"imported: a file of pytest-benchmark holds timing only"}


def test_several_files_of_one_machine_are_the_rounds_of_one_sweep(
    exported: tuple[SweepFolder, Plain], tmp_path: Path
) -> None:
    file = read_benchmarks(written(exported[1], tmp_path / "file.json"))
    after = imported([file, file], tmp_path / "imported")
    assert sorted(set(after.runs["round"])) == list(range(10))
    elsewhere = replace(file, bench=replace(file.bench, machine={"processor": "another"}))
    with pytest.raises(UsageError, match="processor of synthetic and synthetic differ"):
        import_benchmarks([file, elsewhere], SweepFolder(tmp_path / "mixed"))


def test_blocks_of_one_process_come_back_as_one_run(exported: tuple[SweepFolder, Plain], tmp_path: Path) -> None:
    """As ``make bench`` has them: statistics over blocks, and no more than one number to compare by."""
    plain = json.loads(json.dumps(exported[1]))
    benchmark = plain["benchmarks"][0]
    extra = benchmark["extra_info"]
    extra["repeats"], extra["runs"] = "blocks", extra["runs"][:1]
    run = extra["runs"][0]
    benchmark["stats"]["data"] = [window_ns / 1e9 / run["updates"] for window_ns in run["windows_ns"]]
    plain["benchmarks"] = [benchmark]
    after = imported([read_benchmarks(written(plain, tmp_path / "file.json"))], tmp_path / "imported")
    assert len(after.runs) == 1
    assert after.runs["step_us"].item() == pytest.approx(np.median(benchmark["stats"]["data"]) * 1e6)


# --- refused ----------------------------------------------------------------------------------------------------------


def _first(plain: Plain) -> Plain:
    extra: Plain = plain["benchmarks"][0]["extra_info"]
    return extra


def _twice(plain: Plain) -> None:
    plain["benchmarks"].append(plain["benchmarks"][0])


HOSTILE: dict[str, Callable[[Plain], Any]] = {
    "wrote it without this harness": lambda plain: plain.pop("bench"),
    "no file of pytest-benchmark": lambda plain: plain.pop("benchmarks"),
    "bench.format: Field required": lambda plain: plain["bench"].pop("format"),
    "its format is 2, this bench reads 1": lambda plain: plain["bench"].update(format=2),
    f"this bench reads 1 to {SCHEMA_VERSION}": lambda plain: plain["bench"].update(schema_version=SCHEMA_VERSION + 1),
    "bench.name: String should match": lambda plain: plain["bench"].update(name="../elsewhere"),
    "extra_info.cell_id: String should match": lambda plain: _first(plain).update(cell_id="../../elsewhere"),
    "extra_info.cell: ": lambda plain: _first(plain).update(cell="pytorch"),
    "extra_info.cell.batch_size": lambda plain: _first(plain)["cell"].update(batch_size="32"),
    "extra_info.runs: List should have": lambda plain: _first(plain).update(runs=[]),
    "runs.0.round: Input should be less": lambda plain: _first(plain)["runs"][0].update(round=10**9),
    "runs.0.windows_ns.0: Input should be greater": lambda plain: _first(plain)["runs"][0].update(windows_ns=[0]),
    "runs.0.updates: ": lambda plain: _first(plain)["runs"][0].update(updates=2**63),
    "runs.0.step_us: ": lambda plain: _first(plain)["runs"][0].update(step_us=-1.0),
    "runs.0.status: ": lambda plain: _first(plain)["runs"][0].update(status="crashed"),
    "is there twice": _twice,
    "are not the times of its runs": lambda plain: plain["benchmarks"][0]["stats"]["data"].reverse(),
    "stats.data.0: Input should be a finite": lambda plain: plain["benchmarks"][0]["stats"].update(data=[float("nan")]),
    "are not the times of its blocks": lambda plain: _first(plain).update(repeats="blocks"),
    "benchmarks: List should have": lambda plain: plain["benchmarks"].clear(),
    "benchmarks.0.stats: Field required": lambda plain: plain["benchmarks"][0].pop("stats"),
}


@pytest.mark.parametrize("why", HOSTILE)
def test_a_file_that_cannot_be_trusted_is_refused(
    why: str, exported: tuple[SweepFolder, Plain], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = json.loads(json.dumps(exported[1]))
    HOSTILE[why](plain)
    path = written(plain, tmp_path / "file.json")
    code = cli.main(["import", "--format", "pytest-benchmark", str(path), "--output", str(tmp_path / "imported")])
    said = capsys.readouterr().err
    assert code == 2
    assert why in said
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"null", b"{" * 9, b'{"bench":' * 2000, b'{"benchmarks": [], "bench": {}}']
)
def test_what_is_no_such_file_at_all_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be imported"):
        read_benchmarks(path)


def test_nothing_is_overwritten(exported: tuple[SweepFolder, Plain], tmp_path: Path) -> None:
    file = read_benchmarks(written(exported[1], tmp_path / "file.json"))
    with pytest.raises(UsageError, match="holds something already"):
        import_benchmarks([file], SweepFolder(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


# --- the verbs --------------------------------------------------------------------------------------------------------


def test_the_verbs_say_what_they_wrote(
    exported: tuple[SweepFolder, Plain],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = exported[0]
    form = ["--format", "pytest-benchmark"]
    assert cli.main(["export", *form, str(folder.path), "--output", "made/file.json"]) == 0
    said = capsys.readouterr().out
    assert "cells, a number per run: seconds per step" in said
    assert "Left out, because no run of them was timed: " in said
    assert cli.main(["import", *form, "made/file.json"]) == 0
    assert f"{tmp_path}/results/imported-synthetic: 31 runs of 7 cells" in capsys.readouterr().out
    assert cli.main(["report", "results/imported-synthetic"]) == 0
    assert cli.main(["import", *form, "made/no.json"]) == 2
    assert cli.main(["export", *form, "made"]) == 2
    for arguments in (["export"], ["export", "--format", "xml"], ["import", *form]):
        with pytest.raises(SystemExit) as leaving:
            cli.main(arguments)
        assert leaving.value.code == 2


def test_a_sweep_without_a_timed_run_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_sweep(tmp_path / "sweep", frameworks=("pytorch",), batch_sizes=(32,), devices=("gpu",))
    assert cli.main(["export", "--format", "pytest-benchmark", str(folder.path)]) == 2
    assert "holds no run that was timed" in capsys.readouterr().err
