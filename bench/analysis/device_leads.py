"""Which device to use: the best cell of each against the best of all, by how much; the words are the report's.

The verdict answers its questions for every device apart. Rounds hold the runs of all devices, so that their best cells
are compared inside rounds, too. The family is every cell of the workload, whatever its device: from all of them the
best was chosen, by the same runs (``judge``, ``chosen``). Told of it is the best of each other device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.compare import SLOWER
from bench.analysis.verdict import (
    FASTEST_PER_SAMPLE,
    FASTEST_TO_TARGET,
    Choice,
    Finding,
    Rival,
    Verdict,
    is_rate,
    judged_by,
    reaches_reliably,
    rivals_of,
)

_KINDS = (FASTEST_PER_SAMPLE, FASTEST_TO_TARGET)


@dataclass(frozen=True, kw_only=True)
class DeviceLead:
    """The answer to one question over all devices that were measured on a workload.

    Attributes:
        kind: ``fastest_per_sample`` or ``fastest_to_target``.
        workload: on what.
        winner: the best cell of the best device; never proven slower than the best of another.
        rivals: the best cell of each other device, best first, as the winner stands to it.
        without: devices that were measured and have no answer.
    """

    kind: str
    workload: str
    winner: Choice
    rivals: tuple[Rival, ...]
    without: tuple[str, ...]

    @property
    def devices(self) -> list[str]:
        """All of them, the best first."""
        return [self.winner.device, *(rival.choice.device for rival in self.rivals), *self.without]


def device_leads(verdict: Verdict, cells: pd.DataFrame, runs: pd.DataFrame) -> tuple[DeviceLead, ...]:
    """One lead per workload and kind, where several devices were measured and one has an answer.

    Args:
        verdict: what was found on each device.
        cells: the cells table.
        runs: the runs table.
    """
    asked: dict[tuple[str, str], list[Finding]] = {}
    for finding in verdict.findings:
        if finding.kind in _KINDS:
            asked.setdefault((finding.workload, finding.kind), []).append(finding)
    several = [findings for findings in asked.values() if len(findings) > 1]
    values = judged_by(runs) if several else {}
    leads = (_lead(findings, cells, values) for findings in several)
    return tuple(lead for lead in leads if lead is not None)


def _lead(findings: Sequence[Finding], cells: pd.DataFrame, values: dict[str, pd.DataFrame]) -> DeviceLead | None:
    kind = findings[0].kind
    found = [finding.winner for finding in findings if finding.winner is not None]
    candidates, larger = _candidates(findings[0], cells), is_rate(kind)
    best = sorted(found, key=lambda choice: choice.value, reverse=larger)
    for winner in best:
        others = [choice for choice in best if choice is not winner]
        rivals = rivals_of(winner, others, values[kind], larger_is_better=larger, beside=candidates)
        if all(rival.verdict != SLOWER for rival in rivals):
            without = tuple(finding.device for finding in findings if finding.winner is None)
            return DeviceLead(
                kind=kind, workload=findings[0].workload, winner=winner, rivals=tuple(rivals), without=without
            )
    return None


def _candidates(finding: Finding, cells: pd.DataFrame) -> list[str]:
    """Ids of all cells, on any device, that the best was chosen from."""
    able = (cells["workload"] == finding.workload) & (cells["n_measured"] > 0) & cells[finding.quantity].notna()
    if finding.kind == FASTEST_TO_TARGET:
        able &= reaches_reliably(cells)
    return cells.loc[able, "cell_id"].tolist()
