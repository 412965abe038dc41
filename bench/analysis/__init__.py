"""Tidy tables from a sweep's runs, intervals, convergence, comparisons and the verdict; no framework needed.

``tables`` reads the store and builds the five tables whose columns ``columns`` explains; ``export`` writes them.
``intervals`` and ``compare`` hold all statistics: a run enters them as one number, cells are compared inside rounds.
``precision`` says how wide the intervals are against what was asked, and which cells another round needs.
``convergence`` says when a target was reached; ``verdict`` who won, by how much, and who tied.
"""
