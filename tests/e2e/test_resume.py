"""A sweep that did not get to its end is gone on with, and is then as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.records import Status
from bench.store.claim import locked
from bench.store.layout import SweepFolder
from bench.store.reader import read_results, read_sweep
from tests.e2e.running import QUICK, TINY, run, start

WAIT_S = 60
SETTINGS = (*TINY, *QUICK, "sweep.name=mine", "protocol.memory=false", "protocol.control=false")


def events(folder: SweepFolder, kind: str) -> list[dict[str, object]]:
    if not folder.journal.exists():
        return []
    found = [json.loads(line) for line in folder.journal.read_text().splitlines()]
    return [event for event in found if event["event"] == kind]


def records(folder: SweepFolder) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.runs.rglob("*") if path.is_file()
    }


@pytest.fixture
def mine(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path / "results" / "mine")


def killed_after(folder: SweepFolder, runs: int, *settings: str) -> None:
    """A sweep whose parent is killed when so many runs have ended."""
    with start(folder.path.parents[1], "bench", "sweep", *settings) as sweep:
        end = time.monotonic() + WAIT_S
        while len(events(folder, "run_finished")) < runs:
            assert sweep.poll() is None, sweep.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.02)
        sweep.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(("--resume", "results/mine"), id="resume"),
        pytest.param(SETTINGS, id="the same command", marks=pytest.mark.faults),
    ],
)
def test_what_is_missing_is_run_and_nothing_else(again: tuple[str, ...], tmp_path: Path, mine: SweepFolder) -> None:
    settings = [setting if "rounds" not in setting else "protocol.rounds=6" for setting in SETTINGS]
    killed_after(mine, 3, *settings)
    kept = {path: content for path, content in records(mine).items() if (Path(path).parent / "result.json").exists()}
    assert 3 * 3 <= len(kept) < 12 * 3
    finished = run(tmp_path, "bench", "sweep", *(settings if again == SETTINGS else again))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "resuming mine: " in finished.stdout
    after = records(mine)
    assert {path: after[path] for path in kept} == kept
    results = read_results(mine)
    assert Counter((r.cell_id, r.round) for r in results) == Counter(
        (cell_id, round_) for round_, cells in enumerate(read_sweep(mine).rounds) for cell_id in cells
    )
    rounds = read_sweep(mine).rounds
    assert all(rounds[result.round][result.order_in_round or 0] == result.cell_id for result in results)
    assert mine.report_html.exists()
    assert not mine.cache.exists()


@pytest.mark.faults
def test_a_finished_sweep_is_finished(tmp_path: Path, mine: SweepFolder) -> None:
    assert run(tmp_path, "bench", "sweep", *SETTINGS).returncode == 0
    before = records(mine)
    page = mine.report_md.read_bytes()
    finished = run(tmp_path, "bench", "sweep", "--resume", "results/latest")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "resuming mine: 4 of 4 runs have their record" in finished.stdout
    assert len(events(mine, "run_started")) == 4
    assert records(mine) == before
    assert _without_times(mine.report_md.read_bytes()) == _without_times(page)


def _without_times(page: bytes) -> list[bytes]:
    return [line for line in page.splitlines() if b"From start to end" not in line]


def test_another_plan_is_refused_with_what_differs(tmp_path: Path, mine: SweepFolder) -> None:
    killed_after(mine, 1, *SETTINGS)
    before = records(mine), mine.journal.read_bytes(), mine.sweep_json.read_bytes()
    for asked in (
        ("--resume", "results/mine", "batch_size=32,64,full", "protocol.rounds=3"),
        (*SETTINGS, "batch_size=32,64,full", "protocol.rounds=3"),
    ):
        refused = run(tmp_path, "bench", "sweep", *asked)
        assert refused.returncode == 2
        assert "batch_size: planned 32, 100; now 32, 64, 100" in refused.stderr
        assert "protocol.rounds: planned 2; now 3" in refused.stderr
        assert "bench sweep --resume results/mine" in refused.stderr
        assert (records(mine), mine.journal.read_bytes(), mine.sweep_json.read_bytes()) == before


@pytest.mark.faults
def test_another_machine_is_refused(tmp_path: Path, mine: SweepFolder) -> None:
    assert run(tmp_path, "bench", "sweep", *SETTINGS).returncode == 0
    plain = json.loads(mine.sweep_json.read_text())
    plain["machine"]["processor"] = "another one"
    plain.pop("checksum", None)
    plain["schema_version"] = 3  # whose records have no checksum
    mine.sweep_json.write_text(json.dumps(plain))
    refused = run(tmp_path, "bench", "sweep", "--resume", "results/mine")
    assert refused.returncode == 2
    assert "processor: was another one, is " in refused.stderr
    assert "bench compare" in refused.stderr


@pytest.mark.faults
def test_runs_are_retried_and_waited_for_longer(tmp_path: Path, mine: SweepFolder) -> None:
    assert run(tmp_path, "bench", "sweep", *SETTINGS, "protocol.timeout_s=0.001").returncode == 3
    assert {result.status for result in read_results(mine)} == {Status.TIMEOUT}
    finished = run(
        tmp_path, "bench", "sweep", "--resume", "results/mine", "--retry", "timeout", "protocol.timeout_s=600"
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "set aside, to be run again: 4 timeout" in finished.stdout
    assert all(result.status.measured for result in read_results(mine))
    assert len([*mine.runs.glob("*/r*/aside/1/result.json")]) == 4
    # Once more finds nothing to retry, and waits as long as it was told last.
    assert run(tmp_path, "bench", "sweep", "--resume", "results/mine", "--retry", "timeout,oom").returncode == 0
    assert len(events(mine, "run_started")) == 8


@pytest.mark.faults
def test_a_spent_budget_is_exit_124_and_can_be_gone_on_with(tmp_path: Path, mine: SweepFolder) -> None:
    spent = run(tmp_path, "bench", "sweep", *SETTINGS, "sweep.budget_s=0.000001")
    assert spent.returncode == 124, spent.stdout + spent.stderr
    assert "the time budget (sweep.budget_s) is spent" in spent.stderr
    assert "bench sweep --resume results/mine" in spent.stderr
    assert events(mine, "run_started") == []
    assert [event["why"] for event in events(mine, "sweep_stopped")] == ["budget"]
    # The budget that was planned holds for every call; another one replaces it.
    assert run(tmp_path, "bench", "sweep", "--resume", "results/mine").returncode == 124
    assert run(tmp_path, "bench", "sweep", "--resume", "results/mine", "sweep.budget_s=600").returncode == 0
    assert len(read_results(mine)) == 4


@pytest.mark.faults
def test_a_sweep_under_way_is_not_resumed_beside_it(tmp_path: Path, mine: SweepFolder) -> None:
    assert run(tmp_path, "bench", "sweep", *SETTINGS).returncode == 0
    before = mine.journal.read_bytes()
    with locked(mine):
        refused = run(tmp_path, "bench", "sweep", "--resume", "results/mine")
    assert refused.returncode == 5
    assert mine.journal.read_bytes() == before


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("--resume", "results/none"), "holds no sweep"),
        (("--retry", "oom"), "of which sweep?"),
        (("--resume", "results/mine", "--retry", "everything"), "must be a list of diverged, oom"),
    ],
)
def test_what_cannot_be_resumed_is_wrong_usage(asked: tuple[str, ...], words: str, tmp_path: Path) -> None:
    refused = run(tmp_path, "bench", "sweep", *asked)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.faults
def test_ctrl_c_lets_the_run_under_way_finish(tmp_path: Path, mine: SweepFolder) -> None:
    settings = (*SETTINGS, "protocol.rounds=50", "protocol.steady_min_s=0.3")
    with start(tmp_path, "bench", "sweep", *settings, stderr=subprocess.PIPE) as sweep:
        end = time.monotonic() + WAIT_S
        while len(events(mine, "run_started")) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        sweep.send_signal(signal.SIGINT)
        _, complaint = sweep.communicate(timeout=WAIT_S)
    assert sweep.returncode == 130
    assert "run the rest: bench sweep --resume results/mine" in complaint
    assert len(events(mine, "run_started")) == len(events(mine, "run_finished")) == len(read_results(mine))
