"""What a worker says of its memory's limits, and when one of them is near."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from bench.run.room import Bound, Room, describe_room, read_room

MB = 2**20
STATUS = "Name:\tpython\nVmPeak:\t 9000 kB\nVmSize:\t 4096 kB\nVmData:\t 2048 kB\nVmRSS:\t 1024 kB\nThreads:\t1\n"
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def limited(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    by_number = {resource.RLIMIT_AS: limits.get("address_space"), resource.RLIMIT_DATA: limits.get("data")}
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: NO_LIMIT if by_number[which] is None else (by_number[which],) * 2
    )


def test_what_is_limited_is_told_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "status").write_text(STATUS)
    limited(monkeypatch, address_space=64 * MB, data=32 * MB)
    (tmp_path / "heartbeat").write_text(json.dumps(describe_room(tmp_path)))
    assert read_room(tmp_path / "heartbeat") == Room(
        rss_bytes=MB,
        bounds=(
            Bound(name="ulimit -v", limit_bytes=64 * MB, start_bytes=4 * MB),
            Bound(name="ulimit -d", limit_bytes=32 * MB, start_bytes=2 * MB),
        ),
    )


def test_no_limit_is_nothing_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch)
    assert describe_room(tmp_path) == {}


@pytest.mark.parametrize("said", ["", "{", "[]", "7", '{"limits": 3}', '{"limits": {"stack": 8}}', "\x00\x00"])
def test_a_worker_cut_off_in_its_word_has_said_nothing(tmp_path: Path, said: str) -> None:
    (tmp_path / "heartbeat").write_text(said)
    assert read_room(tmp_path / "heartbeat") == Room()
    assert read_room(tmp_path / "none") == Room()


@pytest.mark.parametrize(
    ("peak_mb", "near"), [(None, False), (10, False), (39, False), (40, True), (60, True), (1000, True)]
)
def test_a_limit_is_near_from_half_of_it_on(peak_mb: int | None, near: bool) -> None:
    bound = Bound(name="ulimit -v", limit_bytes=100 * MB, start_bytes=20 * MB)
    room = Room(rss_bytes=10 * MB, bounds=(bound,))
    assert (room.tight(None if peak_mb is None else peak_mb * MB) == bound) is near


def test_without_a_limit_none_is_near() -> None:
    assert Room(rss_bytes=MB).tight(10**12) is None
