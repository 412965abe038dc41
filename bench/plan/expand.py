"""From grid points to cells: sizes resolved, ``fastest`` made concrete, points that mean the same cell merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bench.cell import (
    BudgetSpec,
    Cell,
    DataSpec,
    LrPolicySpec,
    NetworkSpec,
    OptimizerSpec,
    ProtocolSpec,
)
from bench.config import Config
from bench.config.schema import DataConfig
from bench.engines import catalogue
from bench.plan.datasets import data_spec


@dataclass(frozen=True)
class GridCell:
    """A cell, and the data settings of the first grid point that asked for it."""

    cell: Cell
    data: DataConfig


def expand(points: Iterable[Config]) -> list[GridCell]:
    """One entry per distinct cell, in the order of the points. Where points merge, the label ``full`` stays.

    Raises:
        UsageError: a data file cannot be used.
    """
    cells: dict[str, GridCell] = {}
    for point in points:
        cell = cell_of(point)
        known = cells.setdefault(cell.id, GridCell(cell, point.data))
        if cell.batch_size_label == "full" and known.cell.batch_size_label != "full":
            cells[cell.id] = replace(known, cell=replace(known.cell, batch_size_label="full"))
    return list(cells.values())


def cell_of(config: Config) -> Cell:
    """The cell that a config describes, its data resolved.

    Raises:
        UsageError: a data file cannot be used.
    """
    data = data_spec(config.data, config.seed)
    return Cell(
        framework=config.framework.name,
        backend=config.framework.backend,
        loop=_loop(config),
        device=config.device.name,
        batch_size=_batch_size(config, data),
        batch_size_label=str(config.batch_size),
        data=data,
        network=NetworkSpec(hidden=config.network.hidden, dtype=config.network.dtype),
        optimizer=_optimizer(config),
        lr_policy=LrPolicySpec(name=config.lr_policy.name, base_batch_size=config.lr_policy.base_batch_size),
        budget=_budget(config),
        protocol=_protocol(config),
        defaults=config.defaults.name,
        seed=config.seed,
        python=config.framework.python,
    )


def _loop(config: Config) -> str:
    if config.loop.name == "fastest":
        return str(catalogue.fastest(config.framework.name, config.framework.backend))
    return config.loop.name


def _batch_size(config: Config, data: DataSpec) -> int:
    size = config.batch_size
    return data.n_train if isinstance(size, str) else min(size, data.n_train)


def _optimizer(config: Config) -> OptimizerSpec:
    """What the optimizer has no use for takes its default, so that it cannot make two cells of one."""
    chosen, unused = config.optimizer, OptimizerSpec()
    adam, momentum = chosen.name == "adam", chosen.name == "momentum"
    return OptimizerSpec(
        name=chosen.name,
        lr=chosen.lr,
        momentum=chosen.momentum if momentum else unused.momentum,
        beta1=chosen.beta1 if adam else unused.beta1,
        beta2=chosen.beta2 if adam else unused.beta2,
        epsilon=chosen.epsilon if adam else unused.epsilon,
    )


def _budget(config: Config) -> BudgetSpec:
    budget = config.budget
    return BudgetSpec(
        epochs=budget.epochs,
        target_fraction=budget.target_fraction,
        target_epochs=budget.target_epochs,
        target_batch_size=budget.target_batch_size,
    )


def _protocol(config: Config) -> ProtocolSpec:
    protocol = config.protocol
    return ProtocolSpec(
        threads=protocol.threads,
        isolation=protocol.isolation,
        steady_min_s=protocol.steady_min_s,
        steady_min_epochs=protocol.steady_min_epochs,
        steady_max_s=protocol.steady_max_s,
        timeout_s=protocol.timeout_s,
        stall_s=protocol.stall_s,
        memory=protocol.memory,
        parity_steps=protocol.parity_steps,
    )
