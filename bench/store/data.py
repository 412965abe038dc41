"""Data sets that a sweep stores rather than generates: where they lie, and how they get there whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.cell import DataSpec
from bench.store.layout import SweepFolder, component
from bench.store.writer import write_aside
from bench.workload.data import Split


def data_file(folder: SweepFolder, spec: DataSpec) -> Path | None:
    """Where a sweep keeps the arrays of stored data; None for data that workers generate."""
    return None if spec.sha256 is None else folder.data / component(f"{spec.name}-{spec.sha256[:12]}.npz")


def write_split(path: Path, split: Split) -> None:
    """Writes the arrays aside, syncs them and renames them into place.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_aside(path, lambda file: np.savez(file, allow_pickle=False, **split._asdict()))
