"""A batch size that ran out of memory speaks for the larger ones of its family, and for nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.cell import Cell, DataSpec
from bench.records import PlannedCell, RunResult, Status, SweepRecord
from bench.run.supervisor import record_skipped
from bench.store import journal
from bench.store.aside import set_aside
from bench.store.layout import SweepFolder
from bench.store.reader import read_result
from bench.store.writer import write_result, write_sweep
from bench.sweep.skipping import is_skipped_after_oom, skipped_after_oom

DATA = DataSpec(name="teacher", n_train=4096, n_val=10, features=4, noise=0.0, distribution="normal")


def cell_of(size: int, **changes: Any) -> Cell:
    usual: dict[str, Any] = dict(framework="pytorch", loop="eager", device="gpu", data=DATA)
    return Cell(**(usual | changes), batch_size=size, batch_size_label=str(size))


SIZES = {size: cell_of(size) for size in (64, 128, 256, 512, 1024)}


class Sweep:
    """A sweep whose runs only end."""

    def __init__(self, path: Path, *others: Cell, **settings: Any) -> None:
        self.folder = SweepFolder(path)
        self.cells = {cell.id: cell for cell in (*SIZES.values(), *others)}
        planned = [PlannedCell(id=cell.id, cell=cell.to_plain()) for cell in self.cells.values()]
        record = SweepRecord(
            name="x", created_at="", bench_version="0", command=[], overrides=[], seed=0, rounds=[], cells=planned,
            config={"sweep": settings},
        )  # fmt: skip
        write_sweep(self.folder, record)

    def ends(self, cell: Cell, status: Status, round_: int = 0) -> None:
        result = RunResult(
            cell_id=cell.id, round=round_, order_in_round=0, status=status, reason="planted", started_at=""
        )
        if self.folder.run(cell.id, round_).result.exists():
            set_aside(self.folder, cell.id, round_, "to be tried again")
        write_result(self.folder.run(cell.id, round_), result)
        journal.append(self.folder, "run_finished", cell_id=cell.id, round=round_, status=status.value)

    def reason(self, cell: Cell) -> str | None:
        return skipped_after_oom(self.folder, cell, self.cells)

    def skipped(self) -> list[int]:
        return [size for size, cell in SIZES.items() if self.reason(cell)]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def test_nothing_is_skipped_before_anything_ran_out(sweep: Sweep) -> None:
    assert sweep.skipped() == []
    sweep.ends(SIZES[64], Status.OK)
    for status in (Status.CRASHED, Status.TIMEOUT, Status.ERROR, Status.INVALID, Status.UNAVAILABLE):
        sweep.ends(SIZES[128], status)
        assert sweep.skipped() == []


def test_what_is_larger_is_skipped_and_its_reason_names_the_smallest_that_ran_out(sweep: Sweep) -> None:
    sweep.ends(SIZES[512], Status.OOM)
    assert sweep.skipped() == [1024]
    sweep.ends(SIZES[256], Status.OOM)
    assert sweep.skipped() == [512, 1024]
    assert sweep.reason(SIZES[1024]) == "skipped after oom at batch 256"
    assert sweep.reason(SIZES[256]) is None


@pytest.mark.parametrize("status", [Status.OK, Status.TARGET_NOT_REACHED, Status.DIVERGED])
def test_what_has_trained_at_that_size_or_above_speaks_against_it(sweep: Sweep, status: Status) -> None:
    sweep.ends(SIZES[128], Status.OOM)
    sweep.ends(SIZES[512], status)
    assert sweep.skipped() == []
    sweep.ends(SIZES[512], Status.OOM, round_=1)
    assert sweep.skipped() == []
    sweep.ends(SIZES[512], Status.OOM, round_=0)
    assert sweep.skipped() == [256, 512, 1024]


@pytest.mark.parametrize(
    "change",
    [
        {"framework": "keras", "backend": "jax"},
        {"loop": "fused"},
        {"device": "cpu"},
        {"seed": 1},
        {"defaults": "framework"},
        {"data": replace(DATA, n_train=5000)},
        {"python": "/opt/other/python"},
    ],
)
def test_another_family_is_not_spoken_for(tmp_path: Path, change: dict[str, Any]) -> None:
    other = cell_of(1024, **change)
    sweep = Sweep(tmp_path, other)
    sweep.ends(SIZES[64], Status.OOM)
    assert sweep.reason(other) is None


def test_a_control_is_of_its_twins_family(tmp_path: Path) -> None:
    twin = replace(SIZES[256], control=True, protocol=replace(SIZES[256].protocol, memory=False))
    sweep = Sweep(tmp_path, twin)
    sweep.ends(SIZES[128], Status.OOM)
    assert sweep.reason(twin) == "skipped after oom at batch 128"
    sweep.ends(twin, Status.OK)
    assert sweep.skipped() == []


def test_a_record_that_was_set_aside_speaks_no_more(sweep: Sweep) -> None:
    sweep.ends(SIZES[128], Status.OOM)
    assert sweep.skipped() == [256, 512, 1024]
    record = sweep.folder.run(SIZES[128].id, 0).result
    record.rename(record.with_name("elsewhere.json"))
    assert sweep.skipped() == []
    journal.append(sweep.folder, "record_set_aside", cell_id=SIZES[128].id, round=0, reason="to be tried again")
    assert sweep.skipped() == []
    sweep.ends(SIZES[128], Status.OOM)
    assert sweep.skipped() == [256, 512, 1024]


def test_the_setting_turns_it_off(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, skip_after_oom=False)
    sweep.ends(SIZES[128], Status.OOM)
    assert sweep.skipped() == []


def test_what_another_process_ran_is_seen(sweep: Sweep) -> None:
    assert sweep.skipped() == []
    cell_id = SIZES[128].id
    result = RunResult(cell_id=cell_id, round=0, order_in_round=0, status=Status.OOM, reason="planted", started_at="")
    write_result(sweep.folder.run(cell_id, 0), result)
    line = json.dumps({"event": "run_finished", "cell_id": cell_id, "round": 0, "status": "oom"})
    append = f"open({str(sweep.folder.journal)!r}, 'a').write({line + chr(10)!r})"
    subprocess.run([sys.executable, "-S", "-c", append], check=True)
    assert sweep.skipped() == [256, 512, 1024]


def test_a_look_reads_what_is_new_and_no_record_again(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.ends(SIZES[64], Status.OK)
    assert sweep.skipped() == []
    read: list[Path] = []
    read_bytes = Path.read_bytes

    def watched(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", watched)
    for _ in range(100):
        assert sweep.skipped() == []
    assert read == []


@pytest.mark.parametrize(
    "line",
    [
        {"event": "run_finished", "cell_id": SIZES[64].id, "status": "oom"},
        {"event": "run_finished", "cell_id": SIZES[64].id, "round": "../..", "status": "oom"},
        {"event": "run_finished", "cell_id": SIZES[64].id, "round": -1, "status": "oom"},
        {"event": "run_finished", "cell_id": ["x"], "round": 0, "status": "oom"},
        {"event": "run_finished", "cell_id": SIZES[64].id, "round": 0, "status": ["oom"]},
        {"event": "run_finished", "cell_id": "../../elsewhere", "round": 0, "status": "oom"},
        {"event": "run_finished", "cell_id": SIZES[64].id, "round": 3, "status": "oom"},
    ],
)
def test_odd_lines_and_claims_without_a_record_skip_nothing(sweep: Sweep, line: dict[str, Any]) -> None:
    with sweep.folder.journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert sweep.skipped() == []


def test_a_skipped_run_is_a_row_that_says_so(sweep: Sweep) -> None:
    sweep.ends(SIZES[128], Status.OOM)
    reason = sweep.reason(SIZES[256])
    assert reason is not None
    planned = PlannedCell(id=SIZES[256].id, cell=SIZES[256].to_plain())
    result = record_skipped(sweep.folder, planned, 2, 7, reason)
    assert read_result(sweep.folder.run(planned.id, 2)) == result
    assert (result.round, result.order_in_round, result.status, result.reason) == (2, 7, Status.UNAVAILABLE, reason)
    assert is_skipped_after_oom(result)
    assert not is_skipped_after_oom(replace(result, reason="no GPU here"))
    assert not is_skipped_after_oom(replace(result, status=Status.OOM))
    event = json.loads(sweep.folder.journal.read_text().splitlines()[-1])
    assert (event["event"], event["round"], event["skipped"], event["reason"]) == ("run_unavailable", 2, True, reason)
