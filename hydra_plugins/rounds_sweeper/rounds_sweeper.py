"""Hydra's side of a sweep: a thin face, since Hydra imports every plug-in on every start; the core comes when called.

Hydra runs this file before it is a module of ``sys.modules``, where dataclasses cannot resolve postponed annotations.
"""

from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class RoundsSweeperConf:
    """``params`` is the default grid, key to comma-separated values; the command line replaces its lines one by one."""

    _target_: str = "hydra_plugins.rounds_sweeper.rounds_sweeper.RoundsSweeper"
    params: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store(group="hydra/sweeper", name="rounds", node=RoundsSweeperConf, provider="rounds_sweeper")


class RoundsSweeper(Sweeper):
    """Expands the grid, merges duplicates, and launches one batch of jobs per round, each in an order of its own."""

    def __init__(self, params: dict[str, str] | None = None) -> None:
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keeps what Hydra hands over."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> None:
        """Plans and runs the sweep.

        Raises:
            SystemExit: the sweep's exit code is not 0.
        """
        # The underscore keeps it out of Hydra's search for plug-ins.
        from hydra_plugins.rounds_sweeper import _core

        if self.hydra_context is None or self.config is None:
            raise RuntimeError("Hydra calls setup() before sweep()")
        _core.sweep(self.hydra_context, self.task_function, self.config, self.params, arguments)
