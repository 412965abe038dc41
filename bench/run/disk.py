"""Whether a worker failed for want of a disk to write to: that is no result of its cell, and ends no run."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

_NO_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_NO_DISK_WORDS = ("no space left on device", "disk quota exceeded", "read-only file system")


def blames_disk(error: BaseException, *folders: Path) -> bool:
    """Whether an error, or what lies behind it, is a full or read-only disk, or a folder of ours that is gone."""
    return any(_says_disk(behind) or _lies_in(behind, folders) for behind in _chain(error))


def _says_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _NO_DISK:
        return True
    return any(words in str(error).lower() for words in _NO_DISK_WORDS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    behind: BaseException | None = error
    while behind is not None and id(behind) not in seen:
        seen.add(id(behind))
        yield behind
        behind = behind.__cause__ or behind.__context__


def _lies_in(error: BaseException, folders: Iterable[Path]) -> bool:
    if not isinstance(error, OSError) or not isinstance(error.filename, str | Path):
        return False
    return any(Path(error.filename).is_relative_to(folder) for folder in folders)
