"""Who won, by how much, who tied, and what that rests on: structured, the words and digits are the report's.

A question is asked apart for every device and workload: throughput on other data, or on another device, is another
question. The winner is the cell with the best median, unless another is better than it beyond doubt in the rounds that
both have: medians of different rounds, where ``protocol=rigorous`` added some, are medians of different hours. A cell
of fewer than ``MIN_PAIRS`` runs wins nothing where others have more.

All others are compared with the winner round by round as one family, and those it does not clearly beat are named with
it, as ties or as open. That it was chosen by the same runs is allowed for (``judge``, ``chosen``). Where a run missed
its target, it counts with its cell's whole training time, the least that it would have taken. Memory is measured in one
run per cell: there is nothing to test, and what is said of it is said of that run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.caveats import Caveat, caveats
from bench.analysis.compare import FASTER, MIN_PAIRS, SLOWER, TIE, TIE_MARGIN, by_round, compare, full_names
from bench.analysis.precision import precision_reached
from bench.analysis.runs_table import TRAINED
from bench.analysis.tables import Tables
from bench.records import SweepRecord

FASTEST_PER_SAMPLE = "fastest_per_sample"
FASTEST_TO_TARGET = "fastest_to_target"
SMALLEST_MEMORY = "smallest_memory"

MEMORY_GRAIN_BYTES = 256 * 1024
"""Figures closer than this are one: the kernel counts resident pages in batches of 84 kB per processor."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A cell as an answer: what to choose, and its value of the quantity asked for.

    Attributes:
        value: in the unit of the finding's quantity.
        low: lower end of its interval, None where it has none.
        high: upper end of its interval, None where it has none.
        n: runs behind it.
    """

    cell_id: str
    framework: str
    backend: str | None
    loop: str
    device: str
    batch_size: int
    batch_size_label: str
    value: float
    low: float | None
    high: float | None
    n: int

    @property
    def full_framework(self) -> str:
        """``pytorch``, ``keras-tensorflow``."""
        return full_names([self.framework], [self.backend])[0]


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Another cell beside the winner.

    Attributes:
        choice: the cell.
        ratio: how many times better the winner is (at most 1 where the rounds say otherwise than the medians); None
            where no round has both.
        low: lower end of the ratio's interval, None where it has none. It is that of two cells picked beforehand:
            that the winner was chosen for looking good is in the verdict, not in the interval.
        high: upper end of it.
        n: rounds behind the ratio.
        verdict: of the winner: ``faster`` (better), ``slower``, ``tie`` or ``inconclusive``; of memory, which one run
            tells, no more than whether that run's figures lie apart (``faster``) or close together (``tie``).
        more_rounds: about how many would settle an inconclusive pair; None where it is settled or cannot be told.
    """

    choice: Choice
    ratio: float | None
    low: float | None
    high: float | None
    n: int
    verdict: str
    more_rounds: int | None = None

    @property
    def beaten(self) -> bool:
        """Whether the winner is better beyond doubt (of memory: in the one run that measured each)."""
        return self.verdict == FASTER


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The answer to one question on one device and workload.

    Attributes:
        kind: ``fastest_per_sample``, ``fastest_to_target`` or ``smallest_memory``.
        device: where.
        workload: on what.
        quantity: the column of the cells table that decides.
        winner: the best cell, None where no cell has a value.
        runner_up: the next best cell.
        other_framework: the best cell of another framework (or backend).
        tied_with: cells the winner does not clearly beat, best first: ties, and those the rounds leave open.
        candidates: cells with a value.
        reason: why there is no winner, or why the ratios have no interval.
    """

    kind: str
    device: str
    workload: str
    quantity: str
    winner: Choice | None
    runner_up: Rival | None = None
    other_framework: Rival | None = None
    tied_with: tuple[Rival, ...] = ()
    candidates: int = 0
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class FrameworkBest:
    """The best loop and batch size of one framework for one question."""

    kind: str
    device: str
    workload: str
    full_framework: str
    choice: Choice


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to choose on one device and workload: the fastest to the target, else the fastest per sample."""

    device: str
    workload: str
    based_on: Finding
    caveats: tuple[Caveat, ...]

    @property
    def choice(self) -> Choice:
        """The cell recommended."""
        assert self.based_on.winner is not None  # a recommendation is only made of a finding with a winner
        return self.based_on.winner


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Everything a sweep decides; empty where nothing was measured.

    Attributes:
        findings: for every device and workload with a measured cell, one of each kind.
        best_per_framework: the same for each framework alone.
        recommendations: one per device and workload.
    """

    findings: tuple[Finding, ...]
    best_per_framework: tuple[FrameworkBest, ...]
    recommendations: tuple[Recommendation, ...]


def verdict(tables: Tables, sweep: SweepRecord) -> Verdict:
    """The verdict of a sweep, from its tables and its plan."""
    findings, bests, recommendations = list[Finding](), list[FrameworkBest](), list[Recommendation]()
    measured = tables.cells[tables.cells["n_measured"] > 0]
    values = judged_by(tables.runs)
    for _, group in measured.groupby(["device", "workload"], sort=True):
        found = [
            _decided(FASTEST_PER_SAMPLE, "samples_per_s", group, values),
            _decided(FASTEST_TO_TARGET, "time_to_target_s", _reliable(group), values),
            _by_memory(group),
        ]
        findings += found
        for finding in found:
            bests += _best_per_framework(finding, group)
        based_on = next((f for f in (found[1], found[0]) if f.winner is not None), None)
        if based_on is not None:
            recommendations.append(_recommendation(based_on, group, tables, sweep))
    return Verdict(findings=tuple(findings), best_per_framework=tuple(bests), recommendations=tuple(recommendations))


def _reliable(group: pd.DataFrame) -> pd.DataFrame:
    """The group without the times of cells that missed the target more than once, as MLPerf voids them."""
    return group.assign(time_to_target_s=group["time_to_target_s"].where(reaches_reliably(group)))


def reaches_reliably(cells: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of the cells table reached the target in every run that trained, or in every one but one."""
    return (cells["n_reached"] > 0) & (cells["n_censored"] <= 1)


def judged_by(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What the cells are compared by to answer a question, as ``compare`` takes it, by the question's kind."""
    return {FASTEST_PER_SAMPLE: by_round(runs, "samples_per_s"), FASTEST_TO_TARGET: times_to_target(runs)}


def times_to_target(runs: pd.DataFrame) -> pd.DataFrame:
    """Seconds to the target as ``by_round``; a run that missed it has its cell's longest training time.

    To leave such rounds out would compare the winner's lucky rounds with all rounds of the others.
    """
    times, trained = by_round(runs, "time_to_target_s"), runs["status"].isin([status.value for status in TRAINED])
    missed = trained & runs["target_loss"].notna() & runs["time_to_target_s"].isna()
    whole = by_round(runs, "training_s").max(axis=1)
    return times.mask(by_round(runs.assign(missed=missed), "missed") == 1, whole, axis=0)


def is_rate(kind: str) -> bool:
    """Whether a question is decided by a rate, of which more is better, and not by a time."""
    return kind == FASTEST_PER_SAMPLE


def _decided(kind: str, quantity: str, group: pd.DataFrame, values: dict[str, pd.DataFrame]) -> Finding:
    ranked = _ranked(group, quantity, larger_is_better=is_rate(kind))
    if not ranked:
        return _undecided(kind, quantity, group)
    least = min(MIN_PAIRS, max(choice.n for choice in ranked))
    choices = [choice for choice in ranked if choice.n >= least]
    winner, rivals = _best(choices, values[kind], larger_is_better=is_rate(kind))
    return Finding(
        kind=kind,
        device=winner.device,
        workload=str(group["workload"].iloc[0]),
        quantity=quantity,
        winner=winner,
        runner_up=rivals[0] if rivals else None,
        other_framework=_other_framework(winner, rivals),
        tied_with=tuple(rival for rival in rivals if rival.low is not None and not rival.beaten),
        candidates=len(choices),
        reason=None if not rivals or rivals[0].low is not None else "too few rounds have both cells",
    )


def _best(choices: list[Choice], values: pd.DataFrame, *, larger_is_better: bool) -> tuple[Choice, list[Rival]]:
    """The first, or one that is better than it beyond doubt, and so on; with all others against it."""
    winner, deposed = choices[0], set[str]()
    while True:
        others = [choice for choice in choices if choice is not winner]
        rivals = rivals_of(winner, others, values, larger_is_better=larger_is_better)
        better = [r for r in rivals if r.verdict == SLOWER and r.choice.cell_id not in deposed]
        if not better:
            return winner, rivals
        deposed.add(winner.cell_id)
        winner = min(better, key=lambda rival: rival.ratio or 0.0).choice


def _undecided(kind: str, quantity: str, group: pd.DataFrame) -> Finding:
    reason_column = {"samples_per_s": "samples_per_s_reason", "time_to_target_s": "steps_to_target_reason"}
    reasons = group[reason_column.get(quantity, "rss_reason")].dropna()
    return Finding(
        kind=kind,
        device=str(group["device"].iloc[0]),
        workload=str(group["workload"].iloc[0]),
        quantity=quantity,
        winner=None,
        reason=str(reasons.mode().iloc[0]) if len(reasons) else "no cell has a value",
    )


def _ranked(group: pd.DataFrame, quantity: str, *, larger_is_better: bool) -> list[Choice]:
    known = group[group[quantity].notna()]
    # Equal values (memory often is) go to the smaller batch, then to the id, so that a rebuild agrees.
    ranked = known.sort_values([quantity, "batch_size", "cell_id"], ascending=[not larger_is_better, True, True])
    return [_choice(row, quantity) for row in ranked.to_dict("records")]


def _choice(row: dict[Any, Any], quantity: str) -> Choice:
    backend = row["backend"]
    counted = {"time_to_target_s": row["n_reached"], "samples_per_s": row["n_measured"]}
    return Choice(
        cell_id=row["cell_id"],
        framework=row["framework"],
        backend=None if pd.isna(backend) else backend,
        loop=row["loop"],
        device=row["device"],
        batch_size=int(row["batch_size"]),
        batch_size_label=row["batch_size_label"],
        value=float(row[quantity]),
        low=_known(row.get(f"{quantity}_low")),
        high=_known(row.get(f"{quantity}_high")),
        n=int(counted.get(quantity, 1)),
    )


def rivals_of(
    winner: Choice,
    others: Sequence[Choice],
    values: pd.DataFrame,
    *,
    larger_is_better: bool,
    beside: Sequence[str] = (),
) -> list[Rival]:
    """How a winner stands to others, by the rounds that both have.

    Args:
        winner: chosen as the best by the same runs.
        others: those that are told of, in any order.
        values: as ``compare`` takes them.
        larger_is_better: whether they are rates rather than times.
        beside: ids of cells that are told nothing of, but that the winner was chosen from as well: they belong to the
            family. The others and the winner may be among them.
    """
    family = [id_ for id_ in dict.fromkeys([*(other.cell_id for other in others), *beside]) if id_ != winner.cell_id]
    ours = [winner.cell_id] * len(family)
    # Of rates the winner stands on top, of times below: a ratio above 1 is always the winner's advantage.
    numerators, denominators = (ours, family) if larger_is_better else (family, ours)
    seen = compare(values, numerators, denominators, chosen=True)
    return [
        Rival(
            choice=other,
            ratio=_known(seen.ratio[i]),
            low=_known(seen.low[i]),
            high=_known(seen.high[i]),
            n=int(seen.n_pairs[i]),
            verdict=seen.verdict[i],
            more_rounds=None if pd.isna(seen.more_rounds[i]) else int(seen.more_rounds[i]),
        )
        for i, other in enumerate(others)
    ]


def _other_framework(winner: Choice, rivals: list[Rival]) -> Rival | None:
    return next((rival for rival in rivals if rival.choice.full_framework != winner.full_framework), None)


def _by_memory(group: pd.DataFrame) -> Finding:
    """What one must have: on a CPU for the whole process, elsewhere on the device; measured once, so without interval.

    What training adds to the process is another figure: beside a framework's own hundreds of megabytes it decides
    nothing until the data is large.
    """
    quantity = "peak_rss_bytes" if (group["device"] == "cpu").all() else "device_peak_bytes"
    choices = _ranked(_comparable(group, quantity), quantity, larger_is_better=False)
    if not choices:
        return _undecided(SMALLEST_MEMORY, quantity, group)
    winner, rivals = choices[0], [_by_size(choices[0], other) for other in choices[1:]]
    return Finding(
        kind=SMALLEST_MEMORY,
        device=winner.device,
        workload=str(group["workload"].iloc[0]),
        quantity=quantity,
        winner=winner,
        runner_up=rivals[0] if rivals else None,
        other_framework=_other_framework(winner, rivals),
        tied_with=tuple(rival for rival in rivals if not rival.beaten),
        candidates=len(choices),
        reason="memory is measured in one run per cell: no interval",
    )


def _comparable(group: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The largest part of the cells whose figures mean the same thing."""
    kind = "memory_isolation" if quantity == "peak_rss_bytes" else "device_peak_source"
    kinds = group.loc[group[quantity].notna(), kind].dropna()
    return group[group[kind] == kinds.mode().iloc[0]] if len(kinds) else group


def _by_size(winner: Choice, other: Choice) -> Rival:
    close = other.value <= max(winner.value * (1 + TIE_MARGIN), winner.value + MEMORY_GRAIN_BYTES)
    ratio = other.value / winner.value if winner.value > 0 else None
    return Rival(choice=other, ratio=ratio, low=None, high=None, n=1, verdict=TIE if close else FASTER)


def _best_per_framework(finding: Finding, group: pd.DataFrame) -> Iterator[FrameworkBest]:
    if finding.winner is None:
        return
    comparable = _comparable(group, finding.quantity) if finding.kind == SMALLEST_MEMORY else group
    seen = set[str]()
    for choice in _ranked(comparable, finding.quantity, larger_is_better=is_rate(finding.kind)):
        if choice.full_framework not in seen:
            seen.add(choice.full_framework)
            yield FrameworkBest(
                kind=finding.kind,
                device=finding.device,
                workload=finding.workload,
                full_framework=choice.full_framework,
                choice=choice,
            )


def _recommendation(finding: Finding, group: pd.DataFrame, tables: Tables, sweep: SweepRecord) -> Recommendation:
    return Recommendation(
        device=finding.device,
        workload=finding.workload,
        based_on=finding,
        caveats=caveats(
            group, tables.cells, tables.noise, rounds=len(sweep.rounds), precision=precision_reached(tables, sweep)
        ),
    )


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
