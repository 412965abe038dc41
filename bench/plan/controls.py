"""Controls: one cell of every framework and device runs under a second name, so that a sweep measures its own noise.

What the two names measure can differ by chance and by the machine alone. The cell is a cheap one of the grid: of the
first loop that compiles nothing (else of the first), the middle batch size. It takes no memory pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from bench.cell import Cell

_STARTS_AT_ONCE = ("idiomatic", "eager")

Key = TypeVar("Key")


def controls(cells: Sequence[Cell]) -> list[Cell]:
    """A twin for one cell of every framework (and backend) and device, in the order of the cells.

    Args:
        cells: those that can run.
    """
    groups = _grouped((cell, (cell.framework, cell.backend, cell.device)) for cell in cells)
    return [_twin(_chosen(group)) for group in groups.values()]


def _twin(cell: Cell) -> Cell:
    return replace(cell, control=True, protocol=replace(cell.protocol, memory=False))


def _chosen(cells: Sequence[Cell]) -> Cell:
    loops = _grouped((cell, cell.loop) for cell in cells)
    quick = [name for name in loops if name in _STARTS_AT_ONCE]
    chosen = loops[quick[0] if quick else next(iter(loops))]
    sizes = sorted({cell.batch_size for cell in chosen})
    return next(cell for cell in chosen if cell.batch_size == sizes[len(sizes) // 2])


def _grouped(cells: Iterable[tuple[Cell, Key]]) -> dict[Key, list[Cell]]:
    groups: dict[Key, list[Cell]] = {}
    for cell, key in cells:
        groups.setdefault(key, []).append(cell)
    return groups
