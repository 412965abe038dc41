"""Keras settles its backend when it is imported: what is special to JAX and PyTorch runs in processes of its own."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bench.engines import catalogue
from tests.contract.conftest import KERAS_BACKEND_VARIABLE


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_loops_hold_what_they_promise_on(backend: str) -> None:
    missing = [name for name in catalogue.required_modules("keras", backend) if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    suite = Path(__file__).with_name(f"on_{backend}.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite)]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = ours | catalogue.environment_variables("keras", backend, 1) | {KERAS_BACKEND_VARIABLE: backend}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
