"""Spares batch sizes that would run out of memory as a smaller one of their family has.

A family is every setting of a cell but its batch size: what shares a curve. A run that ended ``oom`` speaks for all
larger batch sizes of its family, unless one of its size or above has trained in this sweep: then something else held
the memory for a moment. Skipped runs are rows of status ``unavailable`` whose reason names the batch size that ran out.

What has ended is read from the journal, of which each process remembers what it has seen: jobs of a launcher may run
in many. An ``oom`` counts only while its record says so too; one that was set aside to be tried again does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from bench.cell import PATIENCE, Cell
from bench.records import SKIPPED_AFTER_OOM, RunResult, Status
from bench.run.tally import Tail
from bench.store.journal import RECORD_SET_ASIDE
from bench.store.layout import SweepFolder
from bench.store.reader import read_result, read_sweep

_TRAINED = (Status.OK, Status.TARGET_NOT_REACHED, Status.DIVERGED)

RunKey = tuple[str, int]


def skipped_after_oom(folder: SweepFolder, cell: Cell, cells: Mapping[str, Cell]) -> str | None:
    """Why a run of the cell is not to be started; None where it is.

    Args:
        folder: the sweep's.
        cell: whose run is about to be started.
        cells: every cell of the sweep by its id.

    Raises:
        StorageError: a record cannot be read.
    """
    seen = _seen(folder)
    seen.look(cells)
    size = seen.smallest_oom(cell)
    return None if size is None or not _asked_for(folder) else f"{SKIPPED_AFTER_OOM}{size}"


def is_skipped_after_oom(result: RunResult) -> bool:
    """Whether a run has its row because of ``skipped_after_oom``."""
    return result.status is Status.UNAVAILABLE and (result.reason or "").startswith(SKIPPED_AFTER_OOM)


@lru_cache(maxsize=2)
def _asked_for(folder: SweepFolder) -> bool:
    """``sweep.skip_after_oom``; sweeps that began before there was one take its default."""
    return bool(read_sweep(folder).config.get("sweep", {}).get("skip_after_oom", True))


@lru_cache(maxsize=2)
def _seen(folder: SweepFolder) -> _Seen:
    return _Seen(folder)


@dataclass
class _Family:
    """The runs of one family that tell of memory: their batch sizes."""

    oom: dict[RunKey, int] = field(default_factory=dict)
    trained: dict[RunKey, int] = field(default_factory=dict)

    def forget(self, key: RunKey) -> None:
        self.oom.pop(key, None)
        self.trained.pop(key, None)


class _Seen:
    """How the runs of a sweep have ended, as far as its journal has been read."""

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._tail = Tail(folder.journal)
        self._families: defaultdict[Cell, _Family] = defaultdict(_Family)

    def look(self, cells: Mapping[str, Cell]) -> None:
        """Takes in what the journal has been told since the last look."""
        for event in self._tail.new_events():
            cell, key = cells.get(_text(event.get("cell_id"))), _key(event)
            if cell is not None and key is not None:
                self._take(event, key, cell)

    def _take(self, event: dict[str, Any], key: RunKey, cell: Cell) -> None:
        if event.get("event") == RECORD_SET_ASIDE:
            self._families[_family(cell)].forget(key)
        elif event.get("event") == "run_finished":
            family, status = self._families[_family(cell)], event.get("status")
            family.forget(key)
            if status == Status.OOM:
                family.oom[key] = cell.batch_size
            elif status in _TRAINED:
                family.trained[key] = cell.batch_size

    def smallest_oom(self, cell: Cell) -> int | None:
        """The smallest batch size below the cell's, and above all that have trained, that ran out of memory."""
        family = self._families.get(_family(cell))
        if family is None or not family.oom:
            return None
        most = max(family.trained.values(), default=0)
        candidates = sorted((size, key) for key, size in family.oom.items() if most < size < cell.batch_size)
        return next((size for size, key in candidates if self._still(key)), None)

    def _still(self, key: RunKey) -> bool:
        result = read_result(self._folder.run(*key))
        return result is not None and result.status is Status.OOM


def _family(cell: Cell) -> Cell:
    """The cell without its batch size, and without what changes no measurement, which a resumed sweep may change.

    A control is of its twin's family.
    """
    any_patience: dict[str, Any] = dict.fromkeys(PATIENCE, 0.0)
    protocol = replace(cell.protocol, memory=False, **any_patience)
    return replace(cell, batch_size=0, batch_size_label="", control=False, protocol=protocol)


def _key(event: Mapping[str, Any]) -> RunKey | None:
    cell_id, round_ = event.get("cell_id"), event.get("round")
    return (cell_id, round_) if isinstance(cell_id, str) and type(round_) is int and round_ >= 0 else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
