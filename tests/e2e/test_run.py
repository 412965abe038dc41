"""One cell, a user's own data, and what goes wrong on the way."""

import json
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from bench.records import Status
from bench.store.claim import locked
from bench.store.layout import SweepFolder
from bench.store.reader import read_results, read_sweep
from tests.e2e.running import QUICK, TINY, run, start
from tests.faults.interpreters import faulty_python

WAIT_S = 60


def latest(folder: Path) -> SweepFolder:
    return SweepFolder((folder / "results" / "latest").resolve())


def test_bench_run_prints_one_cell_and_keeps_it_as_a_sweep_of_one(tmp_path: Path) -> None:
    finished = run(tmp_path, "bench", "run", "framework=reference", "batch_size=full", *QUICK)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "100 (full)" in finished.stdout
    assert "reference-eager-cpu-b100-" in finished.stdout
    assert [result.round for result in read_results(latest(tmp_path))] == [0]
    assert latest(tmp_path).report_html.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_users_own_table(tmp_path: Path) -> None:
    rows = "".join(f"{i},{i * i % 7},{i % 2}\n" for i in range(40))
    (tmp_path / "mine.csv").write_text(f"a,b,label\n{rows}")
    settings = [setting for setting in (*TINY, *QUICK) if not setting.startswith("data.")]
    finished = run(tmp_path, "bench", "sweep", "data=file", "data.path=mine.csv", "data.target=label", *settings)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    cells = [planned.cell for planned in read_sweep(latest(tmp_path)).cells]
    assert {(cell["batch_size"], cell["data"]["n_train"], cell["data"]["features"]) for cell in cells} == {(32, 32, 2)}
    assert all(result.status.measured for result in read_results(latest(tmp_path)))


def test_runs_that_fail_are_rows_and_exit_3(tmp_path: Path) -> None:
    finished = run(tmp_path, "bench", "sweep", *TINY, *QUICK, "protocol.timeout_s=0.001")
    assert finished.returncode == 3, finished.stdout + finished.stderr
    assert {result.status for result in read_results(latest(tmp_path))} == {Status.TIMEOUT}
    assert "Traceback" not in finished.stderr


def test_an_engine_that_trains_something_else_is_invalid_and_exit_3(tmp_path: Path) -> None:
    slower = faulty_python(
        tmp_path / "broken", "self.optimizer.lr = 0.99 * self.setup.lr", method="Engine.step", after=0
    )
    finished = run(tmp_path, "bench", "sweep", *TINY, *QUICK, f"framework.python={slower}")
    assert finished.returncode == 3, finished.stdout + finished.stderr
    results = read_results(latest(tmp_path))
    assert {result.status for result in results} == {Status.INVALID}
    for result in results:
        assert result.parity is not None
        assert result.parity.difference is not None
        assert result.parity.bar is not None
        assert result.parity.difference > result.parity.bar >= 5e-6
        assert result.reason is not None
        assert "not the reference's training: at step" in result.reason
        assert result.phases.training_s is None
    page = latest(tmp_path).report_md.read_text()
    assert "2 cells did not train as the float64 reference does and count nowhere" in page
    assert "not the reference" in finished.stdout


def test_the_gate_can_be_turned_off_and_says_so(tmp_path: Path) -> None:
    finished = run(tmp_path, "bench", "sweep", *TINY, *QUICK, "protocol.parity_steps=0")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    results = read_results(latest(tmp_path))
    assert {(r.parity, r.parity_reason) for r in results} == {(None, "protocol.parity_steps is 0: the gate is off")}
    assert "protocol.parity_steps is 0" in latest(tmp_path).report_md.read_text().replace("&#95;", "_")


def test_a_folder_in_use_is_exit_5(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "results" / "mine")
    folder.path.mkdir(parents=True)
    with locked(folder):
        finished = run(tmp_path, "bench", "sweep", *TINY, *QUICK, "sweep.name=mine")
    assert finished.returncode == 5
    assert "in use by another sweep" in finished.stderr
    assert not folder.runs.exists()


def test_results_that_cannot_be_written_are_exit_4(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("not a folder")
    finished = run(tmp_path, "bench", "sweep", *TINY, *QUICK)
    assert finished.returncode == 4
    assert "cannot write" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("arguments", [("bench", "sweep", *TINY, *QUICK), ("bench.app", "--help")])
def test_a_reader_that_leaves_is_no_failure(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with start(tmp_path, *arguments, stderr=subprocess.PIPE) as asked:
        assert asked.stdout is not None
        asked.stdout.close()
        _, complaint = asked.communicate(timeout=WAIT_S)
    assert (asked.returncode, complaint) == (0, "")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_sweep_keeps_what_was_measured(sent: signal.Signals, code: int, tmp_path: Path) -> None:
    settings = (*TINY, "protocol.rounds=50", "protocol.steady_min_s=0.3", "data.n=100")
    with start(tmp_path, "bench", "sweep", *settings) as sweep:
        try:
            _wait_for_a_finished_run(tmp_path, sweep)
            children = psutil.Process(sweep.pid).children(recursive=True)
            sweep.send_signal(sent)
            said, _ = sweep.communicate(timeout=WAIT_S)
        finally:
            sweep.kill()
    assert sweep.returncode == code, said
    assert "Traceback" not in said
    assert "what was measured is kept" in said
    results = read_results(latest(tmp_path))
    finished = [event["cell_id"] for event in _events(tmp_path) if event["event"] == "run_finished"]
    assert len([result for result in results if result.status.measured]) >= 1
    assert set(finished) <= {result.cell_id for result in results}
    assert latest(tmp_path).report_html.exists()
    assert psutil.wait_procs(children, timeout=WAIT_S)[1] == []


def _wait_for_a_finished_run(folder: Path, sweep: subprocess.Popen[str]) -> None:
    end = time.monotonic() + WAIT_S
    while not any(event["event"] == "run_finished" for event in _events(folder)):
        assert sweep.poll() is None, sweep.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.1)


def _events(folder: Path) -> list[dict[str, str]]:
    journal = latest(folder).journal
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
