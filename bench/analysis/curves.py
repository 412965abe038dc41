"""Step times as curves over batch sizes: one per framework, backend, loop and device on one workload and setting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.compare import by_round
from bench.analysis.intervals import medians

CURVE = ["framework", "backend", "loop", "device", "workload", "setting"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """Step times of many curves, one row each; NaN where a curve has no such batch size, or a round no such run.

    Attributes:
        names: the columns of ``CURVE``, one row per curve.
        sizes: batch sizes, ascending, shape (sizes,), int64.
        rows: mean rows per step, shape (curves, sizes).
        logs: logarithms of step times in microseconds, shape (curves, sizes, rounds).
    """

    names: pd.DataFrame
    sizes: IntArray
    rows: FloatArray
    logs: FloatArray

    @cached_property
    def n_runs(self) -> IntArray:
        """Runs behind every point, shape (curves, sizes)."""
        runs: IntArray = np.sum(~np.isnan(self.logs), axis=2, dtype=np.int64)
        return runs

    @cached_property
    def in_round(self) -> NDArray[np.bool_]:
        """Whether a round measured anything of a curve, shape (curves, rounds)."""
        return np.asarray(np.any(~np.isnan(self.logs), axis=1))

    @cached_property
    def means(self) -> FloatArray:
        """Mean logarithm of every point, shape (curves, sizes)."""
        means: FloatArray = np.nansum(self.logs, axis=2) / np.where(self.n_runs, self.n_runs, np.nan)
        return means

    @cached_property
    def medians(self) -> FloatArray:
        """Logarithm of the median of every point, shape (curves, sizes)."""
        known = ~np.isnan(self.logs)
        curve, size, _ = np.nonzero(known)
        found = medians(np.exp(self.logs[known]), curve * self.rows.shape[1] + size, self.rows.size)
        return np.log(found).reshape(self.rows.shape)

    @cached_property
    def n_sizes(self) -> IntArray:
        """How many batch sizes with different mean rows a curve has."""
        ordered = np.sort(np.where(self.n_runs > 0, self.rows, np.nan), axis=1)
        # Sorting puts NaN last, and a difference with NaN is not above 0.
        steps: IntArray = np.sum(np.diff(ordered, axis=1) > 0, axis=1, dtype=np.int64)
        some: IntArray = np.any(self.n_runs > 0, axis=1).astype(np.int64)
        return some + steps

    @cached_property
    def ends(self) -> tuple[IntArray, IntArray]:
        """The smallest and the largest batch size measured of every curve."""
        measured = self.n_runs > 0
        last = len(self.sizes) - 1 - np.argmax(measured[:, ::-1], axis=1)
        return self.sizes[np.argmax(measured, axis=1)], self.sizes[last]


def curves_of(cells: pd.DataFrame, runs: pd.DataFrame) -> Curves:
    """The curves of a sweep, from its tables of cells and runs; of cells alike in all but the label the mean."""
    measured = cells.loc[cells["n_measured"] > 0, [*CURVE, "batch_size", "n_train", "cell_id"]]
    keys = measured[CURVE].fillna("")
    names = keys.drop_duplicates().sort_values(CURVE, ignore_index=True)
    curve = pd.MultiIndex.from_frame(names).get_indexer(pd.MultiIndex.from_frame(keys))
    sizes, size = np.unique(measured["batch_size"].to_numpy(np.int64), return_inverse=True)
    shape = (len(names), len(sizes))
    n_train = measured["n_train"].to_numpy(np.float64)
    rows = np.full(shape, np.nan)
    rows[curve, size] = n_train / np.ceil(n_train / measured["batch_size"].to_numpy(np.float64))
    logs = np.log(by_round(runs, "step_us").reindex(measured["cell_id"]).to_numpy(np.float64))
    total, count = np.zeros((2, *shape, logs.shape[1]))
    np.add.at(total, (curve, size), np.nan_to_num(logs))
    np.add.at(count, (curve, size), ~np.isnan(logs))
    with np.errstate(invalid="ignore"):
        return Curves(names=names, sizes=sizes, rows=rows, logs=total / np.where(count, count, np.nan))
