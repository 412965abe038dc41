"""Builds a comparison's tables, figure and pages, byte for byte the same every time."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from bench.analysis.across.align import read_side
from bench.analysis.across.tables import Across, compare_sides
from bench.analysis.compare import TIE_MARGIN
from bench.analysis.export import csv_text
from bench.errors import UsageError
from bench.report import format as fmt
from bench.report.comparison import figure, story
from bench.report.comparison.folder import ComparisonFolder, comparison_folder
from bench.report.comparison.page import page_of
from bench.report.comparison.view import CompareView, label, once, view_of
from bench.report.gallery import Exhibit, drawing, written
from bench.report.render import filled
from bench.store.layout import SweepFolder
from bench.store.writer import write_bytes, write_parquet

_LETTERS = string.ascii_uppercase
_MOST_REASONS = 3


def build_comparison(
    sweeps: Sequence[SweepFolder], *, output: Path | None = None, regression_margin: float | None = None
) -> tuple[CompareView, ComparisonFolder]:
    """Compares sweeps with the first of them and writes what was found.

    Args:
        sweeps: the baseline, and one or more others.
        output: where to; None is a folder beside the baseline.
        regression_margin: the margin of a regression that decides on the exit code, see ``gate``; None asks for no such
            decision, and regressions are told from the margin of ties on.

    Raises:
        UsageError: a folder holds no sweep or one of a newer version, nothing can be compared (nor, where a decision
            is asked for, is known to run no longer), or the output lies inside a sweep.
        StorageError: a plan is damaged, or a folder cannot be read or written.
    """
    _refuse_number(len(sweeps))
    folder = comparison_folder(sweeps, output)
    sides = [read_side(letter, sweep) for letter, sweep in zip(_LETTERS, sweeps, strict=False)]
    across = compare_sides(sides, margin=TIE_MARGIN if regression_margin is None else regression_margin)
    asked = regression_margin is not None
    _refuse_nothing(across, asked=asked)
    view = view_of(across, asked=asked)
    _write_tables(across, folder)
    page = page_of(view, _exhibit(view, folder))
    write_bytes(folder.html, filled("compare.html.j2", page).encode())
    write_bytes(folder.markdown, filled("compare.md.j2", page).encode())
    return view, folder


def _refuse_number(number: int) -> None:
    if not 2 <= number <= len(_LETTERS):
        raise UsageError(
            f"bench compare was given {fmt.plural(number, 'sweep')}",
            f"a comparison takes a baseline and 1 to {len(_LETTERS) - 1} others",
            "for example: bench compare results/old results/new",
        )


def _refuse_nothing(across: Across, *, asked: bool) -> None:
    if len(across.cells) or (asked and across.apart["ended"].notna().any()):
        return
    apart = once(across.apart, across.base.letter)
    counts = Counter(zip(apart["kind"], apart["detail"], strict=True))
    reasons = [
        f"{fmt.plural(n, 'cell')} {kind}{f' ({fmt.one_line(detail, 200)})' if detail else ''}"
        for (kind, detail), n in counts.most_common(_MOST_REASONS)
    ]
    names = fmt.listed([label(side) for side in across.sides])
    raise UsageError(
        f"nothing of {names} can be compared: {'; '.join(reasons) or 'they have no cells'}",
        "cells are compared where all but machine and versions of frameworks is the same and both were measured",
        "sweep the same settings with the same version of bench on both sides",
    )


def _exhibit(view: CompareView, folder: ComparisonFolder) -> Exhibit:
    title, finding = figure.title(view), story.finding(view)
    if view.cells.empty:
        for suffix in ("svg", "png"):
            (folder.figures / f"{figure.NAME}.{suffix}").unlink(missing_ok=True)
        return Exhibit(figure.NAME, title, finding=finding, absence=finding)
    with drawing():
        picture = written(folder.figures, figure.draw(view), name=figure.NAME, title=title, finding=finding)
    return Exhibit(figure.NAME, title, picture, finding)


def _write_tables(across: Across, folder: ComparisonFolder) -> None:
    tables: dict[str, pd.DataFrame] = {"cells": across.cells, "knees": across.knees, "apart": across.apart}
    for name, table in tables.items():
        write_parquet(folder.tables / f"{name}.parquet", pa.Table.from_pandas(table, preserve_index=False))
        write_bytes(folder.tables / f"{name}.csv", csv_text(table))
