"""The runs table: one row per run, its own medians and what it reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import RUNS, frame
from bench.analysis.convergence import Reached, reach, why_not_reached
from bench.analysis.disturbance import disturbance
from bench.analysis.intervals import medians
from bench.analysis.numerics import numeric_flags
from bench.analysis.steadiness import Course, courses
from bench.records import MemoryRecord, RunResult, Status

# A run that diverged has trained, and missed its target, for good; how a crashed one would have gone on nobody knows.
TRAINED = (Status.OK, Status.TARGET_NOT_REACHED, Status.DIVERGED)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
_FIRST_WITH_CACHE = 2
_EVALUATIONS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
_PHASES = (
    "start_s", "build_s", "data_to_device_s", "first_step_s", "parity_s", "training_s", "evaluation_s", "steady_s",
)  # fmt: skip
_PLAIN = (
    "cell_id", "round", "order_in_round", "reason", "wall_s", "memory_wall_s", "isolation", "import_s",
    "initial_train_loss", "step_stride",
)  # fmt: skip
_PARITY = {"parity": "difference"} | {
    f"parity_{name}": name for name in ("bar", "control", "flips", "undecided", "steps", "step")
}
_NOISE = (
    "load_before", "load_after", "steal_share", "others_share", "steal_processors", "others_processors",
    "frequency_min_mhz", "frequency_mean_mhz", "frequency_max_mhz", "thermal_throttles", "limit_throttles",
    "cpu_pressure_share", "involuntary_switches", "major_faults",
)  # fmt: skip
_NOT_RECORDED = "not recorded by the version that measured the run"
_GPU_NOISE = ("gpu_clock_mhz", "gpu_slowed_by", "gpu_others")
_MEMORY_BYTES = ("baseline_rss_bytes", "peak_rss_bytes", "rss_over_baseline_bytes", "device_peak_bytes")


def runs_table(results: Sequence[RunResult], described: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """The runs table.

    Args:
        results: the runs, all of cells in ``described``.
        described: one row per cell, see ``cell_columns.describe``.
        epochs: all epochs ordered by ``run`` (index into ``results``), phase and epoch.
    """
    values = _from_records(results)
    values |= _from_cells(results, described)
    values["disturbance"] = _column(
        [r.noise and disturbance(r.noise, int(n)) for r, n in zip(results, values["threads"], strict=True)]
    )
    values |= _from_epochs(values, epochs)
    return frame(values, RUNS)


def _from_records(results: Sequence[RunResult]) -> dict[str, Any]:
    values: dict[str, Any] = {name: _column([getattr(r, name) for r in results]) for name in _PLAIN}
    values |= {name: _column([getattr(r.phases, name) for r in results]) for name in _PHASES}
    values |= {name: _column([getattr(r.memory, name) for r in results]) for name in _MEMORY_BYTES}
    values["status"] = _column([r.status.value for r in results])
    values["compile_cache"] = _column([r.compile_cache and r.compile_cache.value for r in results])
    values["compile_cache_reason"] = _column([_why_no_cache(r) for r in results])
    values["started_at"] = _column([r.started_at or None for r in results])
    values["device_name"] = _column([r.device_name for r in results])
    values["device_peak_source"] = _column([r.memory.device_peak_source for r in results])
    values["memory_isolation"] = _column([r.memory.isolation for r in results])
    values["rss_reason"] = _column([_why_null(r, r.memory.peak_rss_bytes, r.memory.rss_reason) for r in results])
    values["device_peak_reason"] = _column(
        [_why_null(r, r.memory.device_peak_bytes, r.memory.device_peak_reason) for r in results]
    )
    values |= _parity(results)
    values |= _noise(results)
    values["numeric_flags"] = _column([numeric_flags(r.environment) for r in results])
    values["own_target"] = np.array([_nan(r.target_loss) for r in results], dtype=np.float64)
    return values


def _parity(results: Sequence[RunResult]) -> dict[str, Any]:
    """What the gates found; nulls where none ran."""
    gates = [r.parity for r in results]
    values = {name: _column([getattr(gate, field, None) for gate in gates]) for name, field in _PARITY.items()}
    reasons = [r.parity_reason if r.parity is None else r.parity.reason for r in results]
    return values | {"parity_reason": _column(reasons)}


def _noise(results: Sequence[RunResult]) -> dict[str, Any]:
    """What else the machine did; nulls where nobody looked."""
    seen = [r.noise for r in results]
    values = {name: _column([getattr(noise, name, None) for noise in seen]) for name in (*_NOISE, *_GPU_NOISE)}
    return values | {
        "noise_period_s": _column([noise and noise.period_s for noise in seen]),
        "noise_reason": _column([_why_no_noise(r, _NOISE) for r in results]),
        "gpu_reason": _column([_why_no_noise(r, _GPU_NOISE) for r in results]),
    }


def _why_no_noise(result: RunResult, names: Sequence[str]) -> str | None:
    """Null figures with the same reason together; those that were not recorded yet have none of their own."""
    if result.noise is None:
        return result.noise_reason
    unknown = [name for name in names if getattr(result.noise, name) is None]
    reasons = {name: result.noise.reasons.get(name, _NOT_RECORDED) for name in unknown}
    said = {why: [name for name, w in reasons.items() if w == why] for why in reasons.values()}
    return "; ".join(f"{', '.join(of)}: {why}" for why, of in said.items()) or None


def _why_null(result: RunResult, value: int | None, said: str | None) -> str | None:
    """Why a memory figure is null, also where the record itself does not say."""
    if value is not None or said is not None:
        return said
    if not result.status.measured:
        return f"the run ended {result.status.value}"
    if result.memory == MemoryRecord() and result.round > 0:
        return "memory is measured in the first round only"
    return "no memory pass ran"


def _why_no_cache(result: RunResult) -> str | None:
    """Why nobody knows where a run's programs came from."""
    if result.compile_cache is not None:
        return None
    if result.status.measured:
        return "recorded before there was a cache" if result.schema_version < _FIRST_WITH_CACHE else "not recorded"
    return f"the run ended {result.status.value}"


def _from_cells(results: Sequence[RunResult], described: pd.DataFrame) -> dict[str, Any]:
    index = pd.Index(described["cell_id"]) if len(described) else pd.Index([])
    rows = (
        described.iloc[index.get_indexer(pd.Index([r.cell_id for r in results], dtype=object))]
        if results
        else described.iloc[:0]
    )
    return {name: rows[name].reset_index(drop=True) for name in described.columns if name != "cell_id"}


def _from_epochs(values: dict[str, Any], epochs: pd.DataFrame) -> dict[str, Any]:
    status = values["status"].to_numpy(object)
    training = epochs[epochs["phase"] == "training"]
    targets = values["own_target"]
    trained = np.isin(status, [s.value for s in TRAINED])
    reached = reach(training, np.where(trained, targets, np.nan))
    return (
        _training(training, len(status))
        | _speed(epochs, status)
        | _convergence(reached, values, trained, targets, training)
        | {"target_loss": targets}
    )


def _training(training: pd.DataFrame, runs: int) -> dict[str, Any]:
    run = training["run"].to_numpy()
    count = np.bincount(run, minlength=runs).astype(np.float64)
    updates = np.bincount(run, training["updates"].to_numpy(np.float64), minlength=runs)
    none = count == 0
    last = training.drop_duplicates("run", keep="last").set_index("run")[list(_EVALUATIONS)].reindex(range(runs))
    finals = {f"final_{name}": last[name].to_numpy(np.float64) for name in _EVALUATIONS}
    return finals | {"epochs": np.where(none, np.nan, count), "updates": np.where(none, np.nan, updates)}


def _speed(epochs: pd.DataFrame, status: NDArray[np.object_]) -> dict[str, Any]:
    """Medians over steady epochs, those of a warm-up left out; over training epochs only where there is no steady one.

    A run that slows down, or finds no steady state, keeps all of its epochs: which of them to believe is not for us.
    """
    runs = len(status)
    measured = np.isin(status, [s.value for s in Status if s.measured])
    run, steady = epochs["run"].to_numpy(), (epochs["phase"] == "steady").to_numpy()
    has_steady = np.bincount(run[steady], minlength=runs) > 0
    went = steady_courses(epochs[steady & measured[run]], runs)
    warmup = np.array([0 if course is None else course.warmup_epochs for course in went], dtype=np.int64)
    timed = (steady == has_steady[run]) & measured[run]
    timed[timed] = _place(run[timed], runs) >= warmup[run[timed]]
    window_ns = epochs["window_ns"].to_numpy(np.float64)[timed]
    samples_per_s = epochs["samples"].to_numpy(np.float64)[timed] / window_ns * 1e9
    step_us = window_ns / epochs["updates"].to_numpy(np.float64)[timed] / 1e3
    n = np.bincount(run[timed], minlength=runs)
    return {
        "samples_per_s": medians(samples_per_s, run[timed], runs),
        "step_us": medians(step_us, run[timed], runs),
        "samples_per_s_reason": _column(
            [None if k else _why_no_speed(s, m) for k, s, m in zip(n, status, measured, strict=True)]
        ),
        "timed_phase": _column(
            [("steady" if s else "training") if k else None for k, s in zip(n, has_steady, strict=True)]
        ),
        "timed_epochs": n,
        "warmup_epochs": warmup,
        "steadiness": _column([course and course.kind for course in went]),
        "steadiness_reason": _column(
            [_why_no_course(s, m) if c is None else c.reason for c, s, m in zip(went, status, measured, strict=True)]
        ),
    }


def steady_courses(epochs: pd.DataFrame, runs: int) -> list[Course | None]:
    """How the steady epochs of every run went.

    Args:
        epochs: steady epochs by run and epoch, with ``run`` from 0 to ``runs`` - 1.
        runs: how many there are.
    """
    step_us = epochs["window_ns"].to_numpy(np.float64) / epochs["updates"].to_numpy(np.float64) / 1e3
    return courses(step_us, epochs["run"].to_numpy(), runs)


def _place(run: IntArray, runs: int) -> IntArray:
    """Each row's place among those of its run, which lie together and by ascending run."""
    n = np.bincount(run, minlength=runs)
    place: IntArray = np.arange(len(run)) - (np.cumsum(n) - n)[run]
    return place


def _why_no_course(status: str, measured: bool) -> str:
    return "no steady epoch was timed" if measured else f"the run ended {status}"


def _why_no_speed(status: str, measured: bool) -> str:
    return "no epoch was timed" if measured else f"the run ended {status}"


def _convergence(
    reached: Reached, values: dict[str, Any], trained: NDArray[np.bool_], targets: FloatArray, training: pd.DataFrame
) -> dict[str, Any]:
    epochs = np.bincount(training["run"].to_numpy(), minlength=len(targets))
    first_step_s = values["first_step_s"].to_numpy(np.float64) if len(targets) else np.empty(0)
    status = values["status"]
    reasons = [
        None if not np.isnan(t) else why_not_reached(target, int(n)) if ok else f"the run ended {s}"
        for t, target, n, ok, s in zip(reached.time_s, targets, epochs, trained, status, strict=True)
    ]
    return {
        "steps_to_target": reached.steps,
        "epochs_to_target": reached.epochs,
        "time_to_target_s": reached.time_s,
        "time_to_target_cold_s": reached.time_s + first_step_s,
        "steps_to_target_reason": _column(reasons),
    }


def _column(values: list[Any]) -> pd.Series[Any]:
    return pd.Series(values, dtype=object)


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
