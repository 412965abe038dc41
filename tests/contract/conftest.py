"""Which engines the suite runs on: every loop of every framework, one Keras backend per process."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.engines import catalogue
from bench.engines.base import Engine
from tests.contract.case import Kind, ready, start_weights

# Keras settles its backend at import; ``test_other_backends`` runs the suite again, in processes of its own.
KERAS_BACKEND_VARIABLE = "BENCH_CONTRACT_KERAS_BACKEND"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives every test that asks for a ``kind`` all of them; a framework's tests share one worker."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", [_param(kind) for kind in _kinds_here()], scope="module")


@pytest.fixture(scope="module")
def fresh(kind: Kind) -> Callable[[Cell], Engine]:
    """An engine of a cell as it is before the first window; kept from test to test, because some take long to compile.

    That ``reset`` makes the run begin again is a test of its own.
    """
    engines: dict[Cell, Engine] = {}

    def engine_of(cell: Cell) -> Engine:
        if cell not in engines:
            engines[cell] = ready(cell)
        engine = engines[cell]
        engine.shuffles_natively = cell.data.shuffle and not engine.follows_order
        engine.reset(start_weights(cell.network.dtype))
        engine.synchronize()
        return engine

    return engine_of


def _kinds_here() -> list[Kind]:
    only = os.environ.get(KERAS_BACKEND_VARIABLE)
    return [
        Kind(framework, backend, loop)
        for framework, backends in catalogue.BACKENDS.items()
        for backend in backends
        for loop in catalogue.variant(framework, backend).modules
        if backend == only or (only is None and backend in (None, backends[0]))
    ]


def _param(kind: Kind) -> object:
    group = "-".join(part for part in (kind.framework, kind.backend) if part)
    missing = [name for name in catalogue.required_modules(kind.framework, kind.backend) if not _installed(name)]
    marks = [pytest.mark.xdist_group(group)]
    if missing:
        marks.append(pytest.mark.skip(reason=f"{', '.join(missing)} not installed"))
    return pytest.param(kind, id=f"{group}-{kind.loop}", marks=marks)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
