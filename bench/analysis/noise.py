"""How noisy the machine was, from the sweep's own runs: controls, drift, steps, and what was seen of other programs.

A control is a cell under a second name. Whatever lies between its two names is noise, judged by the one place that
judges all ratios: a control that comes out faster or slower is a false alarm, and other verdicts may be as well.

Drift and steps are ``run_order``'s, what disturbed a single run is ``disturbance``'s; here they are told as checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
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
from bench.analysis.disturbance import WORDS, looked_at
from bench.analysis.intervals import trimmed_degrees
from bench.analysis.run_order import Change, drift, least_p_of_step, step, timeline

CONTROL, DRIFT, STEP, DISTURBED_RUNS = "control", "drift", "step", "disturbed_runs"
QUIET, DISTURBED, UNKNOWN = "quiet", "disturbed", "unknown"

RUNS_LIMIT = 0.10
"""Share of a sweep's runs that may be disturbed."""
POWER = 0.9
"""How surely a single comparison finds a difference of the noise floor's size."""
QUIET_WITHIN = 0.10
"""A control and the drift are quiet where their intervals lie within 1 / (1 + this) and 1 + this.

Twice the margin of a tie, and so true of every tie: few rounds prove one even on a steady machine, and where the same
cell may be off by more, no difference that a reader would act on is safe.
"""


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
    return "too few runs to tell a step" if least_p_of_step(row["n"]) > ALPHA else None


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


# Changes in run order


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
