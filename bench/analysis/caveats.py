"""What to keep in mind beside a recommendation: few rounds, wide intervals, a short budget, missing runs and such."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.analysis.intervals import MIN_RUNS
from bench.analysis.judge import MIN_PAIRS
from bench.analysis.noise import disturbances
from bench.analysis.precision import CELLS, Precision
from bench.analysis.steadiness import MIN_EPOCHS
from bench.records import SKIPPED_AFTER_OOM


@dataclass(frozen=True, kw_only=True)
class Caveat:
    """What to keep in mind; ``kind`` for programs, ``text`` for people, ``count`` of what it speaks of."""

    kind: str
    text: str
    count: int


def caveats(
    measured: pd.DataFrame,
    cells: pd.DataFrame,
    noise: pd.DataFrame,
    *,
    rounds: int,
    precision: Precision | None = None,
) -> tuple[Caveat, ...]:
    """Those that hold.

    Args:
        measured: rows of the cells table that a recommendation was chosen from: one device, one workload.
        cells: the whole cells table.
        noise: the noise table.
        rounds: how many the plan has.
        precision: how precise the sweep is; None where nothing was asked.
    """
    device = measured["device"].iloc[0]
    found = (
        _disturbed_machine(noise),
        _few_rounds(rounds),
        _too_wide(precision, set(measured["cell_id"])),
        _epoch_budget(measured),
        _random_labels(measured),
        _unsteady(measured),
        _unjudged(measured),
        _few_runs(measured, rounds),
        _failed(cells[cells["device"] == device]),
        _not_the_same(cells),
        _skipped(cells),
        _unavailable(cells),
    )
    return tuple(caveat for caveat in found if caveat is not None)


def voided(cells: pd.DataFrame) -> pd.Series[bool]:
    """Which rows the parity gate voids; others are invalid because a record of theirs cannot be trusted."""
    gated = (cells["status"] == "invalid") & cells["parity_steps"].notna()
    over = cells["parity"].isna() | (cells["parity"] > cells["parity_bar"])
    return gated & over


def _disturbed_machine(noise: pd.DataFrame) -> Caveat | None:
    reasons = disturbances(noise)
    text = f"measured on a disturbed machine: {'; '.join(reasons)}"
    return Caveat(kind="disturbed_machine", text=text, count=len(reasons)) if reasons else None


def _few_rounds(rounds: int) -> Caveat | None:
    if rounds >= MIN_RUNS:
        return None
    text = f"every cell ran {_times(rounds)}: with fewer than {MIN_RUNS} rounds no cell has an interval of its own"
    return Caveat(kind="few_rounds", text=text, count=rounds)


def _too_wide(precision: Precision | None, here: set[str]) -> Caveat | None:
    if precision is None:
        return None
    n, judged = (sum(here.issuperset(w.cell_ids) for w in widths) for widths in (precision.too_wide, precision.widths))
    noun = "cells" if precision.of == CELLS else "ratios"
    text = f"{n} of {judged} {noun} are not known to the ±{100 * precision.target:g}% that the sweep was asked for"
    return Caveat(kind="too_wide", text=text, count=n) if n else None


def _epoch_budget(group: pd.DataFrame) -> Caveat | None:
    missed = group[group["time_to_target_s"].isna() & (group["n_censored"] > 0)]
    if missed.empty:
        return None
    epochs = ", ".join(str(n) for n in sorted(missed["epochs"].unique()))
    word = "epoch" if epochs == "1" else "epochs"
    text = (
        f"{len(missed)} of {len(group)} cells did not reach the target within the budget of {epochs} {word};"
        " a large batch makes few updates in it, so this judges the budget, not large batches"
    )
    return Caveat(kind="epoch_budget", text=text, count=len(missed))


def _random_labels(group: pd.DataFrame) -> Caveat | None:
    n = int((group["data"] == "tutorial").sum())
    text = "the labels are random, so there is nothing to learn but noise: only the speed means anything"
    return Caveat(kind="random_labels", text=text, count=n) if n else None


def _unsteady(group: pd.DataFrame) -> Caveat | None:
    n, runs = int((group["n_unsteady"] > 0).sum()), int(group["n_unsteady"].sum())
    text = (
        f"{runs} of {int(group['n_measured'].sum())} runs, of {_cells(n)}, slow down or have no steady state: what"
        " rests on them is marked †"
    )
    return Caveat(kind="unsteady_runs", text=text, count=n) if n else None


def _unjudged(group: pd.DataFrame) -> Caveat | None:
    n, runs = int((group["n_too_few"] > 0).sum()), int(group["n_too_few"].sum())
    text = (
        f"{runs} of {int(group['n_measured'].sum())} runs, of {_cells(n)}, had fewer than {MIN_EPOCHS} steady epochs:"
        " whether they were steady nobody can tell, and a warm-up counts in them as it does not in the others"
    )
    return Caveat(kind="unjudged_runs", text=text, count=n) if n else None


def _few_runs(group: pd.DataFrame, rounds: int) -> Caveat | None:
    n = int((group["n_measured"] < min(MIN_PAIRS, rounds)).sum())
    text = f"{_cells(n)} were measured in fewer than {MIN_PAIRS} runs and could not win"
    return Caveat(kind="few_runs", text=text, count=n) if n else None


def _failed(cells: pd.DataFrame) -> Caveat | None:
    fine = ["ok", "target_not_reached", "unavailable"]
    n = int((~cells["status"].isin(fine) & ~voided(cells)).sum())
    text = f"{_cells(n)} had runs that failed or are missing; they count with the runs that were measured"
    return Caveat(kind="failed_runs", text=text, count=n) if n else None


def _not_the_same(cells: pd.DataFrame) -> Caveat | None:
    n = int(voided(cells).sum())
    text = f"{_cells(n)} did not train as the reference does and took no part"
    return Caveat(kind="not_the_same_training", text=text, count=n) if n else None


def skipped(cells: pd.DataFrame) -> pd.Series[bool]:
    """Which rows were spared because a smaller batch size of their family ran out of memory."""
    reasons = cells["reason"].astype("object").fillna("").astype(str)
    return (cells["status"] == "unavailable") & reasons.str.contains(SKIPPED_AFTER_OOM, regex=False)


def _skipped(cells: pd.DataFrame) -> Caveat | None:
    n = int(skipped(cells).sum())
    text = f"{_cells(n)} took no part: skipped after a smaller batch size ran out of memory"
    return Caveat(kind="skipped_after_oom", text=text, count=n) if n else None


def _unavailable(cells: pd.DataFrame) -> Caveat | None:
    n = int(((cells["status"] == "unavailable") & ~skipped(cells)).sum())
    text = f"{_cells(n)} could not run on this machine and took no part"
    return Caveat(kind="unavailable", text=text, count=n) if n else None


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _cells(n: int) -> str:
    return "1 cell" if n == 1 else f"{n} cells"
