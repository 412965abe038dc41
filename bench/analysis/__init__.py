"""Tidy tables from a sweep's runs, intervals, convergence, comparisons and the verdict; no framework needed.

``tables`` reads the store and builds the five tables whose columns ``columns`` explains; ``export`` writes them.
``intervals``, ``compare`` and ``judge`` hold all statistics: a run enters them as one number, cells are compared inside
rounds or, of two sweeps, as two samples, and there is one rule for what is faster, slower, a tie or inconclusive.
``convergence`` says when a target was reached; ``verdict`` who won, by how much, and who tied.
"""
