"""The best of each framework and loop, on one line each: what the terminal, the page and the pull request share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report import format as fmt
from bench.report.figures.base import floats, row_of_least, row_of_most
from bench.report.figures.datatables import size_of
from bench.report.view import View

_MOST_LINES = 24


@dataclass(frozen=True)
class BestLine:
    """A framework's loop: its most samples per second and its quickest reliable way to the target, and where."""

    loop: str
    setting: str
    speed: str
    speed_batch: str
    time_to_target: str
    target_batch: str
    memory: str

    @property
    def unsteady(self) -> bool:
        """Whether one of its numbers carries the mark."""
        return fmt.UNSTEADY in self.speed + self.time_to_target


def best_lines(view: View) -> tuple[Sequence[BestLine], int]:
    """One line per loop that was measured, the fastest first, and how many were too many to list."""
    measured = view.cells[view.cells["measured"]]
    groups = [(str(label[0]), group) for label, group in measured.groupby(["panel", "family"], sort=True)]
    ordered = sorted(groups, key=lambda pair: -float(floats(pair[1]["samples_per_s"]).max()))
    lines = [_line(panel, group) for panel, group in ordered[:_MOST_LINES]]
    return lines, max(0, len(ordered) - _MOST_LINES)


def _line(panel: str, cells: pd.DataFrame) -> BestLine:
    fastest = row_of_most(cells, "samples_per_s")
    reached = cells[cells["reliable"]]
    soonest = row_of_least(reached, "time_to_target_s") if len(reached) else None
    return BestLine(
        loop=str(fastest["family"]),
        setting=panel,
        speed=fmt.marked(_speed(fastest), fastest["unsteady"]),
        speed_batch=size_of(fastest),
        time_to_target=_of(soonest, _time),
        target_batch=_of(soonest, size_of),
        memory=fmt.memory(fastest["rss_over_baseline_bytes"]),
    )


def _of(row: pd.Series[Any] | None, text: Callable[[pd.Series[Any]], str]) -> str:
    return fmt.MISSING if row is None else text(row)


def _time(row: pd.Series[Any]) -> str:
    time = fmt.duration(row["time_to_target_s"], row["time_to_target_s_low"], row["time_to_target_s_high"])
    return fmt.marked(time, row["unsteady"])


def _speed(row: pd.Series[Any]) -> str:
    return fmt.samples_per_s(row["samples_per_s"], row["samples_per_s_low"], row["samples_per_s_high"])
