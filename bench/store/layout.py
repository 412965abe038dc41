"""Where everything of a sweep lies on disk; other programs rely on these names."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from bench.errors import StorageError

ASIDE = "aside"
"""In the folder of a run: numbered folders of its earlier records."""


def component(name: str) -> str:
    """A name of a record, as one part of a path: a sweep from elsewhere must not lead out of its folder.

    Raises:
        StorageError: it would.
    """
    if name in ("", ".", "..") or len(name.encode(errors="replace")) > 255 or set(name) & set("/\\\0"):
        raise StorageError(
            f"the record names '{name}', which is no name of a folder",
            "what a sweep's records name lies inside its folder",
            "the folder is damaged or was made to do harm: use a copy you trust",
        )
    return name


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: ``runs/<cell-id>/r<round>/``."""

    path: Path

    @property
    def request(self) -> Path:
        """What the worker was asked."""
        return self.path / "request.json"

    @property
    def result(self) -> Path:
        """The final record; a run without it has not happened."""
        return self.path / "result.json"

    @property
    def trace(self) -> Path:
        """Per-step losses and per-epoch rows."""
        return self.path / "trace.parquet"

    @property
    def log(self) -> Path:
        """Everything the worker printed."""
        return self.path / "worker.log"


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep: ``results/<sweep>/``."""

    path: Path

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @property
    def sweep_json(self) -> Path:
        """Plan, config, machine, software and git state."""
        return self.path / "sweep.json"

    @property
    def journal(self) -> Path:
        """One line per event."""
        return self.path / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """Held while a sweep writes here."""
        return self.path / ".lock"

    @property
    def holder(self) -> Path:
        """Who holds the lock."""
        return self.path / ".lock.json"

    @property
    def data(self) -> Path:
        """Data sets that are stored rather than generated."""
        return self.path / "data"

    @property
    def cache(self) -> Path:
        """Compiled programs of a sweep that is under way, a folder per cell and one of the memory passes; derived."""
        return self.path / "cache"

    @property
    def runs(self) -> Path:
        """All run folders."""
        return self.path / "runs"

    @property
    def tables(self) -> Path:
        """Derived tables."""
        return self.path / "tables"

    @property
    def figures(self) -> Path:
        """Derived figures."""
        return self.path / "figures"

    @property
    def report_html(self) -> Path:
        """The report to open in a browser."""
        return self.path / "report.html"

    @property
    def report_md(self) -> Path:
        """The report to paste into a pull request."""
        return self.path / "report.md"

    def run(self, cell_id: str, round_: int) -> RunFolder:
        """The folder of one run."""
        return RunFolder(self.runs / component(cell_id) / f"r{round_}")

    def cell_cache(self, cell_id: str) -> Path:
        """Compiled programs of one cell: shared with no other, so its first run is cold, and one process writes."""
        return self.cache / component(cell_id)

    def cell_folders(self) -> list[Path]:
        """The folder of every cell that has runs, in no order."""
        return list(self.runs.glob("*"))

    def resume_command(self) -> str:
        """What the user types, where they are, to go on with this sweep."""
        here = Path.cwd()
        path = self.path.relative_to(here) if self.path.is_relative_to(here) else self.path
        return f"bench sweep --resume {shlex.quote(str(path))}"

    def run_folders(self) -> list[RunFolder]:
        """Every run folder there is, in a fixed order."""
        return [RunFolder(path) for path in sorted(self.runs.glob("*/r*"))]

    def records_set_aside(self) -> list[Path]:
        """Every earlier record of a run that was done again, in a fixed order."""
        return sorted(self.runs.glob(f"*/r*/{ASIDE}/*/result.json"))
