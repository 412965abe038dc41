"""The reader: what was written comes back, newer records are refused, damaged ones are rows, nothing is skipped."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import StorageError, UsageError
from bench.records import (
    SCHEMA_VERSION,
    CompileCache,
    MemoryRecord,
    NoiseRecord,
    ParityRecord,
    PhaseTimes,
    RunResult,
    Status,
)
from bench.store.layout import RunFolder, SweepFolder
from bench.store.reader import read_cell, read_result, read_results, read_sweep
from bench.store.writer import write_json, write_result
from tests.rewriting import alter_json, downgrade_json, rewrite_json
from tests.synthetic import make_sweep

seconds = st.none() | st.floats(0, 1e6)
count = st.none() | st.integers(0, 2**62)
whole = st.integers(-(2**63), 2**63 - 1)
text = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
results = st.builds(
    RunResult,
    cell_id=st.just("a-cell"),
    round=st.just(3),
    order_in_round=count,
    status=st.sampled_from(Status),
    reason=text,
    started_at=st.just("2026-11-23T20:00:00+00:00"),
    wall_s=seconds,
    isolation=st.sampled_from([None, "fork", "spawn"]),
    exit_code=st.none() | st.integers(0, 255),
    exit_signal=text,
    device_name=text,
    target_loss=seconds,
    import_s=seconds,
    phases=st.builds(PhaseTimes, start_s=seconds, training_s=seconds, steady_s=seconds),
    compile_cache=st.none() | st.sampled_from(CompileCache),
    initial_train_loss=seconds,
    memory=st.builds(MemoryRecord, peak_rss_bytes=count, rss_reason=text, device_peak_bytes=count),
    environment=st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | whole | st.text(max_size=5)),
    noise=st.none()
    | st.builds(NoiseRecord, steal_share=seconds, thermal_throttles=count, reasons=st.just({"others_share": "why"})),
    parity=st.none() | st.builds(ParityRecord, difference=seconds, step=count, bar=seconds, flips=seconds, reason=text),
)


SINCE_4 = ("trace_sha256", "process_peak_bytes", "process_peak_reason")
SMOKE = Path(__file__).parents[3] / "results" / "reference" / "smoke"


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return make_sweep(tmp_path / "s", batch_sizes=(32, "full"), rounds=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return SweepFolder(tmp_path_factory.mktemp("results")).run("a-cell", 3)


@given(result=results)
def test_a_result_comes_back_as_it_was_written(run: RunFolder, result: RunResult) -> None:
    run.result.unlink(missing_ok=True)
    write_result(run, result)
    assert read_result(run) == result


def test_records_of_version_1_stay_readable() -> None:
    """The sweep in the repository was measured before there was a parity gate."""
    smoke = SweepFolder(SMOKE)
    assert read_sweep(smoke).schema_version == 1
    assert {read_cell(planned).protocol.parity_steps for planned in read_sweep(smoke).cells} == {0}
    found = read_results(smoke)
    assert {(result.schema_version, result.status) for result in found} <= {
        (1, Status.OK),
        (1, Status.TARGET_NOT_REACHED),
    }
    assert {(result.parity, result.parity_reason) for result in found} == {(None, "no parity gate ran")}


def test_a_sweep_comes_back_with_its_cells(folder: SweepFolder) -> None:
    sweep = read_sweep(folder)
    assert len(sweep.cells) == 16
    for planned in sweep.cells:
        assert read_cell(planned).id == planned.id


def test_results_come_in_one_order_whatever_the_disks(folder: SweepFolder) -> None:
    keys = [(result.cell_id, result.round) for result in read_results(folder)]
    assert keys == sorted(keys)
    assert len(keys) == 16 + 8


def test_round_ten_comes_after_round_nine(tmp_path: Path) -> None:
    folder = make_sweep(
        tmp_path / "s", frameworks=["pytorch"], loops=["eager"], batch_sizes=["full"], devices=["cpu"], rounds=12
    )
    assert [result.round for result in read_results(folder)] == list(range(12))


def test_a_folder_without_a_record_is_a_run_to_come(folder: SweepFolder) -> None:
    before = read_results(folder)
    first = folder.run(before[0].cell_id, before[0].round)
    first.result.unlink()
    assert read_result(first) is None
    assert read_results(folder) == before[1:]


def test_files_of_others_are_no_runs(folder: SweepFolder) -> None:
    before = read_results(folder)
    (folder.runs / ".DS_Store").write_text("x")
    (folder.runs / "a-cell" / "rest").mkdir(parents=True)
    (folder.runs / "a-cell" / "r1").write_text("a file")
    assert read_results(folder) == before


def test_no_sweep_here_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no sweep(.|\n)*bench sweep"):
        read_sweep(SweepFolder(tmp_path))


def test_records_of_the_first_version_are_read_and_know_no_cache(folder: SweepFolder) -> None:
    run = folder.run_folders()[0]
    downgrade_json(run.result, 1, "compile_cache", "parity", "parity_reason", "noise", "noise_reason", *SINCE_4)
    result = read_result(run)
    assert result is not None
    assert (result.schema_version, result.compile_cache) == (1, None)


def test_records_of_version_2_are_read_and_know_no_noise(folder: SweepFolder) -> None:
    """Neither the looks at the machine nor controls were there yet, and ids were the same."""
    sweep = json.loads(folder.sweep_json.read_text()) | {"schema_version": 2}
    for planned in sweep["cells"]:
        del planned["cell"]["control"]
    write_json(folder.sweep_json, sweep)
    downgrade_json(folder.sweep_json, 2)
    run = folder.run_folders()[0]
    downgrade_json(run.result, 2, "noise", "noise_reason", *SINCE_4)
    cells = [(planned.id, read_cell(planned)) for planned in read_sweep(folder).cells]
    assert all(cell.id == id_ and not cell.control for id_, cell in cells)
    result = read_result(run)
    assert result is not None
    assert (result.noise, result.noise_reason) == (None, "the machine was not looked at")


def test_a_newer_record_is_refused_naming_both_versions(folder: SweepFolder) -> None:
    victim = folder.run_folders()[0].result
    newer = json.loads(victim.read_text()) | {"schema_version": SCHEMA_VERSION + 1}
    for plain in (newer, {"schema_version": SCHEMA_VERSION + 1, "words": "we do not know"}):
        rewrite_json(victim, plain)
        with pytest.raises(UsageError, match=rf"schema_version {SCHEMA_VERSION + 1}.* up to {SCHEMA_VERSION}"):
            read_results(folder)


def test_a_newer_sweep_is_refused_naming_both_versions(folder: SweepFolder) -> None:
    write_json(folder.sweep_json, json.loads(folder.sweep_json.read_text()) | {"schema_version": SCHEMA_VERSION + 1})
    with pytest.raises(UsageError, match=rf"schema_version {SCHEMA_VERSION + 1}.* up to {SCHEMA_VERSION}"):
        read_sweep(folder)


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"schema_version": 0}', '{"schema_version": true}'])
def test_a_damaged_plan_is_a_storage_error(folder: SweepFolder, damage: str) -> None:
    folder.sweep_json.write_text(damage)
    with pytest.raises(StorageError, match="is damaged"):
        read_sweep(folder)


def test_a_cell_of_the_wrong_types_is_a_storage_error(folder: SweepFolder) -> None:
    planned = read_sweep(folder).cells[0]
    wrong = dataclasses.replace(planned, cell=planned.cell | {"batch_size": "32"})
    with pytest.raises(StorageError, match="batch_size"):
        read_cell(wrong)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"status": "fine"}, "status"),
        ({"wall_s": "1.5"}, "wall_s"),
        ({"round": 1.5}, "round"),
        ({"schema_version": 0}, "schema_version"),
        ({"memory": {"peak_rss_bytes": -0.5}}, "memory.peak_rss_bytes"),
        ({"cell_id": "another"}, "another run"),
        ({"round": 1}, "another run"),
    ],
)
def test_a_record_that_is_wrong_is_an_invalid_run(folder: SweepFolder, changes: dict[str, Any], says: str) -> None:
    before = read_results(folder)
    victim = folder.run(before[0].cell_id, before[0].round)
    alter_json(victim.result, **changes)
    after = read_results(folder)
    assert (after[0].cell_id, after[0].round, after[0].status) == (before[0].cell_id, before[0].round, Status.INVALID)
    assert after[0].reason is not None
    assert says in after[0].reason
    assert after[1:] == before[1:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_ever_loses_the_row(run: RunFolder, data: st.DataObject) -> None:
    run.result.unlink(missing_ok=True)
    write_result(run, data.draw(results))
    content = bytearray(run.result.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position : position + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=4))
        content = content or bytearray(b" ")
    run.result.write_bytes(bytes(content))
    with contextlib.suppress(UsageError):  # the damage made it a newer version's record
        result = read_result(run)
        assert result is not None
        assert (result.cell_id, result.round) == ("a-cell", 3)


def test_an_unreadable_record_is_a_storage_error(folder: SweepFolder) -> None:
    victim = folder.run_folders()[0].result
    victim.unlink()
    victim.mkdir()  # reading a folder fails, also for root
    with pytest.raises(StorageError, match="cannot read"):
        read_results(folder)
