"""Who is first at the target with the first step counted, and what the runs allow to say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.analysis.compare import FASTER, INCONCLUSIVE
from bench.analysis.tables import Tables, build_tables
from bench.analysis.trained_once import TrainedOnce, trained_once
from tests.synthetic import make_sweep
from tests.synthetic_run import PACES, Pace

ANEW = Pace(21.0, 0.19, 13.0, 0.07, compiles=True)
KEPT = ANEW._replace(warm_s=2.0)
KEPT_AND_LOADED_AT_ONCE = ANEW._replace(warm_s=0.001)


def tables_of(path: Path, fused: Pace, **recipe: Any) -> Tables:
    usual: dict[str, Any] = dict(
        frameworks=["pytorch"], loops=["eager", "fused"], batch_sizes=[32], devices=["cpu"], failures=False,
        paces={**PACES, ("pytorch", "fused"): fused},
    )  # fmt: skip
    return build_tables(make_sweep(path / "s", **(usual | recipe)))


def cell_of(tables: Tables, loop: str) -> str:
    return str(tables.cells.loc[tables.cells["loop"] == loop, "cell_id"].iloc[0])


def seen_in(tables: Tables) -> TrainedOnce | None:
    return trained_once(cell_of(tables, "fused"), tables.cells, tables.runs)


@pytest.mark.parametrize(("fused", "rounds_from_nothing"), [(ANEW, 5), (KEPT, 1)])
def test_a_cell_that_starts_at_once_is_sooner_than_one_that_compiles(
    tmp_path: Path, fused: Pace, rounds_from_nothing: int
) -> None:
    tables = tables_of(tmp_path, fused)
    seen = seen_in(tables)
    assert seen is not None
    assert seen.cell_id == cell_of(tables, "eager")
    assert (seen.verdict, seen.n, seen.more_rounds) == (FASTER, rounds_from_nothing, None)
    assert seen.other_seconds is not None
    assert seen.seconds < 1 < 10 < seen.other_seconds  # what it takes to compile, not to load


def test_one_run_that_compiled_proves_nothing(tmp_path: Path) -> None:
    seen = seen_in(tables_of(tmp_path, KEPT_AND_LOADED_AT_ONCE))
    assert seen is not None
    assert (seen.verdict != FASTER, seen.n, seen.more_rounds) == (True, 1, None)


def test_few_rounds_claim_nothing(tmp_path: Path) -> None:
    seen = seen_in(tables_of(tmp_path, ANEW, rounds=2))
    assert seen is not None
    assert (seen.verdict, seen.n) == (INCONCLUSIVE, 2)


def test_a_cell_that_starts_and_trains_soonest_has_no_better_one(tmp_path: Path) -> None:
    assert seen_in(tables_of(tmp_path, Pace(21.0, 0.19, 0.001, 0.07))) is None


def test_without_a_target_there_is_nothing_to_be_first_at(tmp_path: Path) -> None:
    assert seen_in(tables_of(tmp_path, ANEW, target_loss=None)) is None
