"""How a worker that left no record is judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.records import Status, WorkerOutcome, to_plain
from bench.run.keeping import UNSEEN, Exit
from bench.run.outcome import Ending, judge, log_tail, oom_kills, read_outcome


def ending(tmp_path: Path, log: str | None = None, **known: object) -> Ending:
    path = tmp_path / "worker.log"
    if log is not None:
        path.write_text(log)
    return Ending(log=path, **({"exit": Exit(code=1)} | known))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "log", "status", "reason"),
    [
        ({"overdue": "too slow"}, "out of memory", Status.TIMEOUT, "too slow"),
        ({"exit": Exit(signal="SIGKILL"), "oom_kills": 1}, None, Status.OOM,
         "the worker was ended by SIGKILL; the kernel's out-of-memory killer was at work meanwhile"),
        ({"exit": Exit(signal="SIGKILL"), "oom_kills": 0}, None, Status.CRASHED,
         "the worker was ended by SIGKILL and left no record"),
        ({"exit": Exit(signal="SIGABRT")}, "terminate called after throwing std::bad_alloc\n", Status.OOM,
         "the worker was ended by SIGABRT; its log ends with: terminate called after throwing std::bad_alloc"),
        ({"exit": Exit(code=7), "oom_kills": 1}, None, Status.CRASHED,
         "the worker exited with code 7 and left no record"),
        ({"exit": Exit(signal="SIGKILL"), "oom_kills": -1}, None, Status.CRASHED,
         "the worker was ended by SIGKILL and left no record"),
        ({"exit": UNSEEN, "oom_kills": 1}, None, Status.OOM,
         "the worker vanished with its template; the kernel's out-of-memory killer was at work meanwhile"),
        ({"exit": Exit(code=3)}, "first\nlast words\n\n", Status.CRASHED,
         "the worker exited with code 3 and left no record; its log ends with: last words"),
        ({"exit": UNSEEN}, None, Status.CRASHED, "the worker vanished with its template and left no record"),
    ],
)  # fmt: skip
def test_judgement(tmp_path: Path, known: dict[str, object], log: str | None, status: Status, reason: str) -> None:
    assert judge(ending(tmp_path, log, **known)) == (status, reason)


def test_an_outcome_is_read_back(tmp_path: Path) -> None:
    outcome = WorkerOutcome(status=Status.DIVERGED, reason="nan", step_stride=3)
    (tmp_path / "outcome.json").write_text(json.dumps(to_plain(outcome)))
    assert read_outcome(tmp_path) == outcome


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"status": "splendid"}', b"\xff\xfe"])
def test_what_is_no_outcome_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outcome.json").write_bytes(content)
    assert read_outcome(tmp_path) is None


def test_a_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("x" * 100_000 + "\nthe end")
    assert log_tail(log).endswith("the end")
    assert len(log_tail(log)) < 10_000
    assert log_tail(tmp_path / "none.log") == ""


def test_the_kernel_counts_its_kills_per_control_group(tmp_path: Path) -> None:
    proc, root = tmp_path / "proc", tmp_path / "cgroup"
    (root / "ours").mkdir(parents=True)
    proc.mkdir()
    (proc / "cgroup").write_text("0::/ours\n")
    (root / "ours" / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n")
    assert oom_kills(root, proc) == 2
    (root / "ours" / "memory.events").unlink()
    assert oom_kills(root, proc) is None


@pytest.mark.parametrize(("code", "end"), [
    (0, Exit(code=0)), (3, Exit(code=3)), (-9, Exit(signal="SIGKILL")), (-40, Exit(signal="signal 40")),
])  # fmt: skip
def test_a_return_code_is_a_code_or_a_signal(code: int, end: Exit) -> None:
    assert Exit.from_code(code) == end
