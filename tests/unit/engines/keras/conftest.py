"""Keras is imported as a worker imports it: on TensorFlow, with no configuration of the user's."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest

from bench.engines import catalogue


@pytest.fixture(scope="session", autouse=True)
def _keras_as_in_a_worker() -> Iterator[None]:
    """The first import settles it for this process; here nothing is imported while tests are collected."""
    if find_spec("keras") is None or find_spec("tensorflow") is None:
        pytest.skip("keras and tensorflow are not installed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in catalogue.environment_variables("keras", "tensorflow", 1).items():
            patch.setenv(name, value)
        import_module("bench.engines.keras.opening")
        yield
