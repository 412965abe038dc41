"""The sweeper's core: the grid becomes a plan, and every round of the plan one batch for the configured launcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from bench.plan.grid import expand_grid
from bench.plan.plan import make_plan
from bench.records import Status
from bench.store.layout import SweepFolder
from bench.sweep import conduct, show_plan


def sweep(
    context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    params: Mapping[str, str],
    arguments: Sequence[str],
) -> None:
    """Plans the grid; prints the plan where only that was asked for, else runs it round by round.

    Raises:
        SystemExit: the sweep's exit code is not 0.
    """
    plan = make_plan(expand_grid(context.config_loader, config, params, arguments), with_controls=True)
    if plan.config.sweep.dry_run:
        show_plan(plan)
        return
    rounds = _Rounds(context, task_function, config)
    if code := conduct(plan, rounds.launch, overrides=list(arguments)):
        raise SystemExit(code)


class _Rounds:
    """Hands one round after the other to the launcher, and keeps nothing of it: a sweep may have thousands of jobs."""

    def __init__(self, context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._launched = 0
        self._context = context
        self._task_function = task_function
        self._config = config
        self._launcher: Launcher | None = None

    def launch(self, folder: SweepFolder, round_: int, cell_ids: Sequence[str]) -> list[Status]:
        """Runs one round; returns how each of its cells ended."""
        batch = [_job_overrides(folder, round_, order, cell_id) for order, cell_id in enumerate(cell_ids)]
        self._launcher = self._launcher or self._make_launcher(folder)
        returned = self._launcher.launch(batch, initial_job_idx=self._launched)
        self._launched += len(batch)
        return [Status(job.return_value) for job in returned]

    def _make_launcher(self, folder: SweepFolder) -> Launcher:
        """The configured launcher, for jobs of this sweep."""
        _prepare_for_jobs(self._config, folder.path)
        return Plugins.instance().instantiate_launcher(
            hydra_context=self._context, task_function=self._task_function, config=self._config
        )


def _prepare_for_jobs(config: DictConfig, path: Path) -> None:
    """Launchers leave their own files in the sweep's folder and compose a config of its own for every job.

    That one is small, because composing all groups again would cost more than a short run.
    """
    own = [line for line in config.hydra.overrides.hydra if not line.startswith(("hydra.sweeper", "hydra/sweeper"))]
    with open_dict(config):
        config.hydra.sweep.dir = str(path)
        config.hydra.job.config_name = "job"
        config.hydra.overrides.hydra = [*own, f"hydra.sweep.dir={_quoted(str(path))}"]


def _job_overrides(folder: SweepFolder, round_: int, order: int, cell_id: str) -> list[str]:
    return [
        f"job.sweep_dir={_quoted(str(folder.path))}",
        f"job.cell_id={cell_id}",
        f"job.round={round_}",
        f"job.order={order}",
    ]


def _quoted(text: str) -> str:
    return QuotedString(text, Quote.single).with_quotes()
