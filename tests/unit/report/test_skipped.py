"""Batch sizes that were skipped are rows of every table, and the report says that they were, and why."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from bench.analysis.caveats import caveats
from bench.analysis.tables import build_tables
from bench.cell import Cell
from bench.records import PlannedCell, Status
from bench.report import completeness
from bench.report.terminal import print_summary
from bench.report.view import View
from bench.run.supervisor import record_skipped
from bench.store.layout import SweepFolder
from bench.store.reader import read_result, read_sweep
from bench.store.writer import write_result
from tests.synthetic import make_sweep
from tests.unit.report.conftest import look_at

REASON = "skipped after oom at batch 32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A sweep in which PyTorch's eager loop ran out of memory at batch 32, and all above was skipped."""
    path = Path(tmp_path_factory.mktemp("skipped")) / "s"
    made = make_sweep(path, batch_sizes=(8, 32, 64, 128), loops=("eager",), rounds=3, devices=("cpu",), failures=False)
    for planned in read_sweep(made).cells:
        cell = Cell.from_plain(planned.cell)
        for round_ in range(3):
            if cell.framework == "pytorch" and cell.batch_size >= 32:
                end(made, planned, cell, round_)
    return made


def end(folder: SweepFolder, planned: PlannedCell, cell: Cell, round_: int) -> None:
    run = folder.run(planned.id, round_)
    before = read_result(run)
    assert before is not None
    run.trace.unlink()
    run.result.unlink()
    if cell.batch_size == 32:
        write_result(run, replace(before, status=Status.OOM, reason="MemoryError: planted"))
    else:
        record_skipped(folder, planned, round_, before.order_in_round or 0, REASON)


@pytest.fixture(scope="module")
def view(folder: SweepFolder) -> View:
    return look_at(folder)


def test_they_are_rows_of_the_tables(folder: SweepFolder) -> None:
    tables = build_tables(folder)
    runs = tables.runs[tables.runs["reason"] == REASON]
    assert len(runs) == 2 * 3
    assert set(runs["status"]) == {"unavailable"}
    cells = tables.cells.set_index(["framework", "batch_size"])
    assert cells.loc[("pytorch", 128), "status"] == "unavailable"
    assert cells.loc[("pytorch", 128), "reason"] == f"3 of 3 runs: {REASON}"
    assert cells.loc[("pytorch", 32), "status"] == "oom"
    assert cells.loc[("keras", 128), "status"] != "unavailable"


def test_the_report_says_which_and_why(view: View) -> None:
    legend = {status: words for _, status, words in completeness.legend(view)}
    assert legend["unavailable"] == "skipped after a smaller batch size ran out of memory"
    assert ("PyTorch on CPU (2 cells)", f"3 of 3 runs: {REASON}") in completeness.absences(view)
    endings, _ = completeness.endings(view, failed=True)
    assert [(end.what, end.sizes, end.reason) for end in endings if end.status == "unavailable"] == [
        ("PyTorch eager · CPU", "2 batch sizes", REASON)
    ]


def test_a_recommendation_keeps_them_in_mind(view: View) -> None:
    found = {caveat.kind: caveat for caveat in caveats(view.cells, view.cells, view.tables.noise, rounds=3)}
    assert found["skipped_after_oom"].count == 2
    assert "unavailable" not in found


def test_a_terminal_says_it_too(folder: SweepFolder) -> None:
    console = Console(file=io.StringIO(), width=200)
    print_summary(folder, console)
    assert isinstance(console.file, io.StringIO)
    assert f"Absent: PyTorch on CPU (2 cells): 3 of 3 runs: {REASON}" in console.file.getvalue()
