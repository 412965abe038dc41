"""One synthetic sweep with every kind of run, shared by the tests that only read it."""

from __future__ import annotations

import pytest

from bench.analysis.tables import Tables, build_tables
from bench.records import SweepRecord
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from tests.synthetic import make_sweep


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return make_sweep(tmp_path_factory.mktemp("results") / "shared", batch_sizes=(8, 32, 128, "full"), unfinished=2)


@pytest.fixture(scope="session")
def tables(folder: SweepFolder) -> Tables:
    return build_tables(folder)


@pytest.fixture(scope="session")
def sweep(folder: SweepFolder) -> SweepRecord:
    return read_sweep(folder)
