"""How a worker that left no record is judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.records import Status, WorkerOutcome, to_plain
from bench.run.keeping import UNSEEN, Exit
from bench.run.outcome import Ending, as_it_says, judge, log_tail, peak_of, read_outcome
from bench.run.room import Bound, Room
from bench.run.usage import Usage


def ending(tmp_path: Path, log: str | None = None, **known: object) -> Ending:
    path = tmp_path / "worker.log"
    if log is not None:
        path.write_text(log)
    return Ending(log=path, **({"exit": Exit(code=1)} | known))  # type: ignore[arg-type]


GB = 10**9
USED_2_GB = Usage(cpu_s=1.0, involuntary_switches=0, major_faults=0, peak_rss_bytes=2 * GB)


def room(limit_gb: float, *, start_gb: float = 0.0, name: str = "ulimit -v") -> Room:
    """A worker that may have ``limit_gb``, took up ``start_gb`` of it at its start, and had half a GB resident."""
    bound = Bound(name=name, limit_bytes=int(limit_gb * GB), start_bytes=int(start_gb * GB))
    return Room(rss_bytes=GB // 2, bounds=(bound,))


KERNEL = "the kernel's out-of-memory killer was at work meanwhile"
NO_MORE = "so ends what gets no more memory, and ulimit -v allows it 4.0 GB"
ABORTED = "terminate called after throwing std::bad_alloc\n"


@pytest.mark.parametrize(
    ("known", "log", "status", "reason"),
    [
        # the supervisor ended it
        ({"overdue": "too slow"}, "out of memory", Status.TIMEOUT, "too slow"),
        ({"overdue": "too slow", "importing": "keras on jax"}, None, Status.TIMEOUT,
         "too slow, while keras on jax was being imported"),
        # the kernel's kill
        ({"exit": Exit(signal="SIGKILL"), "oom_kills": 1}, None, Status.OOM,
         f"the worker was ended by SIGKILL; {KERNEL}"),
        ({"exit": Exit(signal="SIGKILL", usage=USED_2_GB), "oom_kills": 2, "group_limit_bytes": 2.1 * GB}, None,
         Status.OOM,
         f"the worker was ended by SIGKILL; {KERNEL}; peak 2.0 GB of a limit of 2.1 GB (control group)"),
        ({"exit": Exit(signal="SIGKILL", usage=USED_2_GB), "oom_kills": 1}, None, Status.OOM,
         f"the worker was ended by SIGKILL; {KERNEL}; peak 2.0 GB"),
        ({"exit": Exit(signal="SIGKILL"), "oom_kills": 0}, None, Status.CRASHED,
         "the worker was ended by SIGKILL and left no record"),
        ({"exit": Exit(signal="SIGKILL"), "oom_kills": -1}, None, Status.CRASHED,
         "the worker was ended by SIGKILL and left no record"),
        ({"exit": Exit(code=7), "oom_kills": 1}, None, Status.CRASHED,
         "the worker exited with code 7 and left no record"),
        ({"exit": Exit(code=137), "oom_kills": 1}, None, Status.OOM, f"the worker exited with code 137; {KERNEL}"),
        ({"exit": UNSEEN, "oom_kills": 1}, None, Status.OOM,
         f"the worker vanished with the process that watched over it; {KERNEL}"),
        ({"exit": UNSEEN}, None, Status.CRASHED,
         "the worker vanished with the process that watched over it and left no record"),
        # nobody counts the kernel's kills
        ({"exit": Exit(signal="SIGKILL", usage=USED_2_GB), "group_limit_bytes": 2.1 * GB}, None, Status.OOM,
         "the worker was ended by SIGKILL; it was killed near the limit of its control group, where nobody counts the "
         "kernel's kills; peak 2.0 GB of a limit of 2.1 GB (control group)"),
        ({"exit": Exit(signal="SIGKILL", usage=USED_2_GB), "group_limit_bytes": 8 * GB}, None, Status.CRASHED,
         "the worker was ended by SIGKILL and left no record"),
        ({"exit": Exit(signal="SIGKILL", usage=USED_2_GB), "group_limit_bytes": 2.1 * GB, "oom_kills": 0}, None,
         Status.CRASHED, "the worker was ended by SIGKILL and left no record"),
        # words in the log
        ({"exit": Exit(signal="SIGABRT")}, ABORTED, Status.OOM,
         "the worker was ended by SIGABRT; its log ends with: terminate called after throwing std::bad_alloc"),
        ({"exit": Exit(code=1, usage=USED_2_GB)}, "MemoryError\n", Status.OOM,
         "the worker exited with code 1; its log ends with: MemoryError; peak 2.0 GB"),
        # a failed allocation that nobody looked at
        ({"exit": Exit(signal="SIGSEGV", usage=USED_2_GB), "room": room(4, start_gb=2.3)}, None, Status.OOM,
         f"the worker was ended by SIGSEGV; {NO_MORE}; "
         "peak 2.0 GB resident, about 3.8 GB of the 4.0 GB of ulimit -v"),
        ({"exit": Exit(signal="SIGABRT", usage=USED_2_GB), "room": room(4, start_gb=3)}, None, Status.OOM,
         f"the worker was ended by SIGABRT; {NO_MORE}; "
         "peak 2.0 GB resident, about 4.0 GB of the 4.0 GB of ulimit -v"),
        ({"exit": Exit(code=139, usage=USED_2_GB), "room": room(4, start_gb=3)}, None, Status.OOM,
         f"the worker exited with code 139; {NO_MORE}; "
         "peak 2.0 GB resident, about 4.0 GB of the 4.0 GB of ulimit -v"),
        ({"exit": Exit(signal="SIGSEGV", usage=USED_2_GB), "room": room(64, start_gb=2)}, None, Status.CRASHED,
         "the worker was ended by SIGSEGV and left no record"),
        ({"exit": Exit(signal="SIGSEGV", usage=USED_2_GB)}, None, Status.CRASHED,
         "the worker was ended by SIGSEGV and left no record"),
        ({"exit": Exit(code=7, usage=USED_2_GB), "room": room(4, start_gb=3)}, None, Status.CRASHED,
         "the worker exited with code 7 and left no record"),
        ({"exit": Exit(signal="SIGSEGV", usage=USED_2_GB), "group_limit_bytes": 2.1 * GB}, None, Status.CRASHED,
         "the worker was ended by SIGSEGV and left no record"),
        # a fresh interpreter that never got as far as the framework
        ({"exit": Exit(signal="SIGABRT"), "importing": "pytorch"}, "illegal\n", Status.UNAVAILABLE,
         "pytorch cannot be imported: the worker was ended by SIGABRT; its log ends with: illegal"),
        ({"exit": Exit(code=1), "importing": "pytorch"}, None, Status.UNAVAILABLE,
         "pytorch cannot be imported: the worker exited with code 1"),
        ({"exit": Exit(signal="SIGKILL"), "importing": "pytorch"}, None, Status.CRASHED,
         "the worker was ended by SIGKILL and left no record"),
        ({"exit": Exit(signal="SIGKILL"), "oom_kills": 1, "importing": "pytorch"}, None, Status.OOM,
         f"the worker was ended by SIGKILL; {KERNEL}"),
        # anything else
        ({"exit": Exit(code=3)}, "first\nlast words\n\n", Status.CRASHED,
         "the worker exited with code 3 and left no record; its log ends with: last words"),
    ],
)  # fmt: skip
def test_judgement(tmp_path: Path, known: dict[str, object], log: str | None, status: Status, reason: str) -> None:
    assert judge(ending(tmp_path, log, **known)) == (status, reason)


@pytest.mark.parametrize(
    ("said", "kills", "status", "reason"),
    [
        ((Status.OK, None), 1, Status.OK, None),
        ((Status.ERROR, "CppCompileError: g++: fatal error: Killed signal terminated program cc1plus"), 1, Status.OOM,
         f"CppCompileError: g++: fatal error: Killed signal terminated program cc1plus; {KERNEL}; peak 1.5 GB"),
        ((Status.ERROR, "CalledProcessError: Command 'g++' died with <Signals.SIGKILL: 9>."), 1, Status.OOM,
         f"CalledProcessError: Command 'g++' died with <Signals.SIGKILL: 9>.; {KERNEL}; peak 1.5 GB"),
        ((Status.ERROR, "CalledProcessError: Command 'g++' died with <Signals.SIGKILL: 9>."), 0, Status.ERROR,
         "CalledProcessError: Command 'g++' died with <Signals.SIGKILL: 9>."),
        ((Status.ERROR, "ValueError: shapes do not match"), 1, Status.ERROR, "ValueError: shapes do not match"),
        ((Status.OOM, "MemoryError: no message"), None, Status.OOM, "MemoryError: no message; peak 1.5 GB"),
    ],
)  # fmt: skip
def test_a_workers_own_word_counts_but_for_its_killed_compiler(
    tmp_path: Path, said: tuple[Status, str | None], kills: int | None, status: Status, reason: str | None
) -> None:
    outcome = WorkerOutcome(status=said[0], reason=said[1], process_peak_bytes=3 * GB // 2)
    known = ending(tmp_path, exit=Exit(code=0, usage=USED_2_GB), oom_kills=kills)
    assert as_it_says(outcome, known) == (status, reason)
    assert peak_of(outcome, known) == 3 * GB // 2
    assert peak_of(None, known) == 2 * GB


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


@pytest.mark.parametrize(("code", "end"), [
    (0, Exit(code=0)), (3, Exit(code=3)), (-9, Exit(signal="SIGKILL")), (-40, Exit(signal="signal 40")),
])  # fmt: skip
def test_a_return_code_is_a_code_or_a_signal(code: int, end: Exit) -> None:
    assert Exit.from_code(code) == end
