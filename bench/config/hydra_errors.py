"""Says in this project's words what Hydra refused: the key or option, the rule, and what was probably meant."""

from __future__ import annotations

import re
import traceback

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from bench.config.reader import known_keys, nearest, unknown_key
from bench.errors import UsageError

# What Hydra raises in passing over values of a type it did not think of.
_CARELESS = (ValueError, TypeError, AttributeError, KeyError, AssertionError)
_NO_SUCH_KEY = re.compile(r"Could not override '([^']+)'")
_SEVERAL_VALUES = re.compile(r"Ambiguous value for argument '([^=]+)=(.*?)' 1\.")


def is_refusal(error: Exception) -> bool:
    """Whether Hydra or OmegaConf refused the user's settings: any other exception is a bug of ours."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return True
    return isinstance(error, _CARELESS) and _raised_by(error).startswith(("hydra.", "omegaconf."))


def usage_error(refusal: Exception) -> UsageError:
    """The refusal as a usage error: without a traceback, with the nearest right key or option where there is one."""
    if isinstance(refusal, MissingConfigException):
        return _missing_option(refusal)
    if isinstance(refusal, OverrideParseException):
        return UsageError(f"{refusal.override}: cannot be read", _first_line(refusal), "settings are written key=value")
    first, *rest = _texts(refusal)
    if found := _SEVERAL_VALUES.search(first):
        return _several_values(*found.groups())
    if found := _NO_SUCH_KEY.search(first):
        return _no_such_key(found[1])
    return UsageError(first, *(line for line in rest[:1] if line not in first))


def _several_values(key: str, values: str) -> UsageError:
    rule = f"one cell has one {key}; several values make a sweep"
    return UsageError(f"{key}={values}: several values", rule, f"bench sweep {key}={values}")


def _no_such_key(text: str) -> UsageError:
    key, _, package = text.partition("@")
    if package or key not in known_keys():
        return unknown_key(text)
    group = key.partition(".")[0]
    return UsageError(f"{key}: the chosen {group} has no such setting", f"choose another {group}, which has it")


def _missing_option(refusal: MissingConfigException) -> UsageError:
    group, _, option = (refusal.missing_cfg_file or "").rpartition("/")
    if not (group and refusal.options):
        return UsageError(_first_line(refusal))
    meant = nearest(option, refusal.options)
    return UsageError(
        f"{group}={option}: there is no such choice",
        f"{group} must be one of {', '.join(refusal.options)}",
        f"did you mean {group}={meant}?" if meant else "",
    )


def _texts(refusal: BaseException) -> list[str]:
    """The messages of the refusal and of what caused it, outermost first."""
    texts: list[str] = []
    error: BaseException | None = refusal
    while error is not None:
        if line := " ".join(str(error).split()):
            texts.append(line)
        error = error.__cause__ or error.__context__
    return texts or [type(refusal).__name__]


def _raised_by(error: Exception) -> str:
    """The module that raised it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""


def _first_line(refusal: Exception) -> str:
    return next((line.strip() for line in str(refusal).splitlines() if line.strip()), type(refusal).__name__)
