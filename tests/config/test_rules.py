"""Every value that breaks a rule is refused with the key and the rule; no value passes that could not be run."""

import math
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import Config, known_keys, nearest_key, read_config
from bench.config.schema import LOOPS, MAX_ROWS
from bench.errors import UsageError

# What a YAML file or a command line can hold.
ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    st.sampled_from(["full", "nan", "1", "-5", "../x", "pytorch", "", " "]),
)
VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
LEAVES = [key for key in known_keys() if not any(other.startswith(f"{key}.") for other in known_keys())]


def nested(key: str, value: Any) -> dict[str, Any]:
    group, _, leaf = key.rpartition(".")
    return {group: {leaf: value}} if group else {leaf: value}


def read_or_refusal(plain: dict[str, Any]) -> Config | UsageError:
    try:
        return read_config(plain)
    except UsageError as refusal:
        return refusal


def read_back(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


@given(key=st.sampled_from(LEAVES), value=VALUES)
def test_any_value_is_either_taken_as_it_is_or_refused_by_name(key: str, value: Any) -> None:
    config = read_or_refusal(nested(key, value))
    if isinstance(config, UsageError):
        assert config.exit_code == 2
        assert key.partition(".")[0] in str(config)
        assert config.rule
    else:
        taken = read_back(config, key)
        assert taken == (tuple(value) if isinstance(value, list) else value)
        assert not (isinstance(taken, float) and not math.isfinite(taken))


@given(VALUES)
def test_a_batch_size_is_a_whole_number_from_one_or_full(value: Any) -> None:
    right = value == "full" or (type(value) is int and 1 <= value <= MAX_ROWS)
    if right:
        assert read_config({"batch_size": value}).batch_size == value
    else:
        with pytest.raises(UsageError, match=r"batch_size must be a whole number from 1 to 10,000,000, or 'full'"):
            read_config({"batch_size": value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 0), ("batch_size", -5), ("batch_size", 1.5), ("batch_size", math.nan), ("batch_size", True),
        ("batch_size", "32"), ("batch_size", 2.0), ("batch_size", 10**30), ("batch_size", "٣٢"),
        ("seed", -1), ("seed", 2**32), ("data.n", 0), ("data.n", 10_000_001),
        ("data.noise", 1.1), ("data.validation", 1), ("network.hidden", 0), ("network.dtype", "float16"),
        ("optimizer.lr", 0), ("optimizer.lr", math.inf), ("optimizer.lr", math.nan), ("optimizer.lr", "fast"),
        ("optimizer.lr", 10**400), ("optimizer.lr", 1e300), ("optimizer.lr", True), ("protocol.timeout_s", 1e9),
        ("optimizer.lr", -0.0), ("data.path", "x" * 5000), ("budget.epochs", 2.0), ("data.validation", -1e-9),
        ("optimizer.beta1", 1.0), ("budget.epochs", 0), ("budget.target_fraction", 0),
        ("protocol.rounds", 0), ("protocol.threads", 0), ("protocol.timeout_s", -1), ("protocol.isolation", "thread"),
        ("protocol.precision", 0), ("protocol.precision", 1), ("protocol.precision", "2 %"),
        ("protocol.precision_of", "runs"), ("protocol.max_rounds", 0), ("protocol.budget_s", 0),
        ("protocol.memory", "yes"), ("sweep.require", "gpu"), ("sweep.require", [1]), ("framework.name", "torch"),
        ("device.name", "cuda"), ("framework.python", ""), ("data.path", "a\nb"),
    ],
)  # fmt: skip
def test_values_that_must_be_refused(key: str, value: Any) -> None:
    with pytest.raises(UsageError) as refusal:
        read_config(nested(key, value))
    assert refusal.value.thing.startswith(f"{key}=")
    assert refusal.value.rule.startswith(f"{key} must be ")


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "a/b",
        "a\\b",
        "../up",
        "/abs",
        "a\x00b",
        "a\nb",
        "a\x1b[2Jb",
        "x" * 81,
        "",
        "latest",
        ".hidden",
        "-rf",
        "é",
        "a ",
        "a b",
        "=HYPERLINK('http://evil.example')",
        "</script>",
        "$\\frac{1}{2}$",
        "a;rm -rf ~",
        "\u202eresults",
        "-m",
        "Latest",
        "٣٢",
    ],
)
def test_a_sweep_cannot_be_named_out_of_its_folder(name: str) -> None:
    with pytest.raises(UsageError, match=r"sweep\.name must be"):
        read_config({"sweep": {"name": name}})


@given(st.text(st.sampled_from("aZ0._-/ \\\n=<é\u202e"), min_size=1, max_size=81) | st.just("latest") | st.text())
def test_a_name_that_is_taken_is_one_path_component(name: str) -> None:
    try:
        read_config({"sweep": {"name": name}})
    except UsageError:
        return
    assert set(name) <= set(string.ascii_letters + string.digits + "._-")
    assert name not in ("..", ".", "latest")
    assert len(name.encode()) <= 80


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("batchsize", "batch_size"), ("batch_sise", "batch_size"), ("epochs", "budget.epochs"), ("lr", "optimizer.lr"),
        ("learning_rate", "optimizer.lr"), ("optimizer.learning_rate", "optimizer.lr"), ("optimzer.lr", "optimizer.lr"),
        ("protocol.round", "protocol.rounds"), ("framwork", "framework"), ("xyzzyxyzzy", None),
    ],
)  # fmt: skip
def test_the_nearest_right_key(wrong: str, right: str | None) -> None:
    assert nearest_key(wrong) == right


def test_an_unknown_key_is_refused_at_any_depth() -> None:
    for plain, key in (({"foo": 1}, "foo"), ({"data": {"m": 3}}, "data.m")):
        with pytest.raises(UsageError, match=f"{key}: there is no such setting"):
            read_config(plain)


def test_a_wrong_word_names_the_word_that_was_meant() -> None:
    with pytest.raises(UsageError, match=r"did you mean loop\.name=idiomatic\?"):
        read_config({"loop": {"name": "idiomatc"}})
    assert "idiomatic" in LOOPS


@pytest.mark.parametrize(
    ("plain", "named"),
    [
        ({"framework": {"name": "pytorch", "backend": "jax"}}, "framework.backend"),
        ({"framework": {"name": "keras"}}, "framework.backend"),
        ({"data": {"name": "file", "target": "y"}}, "data.path"),
        ({"data": {"name": "file", "path": "a.csv"}}, "data.target"),
        ({"protocol": {"steady_min_s": 2.0, "steady_max_s": 1.0}}, "protocol.steady_max_s"),
        ({"data": 3}, "data"),
        ({"protocol": {"max_rounds": 30}}, "protocol.max_rounds"),
        ({"protocol": {"budget_s": 60}}, "protocol.budget_s"),
        ({"protocol": {"rounds": 10, "precision": 0.02}}, "protocol.precision"),
        ({"protocol": {"rounds": 9, "precision": 0.02, "max_rounds": 30}}, "protocol.rounds"),
        ({"protocol": {"rounds": 31, "precision": 0.02, "max_rounds": 30}}, "protocol.max_rounds"),
    ],
)
def test_settings_that_do_not_go_together(plain: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as refusal:
        read_config(plain)
    assert refusal.value.thing.startswith(named)
