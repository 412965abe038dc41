"""The tables as files: the same bytes for the same runs, whole on reading back, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.export import NAMES, csv_text, write_tables
from bench.analysis.tables import Tables, build_tables
from bench.store.layout import SweepFolder

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]


def rows_of(table: pd.DataFrame) -> list[list[str]]:
    text = bytes(csv_text(table)).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", NAMES)
def test_parquet_gives_the_table_back(tables: Tables, folder: SweepFolder, tmp_path: Path, name: str) -> None:
    write_tables(tables, SweepFolder(tmp_path))
    back = pq.read_table(SweepFolder(tmp_path).tables / f"{name}.parquet", page_checksum_verification=True).to_pandas()
    pd.testing.assert_frame_equal(back, getattr(tables, name))


@pytest.mark.parametrize("name", NAMES)
def test_csv_holds_every_row_under_its_header(tables: Tables, name: str) -> None:
    table = getattr(tables, name)
    header, *rows = rows_of(table)
    assert header == list(table.columns)
    assert len(rows) == len(table)


def test_the_same_runs_give_the_same_bytes_wherever_they_lie(folder: SweepFolder, tmp_path: Path) -> None:
    elsewhere = SweepFolder(shutil.copytree(folder.path, tmp_path / "elsewhere" / folder.name))
    for where in (folder, elsewhere):
        write_tables(build_tables(where), where)
    for name in NAMES:
        for suffix in ("csv", "parquet"):
            file = f"{name}.{suffix}"
            assert (folder.tables / file).read_bytes() == (elsewhere.tables / file).read_bytes(), file


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("dtype", ["str", "category"])
def test_a_formula_is_shown_not_run(text: str, dtype: str) -> None:
    table = pd.DataFrame({"reason": pd.Series([text, "harmless"], dtype="str")}).astype({"reason": dtype})
    assert rows_of(table)[1:] == [[f"'{text}"], ["harmless"]]


def test_numbers_keep_their_sign_and_nulls_stay_empty() -> None:
    table = pd.DataFrame({"a": [-1.5, np.nan], "b": pd.Series([-2, None], dtype="Int64"), "c": ["x", None]})
    assert rows_of(table)[1:] == [["-1.5", "-2", "x"], ["", "", ""]]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1, max_size=5))
def test_any_text_survives_csv(texts: list[str]) -> None:
    read = [
        row[1] for row in rows_of(pd.DataFrame({"n": range(len(texts)), "text": pd.Series(texts, dtype="str")}))[1:]
    ]
    assert [text.removeprefix("'") for text in read] == [text.removeprefix("'") for text in texts]
    assert not any(text.startswith(("=", "+", "-", "@")) for text in read)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_csv_numbers_are_exact(values: list[float]) -> None:
    assert [float(row[0]) for row in rows_of(pd.DataFrame({"value": values}))[1:]] == values
