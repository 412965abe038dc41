"""A sweep's folder from somebody else is read, shown and compared, and leads nowhere else."""

import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.tables import build_tables
from bench.errors import StorageError
from bench.report.build import build_report
from bench.report.comparison.build import build_comparison
from bench.report.comparison.terminal import print_comparison
from bench.report.terminal import print_summary
from bench.store import journal
from bench.store.data import data_file
from bench.store.layout import SweepFolder
from bench.store.reader import read_cell, read_results, read_sweep
from bench.sweep.show import make_console
from tests.rewriting import rewrite_json
from tests.synthetic import make_sweep
from tests.unit.report.reading import read_html
from tests.unit.report.test_hostile import HOSTILE, poison

OBEYED = set("\x1b\x07\x00\u202e\u200f\u2066")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return make_sweep(tmp_path_factory.mktemp("healthy") / "s", batch_sizes=(8, 32), rounds=1, epochs=2)


@pytest.fixture
def folder(healthy: SweepFolder, tmp_path: Path) -> SweepFolder:
    return SweepFolder(shutil.copytree(healthy.path, tmp_path / "results" / "s"))


def change_plan(folder: SweepFolder, change: Callable[[dict[str, Any]], object]) -> None:
    plain = json.loads(folder.sweep_json.read_text())
    change(plain)
    rewrite_json(folder.sweep_json, plain)


def everything_around(folder: SweepFolder) -> set[Path]:
    """What lies beside and above the sweep, its own content left out."""
    root = folder.path.parent.parent
    return {path for path in root.rglob("*") if folder.path not in path.parents}


@pytest.mark.parametrize("id_", ["../../../evil", "/tmp/evil", "..", "a/b"])
def test_an_id_that_is_a_path_reads_and_writes_nothing_elsewhere(id_: str, folder: SweepFolder) -> None:
    def rename(plan: dict[str, Any]) -> None:
        plan["rounds"] = [
            [id_ if cell == plan["cells"][0]["id"] else cell for cell in cells] for cells in plan["rounds"]
        ]
        plan["cells"][0]["id"] = id_

    change_plan(folder, rename)
    around = everything_around(folder)
    with pytest.raises(StorageError, match="names no folder"):
        build_tables(folder)
    with pytest.raises(StorageError, match="no name of a folder"):
        folder.run(id_, 0)
    assert everything_around(folder) == around


@pytest.mark.parametrize("name", ["tables", "figures", "runs", "cache", "data"])
def test_a_linked_folder_is_not_written_through(name: str, folder: SweepFolder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (folder.path / name).rename(elsewhere) if (folder.path / name).exists() else elsewhere.mkdir()
    (folder.path / name).symlink_to(elsewhere, target_is_directory=True)
    with pytest.raises(StorageError, match=f"{name} is a link\n"):
        build_report(folder)
    assert not (elsewhere / "runs.csv").exists()


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("network", "dtype", "O"), ("optimizer", "name", "evil"), ("lr_policy", "name", ""), ("data", "n_train", 0),
        ("data", "features", -1), ("network", "hidden", 2**60), ("data", "n_val", -1),
        ("optimizer", "lr", 0.0),
        ("budget", "epochs", 0), ("lr_policy", "base_batch_size", 0),
    ],
)  # fmt: skip
def test_a_cell_that_nothing_follows_from_is_refused(group: str, key: str, value: Any, folder: SweepFolder) -> None:
    change_plan(folder, lambda plan: plan["cells"][0]["cell"][group].update({key: value}))
    with pytest.raises(StorageError, match=rf"describes no cell under the id .*{group}\.{key}"):
        read_cell(read_sweep(folder).cells[0])


@pytest.mark.parametrize("name", ["sweep.json", "journal.jsonl", "result.json", "trace.parquet"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_record_that_never_ends_is_not_waited_for(kind: str, name: str, folder: SweepFolder) -> None:
    run = next(run for run in folder.run_folders() if run.trace.exists())
    path = (folder.path if name in ("sweep.json", "journal.jsonl") else run.path) / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    try:
        problems = build_tables(folder).problems
    except StorageError as refusal:
        assert "no regular file" in str(refusal)  # noqa: PT017
    else:
        assert name == "trace.parquet"
        assert "no regular file" in str(problems)


def test_stored_data_has_a_name_inside_the_folder(folder: SweepFolder) -> None:
    cell = read_cell(read_sweep(folder).cells[0])
    with pytest.raises(StorageError, match="no name of a folder"):
        data_file(folder, replace(cell.data, name="../../evil", sha256="0" * 64))


@pytest.mark.parametrize("number", [10**30, 2**63, -(10**30)])
def test_a_number_no_table_can_hold_makes_the_record_invalid(number: int, folder: SweepFolder) -> None:
    run = next(run for run in folder.run_folders() if run.trace.exists())
    plain = json.loads(run.result.read_text())
    plain["memory"]["peak_rss_bytes"] = number
    rewrite_json(run.result, plain)
    [result] = [result for result in read_results(folder) if result.cell_id == run.path.parent.name]
    assert result.status == "invalid"
    assert "beyond 64 bits" in str(result.reason)
    build_tables(folder)


def test_rounds_of_a_strangers_journal_are_no_numbers_of_ours(folder: SweepFolder) -> None:
    for round_ in (-1, 10**9, "../x", None, 1.5, True):
        journal.append(folder, "round_added", round=round_, cells=["../../evil"])
    assert len(read_sweep(folder).rounds) == 1


def test_hostile_texts_are_shown_in_a_comparison_and_on_a_terminal(folder: SweepFolder, tmp_path: Path) -> None:
    poison(folder, HOSTILE)
    other = SweepFolder(shutil.copytree(folder.path, tmp_path / "results" / "</script>\u202e=1\x1b[31m"))
    said = io.StringIO()
    console = make_console()
    console.file = said
    print_summary(folder, console)
    view, page = build_comparison([folder, other])
    print_comparison(view, page, console)
    html, markdown = page.html.read_text(), page.markdown.read_text()
    assert page.path.parent == folder.path.parent
    assert page.path.name.isascii()
    assert page.path.name.isprintable()
    read = read_html(html)
    assert not [tag for tag, _ in read.tags if tag in ("script", "img", "iframe", "object", "base", "form")]
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert not OBEYED & set(html + markdown + said.getvalue())
    assert "\\x1b[31m" in said.getvalue()
