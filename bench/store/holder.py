"""Who holds a sweep's folder: written beside the lock, for whoever finds the folder in use, or the lock left behind.

The lock itself is the kernel's and ends with its process. This file only tells of it, and may be stale, absent or
damaged: nothing is decided by it, but for file systems whose locks do not reach other machines.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from bench.records import to_plain
from bench.store import journal
from bench.store.writer import write_json
from bench.text import one_line

_MOST_BYTES = 1 << 20
_LONGEST = 300
# Mount options and types of file systems that answer for this machine alone.
_LOCAL_LOCKS = {"local_lock=all", "local_lock=flock", "localflock", "nolock", "nobrl"}
_LOCAL_TYPES = ("9p", "fuse", "virtiofs")


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that writes to a sweep's folder.

    Attributes:
        pid: of the process.
        host: the machine it runs on.
        since: UTC, ISO 8601.
        command: what the user typed.
    """

    pid: int
    host: str
    since: str
    command: list[str]

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this machine."""
        return self.host == socket.gethostname()

    def __str__(self) -> str:
        where = "" if self.is_here else f" on {self.host}"
        return one_line(f"process {self.pid}{where} since {self.since}: {shlex.join(self.command)}", _LONGEST)


_HOLDER = TypeAdapter(Holder)


def this_process() -> Holder:
    """The process that asks."""
    command = [Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]
    return Holder(pid=os.getpid(), host=socket.gethostname(), since=journal.now(), command=command)


def write_holder(path: Path, holder: Holder) -> None:
    """Says who holds the folder.

    Raises:
        StorageError: it cannot be written.
    """
    write_json(path, to_plain(holder))


def read_holder(path: Path) -> Holder | None:
    """Who holds the folder, or held it last; None where nothing readable says so."""
    try:
        with path.open("rb") as file:
            return _HOLDER.validate_json(file.read(_MOST_BYTES), strict=True)
    except (OSError, ValidationError):
        return None


def locks_stay_here(path: Path) -> bool:
    """Whether a lock on a file under ``path`` may be unseen by other machines."""
    real = path.resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if real.is_relative_to(part.mountpoint)]
    if not mounts:
        return False
    mount = max(mounts, key=lambda part: len(part.mountpoint))
    return mount.fstype.startswith(_LOCAL_TYPES) or not _LOCAL_LOCKS.isdisjoint(mount.opts.split(","))
