"""Composes configs as the application does, without running anything."""

from collections.abc import Iterator
from contextlib import contextmanager

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from bench.app import CONF
from bench.config import Config
from bench.plan.grid import expand_grid, read_composed


def composed(*overrides: str) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return read_composed(compose("config", overrides=list(overrides)))


def grid(*arguments: str) -> list[Config]:
    """The points of a sweep, the experiment's and the default grid included."""
    with _loader() as loader:
        master = loader.load_configuration("config", list(arguments), RunMode.MULTIRUN)
        return expand_grid(loader, master, master.hydra.sweeper.params, arguments)


@contextmanager
def _loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()
