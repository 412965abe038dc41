"""Every storage step below a folder, seen as it happens: the calls by which a program changes files.

Seen are ``os.open`` for writing, ``os.write``, ``os.fsync``, ``os.ftruncate``, ``os.truncate``, ``os.replace``,
``os.rename``, ``os.mkdir``, ``os.unlink``, ``os.remove``, ``os.rmdir``, ``os.symlink``, ``os.link``, ``os.utime``, and
files that ``open`` opens for writing, with every write that reaches the operating system. Paths of descriptors are
asked of /proc, so this is for Linux. A folder made that is there, or a file removed that is not, is no step.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ONE_PATH = ("mkdir", "unlink", "remove", "rmdir", "truncate")
_TWO_PATHS = ("replace", "rename", "symlink", "link")


@dataclass(frozen=True)
class Step:
    """One storage step: what is done, to which path, and, of a write, how many bytes."""

    verb: str
    path: str
    size: int = 0


See = Callable[[Step, int], int | None]
"""Is told every step and its number, from 1, before it is taken. A number returned cuts a write to so many bytes."""


def watch(folder: str, see: See, *, then: Callable[[], None] = lambda: None) -> None:
    """Has every step of this process below the folder seen; ``then`` is called after a write that was cut."""
    _Watch(os.path.realpath(folder), see, then).patch()


class _Watch:
    def __init__(self, folder: str, see: See, then: Callable[[], None]) -> None:
        self._folder = folder
        self._see = see
        self._then = then
        self._count = 0
        self._owner = os.getpid()

    def patch(self) -> None:
        for name in _ONE_PATH:
            setattr(os, name, self._on_path(name, getattr(os, name)))
        for name in _TWO_PATHS:
            setattr(os, name, self._on_two_paths(name, getattr(os, name)))
        for name in ("fsync", "fdatasync", "ftruncate"):
            setattr(os, name, self._on_descriptor(name, getattr(os, name)))
        self._patch_open()
        self._patch_write()
        self._patch_files()

    def told(self, verb: str, path: str | None, size: int = 0) -> int | None:
        if path is None or os.getpid() != self._owner:
            return None
        if path != self._folder and not path.startswith(self._folder + os.sep):
            return None
        self._count += 1
        return self._see(Step(verb, path, size), self._count)

    def _on_path(self, name: str, call: Any) -> Any:
        def seen(path: Any, *arguments: Any, **named: Any) -> Any:
            whole = _whole(path, named.get("dir_fd"))
            if whole is not None and os.path.lexists(whole) is not (name == "mkdir"):  # else it changes nothing
                self.told(name, whole)
            return call(path, *arguments, **named)

        return seen

    def _on_two_paths(self, name: str, call: Any) -> Any:
        def seen(source: Any, target: Any, *arguments: Any, **named: Any) -> Any:
            self.told(name, _whole(target))
            return call(source, target, *arguments, **named)

        return seen

    def _on_descriptor(self, name: str, call: Any) -> Any:
        def seen(descriptor: int, *arguments: Any) -> Any:
            self.told(name, _path_of(descriptor))
            return call(descriptor, *arguments)

        return seen

    def _patch_open(self) -> None:
        call = os.open

        def seen(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if flags & _WRITING:
                self.told("open", _whole(path, dir_fd))
            return call(path, flags, mode, dir_fd=dir_fd)

        os.open = seen

    def _patch_write(self) -> None:
        call = os.write

        def seen(descriptor: int, content: Any) -> int:
            kept = self.told("write", _path_of(descriptor), len(content))
            if kept is None:
                return call(descriptor, content)
            written = call(descriptor, bytes(content)[:kept])
            self._then()
            return written

        os.write = seen

    def _patch_files(self) -> None:
        call, watch = io.open, self

        class Raw(io.FileIO):
            def write(self, content: Any) -> int:
                size = memoryview(content).nbytes
                kept = watch.told("write", _path_of(self.fileno()), size)
                if kept is None:
                    return super().write(content) or 0
                written = super().write(bytes(content)[:kept]) or 0
                watch._then()
                return written

        def seen(file: Any, mode: str = "r", buffering: int = -1, *arguments: Any, **named: Any) -> Any:
            writing = isinstance(file, str | bytes | os.PathLike) and set(mode) & set("wax+")
            path = _whole(file) if writing else None
            if path is None or not path.startswith(watch._folder + os.sep):
                return call(file, mode, buffering, *arguments, **named)
            watch.told("open", path)
            raw = Raw(file, mode.replace("b", "").replace("t", ""))
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, *arguments, **named)

        io.open = builtins.open = seen


def _whole(path: Any, dir_fd: int | None = None) -> str | None:
    if isinstance(path, int):
        return _path_of(path)
    text = os.fsdecode(path)
    if dir_fd is not None and not os.path.isabs(text):
        above = _path_of(dir_fd)
        return None if above is None else os.path.join(above, text)
    folder, name = os.path.split(os.path.abspath(text))
    return os.path.join(os.path.realpath(folder), name)


def _path_of(descriptor: int) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
