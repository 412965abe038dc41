"""How noisy the machine was, from the sweep's own runs: controls, drift, steps, and what was seen of other programs.

A control is a cell under a second name. Whatever lies between its two names is noise, judged by the one place that
judges all ratios: a control that comes out faster or slower is a false alarm, and other verdicts may be as well.

Drift is the median over all pairs of runs of the same cell of the change of log time per unit of the sweep, with the
interval of the seasonal Kendall test (Hirsch, Slack and Smith 1982; Gilbert 1987, 17.5), a cell taking the place of a
season: cells may differ as they like in speed, and a stray run counts no more than any other. A step is where Pettitt's
test (1979) finds that times before and after differ most. Both take runs for independent, which a disturbance that
outlasts a run is not: they alarm only where the change also exceeds the margin within which two cells tie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.columns import NOISE, frame
from bench.analysis.compare import (
    ALPHA,
    FASTER,
    MIN_PAIRS,
    SLOWER,
    TIE_MARGIN,
    by_round,
    compare,
    why_no_ratio,
)
from bench.analysis.intervals import trimmed_degrees
from bench.records import NoiseRecord

CONTROL, DRIFT, STEP, DISTURBED_RUNS = "control", "drift", "step", "disturbed_runs"
QUIET, DISTURBED, UNKNOWN = "quiet", "disturbed", "unknown"

STEAL_LIMIT = 0.02
"""Processors' worth of time that the host may take of the processors that a run may use."""
OTHERS_LIMIT = 0.2
"""Processors' worth of time that other programs may use of those; half of it where the run's threads need them all.

Neither limit grows with the threads or the processors: a step ends when its last thread does, so what one of them loses
all may lose.
"""
STEAL_SHARE_LIMIT, OTHERS_SHARE_LIMIT = 0.01, 0.10
"""The same as shares of all processors' time: for runs of which no more was recorded."""
LOAD_LIMIT = 0.25
"""Load beyond our own threads, per processor; looked at only where nobody counts processor time."""
RUNS_LIMIT = 0.10
"""Share of a sweep's runs that may be disturbed."""
POWER = 0.9
"""How surely a single comparison finds a difference of the noise floor's size."""
QUIET_WITHIN = 0.10
"""A control and the drift are quiet where their intervals lie within 1 / (1 + this) and 1 + this.

Twice the margin of a tie, and so true of every tie: few rounds prove one even on a steady machine, and where the same
cell may be off by more, no difference that a reader would act on is safe.
"""
MOST_OF_A_CELL = 300
"""Runs of one cell that enter its drift: pairs grow with their square."""

WORDS = {
    "others": "other programs",
    "steal": "the virtual machine's host",
    "thermal": "heat",
    "limit": "the control group's CPU limit",
    "load": "load",
    "gpu_temperature": "GPU: temperature",
    "gpu_power": "GPU: power",
    "gpu_hardware": "GPU: slowed by its hardware",
    "gpu_others": "GPU: other programs",
}
"""What can disturb a run, as the column ``disturbance`` names it and as people do."""

FloatArray = NDArray[np.float64]


def disturbance(noise: NoiseRecord, threads: int) -> str | None:
    """What disturbed a run, by the names in ``WORDS``; None where nothing known did.

    Args:
        noise: what was seen of the machine meanwhile.
        threads: compute threads of the run itself.
    """
    over = {
        "others": _took_over(
            (noise.others_processors, _others_limit(noise, threads)), (noise.others_share, OTHERS_SHARE_LIMIT)
        ),
        "steal": _took_over((noise.steal_processors, STEAL_LIMIT), (noise.steal_share, STEAL_SHARE_LIMIT)),
        "thermal": _over(noise.thermal_throttles, 0),
        "limit": _over(noise.limit_throttles, 0),
        "load": not _counted(noise) and _over(_foreign_load(noise, threads), LOAD_LIMIT),
    }
    over |= {f"gpu_{what}": what in (noise.gpu_slowed_by or "") for what in ("temperature", "power", "hardware")}
    over |= {"gpu_others": _over(noise.gpu_others, 0)}
    return ", ".join(name for name, holds in over.items() if holds) or None


def _over(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _took_over(processors: tuple[float | None, float], share: tuple[float | None, float]) -> bool:
    """Whether a value exceeds its limit: of the processors' worth where that was recorded, else of the share."""
    return _over(*(processors if processors[0] is not None else share))


def _others_limit(noise: NoiseRecord, threads: int) -> float:
    to_spare = noise.processors is None or noise.processors > threads
    return OTHERS_LIMIT if to_spare else OTHERS_LIMIT / 2


def _counted(noise: NoiseRecord) -> bool:
    """Whether somebody counted other programs' processor time."""
    return noise.others_processors is not None or noise.others_share is not None


def _foreign_load(noise: NoiseRecord, threads: int) -> float | None:
    """The run before ours was ours as well."""
    if noise.load_before is None or not noise.processors:
        return None
    return (noise.load_before - threads) / noise.processors


def noise_table(runs: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The noise table: one row per check.

    Args:
        runs: the runs table, controls included.
        cells: the cells table, controls included.
    """
    line = timeline(runs)
    rows = [*_controls(runs, cells), _drift_row(line), _step_row(line), _disturbed_row(runs)]
    columns = [column.name for column in NOISE]
    return frame(pd.DataFrame(rows, columns=columns), NOISE)


def verdict_of(noise: pd.DataFrame) -> str:
    """``disturbed`` where any check alarms, ``unknown`` where one leaves a doubt, else ``quiet``."""
    if noise["alarm"].any():
        return DISTURBED
    return UNKNOWN if doubts(noise) else QUIET


def doubts(noise: pd.DataFrame) -> list[str]:
    """In words what forbids to call a machine quiet that no check found disturbed; empty where nothing does.

    Quiet is a claim, so the lack of an alarm is not enough: somebody has to have looked at the machine, and the
    controls and the drift have to be known to lie within ``QUIET_WITHIN`` of nothing. A sweep without controls can be
    quiet as well, by the other checks; whoever says so says that there was none.
    """
    if noise.empty:
        return ["no check was made"]
    found = (_DOUBTS[row["check"]](row) for row in noise.to_dict("records"))
    return list(dict.fromkeys(words for words in found if words))


def disturbances(noise: pd.DataFrame) -> list[str]:
    """In words what disturbed the sweep; empty where nothing known did."""
    return [str(reason) for reason in noise.loc[noise["alarm"], "reason"]]


def controls_of(noise: pd.DataFrame) -> pd.DataFrame:
    """The rows of the controls."""
    return noise[noise["check"] == CONTROL]


# Doubts


def _doubt_of_control(row: dict[Any, Any]) -> str | None:
    if row["n"] < MIN_PAIRS:
        return f"too few rounds to tell the same {_name(row)} cell from itself: {row['n']}, and it takes {MIN_PAIRS}"
    return None if _within(row) else f"the same {_name(row)} cell under two names may lie {QUIET_WITHIN:.0%} apart"


def _doubt_of_drift(row: dict[Any, Any]) -> str | None:
    if np.isnan(row["value"]):
        return f"{row['reason']}, so neither drift nor steps can be told"
    if np.isnan(row["low"]):
        return "too few runs to tell drift"
    return None if _within(row) else f"drift may exceed {QUIET_WITHIN:.0%}"


def _doubt_of_step(row: dict[Any, Any]) -> str | None:
    if np.isnan(row["value"]):
        return f"{row['reason']}, so neither drift nor steps can be told"
    return "too few runs to tell a step" if _pettitt(row["n"] ** 2 // 4, row["n"]) > ALPHA else None


def _doubt_of_runs(row: dict[Any, Any]) -> str | None:
    return f"what else the machine did is not known ({row['reason']})" if np.isnan(row["value"]) else None


def _within(row: dict[Any, Any]) -> bool:
    return bool(row["low"] >= 1 / (1 + QUIET_WITHIN) and row["high"] <= 1 + QUIET_WITHIN)


_DOUBTS: dict[str, Callable[[dict[Any, Any]], str | None]] = {
    CONTROL: _doubt_of_control,
    DRIFT: _doubt_of_drift,
    STEP: _doubt_of_step,
    DISTURBED_RUNS: _doubt_of_runs,
}


# Controls


def control_pairs(cells: pd.DataFrame) -> pd.DataFrame:
    """Every cell of a cells table that has a control, whose id is in ``control_cell_id``."""
    keys = ["framework", "backend", "loop", "device", "batch_size", "setting"]
    twins = cells.loc[cells["control"], ["cell_id", *keys]].rename(columns={"cell_id": "control_cell_id"})
    # Cells that differ in what `setting` leaves out share these keys; a control is made of the first of them.
    originals = cells[~cells["control"]].drop_duplicates(keys)
    return originals.merge(twins, on=keys, how="inner", validate="one_to_one")


def control_ratios(runs: pd.DataFrame, cell_id: str, control_cell_id: str) -> pd.Series[float]:
    """Speed under the second name over that under the first, by round; NaN where one of them was not measured."""
    speeds = by_round(runs, "samples_per_s").reindex([cell_id, control_cell_id]).T
    return speeds[control_cell_id] / speeds[cell_id]


def _controls(runs: pd.DataFrame, cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    pairs = control_pairs(cells)
    seen = compare(by_round(runs, "samples_per_s"), pairs["control_cell_id"].tolist(), pairs["cell_id"].tolist())
    for i, pair in enumerate(pairs.to_dict("records")):
        alarm = seen.verdict[i] in (FASTER, SLOWER)
        yield {
            "check": CONTROL,
            **{name: pair[name] for name in ("framework", "backend", "device", "cell_id", "control_cell_id")},
            "n": seen.n_pairs[i],
            "value": seen.ratio[i],
            "low": seen.low[i],
            "high": seen.high[i],
            "p": seen.p_holm[i],
            "verdict": seen.verdict[i],
            "floor": floor(float(seen.low[i]), float(seen.high[i]), int(seen.n_pairs[i])),
            "limit": 1 + TIE_MARGIN,
            "alarm": alarm,
            "reason": _false_alarm(pair, seen.ratio[i]) if alarm else why_no_ratio(int(seen.n_pairs[i])),
        }


def floor(low: float, high: float, n: int) -> float:
    """The ratio above 1 that a single comparison in so many rounds finds with a probability of about ``POWER``.

    It is no border between noise and difference: smaller ones are found as well, only less often, and a comparison that
    is corrected for others beside it finds less. (t(1 - alpha/2) + t(power)) * s / sqrt(n), where s is the spread of
    the log ratios of rounds and t is Student's quantile with the degrees of freedom of the interval, because s is known
    from those rounds alone; the half-width of the interval holds s. The exact probability, by the noncentral t, is 85 %
    in three rounds, 89 % in five and 90 % from eight on.

    Args:
        low: lower end of the control's interval.
        high: upper end of it.
        n: rounds; NaN comes of fewer than an interval takes.
    """
    if n < MIN_PAIRS:
        return float("nan")
    certain, found = stats.t.ppf([1 - ALPHA / 2, POWER], trimmed_degrees(np.array(n)))
    return float(np.exp(np.log(high / low) / 2 * (1 + found / certain)))


def _false_alarm(pair: dict[Any, Any], ratio: float) -> str:
    word = "faster" if ratio > 1 else "slower"
    return f"the same {_name(pair)} cell came out {abs(ratio - 1):.0%} {word} under another name"


def _name(pair: dict[Any, Any]) -> str:
    return "-".join(str(pair[part]) for part in ("framework", "backend") if isinstance(pair[part], str))


# Run order


def timeline(runs: pd.DataFrame) -> pd.DataFrame:
    """The measured runs in the order of their starts.

    Returns:
        ``cell_id``, ``round``, ``relative`` (its step time over the median of its cell), ``passed`` (how much of the
        sweep lay before it: 0 for the first run, 1 for the last) and ``disturbance``.
    """
    timed = runs[runs["step_us"].notna()]
    ordered = timed.sort_values(["started_at", "round", "order_in_round", "cell_id"], kind="stable", ignore_index=True)
    middle = ordered.groupby("cell_id")["step_us"].transform("median")
    return pd.DataFrame(
        {
            "cell_id": ordered["cell_id"],
            "round": ordered["round"],
            "relative": ordered["step_us"] / middle,
            "passed": np.arange(len(ordered)) / max(len(ordered) - 1, 1),
            "disturbance": ordered["disturbance"],
        }
    )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of times in the course of a sweep as a ratio of late to early; NaN where it cannot be told.

    Attributes:
        ratio: above 1: later runs took longer.
        low: lower end of its interval.
        high: upper end of it.
        p: of there being none.
        n: runs behind it.
        position: the run it comes before, where it has a place.
    """

    ratio: float
    low: float = float("nan")
    high: float = float("nan")
    p: float
    n: int
    position: int | None = None

    @property
    def alarming(self) -> bool:
        """Whether it is there beyond doubt, and larger than the margin within which two cells tie."""
        return self.p <= ALPHA and abs(np.log(self.ratio)) > np.log(1 + TIE_MARGIN)


def drift(line: pd.DataFrame) -> Change:
    """How much longer than the first run the last one took.

    Args:
        line: see ``timeline``.
    """
    logs, passed = np.log(line["relative"].to_numpy(np.float64)), line["passed"].to_numpy(np.float64)
    groups = [_thinned(np.asarray(rows)) for rows in line.groupby("cell_id", sort=True).indices.values()]
    sizes = np.array([len(rows) for rows in groups], dtype=np.float64)
    changes, slopes = _pairwise(logs, passed, groups)
    n = int(sizes[sizes > 1].sum())
    if not len(slopes):
        return Change(ratio=float("nan"), p=float("nan"), n=n)
    spread = float(np.sqrt((sizes * (sizes - 1) * (2 * sizes + 5)).sum() / 18))
    score = float(np.sign(changes).sum())
    low, high = _rank_interval(np.sort(slopes), spread)
    return Change(
        ratio=float(np.exp(np.median(slopes))),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        p=float(2 * stats.norm.sf(max(abs(score) - 1, 0) / spread)),
        n=n,
    )


def _thinned(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[:: -(-len(rows) // MOST_OF_A_CELL)]


def _pairwise(logs: FloatArray, passed: FloatArray, groups: list[NDArray[np.int64]]) -> tuple[FloatArray, FloatArray]:
    """Change and change per unit of the sweep between any two runs of the same cell, later minus earlier."""
    early, late = [], []
    for rows in groups:
        first, second = np.triu_indices(len(rows), 1)
        early.append(rows[first])
        late.append(rows[second])
    if not early:
        return np.empty(0), np.empty(0)
    before, after = np.concatenate(early), np.concatenate(late)
    changes = logs[after] - logs[before]
    return changes, changes / (passed[after] - passed[before])


def _rank_interval(ordered: FloatArray, spread: float) -> tuple[float, float]:
    """The slopes whose ranks lie a normal quantile of the score's spread apart; NaN where there are too few."""
    outside = int((len(ordered) - stats.norm.ppf(1 - ALPHA / 2) * spread) / 2)
    if outside < 1:
        return float("nan"), float("nan")
    return float(ordered[outside - 1]), float(ordered[-outside])


def step(line: pd.DataFrame) -> Change:
    """The place before and after which times of cells measured twice differ most, and by how much.

    Args:
        line: see ``timeline``.
    """
    repeated = line["cell_id"].duplicated(keep=False).to_numpy()
    logs, places = np.log(line["relative"].to_numpy(np.float64)[repeated]), np.flatnonzero(repeated)
    n = len(logs)
    if n < 2:
        return Change(ratio=float("nan"), p=float("nan"), n=n)
    scores = 2 * np.cumsum(stats.rankdata(logs))[:-1] - np.arange(1, n) * (n + 1)
    last_before = int(np.argmax(np.abs(scores)))
    difference = np.median(logs[last_before + 1 :]) - np.median(logs[: last_before + 1])
    p = _pettitt(float(scores[last_before]), n)
    return Change(ratio=float(np.exp(difference)), p=p, n=n, position=int(places[last_before + 1]))


def _pettitt(score: float, n: int) -> float:
    """Chance of so large a score of n runs where there is no step; none is larger than that of n runs cut in halves."""
    return min(1.0, 2 * float(np.exp(-6 * score**2 / (n**3 + n**2))))


def _drift_row(line: pd.DataFrame) -> dict[str, Any]:
    seen = drift(line)
    words = f"times {_grew(seen.ratio)} from the first run to the last"
    return _change_row(DRIFT, seen, words, "no cell was measured twice")


def _step_row(line: pd.DataFrame) -> dict[str, Any]:
    seen = step(line)
    words = f"times {_grew(seen.ratio)} at once after {seen.position} of {len(line)} runs"
    return _change_row(STEP, seen, words, "no cell was measured twice")


def _change_row(check: str, seen: Change, words: str, otherwise: str) -> dict[str, Any]:
    known = not np.isnan(seen.ratio)
    alarm = known and seen.alarming
    row = {
        "check": check,
        "n": seen.n,
        "value": seen.ratio,
        "low": seen.low,
        "high": seen.high,
        "p": seen.p,
        "limit": 1 + TIE_MARGIN,
        "position": seen.position,
        "alarm": alarm,
        "reason": words if alarm else None if known else otherwise,
    }
    doubt = None if alarm else _DOUBTS[check](row)
    return row | {
        "verdict": DISTURBED if alarm else UNKNOWN if doubt else QUIET,
        "reason": doubt if known and doubt else row["reason"],
    }


def _grew(ratio: float) -> str:
    return "" if np.isnan(ratio) else f"{'grew' if ratio > 1 else 'fell'} by {abs(ratio - 1):.0%}"


# Other programs


def looked_at(runs: pd.DataFrame) -> pd.Series[bool]:
    """Which runs have any figure that tells of other programs."""
    return runs[["others_processors", "others_share", "steal_share", "load_before"]].notna().any(axis=1)


def _disturbed_row(runs: pd.DataFrame) -> dict[str, Any]:
    seen = runs[looked_at(runs)]
    words = seen["disturbance"].dropna().astype(str)
    share = len(words) / len(seen) if len(seen) else float("nan")
    alarm = share > RUNS_LIMIT
    return {
        "check": DISTURBED_RUNS,
        "n": len(seen),
        "value": share,
        "verdict": (DISTURBED if alarm else QUIET) if len(seen) else UNKNOWN,
        "limit": RUNS_LIMIT,
        "alarm": alarm,
        "reason": _disturbers(words, len(seen)) if alarm else None if len(seen) else _why_not_seen(runs),
    }


def _disturbers(words: pd.Series[str], runs: int) -> str:
    counts = Counter(name for text in words for name in text.split(", "))
    said = ", ".join(f"{WORDS[name]} ({number})" for name, number in counts.most_common())
    return f"{len(words)} of {runs} runs were disturbed, by {said}"


def _why_not_seen(runs: pd.DataFrame) -> str:
    reasons = runs["noise_reason"].dropna()
    return str(reasons.mode().iloc[0]) if len(reasons) else "no run has ended"
