"""However a worker ends, its run gets its row, its status and its reason, and nothing of it stays alive."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest

from bench.cell import BudgetSpec, Cell, DataSpec, OptimizerSpec
from bench.errors import StorageError
from bench.plan.gpus import Nvidia, NvidiaGpu
from bench.records import CompileCache, PlannedCell, RunRequest, RunResult, Status
from bench.run import supervisor
from bench.run.attempt import Attempt, attempt
from bench.run.memory import ONE_ROW_CACHE
from bench.run.processes import Template
from bench.run.supervisor import close_templates, record_unavailable, run_cell
from bench.store.layout import SweepFolder
from bench.store.trace import read_worker_trace
from bench.text import size_text
from tests.faults import interpreters as faults
from tests.faults.cells import make_cell

ISOLATIONS = ("fork", "spawn")
SLOW = pytest.mark.faults
# What was killed is gone at once, but a crowded machine may take long to say so.
GONE_WITHIN_S = 30.0


def in_turn(*cases: tuple[Any, ...]) -> list[Any]:
    """Every case in both isolations, of which one is always tried, another one for the next case; ``make faults`` tries
    the other."""
    return [
        pytest.param(isolation, *case, marks=() if isolation == ISOLATIONS[number % 2] else SLOW)
        for number, case in enumerate(cases)
        for isolation in ISOLATIONS
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SweepFolder]:
    (tmp_path / "sweep").mkdir()
    yield SweepFolder(tmp_path / "sweep")
    close_templates()


@pytest.fixture(autouse=True)
def nothing_survives() -> Iterator[None]:
    yield
    close_templates()
    deadline = time.monotonic() + GONE_WITHIN_S
    while (children := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        psutil.wait_procs(children, timeout=0.1)
    assert not children


def run(folder: SweepFolder, cell: Cell, **arguments: Any) -> RunResult:
    asked = {"round_": 0, "order_in_round": 0} | arguments
    folder.run(cell.id, asked["round_"]).result.unlink(missing_ok=True)  # a record is never replaced
    return run_cell(folder, cell, **asked)


def events(folder: SweepFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.journal.read_text().splitlines()]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_run_is_recorded_whole(folder: SweepFolder, isolation: str) -> None:
    cell = make_cell(protocol={"isolation": isolation})
    result = run(folder, cell, order_in_round=7)
    assert (result.status, result.reason) == (Status.OK, None)
    assert (result.isolation, result.exit_code, result.exit_signal) == (isolation, 0, None)
    assert (result.cell_id, result.order_in_round) == (cell.id, 7)
    assert result.phases.start_s is not None
    assert result.phases.steady_s is not None
    assert (result.import_s is None) == (isolation == "spawn")
    trace = pq.read_table(folder.run(cell.id, 0).trace).to_pydict()
    assert trace["kind"].count("step") == 2 * cell.steps_per_epoch
    assert trace["batch_samples"][-3:] == [16, 16, 8]
    assert [event["event"] for event in events(folder)] == ["run_started", "run_finished"]
    assert events(folder)[-1]["samples_per_s"] > 0


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_run_tells_what_else_the_machine_did(folder: SweepFolder, isolation: str) -> None:
    result = run(folder, make_cell(protocol={"isolation": isolation}))
    noise = result.noise
    assert noise is not None
    assert result.noise_reason is None
    assert noise.period_s is not None
    assert 0 < noise.period_s <= (result.wall_s or 0)
    assert noise.involuntary_switches is not None
    assert {name for name, value in vars(noise).items() if value is None} == set(noise.reasons)
    if sys.platform == "linux":
        assert noise.others_share is None or 0 <= noise.others_share <= 1


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_the_first_run_of_a_cell_is_cold_and_later_ones_are_warm(
    folder: SweepFolder, tmp_path: Path, isolation: str
) -> None:
    python = faults.faulty_python(tmp_path / "keeps", faults.KEEP_PROGRAMS, method="worker.make_engine", after=0)
    cells = [
        make_cell(batch_size=size, protocol={"isolation": isolation, "memory": True}, python=python) for size in (8, 16)
    ]
    seen = [[run(folder, cell, round_=round_).compile_cache for cell in cells] for round_ in (0, 1, 2)]
    assert seen == [[CompileCache.COLD] * 2, [CompileCache.WARM] * 2, [CompileCache.WARM] * 2]
    programs = [{path.name for path in folder.cell_cache(cell.id).iterdir()} for cell in cells]
    assert programs == [{"8.program"}, {"16.program"}]


def test_a_memory_pass_that_had_to_compile_is_taken_again(
    folder: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = faults.faulty_python(tmp_path / "keeps", faults.KEEP_PROGRAMS, method="worker.make_engine", after=0)
    cells = [make_cell(batch_size=size, protocol={"memory": True}, python=python) for size in (8, 16)]
    kinds: list[str] = []

    def watched(request: RunRequest, *files: Path) -> Attempt:
        kinds.append(request.kind)
        return attempt(request, *files)

    monkeypatch.setattr(supervisor, "attempt", watched)
    results = [run(folder, cell) for cell in cells]
    # The step of one row, which a memory pass begins with, is compiled once for both cells.
    assert kinds == ["timing", "memory", "memory", "timing", "memory"]
    assert {path.name for path in (folder.cache / ONE_ROW_CACHE).iterdir()} == {"1.program"}
    assert all(result.memory.peak_rss_bytes for result in results)
    assert [result.compile_cache for result in results] == [CompileCache.COLD] * 2


def test_a_first_round_begun_again_finds_no_programs_of_the_run_that_was_cut_short(folder: SweepFolder) -> None:
    cell = make_cell()
    left = folder.cell_cache(cell.id) / "16.program"
    left.parent.mkdir(parents=True)
    left.touch()
    run(folder, cell, round_=1)
    assert left.exists()
    assert run(folder, cell, round_=0).compile_cache is CompileCache.NOTHING
    assert not left.exists()


def test_a_run_leaves_the_files_of_the_design_and_no_others(folder: SweepFolder) -> None:
    cell = make_cell()
    run(folder, cell)
    left = sorted(path.name for path in folder.run(cell.id, 0).path.iterdir())
    assert left == ["request.json", "result.json", "trace.parquet", "worker.log"]


def test_fork_and_spawn_train_the_same(folder: SweepFolder) -> None:
    run(folder, make_cell())  # what the template did before must not matter
    cells = [make_cell(seed=3, protocol={"isolation": isolation}) for isolation in ISOLATIONS]
    for cell in cells:
        run(folder, cell, round_=1)
    losses = [pq.read_table(folder.run(cell.id, 1).trace)["loss"].to_pylist() for cell in cells]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("isolation", "fault", "status", "words"),
    in_turn(
        (faults.RAISE, Status.ERROR, "RuntimeError: planted failure"),
        (faults.RAISE_MEMORY, Status.OOM, "can't allocate memory"),
        (faults.EXIT_0, Status.CRASHED, "exited with code 0 and left no record"),
        (faults.EXIT_7, Status.CRASHED, "exited with code 7 and left no record"),
        (faults.HARD_EXIT, Status.CRASHED, "exited with code 9 and left no record"),
        (faults.KILL, Status.CRASHED, "ended by SIGKILL"),
        (faults.SEGFAULT, Status.CRASHED, "ended by SIGSEGV"),
    ),
)
def test_a_worker_that_dies_leaves_its_row_and_the_next_run_goes_on(
    folder: SweepFolder, tmp_path: Path, isolation: str, fault: str, status: Status, words: str
) -> None:
    cell = make_cell(protocol={"isolation": isolation}, python=faults.faulty_python(tmp_path / "bad", fault))
    result = run(folder, cell)
    assert result.status is status
    assert words in (result.reason or "")
    assert json.loads(folder.run(cell.id, 0).result.read_text())["status"] == status.value
    assert run(folder, make_cell(protocol={"isolation": isolation}), round_=1).status is Status.OK


@pytest.mark.parametrize(
    ("isolation", "fault"), in_turn((faults.HANG_WITH_CHILD,), (faults.STOP,), (faults.HANG,), (faults.SPIN,))
)
def test_a_worker_that_hangs_is_ended_with_its_whole_group(
    folder: SweepFolder, tmp_path: Path, isolation: str, fault: str
) -> None:
    protocol = {"isolation": isolation, "timeout_s": 2.5}
    result = run(folder, make_cell(protocol=protocol, python=faults.faulty_python(tmp_path / "bad", fault)))
    assert result.status is Status.TIMEOUT
    assert (result.reason or "").startswith("still running after protocol.timeout_s = 2.5 s, in ")


def test_silence_ends_a_worker_before_the_hard_limit(folder: SweepFolder, tmp_path: Path) -> None:
    python = faults.faulty_python(tmp_path / "bad", faults.HANG)
    result = run(folder, make_cell(protocol={"stall_s": 1.5}, python=python))
    assert result.status is Status.TIMEOUT
    assert (result.reason or "").startswith("no sign of progress for protocol.stall_s = 1.5 s, in ")


def test_signs_of_life_keep_a_slow_worker_running(folder: SweepFolder, tmp_path: Path) -> None:
    python = faults.faulty_python(tmp_path / "slow", "time.sleep(0.4)", after=0)
    cell = make_cell(protocol={"stall_s": 3.0}, batch_size=40, budget=BudgetSpec(epochs=10), python=python)
    result = run(folder, cell)
    assert result.status is Status.OK
    assert (result.wall_s or 0) > 3.0


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_silent_worker_that_works_is_not_stalled(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    python = faults.faulty_python(tmp_path / "busy", faults.WORK_FOR_3_S, after=0)
    cell = make_cell(protocol={"stall_s": 1.0, "isolation": isolation}, python=python)
    result = run(folder, cell)
    assert (result.status, result.reason) == (Status.OK, None)
    assert (result.wall_s or 0) > 2.0


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_what_a_worker_leaves_behind_is_ended(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    cell = make_cell(
        protocol={"isolation": isolation}, python=faults.faulty_python(tmp_path / "bad", faults.LEAVE_CHILD)
    )
    assert "exited with code 7" in (run(folder, cell).reason or "")
    child = int(folder.run(cell.id, 0).log.read_text().split()[-1])
    deadline = time.monotonic() + GONE_WITHIN_S
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
@pytest.mark.parametrize(
    ("isolation", "fault", "signal", "words"),
    in_turn(
        (faults.GROW_UNTIL_IT_RAISES, None, "MemoryError"),
        (faults.GROW_UNTIL_IT_SEGFAULTS, "SIGSEGV", "so ends what gets no more memory, and ulimit -v allows it"),
        (faults.GROW_UNTIL_IT_ABORTS, "SIGABRT", "so ends what gets no more memory, and ulimit -v allows it"),
    ),
)
def test_memory_under_a_limit_runs_out_as_one_status(
    folder: SweepFolder, tmp_path: Path, isolation: str, fault: str, signal: str | None, words: str
) -> None:
    python = faults.faulty_python(tmp_path / "hungry", fault, method="worker.make_engine", after=0)
    result = run(folder, make_cell(protocol={"isolation": isolation}, python=python))
    assert (result.status, result.exit_signal) == (Status.OOM, signal)
    assert words in (result.reason or "")
    assert result.process_peak_bytes is not None
    assert result.process_peak_bytes > 150 << 20
    assert f"peak {size_text(result.process_peak_bytes)} resident" in (result.reason or "")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_run_tells_its_peak_however_it_ends(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    peaks = []
    for number, fault in enumerate((faults.HOLD_300_MB, f"{faults.HOLD_300_MB}; {faults.KILL}")):
        python = faults.faulty_python(tmp_path / str(number), fault)
        result = run(folder, make_cell(protocol={"isolation": isolation}, seed=number, python=python))
        assert result.status is (Status.CRASHED if number else Status.OK)
        assert result.process_peak_reason is None
        assert result.process_peak_bytes is not None
        peaks.append(result.process_peak_bytes)
    assert all(300 << 20 < peak < 600 << 20 for peak in peaks)


def test_an_interpreter_that_cannot_be_started_has_no_peak(folder: SweepFolder) -> None:
    result = run(folder, make_cell(python="/nowhere/python"))
    assert (result.process_peak_bytes, result.process_peak_reason) == (None, "no worker was started")


def test_losses_that_are_no_numbers_are_a_status_not_a_number(folder: SweepFolder) -> None:
    cell = make_cell(optimizer=OptimizerSpec(name="sgd", lr=1e30), budget=BudgetSpec(epochs=5))
    result = run(folder, cell)
    assert result.status is Status.DIVERGED
    assert "lower optimizer.lr" in (result.reason or "")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_what_a_worker_prints_is_in_its_log(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    cell = make_cell(
        protocol={"isolation": isolation}, python=faults.faulty_python(tmp_path / "loud", faults.PRINT, after=0)
    )
    assert run(folder, cell).status is Status.OK
    assert "words of the engine" in folder.run(cell.id, 0).log.read_text()


@pytest.mark.parametrize("isolation", ISOLATIONS)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\nkill -ABRT $$\n", "SIGABRT"),
        ("#!/bin/sh\necho 'no such module: torch' >&2; exit 1\n", "no such module: torch"),
    ],
)
def test_an_interpreter_that_breaks_at_once_leaves_a_reason(
    folder: SweepFolder, tmp_path: Path, isolation: str, text: str, words: str
) -> None:
    cell = make_cell(protocol={"isolation": isolation}, python=faults.script(tmp_path / "bad", text))
    result = run(folder, cell)
    assert result.status is Status.UNAVAILABLE
    assert (result.reason or "").startswith("reference cannot be imported: ")
    assert words in (result.reason or "")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_interpreter_that_is_not_there_makes_the_cell_unavailable(folder: SweepFolder, isolation: str) -> None:
    result = run(folder, make_cell(protocol={"isolation": isolation}, python="/nowhere/python"))
    assert result.status is Status.UNAVAILABLE
    assert "/nowhere/python" in (result.reason or "")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_interpreter_that_may_not_be_executed_makes_the_cell_unavailable(
    folder: SweepFolder, tmp_path: Path, isolation: str
) -> None:
    python = Path(faults.script(tmp_path / "bad", "#!/bin/sh\n"))
    python.chmod(0o644)
    result = run(folder, make_cell(protocol={"isolation": isolation}, python=str(python)))
    assert result.status is Status.UNAVAILABLE
    assert f"the interpreter {python} cannot be started: it may not be executed" in (result.reason or "")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_interpreter_for_another_machine_makes_the_cell_unavailable(
    folder: SweepFolder, tmp_path: Path, isolation: str
) -> None:
    python = faults.script(tmp_path / "bad", "\x7fELF, but not for this processor")
    result = run(folder, make_cell(protocol={"isolation": isolation}, python=python))
    assert result.status is Status.UNAVAILABLE
    assert "cannot be started: Exec format error" in (result.reason or "")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_import_that_hangs_is_ended_and_said(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    python = faults.script(tmp_path / "bad", "#!/bin/sh\nsleep 3600\n")
    result = run(folder, make_cell(protocol={"isolation": isolation, "timeout_s": 1.5}, python=python))
    assert result.status is Status.TIMEOUT
    assert result.reason is not None
    assert "1.5 s" in result.reason
    assert "raise protocol.timeout_s" in result.reason
    assert "imported" in result.reason


def test_a_template_that_is_killed_as_it_imports_says_nothing_of_its_framework(
    folder: SweepFolder, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    python = faults.script(
        tmp_path / "bad",
        f'#!/bin/sh\n[ -e {once} ] || {{ touch {once}; kill -KILL $$; }}\nexec {sys.executable} "$@"\n',
    )
    assert run(folder, make_cell(python=python)).status is Status.OK


def test_a_gpu_that_is_full_is_out_of_memory_and_says_who_holds_it(
    folder: SweepFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = NvidiaGpu(name="NVIDIA H100", driver="580", memory_bytes=85 * 10**9, used_bytes=84 * 10**9)
    monkeypatch.setattr("bench.run.attempt.nvidia", lambda: Nvidia((card,)))
    full = "raise RuntimeError('CUDA error: out of memory')"
    python = faults.faulty_python(tmp_path / "full", full, method="Engine.open_device", after=0)
    result = run(folder, make_cell(device="gpu", python=python))
    assert result.status is Status.OOM
    assert "CUDA error: out of memory; peak " in (result.reason or "")
    held = "other processes hold 84 GB of the 85 GB of the NVIDIA H100"
    assert (result.reason or "").endswith(held)


def test_a_template_that_was_killed_is_replaced(folder: SweepFolder) -> None:
    assert run(folder, make_cell()).status is Status.OK
    (template,) = psutil.Process().children()
    template.kill()
    template.wait()
    assert run(folder, make_cell(), round_=1).status is Status.OK


def test_a_template_that_ends_as_it_is_asked_is_replaced(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    end_before_start(monkeypatch, times=1)
    for round_ in range(3):
        result = run(folder, make_cell(), round_=round_)
        assert (result.status, result.reason) == (Status.OK, None)


def test_templates_that_keep_ending_crash_their_run_alone(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    end_before_start(monkeypatch, times=2)
    result = run(folder, make_cell())
    assert result.status is Status.CRASHED
    assert result.reason == "the template of reference ended: SIGKILL"
    assert run(folder, make_cell(), round_=1).status is Status.OK


def end_before_start(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The template is there when it is looked at, and gone when it is asked."""
    start, ends = Template.start, iter(range(times))

    def ending(self: Template, *arguments: Path) -> Any:
        if next(ends, None) is not None:
            (template,) = psutil.Process().children()
            template.kill()
            os.waitid(os.P_PID, template.pid, os.WEXITED | os.WNOWAIT)
        return start(self, *arguments)

    monkeypatch.setattr(Template, "start", ending)


def test_no_descriptor_is_left_open_by_a_run(folder: SweepFolder) -> None:
    cells = [make_cell(protocol={"isolation": isolation}) for isolation in ISOLATIONS]
    opened = []
    for round_ in range(4):
        for cell in cells:
            run(folder, cell, round_=round_)
        opened.append(psutil.Process().num_fds())
    assert len(set(opened)) == 1


def test_a_trace_that_cannot_be_read_is_a_crash(folder: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_short(path: Path) -> Any:
        return read_worker_trace(path.with_name("outcome.json"))

    monkeypatch.setattr(supervisor, "read_worker_trace", cut_short)
    result = run(folder, make_cell())
    assert result.status is Status.CRASHED
    assert "trace cannot be read" in (result.reason or "")
    assert not folder.run(result.cell_id, 0).trace.exists()


def test_a_template_killed_beside_its_worker_takes_the_worker_with_it(folder: SweepFolder, tmp_path: Path) -> None:
    python = faults.faulty_python(tmp_path / "bad", "os.kill(os.getppid(), signal.SIGKILL); time.sleep(3600)")
    result = run(folder, make_cell(python=python))
    assert result.status is Status.CRASHED
    assert "vanished with the process that watched over it" in (result.reason or "")


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_thread_counts_of_the_launcher_do_not_reach_the_worker(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, isolation: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "13")
    monkeypatch.setenv("STRAY_NUM_THREADS", "13")
    python = faults.faulty_python(
        tmp_path / "echo", "print(sorted(i for i in os.environ.items() if i[0].endswith('NUM_THREADS')))", after=0
    )
    cell = make_cell(protocol={"isolation": isolation, "threads": 2}, python=python)
    run(folder, cell)
    log = folder.run(cell.id, 0).log.read_text()
    assert "('OMP_NUM_THREADS', '2')" in log
    assert "13" not in log


def test_the_memory_pass_runs_in_the_first_round_in_a_process_of_its_own(folder: SweepFolder) -> None:
    data = DataSpec(name="teacher", n_train=50_000, n_val=10, features=4, noise=0.0, distribution="normal")
    cell = make_cell(protocol={"memory": True}, data=data, batch_size=50_000)
    first, second = run(folder, cell), run(folder, cell, round_=1)
    hidden_bytes = 4 * 50_000 * cell.network.hidden
    assert first.memory.isolation == "fork"
    assert first.memory.rss_over_baseline_bytes is not None
    assert hidden_bytes < first.memory.rss_over_baseline_bytes < 20 * hidden_bytes
    assert first.memory_wall_s is not None
    assert second.memory.rss_over_baseline_bytes is None
    assert second.memory.rss_reason == "measured in round 0 only"


def test_an_unavailable_cell_is_a_row_at_once(folder: SweepFolder) -> None:
    cell = make_cell(device="gpu")
    planned = PlannedCell(id=cell.id, cell=cell.to_plain(), unavailable_reason="no GPU was found")
    result = record_unavailable(folder, planned)
    assert (result.status, result.reason) == (Status.UNAVAILABLE, "no GPU was found")
    assert folder.run(cell.id, 0).result.exists()
    assert events(folder)[-1]["event"] == "run_unavailable"


@pytest.mark.parametrize(
    ("isolation", "method", "fault", "words"),
    in_turn(
        ("worker._write", faults.NO_SPACE, "trace.npz: No space left on device"),
        ("worker._write", faults.READ_ONLY, "trace.npz: Read-only file system"),
        ("Engine.step", faults.NO_SPACE_FOR_A_COMPILER, "No space left on device"),
    ),
)
def test_a_worker_without_a_disk_stops_the_sweep_and_leaves_its_run_to_be_done(
    folder: SweepFolder, tmp_path: Path, isolation: str, method: str, fault: str, words: str
) -> None:
    cell = make_cell(
        protocol={"isolation": isolation}, python=faults.faulty_python(tmp_path / "bad", fault, method=method, after=0)
    )
    with pytest.raises(StorageError, match=words) as stopped:
        run(folder, cell)
    assert "go on" in stopped.value.next_step or "run again" in stopped.value.next_step
    assert not list(folder.runs.glob("*/*/result.json"))
    assert run(folder, make_cell(protocol={"isolation": isolation})).status is Status.OK


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_folder_that_vanishes_under_a_worker_stops_the_sweep(
    folder: SweepFolder, tmp_path: Path, isolation: str
) -> None:
    vanish = f"__import__('shutil').rmtree({str(folder.path)!r}, ignore_errors=True)"
    cell = make_cell(protocol={"isolation": isolation}, python=faults.faulty_python(tmp_path / "bad", vanish))
    with pytest.raises(StorageError, match="the worker could not write"):
        run(folder, cell)


def test_a_folder_that_is_none_stops_the_sweep(folder: SweepFolder) -> None:
    folder.runs.touch()
    with pytest.raises(StorageError, match=re.escape(str(folder.runs))):
        run_cell(folder, make_cell(), round_=0, order_in_round=0)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_ctrl_c_ends_the_worker_and_is_passed_on(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    interrupt = f"os.kill({os.getpid()}, signal.SIGINT); time.sleep(3600)"
    python = faults.faulty_python(tmp_path / "bad", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(folder, make_cell(protocol={"isolation": isolation}, python=python))
    assert not list(folder.runs.glob("*/*/result.json"))
