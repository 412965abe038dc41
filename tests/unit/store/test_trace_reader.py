"""Traces: one by one and in bulk they say the same; damage is noticed and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import StorageError
from bench.records import Status
from bench.store import trace_reader
from bench.store.layout import SweepFolder
from bench.store.reader import read_results
from bench.store.trace import EPOCH_COLUMNS, STEP_COLUMNS
from bench.store.trace_reader import read_trace, read_traces
from bench.store.writer import TRACE_SCHEMA
from tests.rewriting import rewrite_trace
from tests.synthetic import make_sweep


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return make_sweep(tmp_path_factory.mktemp("results") / "s", batch_sizes=(64, "full"), rounds=2)


@pytest.fixture
def own(tmp_path: Path) -> SweepFolder:
    return make_sweep(
        tmp_path / "s", frameworks=["pytorch"], loops=["eager"], batch_sizes=[256], devices=["cpu"], failures=False
    )


@pytest.mark.parametrize("at_once", [1, 3, 256])
def test_all_traces_together_are_each_of_them(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(trace_reader, "_FILES_AT_ONCE", at_once)
    results = read_results(folder)
    traces = read_traces(folder, results)
    assert traces.problems == {}
    for run, result in enumerate(results):
        if not result.status.measured:
            continue
        alone = read_trace(folder.run(result.cell_id, result.round))
        for kind, columns, together in (("step", STEP_COLUMNS, traces.steps), ("epoch", EPOCH_COLUMNS, traces.epochs)):
            mine = together.filter(pc.equal(together["run"], run)).select(columns)
            assert mine.to_pylist() == alone.filter(pc.equal(alone["kind"], kind)).select(columns).to_pylist()


def test_rows_in_any_order_are_read_alike(own: SweepFolder) -> None:
    results = read_results(own)
    run = own.run(results[0].cell_id, results[0].round)
    before = read_traces(own, results)
    trace = read_trace(run)
    epochs, steps = (trace.filter(pc.equal(trace["kind"], kind)) for kind in ("epoch", "step"))
    rewrite_trace(run, pa.concat_tables([steps, epochs]))
    after = read_traces(own, read_results(own))
    assert after.steps.equals(before.steps)
    assert after.epochs.equals(before.epochs)


def test_a_stride_keeps_every_kth_step_and_every_epoch(folder: SweepFolder) -> None:
    results = read_results(folder)
    every, third = read_traces(folder, results), read_traces(folder, results, step_stride=3)
    kept = np.flatnonzero(every.steps["step"].to_numpy() % 3 == 0)
    assert third.steps.to_pylist() == every.steps.take(kept).to_pylist()
    assert third.epochs.equals(every.epochs)


def test_no_runs_no_rows() -> None:
    traces = read_traces(SweepFolder(Path("nowhere")), [])
    assert (len(traces.steps), len(traces.epochs), traces.problems) == (0, 0, {})
    assert traces.steps.column_names == ["run", *STEP_COLUMNS]


def test_a_run_that_failed_may_lack_its_trace_and_a_measured_one_may_not(folder: SweepFolder, own: SweepFolder) -> None:
    results = read_results(folder)
    absent = [r for r in results if not folder.run(r.cell_id, r.round).trace.exists()]
    assert {r.status for r in absent} >= {Status.UNAVAILABLE, Status.TIMEOUT}
    own_results = read_results(own)
    own.run(own_results[1].cell_id, own_results[1].round).trace.unlink()
    assert read_traces(own, own_results).problems == {1: "trace.parquet: there is none"}


def test_a_damaged_trace_alone_is_a_storage_error(own: SweepFolder) -> None:
    run = own.run_folders()[0]
    run.trace.write_bytes(b"PAR1 but nothing else PAR1")
    with pytest.raises(StorageError, match=r"trace.parquet: damaged"):
        read_trace(run)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_a_flipped_byte_is_named(own: SweepFolder, data: st.DataObject) -> None:
    results = read_results(own)
    path = own.run(results[0].cell_id, results[0].round).trace
    intact, expected = path.read_bytes(), read_traces(own, results)
    position = data.draw(st.integers(0, len(intact) - 1))
    flipped = intact[position] ^ data.draw(st.integers(1, 255))
    path.write_bytes(intact[:position] + bytes([flipped]) + intact[position + 1 :])
    try:
        seen = read_traces(own, results)
    finally:
        path.write_bytes(intact)
    others = pc.not_equal(expected.steps["run"], 0)
    assert seen.steps.filter(pc.not_equal(seen.steps["run"], 0)).equals(expected.steps.filter(others))
    assert list(seen.problems) == [0]
    assert 0 not in seen.epochs["run"].to_pylist()


@pytest.mark.parametrize("column", ["samples", "updates", "window_ns", "batch_samples"])
def test_numbers_that_nothing_can_be_divided_by_are_named(own: SweepFolder, column: str) -> None:
    results = read_results(own)
    run = own.run(results[2].cell_id, results[2].round)
    trace = read_trace(run).to_pandas()
    trace.loc[trace[column].notna(), column] = 0
    rewrite_trace(run, pa.Table.from_pandas(trace, preserve_index=False).select(TRACE_SCHEMA.names))
    traces = read_traces(own, read_results(own))
    assert traces.problems == {2: f"trace.parquet: damaged: a row whose {column} is not positive"}
    assert 2 not in traces.epochs["run"].to_pylist()
    assert 2 not in traces.steps["run"].to_pylist()
