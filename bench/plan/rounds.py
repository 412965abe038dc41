"""The order of a sweep, and its end: every round passes over its cells in an order of its own, until all are precise.

A sweep has a fixed number of rounds, or adds rounds until every interval is as narrow as was asked (``Stopping``).

Why not before the tenth round: an interval that is looked at after every round, and ends the rounds when it is narrow,
is narrow more often than it should be, because the runs that happened to agree stop first. The rule is Chow and
Robbins' (1965, Annals of Mathematical Statistics 36, 457-462): stop at the first n at which the interval fits; its
coverage is right only as the target shrinks. Simulated with 95 % intervals and looks after every round
(``make bench-precision``), it falls to 91 % where looks begin at 5 runs and stays above 92 % from 10 on. Ending by
``max_rounds`` or ``budget_s`` does no such harm, for neither looks at the data. Other tools avoid the question: pyperf
runs a fixed number of processes and nanobench a fixed number of epochs; both only warn of a wide spread.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bench.config.schema import ProtocolConfig
from bench.records import MOST_ROUNDS


class Stopped(StrEnum):
    """Why a sweep has no further round."""

    PLANNED = "planned"
    """It had a fixed number of rounds."""
    PRECISE = "precise"
    """Every interval is as narrow as was asked."""
    MAX_ROUNDS = "max_rounds"
    BUDGET = "budget"
    """The next round would have ended after ``protocol.budget_s``."""
    NOTHING_TO_JUDGE = "nothing_to_judge"
    """No cell was measured, or none can be compared."""


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """When a sweep that adds rounds ends.

    Attributes:
        precision: the relative half-width that every interval must have.
        of: whose intervals: ``cells`` or ``comparisons``.
        max_rounds: rounds at most, the least ones included; None is no bound.
        budget_s: seconds of the whole sweep that no added round may exceed; None is no bound.
    """

    precision: float
    of: str
    max_rounds: int | None
    budget_s: float | None

    def fits(self, half_width: float | None) -> bool:
        """Whether an interval is narrow enough; what has none is not."""
        return half_width is not None and half_width <= self.precision

    def why_stop(
        self, half_widths: Sequence[float | None], *, rounds: int, elapsed_s: float, next_round_s: float
    ) -> Stopped | None:
        """Why there is to be no further round; None where there is.

        A round is begun only if it would end inside the budget: one that is cut in the middle would leave some cells
        with a run more than the others they are compared with.

        Args:
            half_widths: of everything that must be precise, relative; None where there is no interval.
            rounds: how many are done.
            elapsed_s: since the sweep began.
            next_round_s: how long the next round would take.
        """
        if not half_widths:
            return Stopped.NOTHING_TO_JUDGE
        if all(map(self.fits, half_widths)):
            return Stopped.PRECISE
        if rounds >= (self.max_rounds or MOST_ROUNDS):
            return Stopped.MAX_ROUNDS
        if self.budget_s is not None and elapsed_s + next_round_s > self.budget_s:
            return Stopped.BUDGET
        return None


def stopping_of(protocol: ProtocolConfig) -> Stopping | None:
    """The rule that a protocol asks for; None for a fixed number of rounds."""
    if protocol.precision is None:
        return None
    return Stopping(
        precision=protocol.precision,
        of=protocol.precision_of,
        max_rounds=protocol.max_rounds,
        budget_s=protocol.budget_s,
    )


def shuffled_rounds(cell_ids: Sequence[str], rounds: int, seed: int) -> list[list[str]]:
    """For every round a permutation of ``cell_ids``; the same arguments give the same orders.

    Each round has a generator of its own, so a longer sweep begins with the shorter one's rounds.
    """
    return [shuffled_round(cell_ids, round_, seed) for round_ in range(rounds)]


def shuffled_round(cell_ids: Iterable[str], round_: int, seed: int) -> list[str]:
    """The order of one round, of all cells or, where it was added for the sake of a few, of those."""
    order = sorted(cell_ids)
    random.Random(f"order of round {round_}, seed {seed}").shuffle(order)
    return order
