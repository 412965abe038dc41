"""The environment Keras is imported in."""

import os
from pathlib import Path

import pytest

from bench.engines.keras.variables import variables

BACKENDS = ("tensorflow", "jax", "torch")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_value_is_text_and_the_backend_is_named(backend: str) -> None:
    found = variables(backend, 3)
    assert all(isinstance(value, str) for value in found.values())
    assert found["KERAS_BACKEND"] == backend


def test_keras_can_neither_find_nor_write_a_configuration() -> None:
    home = Path(variables("tensorflow", 1)["KERAS_HOME"])
    assert not home.exists()
    with pytest.raises(OSError, match="Not a directory"):
        os.makedirs(home)


def test_threads_reach_tensorflow_and_jax() -> None:
    found = variables("jax", 3)
    assert found["NPROC"] == found["TF_NUM_INTRAOP_THREADS"] == found["TF_NUM_INTEROP_THREADS"] == "3"


@pytest.mark.parametrize(
    ("backend", "device", "platforms"),
    [("jax", "cpu", "cpu"), ("jax", "tpu", "tpu"), ("jax", "gpu", ""), ("tensorflow", "gpu", "cpu")],
)
def test_jax_sees_an_accelerator_only_where_it_computes(backend: str, device: str, platforms: str) -> None:
    assert variables(backend, 1, device)["JAX_PLATFORMS"] == platforms


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gpu_is_hidden_from_runs_on_the_processor_alone(backend: str) -> None:
    assert variables(backend, 1, "cpu")["CUDA_VISIBLE_DEVICES"] == "-1"
    assert "CUDA_VISIBLE_DEVICES" not in variables(backend, 1, "gpu")
    assert "KERAS_TORCH_DEVICE" not in variables(backend, 1, "gpu")
