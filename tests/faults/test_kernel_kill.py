"""The kernel's own kill for memory, in a control group of ours: its counter, the status and the peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cell import Cell
from tests.faults import interpreters as faults
from tests.faults.cells import make_cell

pytestmark = pytest.mark.faults

LIMIT_BYTES = 600 << 20
_RUN = """
import json, os, sys
from pathlib import Path
from bench.cell import Cell
from bench.run.supervisor import run_cell
from bench.store.layout import SweepFolder

Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
cell = Cell(**(vars(Cell.from_plain(json.loads(sys.argv[3]))) | {"python": sys.argv[4]}))
result = run_cell(SweepFolder(Path(sys.argv[2])), cell, round_=0, order_in_round=0)
print(json.dumps([result.status.value, result.exit_signal, result.reason, result.process_peak_bytes]))
"""


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with a limit (version 1); it needs a system that has one, and the right to make it."""
    lines = Path("/proc/self/cgroup").read_text().splitlines() if sys.platform == "linux" else []
    ours = next((line.split(":", 2)[2] for line in lines if "memory" in line.split(":")[1].split(",")), None)
    if ours is None:
        pytest.skip("no memory control group of version 1 here")
    path = Path("/sys/fs/cgroup/memory") / ours.lstrip("/") / f"bench-test-{os.getpid()}"
    try:
        path.mkdir()
        (path / "memory.limit_in_bytes").write_text(str(LIMIT_BYTES))
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    yield path
    path.rmdir()


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_the_kernels_kill_is_out_of_memory(group: Path, tmp_path: Path, isolation: str) -> None:
    cell: Cell = make_cell(protocol={"isolation": isolation})
    python = faults.faulty_python(tmp_path / "hungry", faults.GROW)
    (tmp_path / "sweep").mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", _RUN, group, tmp_path / "sweep", json.dumps(cell.to_plain()), python],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    status, signal, reason, peak_bytes = json.loads(ended.stdout)
    assert (status, signal) == ("oom", "SIGKILL")
    assert "the kernel's out-of-memory killer was at work meanwhile; peak " in reason
    assert " of a limit of 629 MB (control group)" in reason
    assert LIMIT_BYTES / 2 < peak_bytes < LIMIT_BYTES * 1.5
