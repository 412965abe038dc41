"""Builds a sweep's tables, figures and reports from its runs, byte for byte the same every time."""

from __future__ import annotations

from bench.analysis.export import write_tables
from bench.analysis.tables import build_tables
from bench.analysis.verdict import verdict
from bench.report.gallery import exhibits
from bench.report.page import page_of
from bench.report.render import as_html, as_markdown
from bench.report.view import view_of
from bench.store.layout import SweepFolder
from bench.store.reader import read_sweep
from bench.store.writer import write_bytes


def build_report(folder: SweepFolder) -> None:
    """Writes ``tables/``, ``figures/``, ``report.html`` and ``report.md`` of a sweep.

    Raises:
        UsageError: the folder holds no sweep, or records of a newer version.
        StorageError: the plan is damaged, or the folder cannot be read or written.
    """
    sweep = read_sweep(folder)
    tables = build_tables(folder)
    write_tables(tables, folder)
    view = view_of(folder, sweep, tables, verdict(tables, sweep))
    page = page_of(view, exhibits(view))
    write_bytes(folder.report_html, as_html(page).encode())
    write_bytes(folder.report_md, as_markdown(page).encode())
