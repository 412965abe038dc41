"""The supervisor: one run from request to record. It starts a worker, waits, and always returns normally.

However a worker ends, its run gets a row; only storage that cannot be written, and the user, stop a sweep.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.cell import Cell
from bench.engines import catalogue
from bench.records import CompileCache, MemoryRecord, PlannedCell, RunRequest, RunResult, Status, WorkerOutcome
from bench.run.attempt import Attempt, attempt
from bench.run.files import make, remove, remove_folder
from bench.run.templates import templates
from bench.run.worker import HEARTBEAT, OUTCOME, TRACE
from bench.store import journal
from bench.store.layout import RunFolder, SweepFolder
from bench.store.trace import read_worker_trace
from bench.store.writer import unreadable, write_result


def run_cell(
    folder: SweepFolder,
    cell: Cell,
    *,
    round_: int,
    order_in_round: int,
    target_loss: float | None = None,
    data_file: Path | None = None,
) -> RunResult:
    """Runs one cell once, in a process of its own, and stores what came of it.

    In the first round a second process takes the memory pass, which no timing sees. It comes after the timing, which
    thereby finds no compiled program: what an interrupted run of this round may have left is thrown away.

    Raises:
        StorageError: the record cannot be written.
    """
    run_folder = folder.run(cell.id, round_)
    started_at, began_s = journal.now(), time.monotonic()
    journal.append(folder, "run_started", cell_id=cell.id, round=round_)
    request = RunRequest(
        cell_id=cell.id,
        cell=cell.to_plain(),
        round=round_,
        order_in_round=order_in_round,
        folder=str(run_folder.path.resolve()),
        data_file=None if data_file is None else str(data_file.resolve()),
        target_loss=target_loss,
        cache_folder=str(folder.cell_cache(cell.id).resolve()),
        environment=catalogue.environment_variables(
            cell.framework, cell.backend, cell.protocol.threads, device=cell.device
        ),
    )
    if round_ == 0:
        remove_folder(folder.cell_cache(cell.id))
    remove(run_folder.log)  # of a run that was interrupted; its last words would be taken for ours
    timing = attempt(request, run_folder.request, run_folder.log)
    timing, trace = _with_trace(run_folder, timing)
    memory, memory_wall_s = _memory_pass(request, run_folder, timing)
    result = _result(request, timing, started_at, time.monotonic() - began_s)
    result = replace(result, memory=memory, memory_wall_s=memory_wall_s)
    write_result(run_folder, result, trace)
    _clean(run_folder)
    told = {"samples_per_s": _throughput(trace), "once_s": _once_s(result, timing)}
    journal.append(folder, "run_finished", **_told(result), **told)
    return result


def record_unavailable(folder: SweepFolder, planned: PlannedCell) -> RunResult:
    """Stores the row of a cell that cannot run here, without starting anything.

    Raises:
        StorageError: the record cannot be written.
    """
    return _record_absent(folder, planned.id, 0, None, planned.unavailable_reason)


def record_skipped(folder: SweepFolder, planned: PlannedCell, round_: int, order: int, reason: str) -> RunResult:
    """Stores the row of a planned run that is not started, and why.

    Raises:
        StorageError: the record cannot be written.
    """
    return _record_absent(folder, planned.id, round_, order, reason)


def _record_absent(folder: SweepFolder, cell_id: str, round_: int, order: int | None, reason: str | None) -> RunResult:
    """The row of a run that never was; only of one that was planned is the order known."""
    result = RunResult(
        cell_id=cell_id,
        round=round_,
        order_in_round=order,
        status=Status.UNAVAILABLE,
        reason=reason,
        started_at=journal.now(),
        parity_reason="the cell was not run",
        noise_reason="the cell was not run",
        process_peak_reason="the cell was not run",
        memory=MemoryRecord(rss_reason="the cell was not run", device_peak_reason="the cell was not run"),
    )
    write_result(folder.run(cell_id, round_), result)
    planned = {} if order is None else {"skipped": True}
    journal.append(folder, "run_unavailable", cell_id=cell_id, round=round_, reason=reason, **planned)
    return result


def close_templates() -> None:
    """Ends every template of this process."""
    templates.close()


def _memory_pass(request: RunRequest, folder: RunFolder, timing: Attempt) -> tuple[MemoryRecord, float | None]:
    cell = Cell.from_plain(request.cell)
    if not timing.status.measured:
        return _no_memory(f"the run ended {timing.status.value}"), None
    if not cell.protocol.memory:
        return _no_memory("protocol.memory is off"), None
    if request.round != 0:
        return _no_memory("measured in round 0 only"), None
    apart = folder.path / "memory"
    make(apart)
    asked = replace(request, kind="memory", folder=str(apart.resolve()))
    passed = attempt(asked, apart / "request.json", folder.log)
    wall_s = passed.wall_s
    if passed.outcome is not None and passed.outcome.compile_cache is CompileCache.COLD:
        # It shows the memory of a compiler. What that made is kept, so a second pass shows the training's.
        passed = attempt(asked, apart / "request.json", folder.log)
        wall_s += passed.wall_s
    _clean(RunFolder(apart))
    if passed.outcome is None or passed.outcome.memory is None:
        return _no_memory(f"the memory pass ended {passed.status.value}: {passed.reason}"), wall_s
    return passed.outcome.memory, wall_s


def _no_memory(reason: str) -> MemoryRecord:
    return MemoryRecord(rss_reason=reason, device_peak_reason=reason)


def _with_trace(folder: RunFolder, timing: Attempt) -> tuple[Attempt, pa.Table | None]:
    """The worker's trace; a worker whose trace cannot be read has crashed, whatever it says of itself."""
    if timing.outcome is None:
        return timing, None
    try:
        return timing, read_worker_trace(folder.path / TRACE)
    except PermissionError as error:
        raise unreadable(folder.path / TRACE, error) from error
    except (KeyError, ValueError, OSError, BadZipFile, pa.ArrowException) as error:
        reason = f"the worker's trace cannot be read: {type(error).__name__}: {error}"
        return replace(timing, status=Status.CRASHED, reason=reason), None


def _result(request: RunRequest, timing: Attempt, started_at: str, wall_s: float) -> RunResult:
    outcome = timing.outcome or WorkerOutcome(status=timing.status)
    return RunResult(
        cell_id=request.cell_id,
        round=request.round,
        order_in_round=request.order_in_round,
        status=timing.status,
        reason=timing.reason,
        started_at=started_at,
        wall_s=wall_s,
        isolation=timing.isolation,
        exit_code=timing.exit.code,
        exit_signal=timing.exit.signal,
        device_name=outcome.device_name,
        target_loss=request.target_loss,
        import_s=timing.import_s,
        phases=outcome.phases,
        compile_cache=outcome.compile_cache,
        initial_train_loss=outcome.initial_train_loss,
        initial_val_loss=outcome.initial_val_loss,
        step_stride=outcome.step_stride,
        environment=outcome.environment,
        parity=outcome.parity,
        parity_reason=_why_no_parity(request, timing),
        noise=timing.noise,
        noise_reason=None if timing.noise is not None else "no worker was started",
        process_peak_bytes=timing.peak_bytes,
        process_peak_reason=timing.peak_reason,
    )


def _why_no_parity(request: RunRequest, timing: Attempt) -> str | None:
    if timing.outcome is not None and timing.outcome.parity is not None:
        return None
    if Cell.from_plain(request.cell).protocol.parity_steps == 0:
        return "protocol.parity_steps is 0: the gate is off"
    return f"the run ended {timing.status.value} and left no word of a gate"


def _clean(folder: RunFolder) -> None:
    """Removes what the worker left for us; the record holds it all."""
    remove(*(folder.path / left for left in (OUTCOME, TRACE, HEARTBEAT)))


def _told(result: RunResult) -> dict[str, Any]:
    return {
        "cell_id": result.cell_id,
        "round": result.round,
        "status": result.status.value,
        "reason": result.reason,
        "wall_s": result.wall_s,
    }


def _once_s(result: RunResult, timing: Attempt) -> float:
    """Seconds of the run that later runs of its cell do not pay, for the estimate of the time left."""
    compiled_s = result.phases.first_step_s if result.compile_cache is CompileCache.COLD else None
    return max(0.0, (result.wall_s or 0.0) - timing.wall_s) + (compiled_s or 0.0)


def _throughput(trace: pa.Table | None) -> float | None:
    """Median samples per second over the steady windows, for the progress display."""
    if trace is None:
        return None
    steady = trace.filter(pc.equal(trace["phase"], "steady"))
    if not len(steady):
        return None
    return float(np.median(steady["samples"].to_numpy() / (steady["window_ns"].to_numpy() / 1e9)))
