"""What was asked and what came of it: every cell's status as a matrix, and why anything is absent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.caveats import skipped
from bench.records import Status
from bench.report import format as fmt
from bench.report.figures.datatables import size_of
from bench.report.view import View, device_label, framework_label

_MOST_MATRIX_ROWS = 60
_MOST_MATRIX_COLUMNS = 40
_MOST_ENDINGS = 200
_MOST_LOGS = 8

# A sign for each status, so that colour is never the only difference.
SIGNS = {
    Status.OK: "✓", Status.TARGET_NOT_REACHED: "○", Status.DIVERGED: "∞", Status.OOM: "M", Status.TIMEOUT: "T",
    Status.CRASHED: "✕", Status.ERROR: "!", Status.UNAVAILABLE: "·", Status.INTERRUPTED: "/", Status.INVALID: "?",
}  # fmt: skip
WORDS = {
    Status.OK: "measured, target reached (or none set)",
    Status.TARGET_NOT_REACHED: "measured, target not reached in at least one run",
    Status.DIVERGED: "the loss was not finite",
    Status.OOM: "out of memory",
    Status.TIMEOUT: "took too long",
    Status.CRASHED: "the process ended by itself",
    Status.ERROR: "an exception",
    Status.UNAVAILABLE: "cannot run on this machine",
    Status.INTERRUPTED: "interrupted",
    Status.INVALID: "not the same training, or a record that cannot be trusted",
}


@dataclass(frozen=True)
class Square:
    """A cell in the matrix; without a ``status`` the grid has no such cell."""

    status: str = ""
    sign: str = ""
    text: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Matrix:
    """Families by batch sizes; ``left_out`` says what was too much to print."""

    sizes: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Square]]]
    left_out: str = ""


@dataclass(frozen=True)
class Ending:
    """Runs that ended the same way for one cell (or, where nothing was started, for many)."""

    what: str
    sizes: str
    status: str
    rounds: str
    reason: str
    logs: Sequence[tuple[str, str]]


def matrix(view: View) -> Matrix:
    """Every cell's worst status, with how many of its runs were measured."""
    cells = view.cells
    every_size = sorted({int(size) for size in cells["batch_size"]})
    sizes = every_size[:_MOST_MATRIX_COLUMNS]
    groups = list(cells.groupby(["panel", "family"], sort=True))
    rows = [(f"{family} · {panel}", _squares(group, sizes)) for (panel, family), group in groups[:_MOST_MATRIX_ROWS]]
    cut = len(groups) > _MOST_MATRIX_ROWS or len(every_size) > _MOST_MATRIX_COLUMNS
    left_out = f"{fmt.plural(len(cells), 'cell')} in all; the rest is in tables/cells.csv." if cut else ""
    return Matrix([_size_heading(cells, size) for size in sizes], rows, left_out)


def status_counts(view: View) -> list[tuple[str, str, int]]:
    """Sign, status and number of runs, for every status that occurred, in the order of ``Status``."""
    counts = view.runs["status"].astype(str).value_counts()
    return [(SIGNS[status], status.value, int(counts[status])) for status in Status if status.value in counts]


def legend(view: View) -> list[tuple[str, str, str]]:
    """Sign, status and meaning of every status that a cell of this sweep has."""
    present = set(view.cells["status"].astype(str))
    words = WORDS | {Status.UNAVAILABLE: _why_unavailable(view.cells)}
    return [(SIGNS[status], status.value, words[status]) for status in Status if status.value in present]


def _why_unavailable(cells: pd.DataFrame) -> str:
    spared, absent = skipped(cells), cells["status"] == Status.UNAVAILABLE.value
    words = [WORDS[Status.UNAVAILABLE]] if (absent & ~spared).any() else []
    return ", or ".join([*words, *(["skipped after a smaller batch size ran out of memory"] if spared.any() else [])])


def missing_runs(view: View) -> int:
    """Runs of the plan that have no record."""
    cells = view.cells
    return int((cells["n_planned"] - cells["n_runs"]).clip(lower=0).sum())


def absences(view: View) -> list[tuple[str, str]]:
    """What could not run here, and why: cells with the same reason together."""
    absent = view.cells[view.cells["status"] == Status.UNAVAILABLE.value]
    keys = absent[["framework", "backend", "device", "reason"]].fillna("")
    return [
        (_absent(framework, backend, device, number), _without_names(_reason(reason), framework, backend, device))
        for (framework, backend, device, reason), number in sorted(Counter(keys.itertuples(index=False)).items())
    ]


def _absent(framework: str, backend: str, device: str, cells: int) -> str:
    return f"{framework_label(framework, backend or None)} on {device_label(device)} ({fmt.plural(cells, 'cell')})"


def _without_names(reason: str, framework: str, backend: str, device: str) -> str:
    """The reason without the names that already stand before it."""
    name = f"{framework} on {backend}" if backend else framework
    return reason.removeprefix(f"{name} cannot run on {device}: ")


def endings(view: View, *, failed: bool) -> tuple[list[Ending], int]:
    """Runs that did not end ``ok``, one entry per cell and status, and how many entries were too many to list.

    Args:
        view: the sweep.
        failed: the runs that were not measured; else those measured that missed their target.
    """
    status = view.runs["status"].astype(str)
    missed = status == Status.TARGET_NOT_REACHED.value
    chosen = view.runs[~view.runs["measured"] if failed else missed]
    started = chosen[chosen["status"] != Status.UNAVAILABLE.value]
    by_cell = list(started.groupby(["panel", "family", "batch_size", "cell_id", "status"], sort=True))
    found = [_ending(view, runs) for _, runs in by_cell[:_MOST_ENDINGS]]
    absent = _unavailable(chosen[chosen["status"] == Status.UNAVAILABLE.value]) if failed else []
    return [*found, *absent[:_MOST_ENDINGS]], max(0, len(by_cell) - _MOST_ENDINGS)


def _squares(group: pd.DataFrame, sizes: Sequence[int]) -> list[Square]:
    by_size = {int(row["batch_size"]): row for _, row in group.iterrows()}
    return [_square(by_size[size]) if size in by_size else Square() for size in sizes]


def _square(row: pd.Series[Any]) -> Square:
    status = Status(str(row["status"]))
    planned = max(int(row["n_planned"]), int(row["n_runs"]))
    text = "" if status is Status.UNAVAILABLE else f"{int(row['n_measured'])}/{planned}"
    return Square(status.value, SIGNS[status], text, "" if status is Status.OK else _reason(row["reason"]))


def _size_heading(cells: pd.DataFrame, size: int) -> str:
    return "full" if (cells.loc[cells["batch_size"] == size, "n_train"] == size).all() else fmt.count(size)


def _ending(view: View, runs: pd.DataFrame) -> Ending:
    first = runs.sort_values("round").iloc[0]
    rounds = sorted(int(round_) for round_ in runs["round"])
    return Ending(
        what=f"{first['family']} · {first['panel']}",
        sizes=size_of(first),
        status=str(first["status"]),
        rounds=_round_numbers(rounds),
        reason=_reason(first["reason"]),
        logs=_logs(view, str(first["cell_id"]), rounds),
    )


def _logs(view: View, cell_id: str, rounds: Sequence[int]) -> list[tuple[str, str]]:
    """Round number and path of each log that is there, relative to the sweep's folder."""
    paths = [(round_, view.folder.run(cell_id, round_).log) for round_ in rounds[:_MOST_LOGS]]
    return [
        (fmt.count(round_ + 1), path.relative_to(view.folder.path).as_posix())
        for round_, path in paths
        if path.is_file()
    ]


def _unavailable(runs: pd.DataFrame) -> list[Ending]:
    grouped = runs.groupby(["panel", "family", "reason"], sort=True)
    return [
        Ending(
            what=f"{family} · {panel}",
            sizes=fmt.plural(group["batch_size"].nunique(), "batch size"),
            status=Status.UNAVAILABLE.value,
            rounds=fmt.MISSING,
            reason=_reason(reason),
            logs=[],
        )
        for (panel, family, reason), group in grouped
    ]


def _round_numbers(rounds: Sequence[int]) -> str:
    if len(rounds) > 2 and rounds[-1] - rounds[0] == len(rounds) - 1:
        return f"{rounds[0] + 1} to {rounds[-1] + 1}"
    return ", ".join(str(round_ + 1) for round_ in rounds)


def _reason(reason: Any) -> str:
    return fmt.one_line(reason, fmt.REASON_LENGTH)
