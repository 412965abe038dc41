"""Sweeps of every version the harness ever had are read, say what they do not know, and still make tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench import cli
from bench.analysis.noise import DISTURBED, UNKNOWN, verdict_of
from bench.analysis.tables import Tables, build_tables
from bench.errors import UsageError
from bench.records import SCHEMA_VERSION, Status
from bench.store.layout import SweepFolder
from bench.store.migration import lifted_result, lifted_sweep
from bench.store.reader import read_cell, read_results, read_sweep
from bench.store.sealing import CHECKSUM
from bench.store.trace_reader import read_traces, why_damaged
from tests.rewriting import alter_json

OLD = Path(__file__).parents[2] / "old_results"
VERSIONS = range(1, SCHEMA_VERSION + 1)
every_version = pytest.mark.parametrize("version", VERSIONS)


def sweep_of(version: int) -> SweepFolder:
    return SweepFolder(OLD / f"v{version}")


def test_there_is_a_sweep_of_every_version() -> None:
    assert sorted(path.name for path in OLD.iterdir() if path.is_dir()) == [f"v{version}" for version in VERSIONS]


@every_version
def test_its_records_are_read_and_say_which_version_wrote_them(version: int) -> None:
    folder = sweep_of(version)
    sweep, results = read_sweep(folder), read_results(folder)
    assert sweep.schema_version == version
    assert {result.schema_version for result in results} == {version}
    assert Status.INVALID not in {result.status for result in results}
    assert {result.cell_id for result in results} <= {planned.id for planned in sweep.cells}
    assert [why_damaged(run) for run in folder.run_folders()] == [None] * len(results)


@every_version
def test_its_cells_are_cells_of_today(version: int) -> None:
    sweep = read_sweep(sweep_of(version))
    cells = [read_cell(planned) for planned in sweep.cells]
    assert all((cell.protocol.parity_steps > 0) == (version >= 2) for cell in cells)
    assert any(cell.control for cell in cells) == (version >= 3)
    if version >= 2:  # the gate made every cell another measurement
        assert [cell.id for cell in cells] == [planned.id for planned in sweep.cells]


@every_version
def test_its_runs_say_what_was_not_recorded_yet(version: int) -> None:
    for result in read_results(sweep_of(version)):
        if not result.status.measured:
            continue
        assert (result.compile_cache is not None) == (version >= 2)
        assert (result.parity is not None, result.parity_reason) == (
            (True, None) if version >= 2 else (False, "no parity gate ran")
        )
        assert (result.noise is not None, result.noise_reason) == (
            (True, None) if version >= 3 else (False, "the machine was not looked at")
        )
        assert (result.trace_sha256 is not None) == (version >= 4)
        if version < 4:
            assert (result.process_peak_bytes, result.process_peak_reason) == (None, "not recorded before version 4")


@every_version
def test_its_tables_are_built_and_what_was_measured_has_a_speed(version: int) -> None:
    folder = sweep_of(version)
    tables = build_tables(folder)
    assert tables.problems == ()
    measured = [result for result in read_results(folder) if result.status.measured]
    runs = speeds(tables)
    assert len(runs) == len(measured) > 0
    assert (runs > 0).all()
    assert len(tables.steps) == len(read_traces(folder, measured).steps) > 0


@every_version
def test_its_machine_is_judged_by_what_was_recorded_of_it(version: int) -> None:
    tables = build_tables(sweep_of(version))
    looked = tables.every_run[tables.every_run["others_share"].notna()]
    assert (len(looked) > 0) == (version >= 3)
    assert set(looked["disturbance"]) <= {"others"}  # each ran beside another program that took half of the machine
    assert looked["others_processors"].isna().all()
    assert looked["noise_reason"].str.contains("others_processors: not recorded by the version").all()
    assert looked["gpu_reason"].str.contains("gpu_others: not recorded by the version").all()
    assert verdict_of(tables.noise) == (DISTURBED if version >= 3 else UNKNOWN)


def speeds(tables: Tables) -> Any:
    return tables.every_run["samples_per_s"].dropna()


@every_version
def test_a_value_altered_in_it_is_noticed_where_it_has_a_checksum(version: int, tmp_path: Path) -> None:
    folder = SweepFolder(shutil.copytree(sweep_of(version).path, tmp_path / "s"))
    run = folder.run_folders()[0]
    plain = json.loads(run.result.read_text())
    run.result.write_text(json.dumps(plain | {"wall_s": 1e6}))
    assert (why_damaged(run) is not None) == (version >= 4)
    assert (CHECKSUM in plain) == (version >= 4)


def test_a_newer_version_is_refused_in_so_many_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SweepFolder(shutil.copytree(sweep_of(SCHEMA_VERSION).path, tmp_path / "newer"))
    alter_json(folder.sweep_json, schema_version=SCHEMA_VERSION + 1)
    assert cli.main(["report", str(folder.path)]) == 2
    said = capsys.readouterr().err
    assert f"sweep.json has schema_version {SCHEMA_VERSION + 1}, this bench reads up to {SCHEMA_VERSION}" in said
    assert "install that version of bench to read it" in said


def test_a_newer_run_in_a_sweep_of_today_is_refused_as_well(tmp_path: Path) -> None:
    folder = SweepFolder(shutil.copytree(sweep_of(SCHEMA_VERSION).path, tmp_path / "newer"))
    alter_json(folder.run_folders()[0].result, schema_version=SCHEMA_VERSION + 1, words="that we do not know")
    with pytest.raises(UsageError, match="a newer version wrote it"):
        read_results(folder)


def test_a_version_number_that_was_altered_is_damage_and_no_newer_version(tmp_path: Path) -> None:
    folder = SweepFolder(shutil.copytree(sweep_of(SCHEMA_VERSION).path, tmp_path / "s"))
    path = folder.run_folders()[0].result
    path.write_text(path.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 6'))
    assert read_results(folder)[0].status is Status.INVALID


@pytest.mark.parametrize("shape", [{}, {"cells": 1}, {"cells": [1, {"cell": 2}, {"cell": {"protocol": 3}}]}])
def test_what_has_no_shape_is_lifted_as_it_is(shape: dict[str, Any]) -> None:
    for version in VERSIONS:
        assert lifted_sweep(shape | {"schema_version": version})["schema_version"] == version
        assert lifted_result(shape | {"schema_version": version})["schema_version"] == version


def test_a_record_of_today_is_left_as_it_is() -> None:
    plain = {"schema_version": SCHEMA_VERSION, "anything": 2**100}
    assert lifted_result(plain) is plain
    assert lifted_sweep(plain) is plain
