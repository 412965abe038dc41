"""The cells table: one row per cell of the plan, medians over its measured runs, and a status that hides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.columns import CELLS, frame
from bench.analysis.intervals import MIN_RUNS, Intervals, intervals, medians, why_no_interval
from bench.analysis.runs_table import TRAINED
from bench.analysis.steadiness import KINDS, TOO_FEW, UNSTEADY, WARMUP
from bench.records import CompileCache, Status

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# A cell is as good as its worst run, from good to bad. What cannot be trusted or was a fault of ours comes last.
SEVERITY = (
    Status.OK, Status.TARGET_NOT_REACHED, Status.UNAVAILABLE, Status.INTERRUPTED, Status.DIVERGED, Status.TIMEOUT,
    Status.OOM, Status.CRASHED, Status.ERROR, Status.INVALID,
)  # fmt: skip

_MEDIANS = (
    "start_s", "import_s", "build_s", "data_to_device_s", "first_step_s", "parity_s", "training_s", "evaluation_s",
    "steady_s", "initial_train_loss", "final_train_loss", "final_train_accuracy", "final_val_loss",
    "final_val_accuracy",
)  # fmt: skip
_MEMORY = (
    "baseline_rss_bytes", "peak_rss_bytes", "rss_over_baseline_bytes", "rss_reason", "device_peak_bytes",
    "device_peak_source", "device_peak_reason", "memory_isolation",
)  # fmt: skip
_PARITY = (
    "parity", "parity_bar", "parity_control", "parity_flips", "parity_undecided", "parity_steps", "parity_step",
    "parity_reason",
)  # fmt: skip


class _Groups:
    """Runs by cell: for every run the position of its cell, so that whole columns are reduced at once."""

    def __init__(self, runs: pd.DataFrame, described: pd.DataFrame) -> None:
        self.n = len(described)
        ids = pd.Index(described["cell_id"]) if self.n else pd.Index([], dtype=object)
        self.of: IntArray = ids.get_indexer(pd.Index(runs["cell_id"])).astype(np.int64)

    def count(self, mask: NDArray[np.bool_]) -> IntArray:
        """Runs of each cell for which the mask holds."""
        return np.bincount(self.of[mask], minlength=self.n)

    def median(self, values: FloatArray) -> FloatArray:
        """Median of each cell's values, NaN being none."""
        known = ~np.isnan(values)
        return medians(values[known], self.of[known], self.n)

    def intervals(self, values: FloatArray) -> Intervals:
        """Median and interval of each cell's values, NaN being none."""
        return intervals(values, self.of, self.n)

    def first(self, runs: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
        """The first of these runs of every cell, nulls for a cell without."""
        of = pd.Series(self.of[runs.index], index=runs.index)
        chosen = runs.loc[~of.duplicated(), list(names)]
        return chosen.set_axis(of[chosen.index]).reindex(range(self.n))


def cells_table(
    runs: pd.DataFrame, described: pd.DataFrame, n_planned: IntArray, unavailable: Sequence[str | None]
) -> pd.DataFrame:
    """The cells table.

    Args:
        runs: the runs table, ordered by cell and round.
        described: one row per cell, see ``cell_columns.describe``.
        n_planned: runs the plan has for each cell, shape (cells,).
        unavailable: why a cell was known not to run, None where it could.
    """
    groups = _Groups(runs, described)
    values: dict[str, Any] = {name: described[name] for name in described.columns}
    values |= {"epochs": values["budget_epochs"], "updates": values["budget_updates"], "n_planned": n_planned}
    values |= _counts(runs, groups)
    values |= _statuses(runs, groups, n_planned, values["n_runs"], unavailable)
    values |= _speed(runs, groups, values)
    values |= {name: groups.median(_measured_only(runs, name)) for name in _MEDIANS}
    values |= _first_steps(runs, groups, values)
    values |= _convergence(runs, groups, values)
    values |= _memory(runs, groups, values)
    values |= _parity(runs, groups)
    values["device_name"] = groups.first(runs[runs["device_name"].notna()], ["device_name"])["device_name"]
    return frame(values, CELLS)


def _counts(runs: pd.DataFrame, groups: _Groups) -> dict[str, IntArray]:
    return {
        "n_runs": groups.count(np.ones(len(runs), dtype=bool)),
        "n_ok": groups.count((runs["status"] == Status.OK).to_numpy(bool)),
        "n_measured": groups.count(_measured(runs)),
    }


def _measured(runs: pd.DataFrame) -> NDArray[np.bool_]:
    return runs["status"].isin([s.value for s in Status if s.measured]).to_numpy(bool)


def _measured_only(runs: pd.DataFrame, name: str) -> FloatArray:
    return np.where(_measured(runs), runs[name].to_numpy(np.float64), np.nan)


def _statuses(
    runs: pd.DataFrame, groups: _Groups, n_planned: IntArray, n_runs: IntArray, unavailable: Sequence[str | None]
) -> dict[str, list[str | None]]:
    severity = runs["status"].map({s.value: rank for rank, s in enumerate(SEVERITY)}).to_numpy(np.int64)
    worst = np.full(groups.n, -1)
    np.maximum.at(worst, groups.of, severity)
    worst_runs = runs[severity == worst[groups.of]]
    reasons = groups.first(worst_runs, ["reason"])["reason"]
    n_worst = groups.count(severity == worst[groups.of])
    judged = [
        _status(int(w), reason if isinstance(reason, str) else None, int(k), int(n), int(planned), absent)
        for w, reason, k, n, planned, absent in zip(
            worst, reasons, n_worst, n_runs, n_planned, unavailable, strict=True
        )
    ]
    return {"status": [status for status, _ in judged], "reason": [reason for _, reason in judged]}


def _status(
    worst: int, reason: str | None, n_worst: int, n_runs: int, n_planned: int, absent: str | None
) -> tuple[str, str | None]:
    """Status and reason of a cell from its worst run, and from the runs that are not there."""
    if absent is not None and n_runs == 0:
        return Status.UNAVAILABLE.value, absent
    if n_runs < n_planned and worst <= SEVERITY.index(Status.INTERRUPTED):
        return Status.INTERRUPTED.value, f"{n_runs} of {n_planned} runs are there"
    if n_runs == 0:
        return Status.INTERRUPTED.value, "no run was planned"
    status = SEVERITY[worst]
    if status is Status.OK:
        return status.value, None
    said = reason or "no reason was recorded"
    return status.value, said if n_runs == 1 else f"{n_worst} of {n_runs} runs: {said}"


def _speed(runs: pd.DataFrame, groups: _Groups, values: dict[str, Any]) -> dict[str, Any]:
    rate = groups.intervals(runs["samples_per_s"].to_numpy(np.float64))
    step = groups.intervals(runs["step_us"].to_numpy(np.float64))
    return {
        **_with_interval("samples_per_s", rate),
        **_with_interval("step_us", step),
        "samples_per_s_reason": [
            None if n else _because(status, reason)
            for n, status, reason in zip(rate.n, values["status"], values["reason"], strict=True)
        ],
        "interval_reason": [why_no_interval(int(n)) for n in rate.n],
        "timed_phase": _timed_phase(runs, groups),
        **_steadiness(runs, groups),
    }


def _steadiness(runs: pd.DataFrame, groups: _Groups) -> dict[str, Any]:
    """As steady as the worst run."""
    kind = runs["steadiness"]
    badness = kind.map({name: rank for rank, name in enumerate(KINDS)}).to_numpy(np.float64, na_value=-1.0)
    worst = np.full(groups.n, -1.0)
    np.maximum.at(worst, groups.of, badness)
    seen = groups.first(runs[badness == worst[groups.of]], ["steadiness", "steadiness_reason"])
    return {
        "steadiness": seen["steadiness"],
        "steadiness_reason": seen["steadiness_reason"],
        "n_unsteady": groups.count(kind.isin(UNSTEADY).to_numpy(bool)),
        "n_warmup": groups.count((kind == WARMUP).to_numpy(bool)),
        "n_too_few": groups.count((kind == TOO_FEW).to_numpy(bool)),
    }


def _because(status: str, reason: str | None) -> str:
    return f"{status}: {reason}" if reason else "no epoch was timed"


def _with_interval(name: str, seen: Intervals) -> dict[str, FloatArray]:
    return {name: seen.estimate, f"{name}_low": seen.low, f"{name}_high": seen.high}


def _timed_phase(runs: pd.DataFrame, groups: _Groups) -> list[str | None]:
    steady = groups.count((runs["timed_phase"] == "steady").to_numpy(bool))
    training = groups.count((runs["timed_phase"] == "training").to_numpy(bool))
    words = {(True, False): "steady", (False, True): "training", (True, True): "mixed"}
    return [words.get((bool(s), bool(t))) for s, t in zip(steady, training, strict=True)]


def _first_steps(runs: pd.DataFrame, groups: _Groups, values: dict[str, Any]) -> dict[str, Any]:
    """First steps of cold and of warm runs apart; the medians over all of them mix the two."""
    measured, cache = _measured(runs), runs["compile_cache"]
    counts = {word: groups.count(measured & (cache == word).to_numpy(bool)) for word in CompileCache}
    never_ran = [_because(s, r) if n == 0 else None for s, r, n in _endings(values)]
    columns: dict[str, Any] = {}
    for word in (CompileCache.COLD, CompileCache.WARM):
        chosen = np.where((cache == word).to_numpy(bool), _measured_only(runs, "first_step_s"), np.nan)
        columns[f"first_step_{word}_s"] = groups.median(chosen)
        columns[f"first_step_{word}_reason"] = [
            None if counts[word][i] else never or _why_never(word, {w: int(n[i]) for w, n in counts.items()})
            for i, never in enumerate(never_ran)
        ]
    return columns


def _endings(values: dict[str, Any]) -> Iterator[tuple[str, str | None, int]]:
    return zip(values["status"], values["reason"], values["n_measured"], strict=True)


def _why_never(start: CompileCache, counts: dict[CompileCache, int]) -> str:
    """Why none of a cell's measured runs started so."""
    if counts[CompileCache.ANEW]:
        return "compiled anew in every run: see first_step_s"
    if counts[CompileCache.NOTHING]:
        return "nothing to compile: see first_step_s"
    if not any(counts.values()):
        return "recorded before there was a cache: see first_step_s"
    return f"no measured run was {start.value}"


def _convergence(runs: pd.DataFrame, groups: _Groups, values: dict[str, Any]) -> dict[str, Any]:
    time_s = runs["time_to_target_s"].to_numpy(np.float64)
    trained = runs["status"].isin([s.value for s in TRAINED]).to_numpy(bool) & runs["target_loss"].notna().to_numpy()
    reached, censored = ~np.isnan(time_s), trained & np.isnan(time_s)
    n_reached, n_censored = groups.count(reached), groups.count(censored)

    def median(name: str) -> FloatArray:
        seen = runs[name].to_numpy(np.float64, na_value=np.nan)
        middle = groups.median(np.where(censored, np.inf, seen))
        return np.where(np.isinf(middle), np.nan, middle)

    names = ("steps_to_target", "epochs_to_target", "time_to_target_s", "time_to_target_cold_s")
    seen = {name: median(name) for name in names}
    spread = groups.intervals(time_s)
    whole = (n_censored == 0) & (spread.n >= MIN_RUNS)
    return seen | {
        "n_reached": n_reached,
        "n_censored": n_censored,
        "time_to_target_s_low": np.where(whole, spread.low, np.nan),
        "time_to_target_s_high": np.where(whole, spread.high, np.nan),
        "time_to_target_interval_reason": [
            _why_no_time_interval(int(r), int(c)) for r, c in zip(n_reached, n_censored, strict=True)
        ],
        "steps_to_target_reason": _why_censored(seen["time_to_target_s"], n_reached, n_censored, values),
    }


def _why_no_time_interval(reached: int, censored: int) -> str | None:
    if censored:
        return f"{censored} of {reached + censored} runs did not reach the target"
    return why_no_interval(reached)


def _why_censored(
    time_s: FloatArray, n_reached: IntArray, n_censored: IntArray, values: dict[str, Any]
) -> list[str | None]:
    columns = (values["target_loss"], values["budget_epochs"], values["status"], values["reason"])
    return [
        None if not np.isnan(t) else _censored(int(r), int(c), target, epochs, _because(status, reason))
        for t, r, c, target, epochs, status, reason in zip(time_s, n_reached, n_censored, *columns, strict=True)
    ]


def _censored(reached: int, censored: int, target: Any, epochs: int, otherwise: str) -> str:
    if pd.isna(target):
        return "no target was set"
    if censored:
        return f"target not reached in {epochs} epochs in {censored} of {reached + censored} runs"
    return otherwise


def _memory(runs: pd.DataFrame, groups: _Groups, values: dict[str, Any]) -> dict[str, Any]:
    """Of the first run with a figure; where none has one, the reasons of the first run at all."""
    has = runs["peak_rss_bytes"].notna() | runs["device_peak_bytes"].notna()
    seen, otherwise = groups.first(runs[has], _MEMORY), groups.first(runs, _MEMORY)
    found = np.isin(np.arange(groups.n), groups.of[has.to_numpy(bool)])
    chosen = {name: seen[name].where(found, otherwise[name]) for name in _MEMORY}
    never_ran = values["n_runs"] == 0
    for name in ("rss_reason", "device_peak_reason"):
        reasons = [_because(s, r) for s, r in zip(values["status"], values["reason"], strict=True)]
        chosen[name] = chosen[name].astype(object).where(~never_ran, pd.Series(reasons, dtype=object))
    return chosen


def _parity(runs: pd.DataFrame, groups: _Groups) -> dict[str, Any]:
    """Of the worst run: the one furthest from the reference in terms of its bar; one without a difference is worse.

    A cell without any gate says why its first run had none.
    """
    gated = runs[runs["parity_steps"].notna()]
    unknown = gated["parity"].isna()
    worth = (gated["parity"] / gated["parity_bar"]).fillna(gated["parity"]).where(~unknown, np.inf)
    ranked = gated.loc[worth.sort_values(ascending=False, kind="stable").index]
    seen, otherwise = groups.first(ranked, _PARITY), groups.first(runs, _PARITY)
    found = pd.Series(np.isin(np.arange(groups.n), groups.of[gated.index]))
    chosen = {name: seen[name].where(found, otherwise[name]) for name in _PARITY}
    reason = chosen["parity_reason"].astype(object)
    never_ran = pd.Series(groups.count(np.ones(len(runs), dtype=bool)) == 0)
    chosen["parity_reason"] = reason.mask(never_ran, "no run yet")
    flags = groups.first(runs[runs["numeric_flags"].notna()], ["numeric_flags"])
    return {**chosen, "numeric_flags": flags["numeric_flags"]}
