"""Whether results can be written where they will go, how much room there is, and how long a record takes to be safe."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from bench.doctor.findings import Finding, note, ok, warning
from bench.text import size_text

_LITTLE_BYTES = 1 << 30
_SLOW_FSYNC_S = 0.02
_WRITES = 20
_RECORD = b"\0" * 4096


def disk_findings(results: Path) -> list[Finding]:
    """Looks at the folder, or, before the first sweep, at the nearest one above it that exists."""
    folder = nearest_existing(results.absolute())
    try:
        seconds = measure_fsync(folder)
    except OSError as error:
        return [
            warning("results", f"{folder} cannot be written ({error.strerror})", "choose another with sweep.dir=PATH")
        ]
    return [space(folder, shutil.disk_usage(folder).free), fsync(seconds)]


def nearest_existing(path: Path) -> Path:
    """The path itself or the closest folder above it."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def measure_fsync(folder: Path) -> float:
    """Median seconds to make 4 KiB safe; leaves nothing behind."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        return statistics.median(_write_and_sync(file.fileno()) for _ in range(_WRITES))


def _write_and_sync(descriptor: int) -> float:
    began_s = time.perf_counter()
    os.write(descriptor, _RECORD)
    os.fsync(descriptor)
    return time.perf_counter() - began_s


def space(folder: Path, free_bytes: int) -> Finding:
    """Room for results."""
    text = f"{size_text(free_bytes)} free in {folder}"
    if free_bytes < _LITTLE_BYTES:
        return warning("disk space", text, "free some space: a sweep stops when a record cannot be written")
    return ok("disk space", text)


def fsync(seconds: float) -> Finding:
    """Every run waits for a few of these, between the measurements."""
    text = f"{seconds * 1e3:.1f} ms to make a record safe"
    if seconds > _SLOW_FSYNC_S:
        return note("disk speed", text, "sweeps take longer, timings do not; a local disk is faster")
    return ok("disk speed", text)
