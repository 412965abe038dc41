"""Lifts plain records of earlier versions to today's, one version at a time; ``bench.records`` tells what changed.

Every step takes a record of version N as JSON had it and makes it what version N + 1 would have written, had it known
no more: what was not recorded is None, and its reason says so. ``schema_version`` is left alone, so that whoever shows
a record can still say which version wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.records import SCHEMA_VERSION

FIRST_WITH_CHECKSUM: Final = 4

Plain = dict[str, Any]


def lifted_result(plain: Plain) -> Plain:
    """A record of a run as today's version has it."""
    return _lifted(plain, _RESULT_STEPS)


def lifted_sweep(plain: Plain) -> Plain:
    """The record of a sweep as today's version has it."""
    return _lifted(plain, _SWEEP_STEPS)


def _lifted(plain: Plain, steps: Mapping[int, Callable[[Plain], Plain]]) -> Plain:
    for step in range(plain["schema_version"], SCHEMA_VERSION):
        plain = steps[step](plain)
    return plain


def _result_1_to_2(plain: Plain) -> Plain:
    """No compile cache, and no parity gate: ``parity`` was there and always null."""
    return {"compile_cache": None, "parity_reason": "no parity gate ran"} | plain


def _result_2_to_3(plain: Plain) -> Plain:
    """Nobody looked at the machine."""
    return {"noise": None, "noise_reason": "the machine was not looked at"} | plain


def _result_3_to_4(plain: Plain) -> Plain:
    """Nobody looked at the process as a whole, and no hash vouches for the trace."""
    return {"process_peak_bytes": None, "process_peak_reason": "not recorded before version 4"} | plain


def _sweep_1_to_2(plain: Plain) -> Plain:
    """Cells were measured without a parity gate."""
    return _with_every_cell(plain, _without_parity_gate)


def _sweep_2_to_3(plain: Plain) -> Plain:
    """No cell was a control."""
    return _with_every_cell(plain, lambda cell: {"control": False} | cell)


def _sweep_3_to_4(plain: Plain) -> Plain:
    """The checksum is all that was added."""
    return plain


def _without_parity_gate(cell: Plain) -> Plain:
    protocol = cell.get("protocol")
    return cell | {"protocol": {"parity_steps": 0} | protocol} if isinstance(protocol, dict) else cell


def _with_every_cell(plain: Plain, lift: Callable[[Plain], Plain]) -> Plain:
    """What has not the shape of a plan is left for the reader to name."""
    cells = plain.get("cells")
    return plain | {"cells": [_with_its_cell(one, lift) for one in cells]} if isinstance(cells, list) else plain


def _with_its_cell(planned: Any, lift: Callable[[Plain], Plain]) -> Any:
    cell = planned.get("cell") if isinstance(planned, dict) else None
    return planned | {"cell": lift(cell)} if isinstance(cell, dict) else planned


_RESULT_STEPS = {1: _result_1_to_2, 2: _result_2_to_3, 3: _result_3_to_4}
_SWEEP_STEPS = {1: _sweep_1_to_2, 2: _sweep_2_to_3, 3: _sweep_3_to_4}
