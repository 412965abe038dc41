"""Turns a composed config, as plain values, into the validated dataclasses, or says which key breaks which rule."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from bench.config.rules import Rule
from bench.config.schema import FIRST_LOOK, Config, ProtocolConfig
from bench.errors import UsageError

T = TypeVar("T")

# What people type for a key whose real name does not resemble it.
_ALSO_CALLED = {
    "learning_rate": "optimizer.lr",
    "backend": "framework.backend",
    "samples": "data.n",
    "rows": "data.n",
    "units": "network.hidden",
    "repeats": "protocol.rounds",
    "repetitions": "protocol.rounds",
    "time_budget": "protocol.budget_s",
    "output": "sweep.dir",
}
# With these Hydra would call what a config names.
_CALLS = ("_target_", "_partial_", "_args_", "_recursive_", "_convert_")


def read_config(plain: Mapping[str, Any]) -> Config:
    """The validated config.

    Raises:
        UsageError: a key is unknown, or a value breaks its rule; the message names key, rule and nearest right key.
    """
    config = _read(Config, plain, "")
    _check_together(config)
    return config


def known_keys() -> list[str]:
    """Every key a user may set, dotted, groups included."""
    return [key for key in _walk(Config, "") if key.partition(".")[0] != "job"]


def nearest_key(wrong: str) -> str | None:
    """The key that was probably meant."""
    leaf = wrong.rpartition(".")[2]
    if leaf in _ALSO_CALLED:
        return _ALSO_CALLED[leaf]
    keys = known_keys()
    same_leaf = [key for key in keys if key.rpartition(".")[2] == leaf]
    return same_leaf[0] if same_leaf else nearest(wrong, keys)


def nearest(wrong: str, right: Iterable[str]) -> str | None:
    """The word of ``right`` that resembles ``wrong`` most, if one does."""
    return next(iter(difflib.get_close_matches(wrong, list(right), n=1, cutoff=0.6)), None)


def unknown_key(key: str) -> UsageError:
    """The refusal of a key that does not exist."""
    if key.rpartition(".")[2] in _CALLS:
        return UsageError(f"{key}: not allowed", "nothing that a setting names is ever run", "leave it out")
    meant = nearest_key(key)
    hint = f"did you mean {meant}?" if meant else "`python -m bench.app --cfg job` prints all keys"
    return UsageError(f"{key}: there is no such setting", "only the keys of conf/ can be set", hint)


def _read(kind: type[T], plain: Mapping[str, Any], prefix: str) -> T:
    known = _fields(kind)
    for name in plain:
        if name not in known:
            raise unknown_key(f"{prefix}{name}")
    return kind(**{name: _read_field(known[name], value, f"{prefix}{name}") for name, value in plain.items()})


def _read_field(field: _Field, value: Any, key: str) -> Any:
    if field.rule is not None:
        return _checked(field.rule, value, key)
    if not isinstance(value, Mapping):
        raise UsageError(
            f"{key}={value}: this is a group of settings", f"its keys are {', '.join(_fields(field.kind))}"
        )
    return _read(field.kind, value, f"{key}.")


def _checked(rule: Rule, value: Any, key: str) -> Any:
    if rule.holds(value):
        return rule.convert(value)
    meant = nearest(value, rule.options) if isinstance(value, str) else None
    hint = f"did you mean {key}={meant}?" if meant else ""
    raise UsageError(f"{key}={value}: not allowed", f"{key} must be {rule.words}", hint)


@dataclasses.dataclass(frozen=True)
class _Field:
    kind: type[Any]
    rule: Rule | None


# Resolving annotations takes as long as composing; a grid is read thousands of times.
_FIELDS: dict[type[Any], dict[str, _Field]] = {}


def _fields(kind: type[Any]) -> dict[str, _Field]:
    if kind not in _FIELDS:
        hints, fields = get_type_hints(kind), dataclasses.fields(kind)
        _FIELDS[kind] = {field.name: _Field(hints[field.name], field.metadata.get("rule")) for field in fields}
    return _FIELDS[kind]


def _walk(kind: type[Any], prefix: str) -> Iterator[str]:
    for name, field in _fields(kind).items():
        yield f"{prefix}{name}"
        if field.rule is None:
            yield from _walk(field.kind, f"{prefix}{name}.")


def _check_together(config: Config) -> None:
    framework, data, protocol = config.framework, config.data, config.protocol
    if (framework.name == "keras") != (framework.backend is not None):
        raise UsageError(
            f"framework.backend={framework.backend}: not with framework={framework.name}",
            "keras has a backend, the other frameworks have none",
            "to compare them in one sweep: framework=pytorch,keras,keras_jax",
        )
    if data.name == "file" and data.path is None:
        raise UsageError(
            "data.path: missing", "data=file needs the file", "data=file data.path=mine.csv data.target=label"
        )
    if data.name == "file" and data.target is None:
        raise UsageError(
            "data.target: missing", "data=file needs the name of the label column", "for example data.target=label"
        )
    if protocol.steady_max_s < protocol.steady_min_s:
        raise UsageError(
            f"protocol.steady_max_s={protocol.steady_max_s:g}: not allowed",
            f"protocol.steady_max_s must be at least protocol.steady_min_s ({protocol.steady_min_s:g})",
        )
    _check_stopping(protocol)


def _check_stopping(protocol: ProtocolConfig) -> None:
    """Rounds are added for a precision and end by a bound; where none are added, a bound would be ignored silently."""
    bounds = {"max_rounds": protocol.max_rounds, "budget_s": protocol.budget_s}
    if protocol.precision is None:
        for name, bound in bounds.items():
            if bound is not None:
                raise UsageError(
                    f"protocol.{name}={bound:g}: not without protocol.precision",
                    "it bounds the rounds that are added until a precision is reached",
                    f"protocol=rigorous adds rounds; for protocol.rounds rounds and no more: protocol.{name}=null",
                )
        return
    if protocol.rounds < FIRST_LOOK:
        raise UsageError(
            f"protocol.rounds={protocol.rounds}: too few with protocol.precision={protocol.precision:g}",
            f"at least {FIRST_LOOK} where precision ends the rounds: stopped sooner, intervals are too narrow",
        )
    if all(bound is None for bound in bounds.values()):
        raise UsageError(
            f"protocol.precision={protocol.precision:g}: without an end",
            "a noisy cell may never be so precise",
            "set protocol.max_rounds or protocol.budget_s, or both",
        )
    if protocol.max_rounds is not None and protocol.max_rounds < protocol.rounds:
        raise UsageError(
            f"protocol.max_rounds={protocol.max_rounds}: not allowed",
            f"protocol.max_rounds must be at least protocol.rounds ({protocol.rounds})",
        )
