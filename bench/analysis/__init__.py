"""Tidy tables from a sweep's runs, intervals, convergence, comparisons and the verdict; no framework needed.

``tables`` reads the store and builds the tables whose columns ``columns`` explains; ``export`` writes them.
``intervals``, ``compare`` and ``judge`` hold all statistics: a run enters them as one number, cells are compared inside
rounds or, of two sweeps, as two samples, and there is one rule for what is faster, slower, a tie or inconclusive.
``noise`` says how far the machine alone may be behind a difference, and keeps its controls out of all else, by what
``disturbance`` finds in single runs and ``run_order`` in their succession.
``curves`` are step times over batch sizes, ``models`` their dispatch costs and rates, ``crossings`` where two of them
change places. ``steadiness`` says whether a run had settled and what of it counts, by ``changepoints``.
``precision`` says how wide the intervals are against what was asked, and which cells another round needs.
``convergence`` says when a target was reached; ``verdict`` who won, by how much, and who tied;
``device_leads`` which device; ``trained_once`` who is first when the first step counts.
``across`` weighs whole sweeps against each other; ``benchmarks`` makes files of pytest-benchmark of one.
"""
