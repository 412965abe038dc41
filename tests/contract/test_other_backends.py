"""Keras settles its backend when it is imported: the suite runs again for each further one, in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.engines import catalogue
from tests.contract.conftest import KERAS_BACKEND_VARIABLE

FURTHER = [backend for backend in catalogue.BACKENDS["keras"][1:] if backend]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", FURTHER)
def test_the_contract_holds_on(backend: str) -> None:
    _assert_passes(backend, "test_engines.py", "test_bars.py")


@pytest.mark.slow
@pytest.mark.grid
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("backend", FURTHER)
def test_the_whole_grid_holds_on(backend: str) -> None:
    _assert_passes(backend, "test_bars.py", "-m", "grid")


def _assert_passes(backend: str, *arguments: str) -> None:
    """Runs pytest in this folder, with Keras on ``backend``."""
    missing = [name for name in catalogue.required_modules("keras", backend) if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    here = Path(__file__).parent
    suites = [str(here / argument) if argument.endswith(".py") else argument for argument in arguments]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = ours | catalogue.environment_variables("keras", backend, 1) | {KERAS_BACKEND_VARIABLE: backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
