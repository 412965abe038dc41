"""Rounds are added to what is still too wide, and to nothing else, until all is precise or a bound ends them."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.precision import precision_reached
from bench.analysis.tables import Tables, build_tables
from bench.cell import Cell
from bench.plan.rounds import Stopped, shuffled_round
from bench.records import Status
from bench.store import journal
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from bench.sweep import conducting
from tests.scripted import NARROW, WIDE, Scripted, plan_of, record_of, scripted


def noisy_at(size: int, noise: float = WIDE) -> Any:
    """Noise of the cells of one batch size."""
    return lambda cell: noise if cell.batch_size == size else NARROW


def tables_of(sweep: Scripted) -> Tables:
    return build_tables(sweep.folder)


def events(sweep: Scripted, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, sweep.folder.journal.read_text().splitlines())
    return [event for event in lines if event["event"] == kind]


def test_a_sweep_that_is_precise_after_the_least_rounds_has_no_more(tmp_path: Path) -> None:
    sweep = scripted(tmp_path, plan_of(8, 32))
    assert sweep.run().stopped is Stopped.PRECISE
    assert len(sweep.launched) == 10
    assert events(sweep, "round_added") == []
    assert journal.why_finished(sweep.folder) == "precise"


def test_what_is_too_wide_runs_again_with_its_partner_and_the_rest_does_not(tmp_path: Path) -> None:
    plan = plan_of(8, 32)
    sweep = scripted(
        tmp_path, plan, noise=lambda cell: WIDE if cell.framework == "keras" and cell.batch_size == 8 else 0
    )
    assert sweep.run().stopped is Stopped.MAX_ROUNDS
    assert [len(order) for order in sweep.launched] == [4] * 10 + [2] * 2
    at_8 = {run.cell.id for run in plan.runs if run.cell.batch_size == 8}
    assert all(set(order) == at_8 for order in sweep.launched[10:])
    added = events(sweep, "round_added")
    assert [event["round"] for event in added] == [10, 11]
    assert [event["cells"] for event in added] == sweep.launched[10:]
    assert {(event["too_wide"], event["judged"], *event["widest"]) for event in added} == {
        (1, 4, next(id_ for id_ in at_8 if id_.startswith("keras")))
    }


def test_rounds_end_as_soon_as_the_last_cell_is_precise(tmp_path: Path) -> None:
    sweep = scripted(tmp_path, plan_of(8, 32, max_rounds=20), noise=noisy_at(8, noise=0.025))
    assert sweep.run().stopped is Stopped.PRECISE
    assert 10 < len(sweep.launched) < 20
    seen = precision_reached(tables_of(sweep), read_sweep(sweep.folder))
    assert seen is not None
    assert seen.met


def test_a_round_that_would_outlast_the_budget_is_not_begun(tmp_path: Path) -> None:

    def slow(cell_id: str) -> float:
        return 5.0 if "-b8-" in cell_id else 1.0

    # The least rounds take 10 * (2 * 5 + 2 * 1) = 120 s, each of the others 2 * 5 s.
    for budget_s, rounds in ((129, 10), (130, 11)):
        plan = plan_of(8, 32, max_rounds=None, budget_s=budget_s)
        sweep = scripted(tmp_path / str(budget_s), plan, noise=noisy_at(8), seconds=slow)
        assert sweep.run().stopped is Stopped.BUDGET
        assert len(sweep.launched) == rounds
        assert sweep.now_s <= max(budget_s, 120)


def test_a_fixed_number_of_rounds_stays_fixed(tmp_path: Path) -> None:
    plan = plan_of(8, rounds=2, precision=None, max_rounds=None)
    sweep = scripted(tmp_path, plan, noise=noisy_at(8))
    assert sweep.run().stopped is Stopped.PLANNED
    assert len(sweep.launched) == 2
    assert precision_reached(tables_of(sweep), read_sweep(sweep.folder)) is None


def test_the_same_runs_lead_to_the_same_rounds(tmp_path: Path) -> None:
    sweeps = [scripted(tmp_path / name, plan_of(8, 32, max_rounds=11), noise=noisy_at(32)) for name in ("a", "b")]
    for sweep in sweeps:
        sweep.run()
    assert sweeps[0].launched == sweeps[1].launched
    assert all(
        order == shuffled_round(order, round_, seed=0) for round_, order in enumerate(sweeps[0].launched[10:], start=10)
    )


def test_cells_that_never_measure_anything_are_not_repeated(tmp_path: Path) -> None:
    plan = plan_of(8, 32)
    broken = next(run.cell.id for run in plan.runs if run.cell.framework == "keras" and run.cell.batch_size == 8)
    sweep = scripted(tmp_path, plan, noise=noisy_at(8), failing={broken: Status.CRASHED})
    assert sweep.run().stopped is Stopped.MAX_ROUNDS
    runs = Counter(id_ for order in sweep.launched for id_ in order)
    assert runs[broken] == 10
    assert sorted(runs.values()) == [10, 10, 10, 12]


def test_where_nothing_was_measured_there_is_nothing_to_add(tmp_path: Path) -> None:
    plan = plan_of(8)
    sweep = scripted(tmp_path, plan, failing={run.cell.id: Status.OOM for run in plan.runs})
    assert sweep.run().stopped is Stopped.NOTHING_TO_JUDGE
    assert len(sweep.launched) == 10


def test_the_precision_of_comparisons_adds_both_cells_of_a_ratio(tmp_path: Path) -> None:
    plan = plan_of(8, 32, precision_of="comparisons")
    # The fastest cells are those of batch 32; the pair of batch 8 stands in the comparisons table alone.
    sweep = scripted(
        tmp_path, plan, noise=lambda cell: 0.2 if cell.framework == "keras" and cell.batch_size == 8 else 0
    )
    assert sweep.run().stopped is Stopped.MAX_ROUNDS
    assert all({id_.partition("-")[0] for id_ in order} == {"pytorch", "keras"} for order in sweep.launched[10:])
    assert all(len(order) == 2 for order in sweep.launched[10:])
    widest = events(sweep, "round_added")[0]["widest"]
    assert set(widest) == set(sweep.launched[10])


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    """Killed when round 12 had been announced."""
    made = scripted(tmp_path_factory.mktemp("killed") / "s", plan_of(8, 32, max_rounds=13), noise=noisy_at(8))
    made.run(most=12)
    return made


@pytest.fixture
def sweep(killed: Scripted, tmp_path: Path) -> Scripted:
    """A copy of it, to be written to."""
    shutil.copytree(killed.folder.path, tmp_path / "s")
    return replace(killed, folder=SweepFolder(tmp_path / "s"))


class TestCut:
    """A sweep that was killed in the middle of an added round, or between two."""

    def test_an_announced_round_is_part_of_the_plan_for_every_reader(self, sweep: Scripted) -> None:
        assert [len(order) for order in read_sweep(sweep.folder).rounds] == [4] * 10 + [2] * 3
        cells = tables_of(sweep).cells.set_index("cell_id")
        wide = cells["batch_size"] == 8
        assert set(cells.loc[wide, "n_planned"]) == {13}
        assert set(cells.loc[~wide, "n_planned"]) == {10}
        assert set(cells.loc[wide, "n_runs"]) == {12}
        assert set(cells.loc[wide, "status"]) == {"interrupted"}
        assert set(cells.loc[wide, "reason"]) == {"12 of 13 runs are there"}
        assert journal.why_finished(sweep.folder) is None

    def test_runs_of_the_round_that_was_cut_count(self, sweep: Scripted) -> None:
        last = read_sweep(sweep.folder).rounds[12]
        sweep.launch(sweep.folder, 12, {0: last[0]})
        cells = tables_of(sweep).cells.set_index("cell_id")
        assert cells.loc[last[0], "n_measured"] == 13
        assert cells.loc[last[0], "status"] == "ok"
        assert cells.loc[last[1], "status"] == "interrupted"

    def test_half_an_announcement_announced_nothing(self, sweep: Scripted) -> None:
        whole = sweep.folder.journal.read_bytes()
        sweep.folder.journal.write_bytes(whole[:-20])
        assert len(read_sweep(sweep.folder).rounds) == 12

    def test_a_lost_journal_loses_the_plan_of_added_rounds_and_no_run(self, sweep: Scripted) -> None:
        sweep.folder.journal.unlink()
        assert len(read_sweep(sweep.folder).rounds) == 10
        cells = tables_of(sweep).cells
        assert set(cells.loc[cells["batch_size"] == 8, "n_measured"]) == {12}
        assert set(cells["status"]) == {"ok"}

    def test_a_lost_announcement_leaves_the_later_ones_their_numbers(self, sweep: Scripted) -> None:
        lines = sweep.folder.journal.read_text().splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line).get("round") != 10]
        sweep.folder.journal.write_text("".join(kept))
        assert [len(order) for order in read_sweep(sweep.folder).rounds] == [4] * 10 + [0, 2, 2]

    def test_lines_that_announce_no_round_change_nothing(self, sweep: Scripted) -> None:
        before = read_sweep(sweep.folder)
        for line in (
            '{"event": "round_added", "round": 2, "cells": ["x"]}',
            '{"event": "round_added", "round": 13, "cells": "all"}',
            '{"event": "round_added", "round": true, "cells": []}',
            '{"event": "round_added", "round": 99999999999, "cells": []}',
            '{"event": "round_added", "round": 12, "cells": ["another order"]}',
            '"round_added"',
            "round_added {",
        ):
            with sweep.folder.journal.open("a") as file:
                file.write(line + "\n")
            assert read_sweep(sweep.folder) == before


def test_a_sweep_that_was_not_precise_enough_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(8, max_rounds=11)
    script = Scripted(plan, SweepFolder(tmp_path), noise=noisy_at(8))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conducting, "_report", lambda *_: None)
    monkeypatch.setattr(conducting, "sweep_record", lambda plan, folder, _: record_of(plan, folder))
    assert conducting.conduct(plan, script.launch, overrides=[]) == 0
    folder = SweepFolder((tmp_path / "results" / "latest").resolve())
    assert journal.why_finished(folder) == "max_rounds"
    assert len(read_sweep(folder).rounds) == 11 == len(script.launched)


def test_a_cell_may_be_noise_alone(tmp_path: Path) -> None:
    """No cell holds the others up: the wide one runs on while all others rest."""

    def noise(cell: Cell) -> float:
        return WIDE if cell.batch_size == 1 else NARROW

    sweep = scripted(tmp_path, plan_of(1, 8, 16, 32, frameworks=("pytorch",), max_rounds=11), noise=noise)
    assert sweep.run().stopped is Stopped.MAX_ROUNDS
    assert [len(order) for order in sweep.launched] == [4] * 10 + [1]
