"""How much room a plan needs on the disk while it runs: records, traces, compiled programs, data, tables and report.

The sizes are those of real sweeps. Of what lies on the disk at their end this page expects 1.6 times in a sweep of 132
cells and 220 runs (49 MB), and 1.5 times in two of 12 and 24 runs (3.3 and 4.2 MB; a test holds the first); the reserve
comes on top, and so do programs, which are thrown away at a sweep's end (4.2 MB were seen of a fused cell in PyTorch).
Steps and epochs are the cells' true numbers. How many steady epochs there will be depends on the machine, so they are
counted for one twice as fast as that of ``bench.plan.estimate``.
"""

from __future__ import annotations

from collections.abc import Collection

from bench.cell import Cell
from bench.plan.estimate import epoch_s, keeps_programs
from bench.plan.plan import Plan

MARGIN = 1.25
"""Over what is counted here: names, blocks and files that lie aside for a moment."""
RESERVE_BYTES = 16_000_000
"""Kept free before every run, so that a record and the journal's line on it can always be written to the end."""
MOST_STEPS_STORED = 200_000
"""Of one run, as ``bench.run.measure`` has it: where there are more, every k-th is kept."""

_BLOCK = 4096
# A run's two folders; request, record and log; three lines of the journal.
_RUN_FILES = 2 * _BLOCK + 4 * _BLOCK + 700
_TRACE, _TRACE_STEP, _TRACE_EPOCH = 5_600, 9.5, 8.0
# What a worker leaves for the supervisor, which makes the trace of it: arrays, not compressed.
_LEFT_STEP, _LEFT_EPOCH = 24, 124
_PROGRAMS = 5_000_000
_PLANNED_CELL, _PLANNED_RUN = 1_500, 50
# Tables as CSV and as Parquet: of no rows, of a cell, of a run, and of rows of steps and of epochs.
_TABLES, _TABLE_CELL, _TABLE_RUN, _TABLE_STEP, _TABLE_EPOCH = 500_000, 1_700, 1_400, 78, 80
_MOST_STEP_ROWS = 1_000_000
# Figures and the report in both its forms: of no cells, and of a cell.
_REPORT, _REPORT_CELL = 3_000_000, 10_000


def bytes_needed(plan: Plan, finished: Collection[tuple[str, int]] = ()) -> int:
    """Bytes that the sweep needs at most while it runs, the rounds counted that are sure to come.

    Args:
        plan: what is to be run.
        finished: runs whose records are on the disk already, by cell id and round.
    """
    done = set(finished)
    runs = [
        plan.by_id[cell_id].cell
        for round_, cell_ids in enumerate(plan.rounds)
        for cell_id in cell_ids
        if (cell_id, round_) not in done
    ]
    kept = sum(map(_kept_bytes, runs)) + _record_bytes(plan) + _data_bytes(plan) + _programs_bytes(plan)
    return int(MARGIN * (kept + _derived_bytes(plan)) + max(map(_passing_bytes, runs), default=0) + RESERVE_BYTES)


def bytes_of_run(cell: Cell) -> int:
    """Bytes that must be free before a run of the cell begins: what it writes, and the reserve."""
    return int(MARGIN * (_kept_bytes(cell) + _passing_bytes(cell) + _programs_of(cell)) + RESERVE_BYTES)


def _kept_bytes(cell: Cell) -> float:
    """What stays of a run."""
    return _RUN_FILES + _TRACE + _TRACE_STEP * _steps_kept(cell) + _TRACE_EPOCH * _epochs(cell)


def _passing_bytes(cell: Cell) -> float:
    """What a worker leaves, until the trace is made of it."""
    return _LEFT_STEP * _steps_kept(cell) + _LEFT_EPOCH * _epochs(cell) + _BLOCK


def _steps_kept(cell: Cell) -> int:
    return min(cell.steps_per_epoch * cell.budget.epochs, MOST_STEPS_STORED)


def _epochs(cell: Cell) -> int:
    """Epochs of training, and at most so many of steady timing."""
    protocol = cell.protocol
    steady = max(protocol.steady_min_epochs, int(protocol.steady_min_s / (epoch_s(cell) / 2)) + 1)
    return cell.budget.epochs + steady


def _programs_of(cell: Cell) -> int:
    return _PROGRAMS if keeps_programs(cell) else 0


def _programs_bytes(plan: Plan) -> int:
    """Of every cell, and of the memory passes of every family: thrown away at the sweep's end."""
    cells = [plan.by_id[cell_id].cell for cell_id in (plan.rounds[0] if plan.rounds else [])]
    passes = {cell.family: _programs_of(cell) for cell in cells if cell.protocol.memory}
    return sum(map(_programs_of, cells)) + sum(passes.values())


def _record_bytes(plan: Plan) -> int:
    """``sweep.json``, and a row of every cell that cannot run."""
    absent = len(plan.unavailable) * (3 * _BLOCK + 300)
    return 20_000 + _PLANNED_CELL * len(plan.runs) + _PLANNED_RUN * plan.total_runs + absent


def _data_bytes(plan: Plan) -> int:
    """Arrays that are stored once each, in float32."""
    stored = {run.cell.data.sha256: run.cell.data for run in plan.runs if run.cell.data.sha256 is not None}
    return sum(4 * (data.n_train + data.n_val) * (data.features + 1) + _BLOCK for data in stored.values())


def _derived_bytes(plan: Plan) -> float:
    """Tables, figures and report; nothing is drawn of a plan that runs nothing."""
    runs = [plan.by_id[cell_id].cell for cell_ids in plan.rounds for cell_id in cell_ids]
    if not plan.runs:
        return 0.0
    steps = min(sum(map(_steps_kept, runs)), _MOST_STEP_ROWS)
    tables = _TABLE_STEP * steps + _TABLE_EPOCH * sum(map(_epochs, runs)) + _TABLE_RUN * len(runs)
    return _TABLES + _REPORT + (_TABLE_CELL + _REPORT_CELL) * len(plan.runs) + tables
