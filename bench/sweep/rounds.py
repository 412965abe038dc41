"""The rounds of a sweep as they come: the planned ones, then those that are added until it is as precise as was asked.

Everything here happens between two rounds, while nothing is timed. What a further round consists of is decided from the
runs on the disk, announced in the journal and only then run. Its order follows from the seed and its number, so whoever
goes on with a sweep that was cut finds in the journal which round was under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.plan.plan import Plan
from bench.plan.rounds import Stopped, Stopping, shuffled_round
from bench.records import PlannedCell
from bench.store import journal
from bench.store.layout import SweepFolder
from bench.store.sessions import calls_of

if TYPE_CHECKING:
    import pandas as pd

    from bench.analysis.precision import Precision

Clock = Callable[[], float]


@dataclass
class Rounds:
    """Decides after every round whether there is another, and announces those that were not planned.

    Attributes:
        plan: the sweep's.
        folder: its folder.
        cells: the cells of its record.
        clock: seconds; the budget counts from where the rounds are first asked for, and what earlier calls took.
        stopped: why there is no further round, once that is so.
    """

    plan: Plan
    folder: SweepFolder
    cells: Sequence[PlannedCell]
    clock: Clock = time.monotonic
    stopped: Stopped = field(default=Stopped.PLANNED, init=False)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Number and order of every round; each has been run when the next one is asked for."""
        began_s = self.clock() - sum(call.seconds for call in calls_of(self.folder)[:-1])
        last: _LastRound | None = None
        for round_, cell_ids in enumerate(self.plan.rounds):
            anew, round_began_s = self._is_new(round_, cell_ids), self.clock()
            yield round_, cell_ids
            last = _LastRound(round_, cell_ids, self.clock() - round_began_s if anew else None)
        while last is not None and self.plan.stopping is not None:
            added = self._added(self.plan.stopping, last, began_s)
            if added is None:
                return
            round_began_s = self.clock()
            yield last.number + 1, added
            last = _LastRound(last.number + 1, added, self.clock() - round_began_s)

    def _is_new(self, round_: int, cell_ids: Sequence[str]) -> bool:
        """Whether no earlier call has run any of a round."""
        return not any(self.folder.run(cell_id, round_).result.exists() for cell_id in cell_ids)

    def _added(self, stopping: Stopping, last: _LastRound, began_s: float) -> list[str] | None:
        """The order of the next round, announced; None where there is to be none, and ``stopped`` says why."""
        # Late: pandas takes a second to import, which a sweep of a fixed number of rounds pays at its end only.
        from bench.analysis.precision import cells_to_add, precision_of
        from bench.analysis.tables import build_tables

        tables = build_tables(self.folder, most_step_rows=1)  # no single step is looked at
        seen = precision_of(tables, target=stopping.precision, of=stopping.of)
        number = last.number + 1
        order = shuffled_round(cells_to_add(seen, tables, self.cells), number, self.plan.seed)
        why = stopping.why_stop(
            [width.half_width for width in seen.widths],
            rounds=number,
            elapsed_s=self.clock() - began_s,
            next_round_s=last.expected_s(order, tables.runs),
        )
        if why is not None:
            self.stopped = why
            return None
        journal.append(
            self.folder, journal.ROUND_ADDED, round=number, cells=order, **_told(seen), max_rounds=stopping.max_rounds
        )
        return order


@dataclass(frozen=True)
class _LastRound:
    """The round that has just been run, and how long it took; None where an earlier call ran some of it."""

    number: int
    cell_ids: list[str]
    seconds: float | None

    def expected_s(self, cell_ids: list[str], runs: pd.DataFrame) -> float:
        """How long a round of other cells would take: as this one, in the proportion of the cells' own last runs."""
        walls_s = runs.dropna(subset="wall_s").groupby("cell_id")["wall_s"].last()
        theirs_s, ours_s = (walls_s.reindex(ids).fillna(walls_s.mean()).sum() for ids in (cell_ids, self.cell_ids))
        if self.seconds is None:
            return float(theirs_s)
        share = theirs_s / ours_s if ours_s > 0 else len(cell_ids) / len(self.cell_ids)
        return float(self.seconds * share)


def _told(seen: Precision) -> dict[str, object]:
    """Why a round was added, for the journal and the progress display."""
    widest = seen.too_wide[0]
    return {
        "precision": seen.target,
        "judged": len(seen.widths),
        "too_wide": len(seen.too_wide),
        "widest": list(widest.cell_ids),
        "half_width": widest.half_width,
    }
