"""A sweep's runs as nine tidy tables, and those tables as files."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.analysis.cell_columns import describe
from bench.analysis.cells_table import cells_table
from bench.analysis.columns import EPOCHS, NOISE, STEPS, Column, frame
from bench.analysis.compare import framework_comparisons
from bench.analysis.crossings import crossings_table
from bench.analysis.curves import curves_of
from bench.analysis.models import fit_models, models_table
from bench.analysis.noise import noise_table
from bench.analysis.payoff import payoffs_table
from bench.analysis.runs_table import runs_table
from bench.cell import Cell
from bench.records import RunResult, Status, SweepRecord
from bench.store.layout import SweepFolder
from bench.store.reader import read_cell, read_results, read_sweep
from bench.store.trace_reader import Traces, read_traces

MOST_STEP_ROWS = 1_000_000
"""About as many rows as the steps table may have: a larger sweep keeps every k-th step of every run, and says so."""


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Runs and cells of the controls."""

    runs: pd.DataFrame
    cells: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Everything a sweep's runs tell, tidy; the columns are explained in ``bench.analysis.columns``.

    Controls are kept apart here, once for all: whoever asks which cell is best never meets a cell twice.

    Attributes:
        runs: one row per run that has ended, by cell and round.
        cells: one row per cell of the plan, in its order.
        controls: the same for the controls.
        epochs: one row per epoch of every run, those of controls included.
        steps: one row per training step of every run, those of controls included.
        comparisons: PyTorch : Keras.
        noise: what the machine did meanwhile, one row per check.
        payoffs: when a loop has paid for its first step, against each other loop of its framework.
        models: dispatch cost and rate of every curve over batch sizes.
        crossings: where any two of those curves change places.
        step_stride: 1 where every stored step is in ``steps``, k where every k-th is (the runs' traces hold the rest).
        problems: what is wrong in the folder and has no row to say so.
    """

    runs: pd.DataFrame
    cells: pd.DataFrame
    epochs: pd.DataFrame
    steps: pd.DataFrame
    comparisons: pd.DataFrame
    payoffs: pd.DataFrame
    models: pd.DataFrame
    crossings: pd.DataFrame
    controls: Controls = field(default_factory=lambda: Controls(runs=pd.DataFrame(), cells=pd.DataFrame()))
    noise: pd.DataFrame = field(default_factory=lambda: frame(pd.DataFrame(columns=[c.name for c in NOISE]), NOISE))
    step_stride: int = 1
    problems: tuple[str, ...] = ()

    @property
    def every_run(self) -> pd.DataFrame:
        """The runs, then those of the controls."""
        return _joined(self.runs, self.controls.runs)

    @property
    def every_cell(self) -> pd.DataFrame:
        """The cells, then the controls."""
        return _joined(self.cells, self.controls.cells)


def without_controls(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table of cells or runs without its controls, and those."""
    control = table["control"].astype(bool)
    return table[~control].reset_index(drop=True), table[control].reset_index(drop=True)


def _joined(rows: pd.DataFrame, controls: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, controls], ignore_index=True) if len(controls) else rows


def build_tables(folder: SweepFolder, *, most_step_rows: int = MOST_STEP_ROWS) -> Tables:
    """Reads every run of a sweep and derives its tables, the same for the same runs.

    Raises:
        UsageError: the folder holds no sweep, or records of a newer version.
        StorageError: the plan is damaged, or a file cannot be read.
    """
    sweep = read_sweep(folder)
    cells = [read_cell(planned) for planned in sweep.cells]
    results, strangers = _of_the_plan(read_results(folder), sweep)
    results = _voided(results)
    stride = _step_stride(results, sweep, cells, most_step_rows)
    trusted = [index for index, result in enumerate(results) if result.status is not Status.INVALID]
    traces = read_traces(folder, [results[index] for index in trusted], step_stride=stride)
    results, problems = _marked(results, {trusted[run]: why for run, why in traces.problems.items()})
    return _tables(sweep, cells, results, traces, np.array(trusted, np.int64), stride, (*strangers, *problems))


def _tables(
    sweep: SweepRecord,
    cells: Sequence[Cell],
    results: list[RunResult],
    traces: Traces,
    positions: NDArray[np.int64],
    stride: int,
    problems: tuple[str, ...],
) -> Tables:
    plan = sweep.cells
    described = describe(cells, [planned.id for planned in plan], [planned.target_loss for planned in plan])
    epochs = _long_table(traces.epochs, positions)
    steps = _long_table(traces.steps, positions)
    every_run = runs_table(results, described, epochs)
    rounds = Counter(id_ for round_ in sweep.rounds for id_ in round_)
    n_planned = np.array([rounds[cell.id] for cell in plan], dtype=np.int64)
    every_cell = cells_table(every_run, described, n_planned, [planned.unavailable_reason for planned in plan])
    (runs, control_runs), (cells_, control_cells) = without_controls(every_run), without_controls(every_cell)
    curves = curves_of(cells_, runs)
    models = fit_models(curves)
    return Tables(
        runs=runs,
        cells=cells_,
        epochs=_of_runs(epochs, results, EPOCHS),
        steps=_of_runs(steps, results, STEPS),
        comparisons=framework_comparisons(cells_, runs),
        payoffs=payoffs_table(cells_, runs),
        models=models_table(curves, models),
        crossings=crossings_table(curves, models),
        controls=Controls(runs=control_runs, cells=control_cells),
        noise=noise_table(every_run, every_cell),
        step_stride=stride,
        problems=problems,
    )


def _of_the_plan(results: list[RunResult], sweep: SweepRecord) -> tuple[list[RunResult], list[str]]:
    planned = {cell.id for cell in sweep.cells}
    strangers = [r for r in results if r.cell_id not in planned]
    problems = [f"runs/{r.cell_id}/r{r.round} is in the folder, but no cell of the plan: left out" for r in strangers]
    return [r for r in results if r.cell_id in planned], problems


def _step_stride(results: Sequence[RunResult], sweep: SweepRecord, cells: Sequence[Cell], most: int) -> int:
    """The least k for which every k-th step of all runs is few enough rows, from what the plan has them train."""
    steps = {
        planned.id: cell.budget.epochs * cell.steps_per_epoch for planned, cell in zip(sweep.cells, cells, strict=True)
    }
    total = sum(steps[r.cell_id] / max(r.step_stride, 1) for r in results if r.status.measured)
    return max(1, -(-int(total) // most))


def _voided(results: list[RunResult]) -> list[RunResult]:
    """Where one run of a cell failed the parity gate, no run of it counts: its training is not what is compared."""
    failed: dict[str, RunResult] = {}
    for result in results:
        if result.status is Status.INVALID and result.parity is not None:
            failed.setdefault(result.cell_id, result)
    return [
        dataclasses.replace(result, status=Status.INVALID, reason=_void(failed[result.cell_id]))
        if result.status.measured and result.cell_id in failed
        else result
        for result in results
    ]


def _void(failed: RunResult) -> str:
    return f"the parity gate voids the cell, round {failed.round} failed it: {failed.reason}"


def _marked(results: list[RunResult], damaged: dict[int, str]) -> tuple[list[RunResult], list[str]]:
    """Measured runs without a trustworthy trace become invalid; of the others, whose status stands, a problem tells."""
    marked, problems = list(results), []
    for index, why in damaged.items():
        result = results[index]
        if result.status.measured:
            marked[index] = dataclasses.replace(result, status=Status.INVALID, reason=why)
        else:
            problems.append(f"runs/{result.cell_id}/r{result.round}/{why}")
    return marked, problems


def _long_table(table: pa.Table, positions: NDArray[np.int64]) -> pd.DataFrame:
    """As pandas, column by column so that no column exists twice for long; ``run`` becomes the results' position."""
    columns = {name: table[name].to_pandas() for name in table.column_names}
    run = positions[columns.pop("run").to_numpy()]
    return pd.DataFrame({"run": run, **columns}, copy=False)


def _of_runs(long: pd.DataFrame, results: Sequence[RunResult], columns: Sequence[Column]) -> pd.DataFrame:
    """The same rows under the run's cell and round instead of its position."""
    ids = sorted({result.cell_id for result in results})
    code = {id_: position for position, id_ in enumerate(ids)}
    codes = np.array([code[result.cell_id] for result in results], dtype=np.int32)
    rounds = np.array([result.round for result in results], dtype=np.int32)
    run = long["run"].to_numpy()
    cell_id = pd.Categorical.from_codes(codes[run], categories=pd.Index(ids, dtype="str"))
    values = {name: long[name] for name in long.columns if name != "run"}
    return frame({**values, "cell_id": cell_id, "round": rounds[run]}, columns)
