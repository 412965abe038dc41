"""Keras is imported as a worker imports it: on one backend, with no configuration of the user's."""

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest

from bench.engines import catalogue
from tests.contract.conftest import KERAS_BACKEND_VARIABLE


@pytest.fixture(scope="session", autouse=True)
def _keras_as_in_a_worker() -> Iterator[None]:
    """The first import settles it for this process; here nothing is imported while tests are collected."""
    backend = os.environ.get(KERAS_BACKEND_VARIABLE, "tensorflow")
    if missing := [name for name in catalogue.required_modules("keras", backend) if find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in catalogue.environment_variables("keras", backend, 1).items():
            patch.setenv(name, value)
        import_module("bench.engines.keras.opening")
        yield
