"""Sweeps against each other: ``compare.html``, ``compare.md``, a figure, tables and the lines on a terminal.

Built from the tables of ``bench.analysis.across`` with the parts of a sweep's own report: its formats, looks, templates
and style. It lies in a folder of its own and never inside a sweep, and comes out byte for byte the same.
"""
