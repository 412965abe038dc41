"""The sweeper's core: the grid becomes a plan, and every round of the plan one batch for the configured launcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from bench.plan.grid import expand_grid
from bench.plan.plan import make_plan
from bench.records import Status
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from bench.sweep import Launch, Resumption, conduct, resume, show_plan


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
    rounds = _Rounds(context, task_function, config)
    if code := _run(context.config_loader, config, params, arguments, rounds.launch):
        raise SystemExit(code)


def _run(
    loader: ConfigLoader, config: DictConfig, params: Mapping[str, str], arguments: Sequence[str], launch: Launch
) -> int:
    """Plans, or goes on with what was planned before."""
    settings, grid = _parted(arguments)
    resumption = _resumption(loader, config, params, settings, grid)
    if resumption is not None:
        return resume(resumption, launch, overrides=list(arguments))
    plan = make_plan(expand_grid(loader, config, params, arguments), with_controls=True)
    if plan.config.sweep.dry_run:
        show_plan(plan)
        return 0
    return conduct(plan, launch, overrides=list(arguments))


def _resumption(
    loader: ConfigLoader, config: DictConfig, params: Mapping[str, str], settings: Sequence[str], grid: Sequence[str]
) -> Resumption | None:
    """The sweep to go on with; settings of the grid that are given as well come on top of those it was begun with."""
    asked = expand_grid(loader, config, {}, settings)[0].sweep
    if asked.resume is None:
        return None
    folder = SweepFolder(Path(asked.resume).resolve())
    begun = _parted(read_sweep(folder).overrides)
    if not any(line.startswith("sweep.budget_s=") for line in settings):
        asked = expand_grid(loader, config, {}, [*begun[0], *settings])[0].sweep
    plan = make_plan(expand_grid(loader, config, params, [*begun[1], *grid]), with_controls=True) if grid else None
    return Resumption(folder, asked.retry, plan, asked.budget_s)


def _parted(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings of the sweep itself, and those of what it runs."""
    of_sweep = [line for line in arguments if line.startswith("sweep.")]
    return of_sweep, [line for line in arguments if line not in of_sweep]


class _Rounds:
    """Hands one round after the other to the launcher, and keeps nothing of it: a sweep may have thousands of jobs."""

    def __init__(self, context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._launched = 0
        self._context = context
        self._task_function = task_function
        self._config = config
        self._launcher: Launcher | None = None

    def launch(self, folder: SweepFolder, round_: int, places: Mapping[int, str]) -> list[Status]:
        """Runs one round, or what is left of it; returns how each of its cells ended."""
        batch = [_job_overrides(folder, round_, order, cell_id) for order, cell_id in places.items()]
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
