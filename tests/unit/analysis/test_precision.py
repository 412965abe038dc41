"""Precision: half an interval over its estimate, whose it is, and which cells another round needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis.precision import COMPARISONS, Precision, Width, cells_to_add, precision_of, precision_reached
from bench.analysis.tables import Tables, build_tables
from bench.records import PlannedCell, Status
from bench.store.reader import read_sweep
from tests.scripted import NARROW, WIDE, plan_of, record_of, scripted


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Two frameworks at batch 8 and 32 (Keras at 8 is noisy), and at 64 Keras alone is measured."""
    plan = plan_of(8, 32, 64, max_rounds=10)
    broken = next(r.cell.id for r in plan.runs if (r.cell.framework, r.cell.batch_size) == ("pytorch", 64))
    sweep = scripted(
        tmp_path_factory.mktemp("precision") / "s",
        plan,
        noise=lambda cell: WIDE if (cell.framework, cell.batch_size) == ("keras", 8) else NARROW,
        failing={broken: Status.CRASHED},
    )
    sweep.run()
    return build_tables(sweep.folder)


def id_of(tables: Tables, framework: str, size: int) -> str:
    cells = tables.cells
    return str(cells.loc[(cells["framework"] == framework) & (cells["batch_size"] == size), "cell_id"].iloc[0])


def test_every_measured_cell_is_judged_the_widest_first(tables: Tables) -> None:
    seen = precision_of(tables, target=0.02, of="cells")
    assert len(seen.widths) == 5
    assert seen.widths[0].cell_ids == (id_of(tables, "keras", 8),)
    widths = [width.half_width for width in seen.widths if width.half_width is not None]
    assert widths == sorted(widths, reverse=True)
    assert not seen.met
    assert [width.cell_ids for width in seen.too_wide] == [(id_of(tables, "keras", 8),)]
    assert precision_of(tables, target=0.9, of="cells").met


def test_the_half_width_is_that_of_the_cells_table(tables: Tables) -> None:
    row = tables.cells.set_index("cell_id").loc[id_of(tables, "keras", 8)]
    widest = precision_of(tables, target=0.02, of="cells").widths[0]
    assert widest.half_width == pytest.approx(
        (row["samples_per_s_high"] - row["samples_per_s_low"]) / 2 / row["samples_per_s"]
    )
    assert widest.n == 10


def test_comparisons_are_the_pairs_of_the_table_and_what_a_verdict_states(tables: Tables) -> None:
    seen = precision_of(tables, target=0.02, of=COMPARISONS)
    judged = {frozenset(width.cell_ids) for width in seen.widths}
    fastest = tables.cells.sort_values("samples_per_s", ascending=False)["cell_id"].tolist()
    assert {frozenset((id_of(tables, "pytorch", size), id_of(tables, "keras", size))) for size in (8, 32)} <= judged
    assert frozenset(fastest[:2]) in judged
    # The pair of batch 64 lacks a side.
    assert not any(id_of(tables, "pytorch", 64) in pair for pair in judged)
    assert seen.too_wide[0].n == 10
    assert len(judged) == len(seen.widths)


def test_a_narrow_ratio_rests_though_one_of_its_cells_runs(tables: Tables) -> None:
    """The pair of batch 32 shares no cell with what is wide; the winner's partner does not come along for its sake."""
    winner, partner = id_of(tables, "pytorch", 32), id_of(tables, "keras", 32)
    other = id_of(tables, "pytorch", 8)
    seen = Precision(target=0.02, of=COMPARISONS, widths=(Width(cell_ids=(winner, other), half_width=0.1, n=10),))
    assert cells_to_add(seen, tables, []) == {winner, other}
    assert partner in cells_to_add(replace(seen, of="cells"), tables, [])


def test_a_wide_cell_brings_the_cell_it_is_compared_with(tables: Tables) -> None:
    seen = precision_of(tables, target=0.02, of="cells")
    assert cells_to_add(seen, tables, []) == {id_of(tables, name, 8) for name in ("pytorch", "keras")}


def test_a_partner_that_was_never_measured_stays_away(tables: Tables) -> None:
    alone = id_of(tables, "keras", 64)
    seen = Precision(target=0.02, of="cells", widths=(Width(cell_ids=(alone,), half_width=0.5, n=10),))
    assert cells_to_add(seen, tables, []) == {alone}


def test_a_control_and_the_cell_it_repeats_run_together(tables: Tables) -> None:
    seen = precision_of(tables, target=0.02, of="cells")
    wide, other = id_of(tables, "keras", 8), id_of(tables, "keras", 32)
    same = {"framework": "keras", "batch_size": 8}
    planned = [PlannedCell(id=wide, cell=same), PlannedCell(id=other, cell=same | {"control": True})]
    assert other in cells_to_add(seen, tables, planned)
    assert other not in cells_to_add(seen, tables, [replace(planned[0], cell={}), planned[1]])


def test_what_has_no_interval_is_too_wide_and_leads() -> None:
    widths = (Width(cell_ids=("a",), half_width=None, n=3), Width(cell_ids=("b",), half_width=0.02, n=10))
    seen = Precision(target=0.02, of="cells", widths=widths)
    assert [width.cell_ids for width in seen.too_wide] == [("a",)]


@pytest.mark.parametrize("asked", [None, "2 %", True])
def test_a_sweep_that_asked_for_nothing_has_no_precision(asked: object, tables: Tables, tmp_path: Path) -> None:
    sweep = scripted(tmp_path, plan_of(8))
    record = record_of(sweep.plan, sweep.folder)
    for protocol in ({"precision": asked}, None):
        assert precision_reached(tables, replace(record, config={"protocol": protocol})) is None
    assert precision_reached(tables, replace(record, config={})) is None
    sweep.rounds()
    assert precision_reached(tables, read_sweep(sweep.folder)) is not None
