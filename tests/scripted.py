"""A launcher that trains nothing: every run is synthetic, as noisy as its cell is told to be, and takes no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.config import read_config
from bench.plan.plan import Plan, make_plan
from bench.records import PlannedCell, Status, SweepRecord
from bench.store import journal
from bench.store.layout import SweepFolder
from bench.store.trace import trace_table
from bench.store.writer import write_result, write_sweep
from bench.sweep.rounds import Rounds
from tests.synthetic import disk_not_awaited
from tests.synthetic_run import CREATED_AT, PACES, synthetic_run

NARROW, WIDE = 0.002, 0.15
"""Noise that ten rounds bring within 2 %, and noise that a few more do not."""

Noise = Callable[[Cell], float]


def plan_of(
    *sizes: int, frameworks: Sequence[str] = ("pytorch", "keras"), loops: Sequence[str] = ("compiled",), **protocol: Any
) -> Plan:
    """A plan of the two frameworks' compiled loops, as rigorous as ``conf/`` has it but for fewer rounds at most."""
    rigorous = {"rounds": 10, "precision": 0.02, "max_rounds": 12}
    points = [
        read_config(
            {
                "framework": {"name": name, "backend": "tensorflow" if name == "keras" else None},
                "loop": {"name": loop},
                "batch_size": size,
                "data": {"n": 64},
                "budget": {"epochs": 2},
                "protocol": rigorous | protocol,
            }
        )
        for name in frameworks
        for loop in loops
        for size in sizes
    ]
    return make_plan(points, why_not=lambda _: None)


@dataclass
class Scripted:
    """A sweep whose runs are written instead of run.

    Attributes:
        plan: what is run.
        folder: where.
        noise: how noisy a cell is.
        failing: cells whose every run ends so.
        seconds: what a run takes, on a clock that nothing else moves.
        launched: the cells of every round, in their order.
    """

    plan: Plan
    folder: SweepFolder
    noise: Noise = lambda _: NARROW
    failing: dict[str, Status] = field(default_factory=dict)
    seconds: Callable[[str], float] = lambda _: 1.0
    launched: list[list[str]] = field(default_factory=list)
    now_s: float = 0.0

    def rounds(self) -> Rounds:
        """The rounds, to be asked for one by one; ``sweep.json`` is there."""
        record = record_of(self.plan, self.folder)
        with disk_not_awaited():
            write_sweep(self.folder, record)
            journal.append(self.folder, "sweep_started")
        return Rounds(self.plan, self.folder, record.cells, clock=lambda: self.now_s)

    def run(self, *, most: int | None = None) -> Rounds:
        """All rounds, or the first few of them: then the sweep is as if it had been killed."""
        rounds = self.rounds()
        with disk_not_awaited():
            for round_, cell_ids in rounds:
                if round_ == most:
                    return rounds
                self.launch(self.folder, round_, dict(enumerate(cell_ids)))
            journal.append(self.folder, journal.SWEEP_FINISHED, stopped=rounds.stopped)
        return rounds

    def launch(self, folder: SweepFolder, round_: int, places: Mapping[int, str]) -> list[Status]:
        """One round, or some of it."""
        self.launched.append(list(places.values()))
        return [self._write(folder, cell_id, round_, order) for order, cell_id in places.items()]

    def _write(self, folder: SweepFolder, cell_id: str, round_: int, order: int) -> Status:
        cell = self.plan.by_id[cell_id].cell
        result, trace = synthetic_run(
            cell,
            round_,
            order,
            planted=self.failing.get(cell_id),
            target_loss=None,
            pace=PACES[cell.framework, cell.loop],
            noise=self.noise(cell),
        )
        took_s = self.seconds(cell_id)
        self.now_s += took_s
        written = None if trace is None else trace_table(trace)
        write_result(folder.run(cell_id, round_), replace(result, wall_s=took_s), written)
        return result.status


def scripted(path: Path, plan: Plan, **script: Any) -> Scripted:
    """A scripted sweep in a folder of its own."""
    path.mkdir(parents=True, exist_ok=True)
    return Scripted(plan, SweepFolder(path), **script)


def record_of(plan: Plan, folder: SweepFolder) -> SweepRecord:
    """What a sweep writes before its first run, without looking at this machine."""
    protocol = plan.config.protocol
    return SweepRecord(
        name=folder.name,
        created_at=CREATED_AT,
        bench_version="0.1.0",
        command=["bench", "sweep", "protocol=rigorous"],
        overrides=["protocol=rigorous"],
        seed=plan.seed,
        rounds=plan.rounds,
        cells=[PlannedCell(id=run.cell.id, cell=run.cell.to_plain()) for run in plan.runs],
        config={
            "protocol": {
                name: getattr(protocol, name)
                for name in ("rounds", "precision", "precision_of", "max_rounds", "budget_s", "threads")
            }
        },
    )
