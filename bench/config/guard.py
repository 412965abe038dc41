"""What a composed config may not ask of Hydra: to run what it names, or to write outside the results folder.

A config travels: a colleague's file comes with ``--config-dir``, a line is pasted from a web page. Hydra imports and
calls whatever ``_target_`` names in its callbacks and log handlers, and makes the folders its own settings name. Only
plug-ins that are installed, chosen as a group (``hydra/launcher=joblib``), may be called here; a sweep writes into
``sweep.dir`` and nowhere else. What a launcher takes (``hydra.launcher.n_jobs=2``) is the plug-in's and is let through.
Interpolations are values, and allowed: ``${oc.env:HOME}`` reads a variable and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from bench.errors import UsageError

_SWEEPER = "hydra_plugins.rounds_sweeper.rounds_sweeper.RoundsSweeper"
_LOG_CLASSES = ("logging.StreamHandler", "logging.Formatter", "colorlog.ColoredFormatter")
_OURS = "everything that a sweep writes lies in sweep.dir"
_LEAVE_OUT = "leave it out; results go where sweep.dir and sweep.name say"


@contextmanager
def guarded(arguments: Sequence[str]) -> Iterator[None]:
    """Every config that Hydra composes in the block is checked before Hydra acts on it.

    Args:
        arguments: the command line, in Hydra's words.

    Raises:
        UsageError: the command line, or later the config, asks for what is not done.
    """
    _refuse_pickled_config(arguments)
    compose = ConfigLoaderImpl.load_configuration

    # Hydra has no hook between composing a config and obeying it.
    def checked(
        self: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        config = compose(self, config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        check(config, run_mode)
        return config

    ConfigLoaderImpl.load_configuration = checked  # type: ignore[method-assign]
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = compose  # type: ignore[method-assign]


def _refuse_pickled_config(arguments: Sequence[str]) -> None:
    if get_args_parser().parse_args(arguments).experimental_rerun is not None:
        raise UsageError(
            "--experimental-rerun: not done here",
            "it loads a pickle, which runs what it holds",
            "run the command of the sweep again: its report has it",
        )


def check(config: DictConfig, run_mode: RunMode) -> None:
    """Refuses a composed config that would have Hydra run or write something.

    Raises:
        UsageError: it would; the message names the setting.
    """
    if "hydra" not in config:
        return
    hydra = config.hydra
    _check_paths(hydra, run_mode)
    _check_verbose(_plain(hydra, "verbose"))
    for key in ("callbacks", "job.env_set"):
        if OmegaConf.select(hydra, key):
            raise UsageError(
                f"hydra.{key}: not allowed", "a config starts no code and sets no variables", "leave it out"
            )
    for key in ("hydra_logging", "job_logging"):
        _check_logging(f"hydra.{key}", _plain(hydra, key))
    _check_plug_in("hydra.launcher", _plain(hydra, "launcher"), _installed_launchers())
    if run_mode is RunMode.MULTIRUN:
        _check_plug_in("hydra.sweeper", _plain(hydra, "sweeper"), (_SWEEPER,))


def _check_paths(hydra: DictConfig, run_mode: RunMode) -> None:
    """The jobs of a sweep have our own ``hydra.sweep.dir``, composed as runs."""
    folders = ("sweep.dir", "sweep.subdir") if run_mode is RunMode.MULTIRUN else ("run.dir",)
    for key in folders:
        if _plain(hydra, key) != ".":
            raise UsageError(f"hydra.{key}={_plain(hydra, key)}: not allowed", _OURS, _LEAVE_OUT)
    for key in ("output_subdir", "job.chdir"):
        if _plain(hydra, key) not in (None, False):
            raise UsageError(f"hydra.{key}={_plain(hydra, key)}: not allowed", _OURS, _LEAVE_OUT)


def _check_verbose(value: Any) -> None:
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, bool | str) for name in names):
        raise UsageError(f"hydra.verbose={value}: not allowed", "it is true, false, or the names of loggers")


def _check_logging(key: str, plain: Any) -> None:
    """Log handlers are made by name, from any arguments; those that print are allowed."""
    for name, value in _leaves(plain, key):
        leaf = name.rpartition(".")[2]
        allowed = leaf == "class" and value in _LOG_CLASSES
        if leaf in ("class", "()", "_target_", "filename", "ext") and not allowed:
            raise UsageError(
                f"{name}={value}: not allowed",
                "logs go to the terminal: a config makes no files and calls nothing",
                f"{_as_group(key)}=stdout prints them",
            )


def _check_plug_in(key: str, plain: Any, allowed: Sequence[str]) -> None:
    if not isinstance(plain, Mapping):
        raise UsageError(f"{key}={plain}: not allowed", "it is a plug-in and its settings", f"{_as_group(key)}=NAME")
    for name, value in _leaves(plain, key):
        if name.rpartition(".")[2] == "_target_" and not (name == f"{key}._target_" and value in allowed):
            raise UsageError(
                f"{name}={value}: not allowed",
                "nothing that a config names is run, other than an installed launcher",
                "choose it as a group, such as hydra/launcher=joblib",
            )


def _as_group(key: str) -> str:
    return key.replace(".", "/")


def _installed_launchers() -> list[str]:
    return [f"{found.__module__}.{found.__name__}" for found in Plugins.instance().discover(Launcher)]


def _plain(hydra: DictConfig, key: str) -> Any:
    """The value as it is written: an interpolation has no say in what is safe."""
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(hydra, parent) if parent else hydra
    if node is None or leaf not in node:
        return None
    value: Any = node._get_node(leaf)
    return OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value._value()


def _leaves(plain: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(plain, Mapping):
        for name, value in plain.items():
            yield from _leaves(value, f"{prefix}.{name}")
    elif isinstance(plain, list):
        for place, value in enumerate(plain):
            yield from _leaves(value, f"{prefix}.{place}")
    else:
        yield prefix, plain
