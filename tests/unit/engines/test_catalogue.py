"""The catalogue knows every framework, imports none, and says in words what cannot be."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys

import pytest

from bench.engines import catalogue
from bench.engines.base import Engine
from bench.errors import UsageError

VARIANTS = [(framework, backend) for framework, backends in catalogue.BACKENDS.items() for backend in backends]

_IMPORTED = """
import json, sys
from bench.engines import catalogue
for framework, backends in catalogue.BACKENDS.items():
    for backend in backends:
        catalogue.environment_variables(framework, backend, 2, "tpu")
print(json.dumps([name for name in ("torch", "tensorflow", "keras", "jax", "pandas", "hydra") if name in sys.modules]))
"""


def test_knowing_them_imports_none() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTED], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(("framework", "backend"), VARIANTS)
def test_an_entry_is_complete(framework: str, backend: str | None) -> None:
    entry = catalogue.variant(framework, backend)
    assert catalogue.fastest(framework, backend) in entry.modules
    assert set(entry.modules) <= set(catalogue.LOOPS)
    assert set(entry.devices) <= set(catalogue.DEVICES)
    assert entry.not_elsewhere or entry.devices == catalogue.DEVICES
    assert catalogue.required_modules(framework, backend)
    assert catalogue.template_modules(framework, backend)
    for module in entry.modules.values():
        assert importlib.util.find_spec(module), module
    assert set(entry.missing) <= set(catalogue.LOOPS) - set(entry.modules), "a loop is missing and there"


@pytest.mark.parametrize(
    ("framework", "loop"), [(f, loop) for f, b in VARIANTS if b is None for loop in catalogue.variant(f, b).modules]
)
def test_an_engine_says_what_it_is(framework: str, loop: str) -> None:
    engine = catalogue.engine_class(framework, None, loop)
    assert issubclass(engine, Engine)
    assert (engine.framework, engine.loop) == (framework, loop)


@pytest.mark.parametrize(
    ("framework", "backend", "loop", "device", "words"),
    [
        ("pytorhc", None, "eager", "cpu", "no framework pytorhc; there are pytorch, keras, reference"),
        ("pytorch", "jax", "eager", "cpu", "pytorch has no backends"),
        ("keras", "theano", "eager", "cpu", "keras has no backend theano; it has tensorflow, jax, torch"),
        ("keras", None, "eager", "cpu", "keras needs a backend; it has tensorflow, jax, torch"),
        ("reference", None, "fused", "cpu", "reference has no loop fused; it has eager"),
        ("keras", "jax", "eager", "cpu", "keras on jax has no loop eager: JAX .*; it has idiomatic, compiled, fused"),
        ("pytorch", None, "eager", "gqu", "no device gqu; there are cpu, gpu, tpu"),
        ("reference", None, "eager", "gpu", "reference cannot run on gpu: NumPy"),
        ("keras", "tensorflow", "idiomatic", "tpu", "keras on tensorflow cannot run on tpu: .*framework.backend=jax"),
    ],
)
def test_what_cannot_be_is_said_in_words(
    framework: str, backend: str | None, loop: str, device: str, words: str
) -> None:
    reason = catalogue.why_not(framework, backend, loop, device)
    assert reason is not None
    assert re.search(words, reason)


@pytest.mark.parametrize("device", ["cpu", "gpu", "tpu"])
def test_pytorch_may_run_anywhere(device: str) -> None:
    assert catalogue.why_not("pytorch", None, "eager", device) is None


def test_an_engine_that_is_not_there_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="reference has no loop fused"):
        catalogue.engine_class("reference", None, "fused")
    with pytest.raises(UsageError, match="no framework caffe"):
        catalogue.fastest("caffe", None)


def test_default_backends_follow_the_device() -> None:
    assert catalogue.default_backend("keras", "cpu") == "tensorflow"
    assert catalogue.default_backend("keras", "tpu") == "jax"
    assert catalogue.default_backend("pytorch", "tpu") is None
    assert catalogue.default_backend("reference", "gpu") is None


@pytest.mark.parametrize(("framework", "backend"), VARIANTS)
def test_threads_are_set_for_every_library(framework: str, backend: str | None) -> None:
    variables = catalogue.environment_variables(framework, backend, 3)
    threads = {name: value for name, value in variables.items() if name.endswith("_NUM_THREADS")}
    assert {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} <= set(threads)
    assert set(threads.values()) == {"3"}
    assert all(isinstance(value, str) for value in variables.values())


def test_device_plug_ins_of_torch_load_for_the_tpu_only() -> None:
    autoload = {
        device: catalogue.environment_variables("pytorch", None, 1, device)["TORCH_DEVICE_BACKEND_AUTOLOAD"]
        for device in catalogue.DEVICES
    }
    assert autoload == {"cpu": "0", "gpu": "0", "tpu": "1"}
