"""Keras settles its backend when it is imported: each further one has a process of its own for all of its tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.engines import catalogue
from tests.contract.conftest import KERAS_BACKEND_VARIABLE

HERE = Path(__file__).parent
BARS = HERE / "test_bars.py"
FURTHER = [backend for backend in catalogue.BACKENDS["keras"][1:] if backend]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", FURTHER)
def test_the_contract_and_what_the_loops_promise_beyond_it_hold_on(backend: str) -> None:
    beyond = HERE.parent / "unit" / "engines" / "keras" / f"on_{backend}.py"
    _assert_passes(backend, HERE / "test_engines.py", BARS, beyond)


@pytest.mark.slow
@pytest.mark.grid
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("backend", FURTHER)
def test_the_whole_grid_holds_on(backend: str) -> None:
    _assert_passes(backend, BARS, "-m", "grid")


def _assert_passes(backend: str, *arguments: Path | str) -> None:
    """Runs pytest with Keras on ``backend``."""
    missing = [name for name in catalogue.required_modules("keras", backend) if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, arguments)]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = ours | catalogue.environment_variables("keras", backend, 1) | {KERAS_BACKEND_VARIABLE: backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
