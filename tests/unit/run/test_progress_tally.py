"""What the journal tells: tailing it, counting, and the time left."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.records import Status
from bench.run.tally import CellName, Tail, Tally, planned_runs
from bench.store.layout import SweepFolder

FAST, SLOW = "pytorch-eager-cpu-b32-0123456789", "keras-tensorflow-idiomatic-cpu-b1-abcdef0123"


def finished(cell_id: str, round_: int = 0, wall_s: float | None = 1.0, status: str = "ok") -> dict[str, Any]:
    return {"event": "run_finished", "cell_id": cell_id, "round": round_, "status": status, "wall_s": wall_s}


def started(cell_id: str, round_: int = 0) -> dict[str, Any]:
    return {"event": "run_started", "cell_id": cell_id, "round": round_}


def told(tally: Tally, *events: dict[str, Any]) -> Tally:
    for event in events:
        tally.take(event)
    return tally


def test_a_journal_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    assert Tail(tmp_path / "journal.jsonl").new_events() == []


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    tail = Tail(path)
    path.write_bytes(b'{"event": "a"}\n{"event": "\xc3')
    assert tail.new_events() == [{"event": "a"}]
    assert tail.new_events() == []
    with path.open("ab") as file:
        file.write(b'\xa4"}\n')
    assert tail.new_events() == [{"event": "ä"}]


def test_lines_that_are_no_events_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "a"}\n{"event": "cut by a crash{"event": "b"}\n7\n\n{"event": "c"}\n')
    assert [event["event"] for event in Tail(path).new_events()] == ["a", "c"]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": "sweep_started"},
        {"event": "run_finished"},
        {"event": "run_finished", "cell_id": FAST, "round": 0},
        {"event": "run_finished", "cell_id": FAST, "round": 0, "status": "splendid"},
        {"event": "run_finished", "cell_id": FAST, "round": None, "status": "ok"},
        {"event": "run_finished", "cell_id": 7, "round": 0, "status": "ok"},
        {"event": "from_the_future", "cell_id": FAST, "round": 0},
    ],
)
def test_unknown_and_incomplete_events_change_nothing(event: dict[str, Any]) -> None:
    tally = Tally(3)
    assert not tally.take(event)
    assert tally == Tally(3)


def test_a_cells_id_is_read_from_its_end() -> None:
    name = CellName.of(SLOW)
    assert (name.family, name.batch, name.device) == ("keras-tensorflow-idiomatic-cpu", "b1", "cpu")
    assert str(name) == "keras tensorflow idiomatic cpu b1"
    assert str(CellName.of("odd")) == "odd"


def test_a_run_repeated_after_an_interruption_counts_once() -> None:
    tally = told(Tally(2), finished(FAST, status="interrupted"))
    assert (tally.done, tally.failures) == (1, {Status.INTERRUPTED: 1})
    assert told(tally, started(FAST)).done == 0
    assert told(tally, finished(FAST)).done == 1
    assert tally.failures == Counter()


def test_failures_are_counted_by_status_and_unavailable_is_none() -> None:
    statuses = ["ok", "oom", "oom", "crashed", "target_not_reached", "unavailable"]
    tally = told(Tally(6), *(finished(FAST, number, status=status) for number, status in enumerate(statuses)))
    assert tally.failures == {Status.OOM: 2, Status.CRASHED: 1}


def test_unavailable_cells_are_taken_once_by_device_and_reason() -> None:
    tally = Tally(0)
    for cell_id in ("pytorch-eager-gpu-b1-x", "pytorch-eager-gpu-b2-x", "keras-jax-idiomatic-tpu-b1-x"):
        tally.take({"event": "run_unavailable", "cell_id": cell_id, "round": 0, "reason": "none here"})
    assert tally.take_unavailable() == {("gpu", "none here"): 2, ("tpu", "none here"): 1}
    assert tally.take_unavailable() == {}
    assert tally.done == 0


def test_the_plan_is_read_from_the_sweeps_record(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    assert planned_runs(folder) == Counter()
    folder.sweep_json.write_text('{"rounds": [["a", "b"')
    assert planned_runs(folder) == Counter()
    folder.sweep_json.write_text(json.dumps({"rounds": [["a", "b"], ["b", "a"], ["a"]]}))
    assert planned_runs(folder) == {"a": 3, "b": 2}


def test_nothing_is_estimated_before_a_run_has_ended() -> None:
    assert told(Tally(5), started(FAST)).remaining_s() is None


def test_without_a_plan_the_rest_takes_the_mean() -> None:
    assert told(Tally(5), finished(FAST, 0, 1.0), finished(SLOW, 0, 3.0)).remaining_s() == pytest.approx(3 * 2.0)


def test_each_cell_is_expected_to_take_what_it_took_in_later_rounds() -> None:
    plan = Counter({FAST: 4, SLOW: 4})
    events = [finished(cell, round_, s) for cell, s in ((FAST, 1.0), (SLOW, 9.0)) for round_ in (1, 2)]
    assert told(Tally(8, plan), *events).remaining_s() == pytest.approx(2 * 1.0 + 2 * 9.0)


def test_a_first_run_says_what_later_ones_will_not_pay() -> None:
    event = finished(SLOW, 0, 10.0) | {"once_s": 7.0}
    assert told(Tally(3, Counter({SLOW: 3})), event).remaining_s() == pytest.approx(2 * 3.0)


def test_a_cell_not_seen_yet_takes_what_its_family_takes() -> None:
    sibling = FAST.replace("-b32-", "-b64-")
    plan = Counter({FAST: 1, SLOW: 1, sibling: 1})
    events = [finished(FAST, 0, 1.0), finished(SLOW, 0, 9.0)]
    assert told(Tally(3, plan), *events).remaining_s() == pytest.approx(1.0)


def test_runs_side_by_side_share_the_time_left() -> None:
    tally = told(Tally(4), started(FAST), started(SLOW), finished(FAST, 0, 6.0), finished(SLOW, 0, 6.0))
    assert tally.remaining_s() == pytest.approx(2 * 6.0 / 2)


def test_runs_of_a_call_that_was_killed_are_forgotten() -> None:
    tally = told(Tally(4), started(FAST), started(SLOW))
    tally.forget_running()
    assert tally.running == {}
    assert told(tally, started(FAST), finished(FAST, 0, 2.0)).remaining_s() == pytest.approx(3 * 2.0)
