"""The sweeper's core: the grid becomes a plan, and every round of the plan one batch for the configured launcher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, open_dict

from bench.plan.grid import expand_grid
from bench.plan.plan import Plan, make_plan
from bench.records import Status
from bench.store.layout import SweepFolder
from bench.sweep import conduct, show_plan

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

    from hydra_plugins.rounds_sweeper.rounds_sweeper import RoundsSweeper


def sweep(sweeper: RoundsSweeper, arguments: Sequence[str]) -> list[Sequence[JobReturn]]:
    """Plans the grid; prints the plan where only that was asked for, else runs it round by round.

    Raises:
        SystemExit: the sweep's exit code is not 0.
    """
    points = expand_grid(sweeper.hydra_context.config_loader, sweeper.config, sweeper.params, arguments)
    plan = make_plan(points)
    if plan.config.sweep.dry_run:
        show_plan(plan)
        return []
    returns: list[Sequence[JobReturn]] = []

    def launch(folder: SweepFolder, round_: int, cell_ids: Sequence[str]) -> list[Status]:
        batch = [_job_overrides(plan, folder, round_, order, cell_id) for order, cell_id in enumerate(cell_ids)]
        launcher = _launcher(sweeper, folder)
        returns.append(launcher.launch(batch, initial_job_idx=round_ * len(cell_ids)))
        return [Status(job.return_value) for job in returns[-1]]

    if code := conduct(plan, launch, overrides=list(arguments)):
        raise SystemExit(code)
    return returns


def _launcher(sweeper: RoundsSweeper, folder: SweepFolder) -> Launcher:
    """The configured launcher, told to leave its own files inside the sweep's folder."""
    _point_hydra_at(sweeper.config, folder.path)
    return Plugins.instance().instantiate_launcher(
        hydra_context=sweeper.hydra_context, task_function=sweeper.task_function, config=sweeper.config
    )


def _point_hydra_at(config: DictConfig, path: Path) -> None:
    line = f"hydra.sweep.dir={_quoted(str(path))}"
    with open_dict(config):
        config.hydra.sweep.dir = str(path)
        # Jobs are composed anew, from the overrides.
        if line not in config.hydra.overrides.hydra:
            config.hydra.overrides.hydra.append(line)


def _job_overrides(plan: Plan, folder: SweepFolder, round_: int, order: int, cell_id: str) -> list[str]:
    """The overrides of the cell, for the launcher to show, and which run of which sweep the job is."""
    job: dict[str, Any] = {
        "sweep_dir": _quoted(str(folder.path)),
        "cell_id": cell_id,
        "round": round_,
        "order": order,
    }
    return [*plan.by_id[cell_id].overrides, *(f"job.{key}={value}" for key, value in job.items())]


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()
