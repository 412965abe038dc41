"""What nobody needs is removed, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.run import worker
from bench.store import leftovers
from bench.store.aside import set_aside
from bench.store.claim import LATEST, link_aside
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


def test_doubles_of_a_record_that_was_not_set_aside_in_the_end_are_removed(folder: SweepFolder) -> None:
    first, second = read_results(folder)[:2]
    place = set_aside(folder, first.cell_id, first.round, "to be retried")
    runs = [folder.run(result.cell_id, result.round) for result in (first, second)]
    shutil.copy(place / "result.json", runs[0].result)  # run again
    doubles = [place.parent / "2", runs[1].path / "aside" / "1"]
    for double in doubles:
        double.mkdir(parents=True)
        (double / "trace.parquet").write_bytes(b"half")
    assert set(remove_leftovers(folder)) == {doubles[0], doubles[1].parent}
    assert (place / "result.json").exists()
    assert runs[1].result.exists()


def test_a_link_that_was_not_renamed_is_removed(folder: SweepFolder) -> None:
    for link in (link_aside(folder), folder.path.parent / LATEST):
        link.symlink_to(folder.name)
    assert remove_leftovers(folder) == [link_aside(folder)]
    assert (folder.path.parent / LATEST).is_symlink()


def test_the_workers_files_have_the_names_that_workers_use() -> None:
    assert {worker.OUTCOME, worker.TRACE, worker.HEARTBEAT} == set(leftovers._OF_WORKERS)
