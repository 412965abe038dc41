"""What a sweep writes before its first run: its data and ``sweep.json``, with the target of every workload."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bench
from bench.plan.datasets import planned_split
from bench.plan.machine import git_state, machine, software
from bench.plan.plan import Plan
from bench.records import PlannedCell, SweepRecord
from bench.store import journal
from bench.store.data import data_file, write_split
from bench.store.layout import SweepFolder
from bench.workload.data import load
from bench.workload.target import Target, target_key, target_loss


def sweep_record(plan: Plan, folder: SweepFolder, overrides: Sequence[str]) -> SweepRecord:
    """The record of a sweep that is about to start; its data must be stored already."""
    targets = _targets(plan, folder)
    return SweepRecord(
        name=folder.name,
        created_at=journal.now(),
        bench_version=bench.__version__,
        command=[Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]],
        overrides=list(overrides),
        seed=plan.seed,
        rounds=plan.rounds,
        cells=[
            PlannedCell(
                id=run.cell.id,
                cell=run.cell.to_plain(),
                target_loss=targets[target_key(run.cell)].target_loss if run.unavailable_reason is None else None,
                unavailable_reason=run.unavailable_reason,
            )
            for run in plan.runs
        ],
        config=_plain_config(plan),
        targets=_plain_targets(plan, targets),
        machine=machine(),
        software=software(sorted({run.cell.python for run in plan.runs if run.cell.python})),
        git=git_state(Path(bench.__file__).parent),
    )


def _plain_config(plan: Plan) -> dict[str, Any]:
    config = asdict(plan.config)
    del config["job"]
    return config


def store_data(plan: Plan, folder: SweepFolder) -> None:
    """Stores the arrays of every cell whose data is not generated, once each.

    Raises:
        StorageError: they cannot be written.
    """
    for run in plan.runs:
        path = data_file(folder, run.cell.data)
        if path is not None and not path.exists():
            write_split(path, planned_split(run.cell.data, run.data, run.cell.seed))


def _targets(plan: Plan, folder: SweepFolder) -> dict[Any, Target]:
    """The target of every workload that has a cell to run."""
    targets: dict[Any, Target] = {}
    for run in plan.runs:
        key = target_key(run.cell)
        if run.unavailable_reason is None and key not in targets:
            split = load(run.cell.data, run.cell.seed, data_file(folder, run.cell.data))
            targets[key] = target_loss(run.cell, split)
    return targets


def _plain_targets(plan: Plan, targets: dict[Any, Target]) -> list[dict[str, Any]]:
    """Each target with the ids of the cells that share it."""
    shared = {key: [run.cell.id for run in plan.runs if target_key(run.cell) == key] for key in targets}
    return [target._asdict() | {"cells": shared[key]} for key, target in targets.items()]
