"""The end of a sweep on a terminal or in a log: the best of each loop, the verdict, how runs ended, the report."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.analysis.tables import Controls, Tables, build_tables, without_controls
from bench.analysis.verdict import verdict
from bench.records import Status
from bench.report import completeness, noise, parity, precision, story
from bench.report import format as fmt
from bench.report.best import BestLine, best_lines
from bench.report.view import View, view_of
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep


def print_summary(folder: SweepFolder, console: Console) -> None:
    """Prints a sweep's outcome in a few lines that fit 80 columns and read well without colour.

    A sweep whose report was just built has its tables on disk; they are read from there.

    Raises:
        UsageError: the folder holds no sweep, or records of a newer version.
        StorageError: the plan is damaged, or a file cannot be read.
    """
    sweep, tables = read_sweep(folder), _tables(folder)
    view = view_of(folder, sweep, tables, verdict(tables, sweep))
    if view.panels:
        console.print(_best_table(view))
    # Text, never markup: names and reasons are foreign and may hold square brackets.
    for sentence in _sentences(view):
        console.print(Text(sentence))
    for line in (*_next_step(view), f"Report: {folder.report_html}"):
        console.print(Text(line), soft_wrap=True)


def _tables(folder: SweepFolder) -> Tables:
    paths = [folder.tables / f"{name}.parquet" for name in ("runs", "cells", "comparisons", "payoffs", "noise")]
    if not all(path.is_file() for path in paths):
        return build_tables(folder)
    every_run, every_cell, comparisons, payoffs, noise = map(pd.read_parquet, paths)
    (runs, control_runs), (cells, control_cells) = without_controls(every_run), without_controls(every_cell)
    none = pd.DataFrame()  # the summary asks for no single epoch or step, and for no model
    return Tables(
        runs=runs, cells=cells, comparisons=comparisons, payoffs=payoffs, noise=noise, epochs=none, steps=none,
        models=none, crossings=none, controls=Controls(runs=control_runs, cells=control_cells),
    )  # fmt: skip


def _best_table(view: View) -> Table:
    lines, left_out = best_lines(view)
    settings = {line.setting for line in lines}
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, caption=_below(lines, left_out), caption_justify="left"
    )
    table.add_column("loop", overflow="fold")
    if len(settings) > 1:
        table.add_column("on", overflow="fold")
    for header in ("samples/s", "batch", "to target", "batch"):
        table.add_column(header, justify="right")
    for line in lines:
        where = [line.setting] if len(settings) > 1 else []
        texts = [line.loop, *where, line.speed.replace(" samples/s", ""), line.speed_batch, line.time_to_target,
                 line.target_batch]  # fmt: skip
        table.add_row(*map(Text, texts))
    return table


def _below(lines: Sequence[BestLine], left_out: int) -> str | None:
    said = [
        *([f"{fmt.plural(left_out, 'more line')} in the report"] if left_out else []),
        *([fmt.UNSTEADY_NOTE] if any(line.unsteady for line in lines) else []),
    ]
    return "\n".join(said) or None


def _sentences(view: View) -> list[str]:
    counts = [f"{fmt.count(number)} {status}" for _, status, number in completeness.status_counts(view)]
    missing = completeness.missing_runs(view)
    runs = [*counts, *([f"{fmt.count(missing)} without a record"] if missing else [])]
    absent = [f"Absent: {what}: {why}" for what, why in completeness.absences(view)]
    disturbed = [sentence] if (sentence := noise.disturbed(view)) else []
    told = [*disturbed, parity.summary(view), *precision.sentences(view, most=6)]
    left_out = [sentence] if (sentence := story.left_out(view)) else []
    return [*story.headlines(view), *left_out, *told, f"Runs: {', '.join(runs) or 'none'}.", *absent[:6]]


def _next_step(view: View) -> list[str]:
    """How to run what failed or is missing; nothing where all was measured."""
    failed = [status for _, status, _ in completeness.status_counts(view) if Status(status).failed]
    if failed:
        return [f"To run again what failed: {view.folder.resume_command()} --retry {','.join(failed)}"]
    return [f"To run what is missing: {view.folder.resume_command()}"] if completeness.missing_runs(view) else []
