"""Which engines the suite runs on: every loop of every framework, one Keras backend per process."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import pytest

from bench.cell import Cell
from bench.engines import catalogue
from bench.engines.base import Engine
from tests.contract.bars import Training, is_in_sample
from tests.contract.case import Kind, ready, start_weights

# Keras settles its backend at import; ``test_other_backends`` runs the suite again, in processes of its own.
KERAS_BACKEND_VARIABLE = "BENCH_CONTRACT_KERAS_BACKEND"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives every test that asks for a ``kind`` all of them."""
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", [_param(kind) for kind in _kinds_here()], scope="module")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the trainings of the grid that always run, and the others as slow: engine and training decide together."""
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        kind, training, dtype = (params.get(name) for name in ("kind", "training", "dtype"))
        if isinstance(kind, Kind) and isinstance(training, Training) and isinstance(dtype, str):
            item.add_marker("sampled" if is_in_sample(kind, training, dtype) else "slow")


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
    name = "-".join(part for part in (kind.framework, kind.backend) if part)
    missing = [name for name in catalogue.required_modules(kind.framework, kind.backend) if not _installed(name)]
    marks = [pytest.mark.xdist_group(_group(kind))]
    if missing:
        marks.append(pytest.mark.skip(reason=f"{', '.join(missing)} not installed"))
    return pytest.param(kind, id=f"{name}-{kind.loop}", marks=marks)


def _group(kind: Kind) -> str:
    """The tests that one worker runs: a framework's, so that it is imported once; what compiles for long is apart."""
    return f"{kind.framework}-{kind.loop}" if kind.framework == "pytorch" and kind.compiles else kind.framework


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
