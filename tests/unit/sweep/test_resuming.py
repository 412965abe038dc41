"""A sweep that was begun is read back as the plan it was, made ready, and found again by the same command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UsageError
from bench.plan.plan import Plan
from bench.records import RunResult, Status, SweepRecord
from bench.store import journal
from bench.store.aside import set_aside
from bench.store.claim import link_latest, locked
from bench.store.layout import SweepFolder
from bench.store.reader import read_result, read_sweep
from bench.store.writer import write_result, write_sweep
from bench.sweep import resuming
from bench.sweep.resuming import patience, plan_of, reopen, unfinished_like, with_patience
from tests import scripted

PLAN = scripted.plan_of(8, 32, rounds=2, precision=None, max_rounds=None)


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    """A sweep that was begun: its plan and its first line."""
    begun = SweepFolder(tmp_path / "results" / "mine")
    begun.path.mkdir(parents=True)
    write_sweep(begun, record_of(PLAN, begun))
    journal.append(begun, journal.SWEEP_STARTED)
    link_latest(begun)
    return begun


@pytest.fixture(autouse=True)
def same_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "_moved", lambda _: [])
    monkeypatch.setattr(resuming, "code_of", lambda _: None)


def record_of(plan: Plan, folder: SweepFolder) -> SweepRecord:
    config = json.loads(json.dumps(asdict(plan.config)))
    del config["job"]
    return replace(scripted.record_of(plan, folder), config=config)


def ended(folder: SweepFolder, place: int, status: Status, reason: str = "planted", round_: int = 0) -> str:
    cell_id = PLAN.rounds[0][place]
    result = RunResult(
        cell_id=cell_id, round=round_, order_in_round=place, status=status, reason=reason, started_at="now"
    )
    write_result(folder.run(cell_id, round_), result)
    return cell_id


def reopened(folder: SweepFolder, *retry: str, asked: Plan | None = None) -> dict[str, int]:
    return reopen(folder, read_sweep(folder), asked=asked, retry=retry, overrides=["typed"])


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_the_plan_is_the_one_that_was_written(folder: SweepFolder) -> None:
    plan = plan_of(read_sweep(folder))
    assert [run.cell for run in plan.runs] == [run.cell for run in PLAN.runs]
    assert (plan.rounds, plan.seed, plan.stopping, plan.config) == (
        PLAN.rounds, PLAN.seed, PLAN.stopping, PLAN.config,
    )  # fmt: skip


def test_the_rounds_that_were_added_are_part_of_it(folder: SweepFolder) -> None:
    added = PLAN.rounds[0][:2]
    journal.append(folder, journal.ROUND_ADDED, round=2, cells=added)
    assert plan_of(read_sweep(folder)).rounds == [*PLAN.rounds, added]


def test_a_plan_of_another_version_is_refused(folder: SweepFolder) -> None:
    record = read_sweep(folder)
    for other, words in (
        (replace(record, config=record.config | {"dropout": 0.5}), "dropout: there is no such setting"),
        (replace(record, cells=[replace(record.cells[0], id="pytorch-b8-0000000000")]), "is measured differently"),
    ):
        with pytest.raises(UsageError, match=words) as refusal:
            plan_of(other)
        assert "by the version that began it, here 0.1.0" in str(refusal.value)


def test_only_how_long_runs_are_waited_for_may_change(folder: SweepFolder) -> None:
    asked = scripted.plan_of(8, 32, rounds=2, precision=None, max_rounds=None, timeout_s=7.0)
    assert patience(read_sweep(folder), None) == {}
    assert patience(read_sweep(folder), PLAN) == {}
    assert patience(read_sweep(folder), asked) == {"timeout_s": 7.0}
    cell = PLAN.runs[0].cell
    assert with_patience(cell, {"timeout_s": 7.0, "event": "sweep_resumed"}) == asked.runs[0].cell
    assert with_patience(cell, {"timeout_s": "long"}) == cell


# --- its records ------------------------------------------------------------------------------------------------------


def test_records_that_stand_are_left_alone(folder: SweepFolder) -> None:
    for place, status in enumerate((Status.UNAVAILABLE, Status.OOM, Status.TIMEOUT)):
        ended(folder, place, status)
    before = {path: path.read_bytes() for path in folder.runs.rglob("*.json")}
    assert reopened(folder) == {}
    assert {path: path.read_bytes() for path in folder.runs.rglob("*.json")} == before


@pytest.mark.parametrize(
    ("retry", "again"),
    [
        (("timeout",), {"timeout": 1}),
        (("timeout", "oom"), {"timeout": 1, "oom": 1, "unavailable": 1}),
        (("oom",), {"oom": 1, "unavailable": 1}),
        (("failed",), {"timeout": 1, "oom": 1, "unavailable": 1}),
        (("unavailable",), {"unavailable": 2}),
        (("crashed",), {}),
    ],
)
def test_what_is_retried_is_set_aside_with_what_was_skipped_for_it(
    folder: SweepFolder, retry: tuple[str, ...], again: dict[str, int]
) -> None:
    ended(folder, 0, Status.TIMEOUT)
    ended(folder, 1, Status.OOM)
    ended(folder, 2, Status.UNAVAILABLE, "skipped after oom at batch 8")
    ended(folder, 3, Status.UNAVAILABLE, "no GPU here")
    assert reopened(folder, *retry) == again
    gone = [cell_id for cell_id in PLAN.rounds[0] if read_result(folder.run(cell_id, 0)) is None]
    assert len(gone) == sum(again.values())


def test_what_cannot_be_trusted_is_set_aside(folder: SweepFolder) -> None:
    cell_id = ended(folder, 0, Status.CRASHED)
    path = folder.run(cell_id, 0).result
    path.write_text(path.read_text().replace("planted", "altered"))
    assert reopened(folder) == {"damaged": 1}
    (reason,) = folder.runs.rglob("reason.txt")
    assert "checksum does not match" in reason.read_text()


def test_the_journal_tells_of_it(folder: SweepFolder) -> None:
    ended(folder, 0, Status.OOM)
    ended(folder, 1, Status.TIMEOUT)
    reopened(folder, "timeout", asked=scripted.plan_of(8, 32, rounds=2, precision=None, max_rounds=None, stall_s=5.0))
    (event,) = journal.events(folder, journal.SWEEP_RESUMED)
    assert {key: event[key] for key in ("overrides", "finished", "set_aside", "stall_s")} == {
        "overrides": ["typed"], "finished": 1, "set_aside": {"timeout": 1}, "stall_s": 5.0,
    }  # fmt: skip


# --- the same command again -------------------------------------------------------------------------------------------


def test_the_same_command_finds_what_it_did_not_finish(folder: SweepFolder) -> None:
    assert unfinished_like(folder.path.parent, PLAN) == folder


def finished(folder: SweepFolder) -> None:
    journal.append(folder, journal.SWEEP_FINISHED)


def damaged(folder: SweepFolder) -> None:
    folder.sweep_json.write_text("{}")


def not_latest(folder: SweepFolder) -> None:
    link_latest(SweepFolder(folder.path.with_name("other")))


@pytest.mark.parametrize("change", [finished, damaged, not_latest])
def test_what_is_finished_or_no_sweep_is_not_gone_on_with(
    folder: SweepFolder, change: Callable[[SweepFolder], None]
) -> None:
    change(folder)
    assert unfinished_like(folder.path.parent, PLAN) is None


@pytest.mark.parametrize(("name", "differs"), [("_moved", ["processor"]), ("code_of", "other code")])
def test_elsewhere_or_by_other_code_a_new_sweep_begins(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, name: str, differs: Any
) -> None:
    monkeypatch.setattr(resuming, name, lambda _: differs)
    assert unfinished_like(folder.path.parent, PLAN) is None


def test_another_plan_or_one_under_way_begins_a_new_sweep(folder: SweepFolder) -> None:
    assert unfinished_like(folder.path.parent, scripted.plan_of(8, rounds=2, precision=None, max_rounds=None)) is None
    with locked(folder):
        assert unfinished_like(folder.path.parent, PLAN) is None
    assert unfinished_like(folder.path.parent / "nowhere", PLAN) is None


def test_a_record_set_aside_by_hand_is_run_again(folder: SweepFolder) -> None:
    cell_id = ended(folder, 0, Status.OOM)
    set_aside(folder, cell_id, 0, "by hand")
    assert reopened(folder) == {}
    assert read_result(folder.run(cell_id, 0)) is None
