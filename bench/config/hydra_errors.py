"""Says in this project's words what Hydra refused: the key or option, the rule, and what was probably meant."""

from __future__ import annotations

import re

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from bench.config.reader import known_keys, nearest, unknown_key
from bench.errors import UsageError

HYDRA_REFUSALS = (HydraException, OmegaConfBaseException)

_NO_SUCH_KEY = re.compile(r"Could not override '([^']+)'|Key '([^']+)' is not in struct")


def usage_error(refusal: Exception) -> UsageError:
    """The refusal as a usage error: without a traceback, with the nearest right key or option where there is one."""
    if isinstance(refusal, MissingConfigException):
        return _missing_option(refusal)
    if isinstance(refusal, OverrideParseException):
        return UsageError(f"{refusal.override}: cannot be read", _first_line(refusal), "settings are written key=value")
    for text in _texts(refusal):
        if (found := _NO_SUCH_KEY.search(text)) and (key := _without_package(found[1] or found[2])) not in known_keys():
            return unknown_key(key)
    first, *rest = _texts(refusal)
    return UsageError(first, *rest[:1])


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


def _without_package(key: str) -> str:
    return key.partition("@")[0]


def _first_line(refusal: Exception) -> str:
    return next((line.strip() for line in str(refusal).splitlines() if line.strip()), type(refusal).__name__)
