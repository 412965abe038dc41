"""A finished sweep as a file of pytest-benchmark: every cell one benchmark, every run one number of its data.

A number is a run's own step time in seconds, as the table of runs has it: steps inside a process are no repeats, so
pytest-benchmark's statistics over them are statistics over processes, as ours are. Its clock never ran here, and its
``iterations`` are 1. What else the file holds is in ``bench.store.benchmarks``, which reads it back.
"""

from __future__ import annotations

import dataclasses
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.tables import Tables
from bench.records import PlannedCell, SweepRecord
from bench.store.benchmarks import FORMAT, RUNS, Source

WRITTEN_AS = "5.3.1"
"""The version of pytest-benchmark whose format this is."""


def benchmarks_of(tables: Tables, sweep: SweepRecord) -> dict[str, Any]:
    """The file as plain values; cells without a timed run are not in it, see ``left_out``."""
    timed = _timed(tables)
    steady = tables.epochs[tables.epochs["phase"] == "steady"]
    windows = dict(iter(steady.groupby(["cell_id", "round"], observed=True, sort=False)))
    runs = dict(iter(timed.groupby("cell_id", sort=False)))
    return {
        "machine_info": _machine_info(sweep),
        "commit_info": _commit_info(sweep),
        "benchmarks": [
            _benchmark(planned, [_run(row, windows[planned.id, row["round"]]) for row in _rows(runs[planned.id])])
            for planned in sweep.cells
            if planned.id in runs
        ],
        "datetime": sweep.created_at,
        "version": WRITTEN_AS,
        "bench": source_of(sweep),
    }


def left_out(tables: Tables) -> list[str]:
    """Ids of the cells that no run timed: pytest-benchmark has no word for a benchmark that failed."""
    return tables.cells.loc[~tables.cells["cell_id"].isin(_timed(tables)["cell_id"]), "cell_id"].tolist()


def source_of(sweep: SweepRecord) -> dict[str, Any]:
    """What the file says of where its numbers come from."""
    names = [field.name for field in dataclasses.fields(Source) if field.name != "format"]
    return {"format": FORMAT} | {name: getattr(sweep, name) for name in names}


def _timed(tables: Tables) -> pd.DataFrame:
    return tables.runs[tables.runs["step_us"].notna() & (tables.runs["timed_phase"] == "steady")]


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """As Python's own values, null being None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _run(row: dict[Any, Any], epochs: pd.DataFrame) -> dict[str, Any]:
    plain = (
        "round", "order_in_round", "status", "reason", "device_name", "isolation", "step_us", "first_step_s",
        "compile_cache",
    )  # fmt: skip
    return {
        **{name: row[name] for name in plain},
        "started_at": row["started_at"] or "",
        # Every steady epoch trains the whole split.
        "samples": int(epochs["samples"].iloc[0]),
        "updates": int(epochs["updates"].iloc[0]),
        "windows_ns": epochs["window_ns"].tolist(),
    }


def _benchmark(planned: PlannedCell, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    cell = planned.cell
    family = [cell[name] for name in ("framework", "backend", "loop", "device") if cell[name]]
    name = "-".join([*family, f"b{cell['batch_size']}"])
    return {
        "group": f"batch {cell['batch_size']}",
        "name": f"step[{name}]",
        # What pytest-benchmark matches files by: the same where, and only where, the same was measured.
        "fullname": f"bench::step[{planned.id}]",
        "params": {key: cell[key] for key in ("framework", "backend", "loop", "device", "batch_size")},
        "param": name,
        "extra_info": {"cell_id": planned.id, "cell": cell, "repeats": RUNS, "runs": runs},
        "options": {},
        "stats": statistics_of([run["step_us"] / 1e6 for run in runs]),
    }


def statistics_of(data: Sequence[float]) -> dict[str, Any]:
    """What pytest-benchmark derives from its seconds, by its own definitions (``pytest_benchmark.stats.Stats``).

    Args:
        data: at least one number, all of them positive.
    """
    ordered = sorted(data)
    mean, deviation = statistics.mean(data), statistics.stdev(data) if len(data) > 1 else 0
    q1, q3 = _quartiles(ordered)
    fence = 1.5 * (q3 - q1)
    outside_deviation = sum(not mean - deviation <= value <= mean + deviation for value in data)
    outside_fences = sum(not q1 - fence <= value <= q3 + fence for value in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": deviation,
        "rounds": len(data),
        "median": statistics.median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": outside_fences,
        "stddev_outliers": outside_deviation,
        "outliers": f"{outside_deviation};{outside_fences}",
        "ld15iqr": ordered[bisect_left(ordered, q1 - fence)],
        "hd15iqr": ordered[bisect_right(ordered, q3 + fence) - 1],
        "ops": len(data) / sum(data),
        "total": sum(data),
        "data": list(data),
        "iterations": 1,
    }


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    """By methods 2 (even) and 3 (odd) of https://en.wikipedia.org/wiki/Quartile#Computing_methods."""
    n, rest = divmod(len(ordered), 4)
    if len(ordered) == 1:
        return ordered[0], ordered[0]
    if rest % 2 == 0:
        half = len(ordered) // 2
        return statistics.median(ordered[:half]), statistics.median(ordered[half:])
    if rest == 1:
        return (
            0.25 * ordered[n - 1] + 0.75 * ordered[n],
            0.75 * ordered[3 * n] + 0.25 * ordered[3 * n + 1],
        )
    return (
        0.75 * ordered[n] + 0.25 * ordered[n + 1],
        0.25 * ordered[3 * n + 1] + 0.75 * ordered[3 * n + 2],
    )


def _machine_info(sweep: SweepRecord) -> dict[str, Any]:
    """Under pytest-benchmark's names; what the sweep did not record is null."""
    machine, software = sweep.machine, sweep.software
    return {
        "node": None,
        "processor": machine.get("processor"),
        "machine": machine.get("architecture"),
        "python_compiler": None,
        "python_implementation": None,
        "python_implementation_version": None,
        "python_version": software.get("python"),
        "python_build": None,
        "release": machine.get("kernel"),
        "system": machine.get("system"),
        "cpu": {"brand_raw": machine.get("processor"), "count": machine.get("logical_cores")},
    }


def _commit_info(sweep: SweepRecord) -> dict[str, Any]:
    git = sweep.git or {}
    return {
        "id": git.get("commit") or "unversioned",
        "time": None,
        "author_time": None,
        "dirty": bool(git.get("dirty")),
        "project": "bench",
        "branch": "(unknown)",
    }
