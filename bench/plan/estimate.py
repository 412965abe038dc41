"""How long a plan would take: rough costs per loop, scaled to this machine by a short calibration with NumPy.

It is an estimate, off by a factor of two either way where a framework meets hardware it was not measured on. The costs
are medians of one 2-core machine without a GPU; a GPU's are taken as the CPU's, for want of a measurement.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np

from bench.cell import Cell
from bench.plan.plan import Plan
from bench.workload.network import initial_weights, loss_and_gradients, parameter_count
from bench.workload.parity import planned_rows

CALIBRATION_S = 0.2
# The calibration's step (batch 256 of 20 features, 64 hidden units, float32) on the machine of the costs below.
_CALIBRATION_STEP_S = 7.7e-5
# The harness itself: one Hydra job, and tables, figures and report at the end.
_JOB_S = 0.08
_REPORT_S = 8.0


@dataclass(frozen=True, kw_only=True)
class LoopCost:
    """What one loop costs.

    Attributes:
        step_s: per step.
        sample_weight_s: per sample and weight.
        run_s: once per run: process, build, trace or load, evaluation, and compiling where nothing keeps its result.
        compile_s: once per cell, by its first run: compiling what later runs load.
    """

    step_s: float
    sample_weight_s: float
    run_s: float
    compile_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class FrameworkCost:
    """A framework's import, paid once by its template (or by every run where it is spawned), and its loops."""

    import_s: float
    loops: dict[str, LoopCost]


def _loop(step_us: float, run_s: float, sample_weight_ps: float = 150.0, compile_s: float = 0.0) -> LoopCost:
    return LoopCost(step_s=step_us * 1e-6, sample_weight_s=sample_weight_ps * 1e-12, run_s=run_s, compile_s=compile_s)


_COSTS: dict[str, FrameworkCost] = {
    "reference": FrameworkCost(import_s=0.2, loops={"eager": _loop(60, 0.1)}),
    "pytorch": FrameworkCost(
        import_s=3.0,
        loops={
            "idiomatic": _loop(400, 0.1),
            "eager": _loop(250, 0.1),
            "compiled": _loop(30, 2.0, compile_s=8.0),
            "fused": _loop(5, 0.2, 110, compile_s=14.0),
        },
    ),
    "keras-tensorflow": FrameworkCost(
        import_s=5.5,
        loops={
            "idiomatic": _loop(1000, 2.0),
            "eager": _loop(650, 0.8),
            "compiled": _loop(250, 0.7),
            "fused": _loop(2, 1.2, 310),
        },
    ),
    "keras-jax": FrameworkCost(
        import_s=2.8,
        loops={
            "idiomatic": _loop(150, 1.0, compile_s=1.0),
            "compiled": _loop(40, 0.6, 150, compile_s=1.0),
            "fused": _loop(1, 0.6, 150, compile_s=1.0),
        },
    ),
    "keras-torch": FrameworkCost(
        import_s=5.8,
        loops={
            "idiomatic": _loop(6500, 2.0),
            "eager": _loop(450, 0.3),
            "compiled": _loop(80, 2.0, compile_s=10.0),
            "fused": _loop(5, 0.3, 110, compile_s=14.0),
        },
    ),
}
_UNKNOWN = _loop(300, 2.0)
_UNKNOWN_IMPORT_S = 5.0
_GATE_STEP_S, _GATE_ROW_S = 2e-4, 3e-6


def estimate_s(plan: Plan, slowness: float | None = None) -> float:
    """Seconds the plan would take.

    Args:
        plan: what would run.
        slowness: this machine's time over that of the machine of the costs; measured unless given.
    """
    factor = calibrate() if slowness is None else slowness
    cells = [plan.by_id[cell_id].cell for round_ in plan.rounds for cell_id in round_]
    if not cells:
        return 0.0
    first_round = [plan.by_id[cell_id].cell for cell_id in plan.rounds[0]]
    once = sum(map(_memory_s, first_round)) + _compiles_s(first_round)
    harness = _REPORT_S + _JOB_S * len(cells)
    # Steady time is measured until there is enough of it, on a slow machine as on a fast one.
    steady = sum(_steady_s(cell, factor) for cell in cells)
    return steady + factor * (harness + once + _imports_s(cells) + sum(map(_run_s, cells)))


class RunCost(NamedTuple):
    """Seconds of a cell's runs: what its first one pays alone, and what every one takes."""

    once_s: float
    each_s: float


def run_cost(cell: Cell, slowness: float = 1.0) -> RunCost:
    """What the runs of one cell are expected to take, without the import that a template pays once for all.

    Args:
        cell: which.
        slowness: this machine's time over that of the machine of the costs.
    """
    spawned = 0.0 if _forks(cell) else _import_s(_name(cell))
    return RunCost(
        once_s=slowness * (_memory_s(cell) + _cost(cell).compile_s),
        each_s=_steady_s(cell, slowness) + slowness * (_run_s(cell) + spawned),
    )


def calibrate(seconds: float = CALIBRATION_S) -> float:
    """How many times slower than the machine of the costs this one trains a step in NumPy."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 20), dtype=np.float32)
    y = rng.integers(0, 2, size=256).astype(np.float32)
    weights = initial_weights(20, 64, np.float32, seed=0, round_=0)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        loss_and_gradients(weights, x, y)
        times.append(time.perf_counter() - start)
    return median(times) / _CALIBRATION_STEP_S


def _cost(cell: Cell) -> LoopCost:
    known = _COSTS.get(_name(cell))
    return known.loops.get(cell.loop, _UNKNOWN) if known else _UNKNOWN


def _name(cell: Cell) -> str:
    return "-".join(part for part in (cell.framework, cell.backend) if part)


def epoch_s(cell: Cell) -> float:
    """Seconds of one epoch on the machine of the costs."""
    cost, weights = _cost(cell), parameter_count(cell.data.features, cell.network.hidden)
    return cell.steps_per_epoch * cost.step_s + cell.data.n_train * weights * cost.sample_weight_s


def keeps_programs(cell: Cell) -> bool:
    """Whether the cell's runs keep what they compiled for the next one."""
    return _cost(cell).compile_s > 0


def _run_s(cell: Cell) -> float:
    return _cost(cell).run_s + cell.budget.epochs * epoch_s(cell) + _gate_s(cell)


def _gate_s(cell: Cell) -> float:
    """The parity gate: the engine's share of an epoch, and the reference's steps and rows."""
    rows = sum(planned_rows(cell.data.n_train, cell.batch_size, cell.protocol.parity_steps))
    steps = -(-rows // cell.batch_size)
    return rows / cell.data.n_train * epoch_s(cell) + steps * _GATE_STEP_S + rows * _GATE_ROW_S


def _steady_s(cell: Cell, factor: float) -> float:
    protocol, epoch = cell.protocol, factor * epoch_s(cell)
    wanted = max(protocol.steady_min_s, protocol.steady_min_epochs * epoch)
    return max(epoch, min(wanted, protocol.steady_max_s))


def _memory_s(cell: Cell) -> float:
    """A process of its own that trains at half the speed for about two epochs."""
    return _cost(cell).run_s + 4 * epoch_s(cell) if cell.protocol.memory else 0.0


def _compiles_s(cells: list[Cell]) -> float:
    """Once per cell; and once per loop in a memory pass, which is then taken again."""
    kept = [cell for cell in cells if _cost(cell).compile_s]
    passes = {(_name(cell), cell.loop): _cost(cell) for cell in kept if cell.protocol.memory}
    return sum(_cost(cell).compile_s for cell in kept) + sum(cost.compile_s + cost.run_s for cost in passes.values())


def _imports_s(cells: list[Cell]) -> float:
    """Once per framework where a template forks, else once per run."""
    forked = {_name(cell) for cell in cells if _forks(cell)}
    spawned = [_name(cell) for cell in cells if not _forks(cell)]
    return sum(_import_s(name) for name in [*forked, *spawned])


def _import_s(name: str) -> float:
    return _COSTS[name].import_s if name in _COSTS else _UNKNOWN_IMPORT_S


def _forks(cell: Cell) -> bool:
    return cell.device == "cpu" and cell.protocol.isolation != "spawn"
