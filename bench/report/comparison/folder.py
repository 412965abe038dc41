"""Where a comparison lies: a folder beside the baseline, never inside a sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UsageError
from bench.store.layout import SweepFolder
from bench.text import visible

# What a file system takes for a name, with room for the names of files written aside.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class ComparisonFolder:
    """The folder of one comparison."""

    path: Path

    @property
    def html(self) -> Path:
        """The page to open in a browser."""
        return self.path / "compare.html"

    @property
    def markdown(self) -> Path:
        """The page to paste into a pull request."""
        return self.path / "compare.md"

    @property
    def tables(self) -> Path:
        """Its tables."""
        return self.path / "tables"

    @property
    def figures(self) -> Path:
        """Its figure."""
        return self.path / "figures"


def comparison_folder(sweeps: Sequence[SweepFolder], output: Path | None) -> ComparisonFolder:
    """The folder asked for, else ``compare-A-B`` beside the baseline.

    Raises:
        UsageError: it lies inside a sweep.
    """
    path = (output or sweeps[0].path.parent / _name([sweep.name for sweep in sweeps])).resolve()
    for folder in (path, *path.parents):
        if SweepFolder(folder).sweep_json.exists():
            raise UsageError(
                f"--output {path} lies inside the sweep {folder}",
                "a sweep's folder holds what it measured and nothing else",
                "choose a folder outside of it, or leave --output away",
            )
    return ComparisonFolder(path)


def _name(names: Sequence[str]) -> str:
    name = "-".join(["compare", *names])
    if len(name.encode(errors="replace")) <= _LONGEST_NAME and visible(name) == name:
        return name
    return f"compare-{len(names)}-sweeps-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:10]}"
