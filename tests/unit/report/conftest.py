"""Small synthetic sweeps, built once and read by many tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analysis.tables import build_tables
from bench.analysis.verdict import verdict
from bench.report.build import build_report
from bench.report.view import View, view_of
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from tests.synthetic import make_sweep


def look_at(folder: SweepFolder) -> View:
    """The view of a sweep, without writing anything."""
    sweep, tables = read_sweep(folder), build_tables(folder)
    return view_of(folder, sweep, tables, verdict(tables, sweep))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A sweep with everything in it: unavailable cells, failed runs, missed targets; its report built."""
    made = make_sweep(Path(tmp_path_factory.mktemp("report")) / "small", batch_sizes=(1, 8, 32, "full"))
    build_report(made)
    return made


@pytest.fixture(scope="session")
def view(folder: SweepFolder) -> View:
    """The same, as its reader sees it."""
    return look_at(folder)
