"""What a sweep says to its reader: figures, ``report.html``, ``report.md`` and the summary on a terminal.

Everything here is derived from the tables of ``bench.analysis`` and the sweep's own record, needs no framework, and
comes out byte for byte the same when it is built again. Numbers become text in ``format`` alone; colours, markers and
line styles are chosen in ``style`` alone; one file of ``figures`` per figure. ``comparison`` sets sweeps against each
other, from the same parts.
"""
