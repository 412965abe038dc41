"""What nobody needs is removed, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.run import worker
from bench.store import leftovers
from bench.store.aside import set_aside
from bench.store.layout import SweepFolder
from bench.store.leftovers import remove_leftovers
from bench.store.reader import read_results
from tests.synthetic import make_sweep


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return make_sweep(
        tmp_path / "s", frameworks=["pytorch"], loops=["eager"], batch_sizes=[256], devices=["cpu"], failures=False
    )


def files(folder: SweepFolder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}


def test_a_whole_sweep_has_no_leftovers(folder: SweepFolder) -> None:
    before = files(folder)
    assert remove_leftovers(folder) == []
    assert files(folder) == before


def test_what_a_killed_sweep_left_is_removed_and_nothing_else(folder: SweepFolder) -> None:
    done, killed = folder.run_folders()[:2]
    killed.result.unlink()
    for kept in (killed.request, killed.log, done.log, done.path / "memory" / "request.json"):
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("kept")
    expected = {path: text for path, text in files(folder).items() if path != killed.trace}
    left = [
        folder.path / ".sweep.json.17.part",
        folder.path / "tables" / ".runs.parquet.17.part",
        killed.path / ".result.json.17.part",
        *(run.path / name for run in (done, killed) for name in ("outcome.json", "trace.npz", "heartbeat")),
        *(run.path / "memory" / "outcome.json" for run in (done, killed)),
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    removed = remove_leftovers(folder)
    assert files(folder) == expected
    assert killed.trace in removed
    assert killed.path / "memory" in removed
    assert remove_leftovers(folder) == []


def test_what_was_set_aside_stays(folder: SweepFolder) -> None:
    first = read_results(folder)[0]
    (folder.run(first.cell_id, first.round).path / "heartbeat").write_text("1")
    place = set_aside(folder, first.cell_id, first.round, "to be retried")
    before = files(folder)
    assert remove_leftovers(folder) == []
    assert files(folder) == before
    assert (place / "heartbeat").exists()


def test_the_workers_files_have_the_names_that_workers_use() -> None:
    assert {worker.OUTCOME, worker.TRACE, worker.HEARTBEAT} == set(leftovers._OF_WORKERS)
