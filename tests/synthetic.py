"""Writes a complete sweep folder without training anything: deterministic, plausible, as large as a test asks for.

What a single run looks like is in ``synthetic_run``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from bench.cell import BudgetSpec, Cell, DataSpec, OptimizerSpec, ProtocolSpec
from bench.plan.controls import controls
from bench.records import NoiseRecord, PlannedCell, RunResult, Status, SweepRecord
from bench.store import journal
from bench.store.layout import SweepFolder
from bench.store.trace import trace_table
from bench.store.writer import write_result, write_sweep
from tests.synthetic_run import CREATED_AT, INITIAL_LOSS, PACES, Pace, synthetic_run

BATCH_SIZES: tuple[int | str, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, "full")
FASTEST = {"pytorch": "eager", "keras": "compiled", "reference": "eager"}
FAILURES = (Status.DIVERGED, Status.TIMEOUT, Status.CRASHED, Status.OOM, Status.ERROR)
TARGET_LOSS = 0.53
QUIET_NOISE = NoiseRecord(
    processors=2, load_before=1.0, steal_share=0.0, others_share=0.02, steal_processors=0.0, others_processors=0.04,
    thermal_throttles=0,
)  # fmt: skip
"""What is seen of a machine that does little else."""
_NO_GPU = "no gpu: {framework} sees none on this machine"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a synthetic sweep consists of; ``loops`` and ``batch_sizes`` take ``fastest`` and ``full``."""

    frameworks: Sequence[str] = ("pytorch", "keras")
    loops: Sequence[str] = ("idiomatic", "fastest")
    batch_sizes: Sequence[int | str] = BATCH_SIZES
    devices: Sequence[str] = ("cpu", "gpu")
    available: Sequence[str] = ("cpu",)
    learning_rates: Sequence[float] = (1e-3,)
    rounds: int = 5
    seed: int = 0
    failures: bool = True
    wrong: Sequence[tuple[str, str, int]] = ()
    parity_steps: int = 50
    unfinished: int = 0
    n_train: int = 1000
    n_val: int = 250
    epochs: int = 10
    data: str = "teacher"
    defaults: str = "pinned"
    target_loss: float | None = TARGET_LOSS
    noise: float = 0.02
    paces: Mapping[tuple[str, str], Pace] = field(default_factory=lambda: PACES)
    controls: bool = False
    slowdown: Callable[[Cell, float], float] | None = None
    machine_noise: Callable[[Cell, float], NoiseRecord] | None = None


def make_sweep(path: Path, **recipe: Any) -> SweepFolder:
    """Writes a sweep folder: ``sweep.json``, journal, and for every run ``result.json`` and ``trace.parquet``.

    Args:
        path: the sweep's folder; made.
        **recipe: the fields of ``Recipe``, such as ``frameworks``, ``loops``, ``batch_sizes``, ``rounds``, ``seed``,
            ``devices`` (those not in ``available`` are unavailable), ``failures`` (one cell diverges in every round;
            timeout, crash, oom and error each strike one run of another cell, as far as there are cells for them),
            ``wrong`` (framework, loop and batch size of cells whose last run fails the parity gate), ``parity_steps``,
            ``unfinished`` (that many runs at the end have no folder yet), ``controls``, and, each of a cell and how
            much of the sweep has passed (0 to 1), ``slowdown`` (times its times) and ``machine_noise`` (its record).

    Returns:
        The folder, equal in content for equal recipes.
    """
    wanted = Recipe(**recipe)
    folder = SweepFolder(path)
    cells = grid(wanted)
    if wanted.controls:
        cells = [*cells, *controls([cell for cell in cells if cell.device == "cpu"])]
    rounds = _shuffled_rounds([cell for cell in cells if cell.device in wanted.available], wanted)
    with disk_not_awaited():
        write_sweep(folder, _sweep_record(folder, wanted, cells, rounds))
        journal.append(folder, "sweep_started", name=folder.name)
        _write_unavailable(folder, wanted, cells)
        _write_runs(folder, wanted, rounds)
        journal.append(folder, "sweep_finished", runs=sum(map(len, rounds)))
    return folder


def grid(wanted: Recipe) -> list[Cell]:
    """The cells of a recipe, merged where two of them are the same, in the order of the recipe."""
    cells = {
        cell.id: cell
        for framework in wanted.frameworks
        for loop in wanted.loops
        for device in wanted.devices
        for lr in wanted.learning_rates
        for batch_size in wanted.batch_sizes
        for cell in [_cell(wanted, framework, loop, device, lr, batch_size)]
    }
    return list(cells.values())


@contextmanager
def disk_not_awaited() -> Iterator[None]:
    """Thousands of synthetic files need no power cut to be survived."""
    with patch("os.fsync"):
        yield


def _cell(wanted: Recipe, framework: str, loop: str, device: str, lr: float, batch_size: int | str) -> Cell:
    generated = wanted.data == "teacher"
    return Cell(
        framework=framework,
        backend="tensorflow" if framework == "keras" else None,
        loop=FASTEST[framework] if loop == "fastest" else loop,
        device=device,
        batch_size=wanted.n_train if batch_size == "full" else min(int(batch_size), wanted.n_train),
        batch_size_label=str(batch_size),
        data=DataSpec(
            name=wanted.data,
            n_train=wanted.n_train,
            n_val=wanted.n_val,
            features=20,
            noise=0.05 if generated else None,
            distribution="normal" if generated else None,
        ),
        optimizer=OptimizerSpec(lr=lr),
        budget=BudgetSpec(epochs=wanted.epochs),
        protocol=ProtocolSpec(parity_steps=wanted.parity_steps),
        defaults=wanted.defaults,
        seed=wanted.seed,
    )


def _shuffled_rounds(cells: list[Cell], wanted: Recipe) -> list[list[Cell]]:
    rng = np.random.default_rng([wanted.seed, 1])
    return [[cells[index] for index in rng.permutation(len(cells))] for _ in range(wanted.rounds)]


def _sweep_record(folder: SweepFolder, wanted: Recipe, cells: list[Cell], rounds: list[list[Cell]]) -> SweepRecord:
    return SweepRecord(
        name=folder.name,
        created_at=CREATED_AT,
        bench_version="0.1.0",
        command=["bench", "sweep"],
        overrides=[f"seed={wanted.seed}"],
        seed=wanted.seed,
        rounds=[[cell.id for cell in round_] for round_ in rounds],
        cells=[
            PlannedCell(
                id=cell.id,
                cell=cell.to_plain(),
                target_loss=wanted.target_loss,
                unavailable_reason=None
                if cell.device in wanted.available
                else _NO_GPU.format(framework=cell.framework),
            )
            for cell in cells
        ],
        config={"seed": wanted.seed, "protocol": {"rounds": wanted.rounds, "threads": 1}},
        targets=[{"data": wanted.data, "initial_loss": INITIAL_LOSS, "target_loss": wanted.target_loss}],
        machine={"processor": "Synthetic CPU", "cores": 2, "memory_bytes": 8 << 30, "system": "Linux"},
        software={"python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0", "keras": "3.15.1", "tensorflow": "2.21.0"},
        git={"commit": "0" * 40, "dirty": False},
    )


def _write_unavailable(folder: SweepFolder, wanted: Recipe, cells: list[Cell]) -> None:
    for cell in cells:
        if cell.device in wanted.available:
            continue
        result = RunResult(
            cell_id=cell.id,
            round=0,
            order_in_round=None,
            status=Status.UNAVAILABLE,
            reason=_NO_GPU.format(framework=cell.framework),
            started_at=CREATED_AT,
            target_loss=wanted.target_loss,
        )
        write_result(folder.run(cell.id, 0), result)


def _write_runs(folder: SweepFolder, wanted: Recipe, rounds: list[list[Cell]]) -> None:
    planted = _planted_failures(wanted, rounds)
    runs = [(round_, order, cell) for round_, cells in enumerate(rounds) for order, cell in enumerate(cells)]
    for place, (round_, order, cell) in enumerate(runs[: len(runs) - wanted.unfinished]):
        passed = place / max(len(runs) - 1, 1)
        status = planted.get((cell.id, round_))
        result, trace = synthetic_run(
            cell,
            round_,
            order,
            planted=status,
            target_loss=wanted.target_loss,
            pace=_slowed(wanted.paces[cell.framework, cell.loop], wanted, cell, passed),
            noise=wanted.noise,
        )
        if wanted.machine_noise is not None:
            result = replace(result, noise=wanted.machine_noise(cell, passed), noise_reason=None)
        write_result(folder.run(cell.id, round_), result, None if trace is None else trace_table(trace))
        journal.append(folder, "run_finished", cell_id=cell.id, round=round_, status=result.status)


def _slowed(pace: Pace, wanted: Recipe, cell: Cell, passed: float) -> Pace:
    factor = 1.0 if wanted.slowdown is None else wanted.slowdown(cell, passed)
    return pace._replace(t0_us=pace.t0_us * factor, us_per_sample=pace.us_per_sample * factor)


def _planted_failures(wanted: Recipe, rounds: list[list[Cell]]) -> dict[tuple[str, int], Status]:
    wrong = {
        (cell.id, len(rounds) - 1): Status.INVALID
        for cell in (rounds[0] if rounds else [])
        if (cell.framework, cell.loop, cell.batch_size) in wanted.wrong
    }
    if not (wanted.failures and rounds):
        return wrong
    ids = sorted(cell.id for cell in rounds[0])
    chosen = ids[:: max(1, len(ids) // len(FAILURES))]
    planted = dict(zip(chosen, FAILURES, strict=False))
    every_round = {
        (cell_id, r): s for cell_id, s in planted.items() if s is Status.DIVERGED for r in range(len(rounds))
    }
    once = {(id_, len(rounds) - 1): s for id_, s in planted.items() if s is not Status.DIVERGED}
    return every_round | once | wrong
