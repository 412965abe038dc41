"""Every reader holds against damaged files: a few of them always, many under ``make faults``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.readers import main, readers

NAMES = [
    "result.json", "result.json, checksum anew", "result.json, version 3", "sweep.json", "sweep.json, version 3",
    "journal.jsonl", "trace.parquet", "trace.parquet, version 3", "tables of version 3",
    "tables of version 3's plan", "lock's holder",
]  # fmt: skip
FEW, MANY = 40, 2000

Record = Callable[[str, object], None]


def test_every_reader_is_tried(tmp_path: Path) -> None:
    assert [reader.name for reader in readers(tmp_path)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_told_and_neither_crashes_nor_passes(
    name: str, tmp_path: Path, record_property: Record
) -> None:
    hold(name, FEW, tmp_path, record_property)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_many_damaged_files_are_told(name: str, tmp_path: Path, record_property: Record) -> None:
    hold(name, MANY, tmp_path, record_property)


def hold(name: str, examples: int, scratch: Path, record_property: Record) -> None:
    (reader,) = (reader for reader in readers(scratch) if reader.name == name)
    reader.try_inputs(examples, derandomize=True)
    record_property("inputs", reader.tried)
    assert reader.tried >= examples / reader.cost
    assert reader.accepted < reader.tried


def test_the_command_prints_a_line_for_each_reader(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--examples", "5", "--only", "lock"]) == 0
    assert capsys.readouterr().out.startswith("lock's holder               5 inputs tried, 0 failures")
