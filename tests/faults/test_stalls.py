"""The stall detector ends what waits for nothing, and leaves alone what works where it cannot be seen to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.cell import BudgetSpec
from bench.records import RunResult, Status
from bench.run.supervisor import close_templates
from bench.store.layout import SweepFolder
from tests.faults import interpreters as faults
from tests.faults.cells import make_cell
from tests.faults.test_workers import GONE_WITHIN_S, ISOLATIONS, run

STALL_S = 1.0
SLOW = pytest.mark.faults
BOTH = [pytest.param("spawn"), pytest.param("fork", marks=SLOW)]

_CHILD = "import subprocess; child = subprocess.Popen([sys.executable, '-S', '-c', {code!r}])"
_BURN = "import time\nwhile time.process_time() < {seconds}: pass"
# A compiler is a process of its own, for which the engine waits.
COMPILE_FOR_3_S = _CHILD.format(code=_BURN.format(seconds=3)) + "; child.wait()"
# One whose end nobody waits for (its time is nowhere afterwards), and then the engine works on by itself for a while.
COMPILE_UNSEEN_THEN_WORK = (
    "signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    + _CHILD.format(code=_BURN.format(seconds=3))
    + "; [time.sleep(0.01) for _ in iter(lambda: os.path.exists(f'/proc/{child.pid}'), False)]"
    + "; [None for _ in iter(lambda: time.process_time() < 3.0, False)]"
)
WAIT_FOR_SLEEPING_CHILD = _CHILD.format(code="import time; time.sleep(3600)") + "; child.wait()"
WAIT_FOR_STOPPED_CHILD = (
    _CHILD.format(code="while True: pass")
    + "; os.kill(child.pid, signal.SIGSTOP); print('left', child.pid, flush=True); "
    "child.wait()"
)
FULL_DISK = """def refuse(path, *arguments, opened=os.open, **settings):
    if str(path).endswith('heartbeat'):
        raise OSError(28, os.strerror(28))
    return opened(path, *arguments, **settings)
os.utime = os.open = refuse
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[SweepFolder]:
    (tmp_path / "sweep").mkdir()
    yield SweepFolder(tmp_path / "sweep")
    close_templates()
    _, alive = psutil.wait_procs(psutil.Process().children(recursive=True), timeout=GONE_WITHIN_S)
    assert not alive


def stalled(
    folder: SweepFolder,
    path: Path,
    fault: str,
    *,
    method: str = "Engine.step",
    after: int = 0,
    isolation: str = "spawn",
) -> RunResult:
    python = faults.faulty_python(path / "bad", fault, method=method, after=after)
    return run(folder, make_cell(protocol={"stall_s": STALL_S, "isolation": isolation}, python=python))


@pytest.mark.parametrize("isolation", BOTH)
def test_a_long_compile_in_a_child_process_is_work(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    result = stalled(folder, tmp_path, COMPILE_FOR_3_S, method="Engine.warm_up", isolation=isolation)
    assert (result.status, result.reason) == (Status.OK, None)
    assert (result.phases.first_step_s or 0) > 2 * STALL_S


@pytest.mark.faults
@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="looks for the child under /proc")
def test_work_after_a_compiler_that_left_no_trace_is_work(folder: SweepFolder, tmp_path: Path) -> None:
    result = stalled(folder, tmp_path, COMPILE_UNSEEN_THEN_WORK, method="Engine.warm_up")
    assert (result.status, result.reason) == (Status.OK, None)


@pytest.mark.parametrize(
    ("fault", "isolation"),
    [
        pytest.param(WAIT_FOR_SLEEPING_CHILD, "spawn", marks=SLOW),
        (WAIT_FOR_STOPPED_CHILD, "spawn"),
        pytest.param(WAIT_FOR_STOPPED_CHILD, "fork", marks=SLOW),
        pytest.param(faults.STOP, "spawn", marks=SLOW),
        (faults.STOP, "fork"),
    ],
)
def test_what_waits_or_is_stopped_is_ended_and_the_phase_is_told(
    folder: SweepFolder, tmp_path: Path, fault: str, isolation: str
) -> None:
    result = stalled(folder, tmp_path, fault, method="Engine.warm_up", isolation=isolation)
    assert result.status is Status.TIMEOUT
    assert result.reason == (
        f"no sign of progress for protocol.stall_s = {STALL_S:g} s, in its first step (trace and compile): "
        "raise protocol.stall_s if that is too short"
    )


@pytest.mark.parametrize(
    ("method", "after", "phase"),
    [
        pytest.param("worker.make_engine", 0, "its start", marks=SLOW),
        pytest.param("Engine.build", 0, "the build of its model", marks=SLOW),
        ("Engine.step", 3, "training"),
    ],
)
def test_a_timeout_tells_its_limit_its_setting_and_the_phase(
    folder: SweepFolder, tmp_path: Path, method: str, after: int, phase: str
) -> None:
    python = faults.faulty_python(tmp_path / "bad", faults.HANG, method=method, after=after)
    result = run(folder, make_cell(protocol={"timeout_s": 3.0, "isolation": "fork"}, python=python))
    assert result.status is Status.TIMEOUT
    assert result.reason == (
        f"still running after protocol.timeout_s = 3 s, in {phase}: raise protocol.timeout_s if that is too short"
    )


@pytest.mark.faults
@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_heartbeat_that_cannot_be_written_costs_no_run(folder: SweepFolder, tmp_path: Path, isolation: str) -> None:
    # Work of seconds without a heartbeat: its processor time speaks for it.
    work = "[0 for _ in iter(lambda: time.process_time() < 3, False)]"
    fault = f"exec({FULL_DISK!r}) if calls == 1 else calls == 5 and {work}"
    python = faults.faulty_python(tmp_path / "full", fault, method="Engine.step", after=0)
    cell = make_cell(protocol={"stall_s": STALL_S, "isolation": isolation}, budget=BudgetSpec(epochs=3), python=python)
    result = run(folder, cell)
    assert (result.status, result.reason) == (Status.OK, None)
