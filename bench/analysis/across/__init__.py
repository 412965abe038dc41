"""Sweeps against each other: cells matched by content, ratios of their runs, and what cannot be compared.

The first sweep is the baseline, every other one is compared with it. What makes two cells the same measurement is
their id (``bench.cell``): a hash of everything that can change it. Machine, device and versions of frameworks are no
part of it, for those are what is compared. Everything else is set apart with its reason (``align``).

Two sweeps share no rounds, so their runs are two samples: Welch's t on logarithms (``bench.analysis.compare``), Holm's
correction over the cells of one sweep against the baseline. A regression is more than "slower": the ratio is tested
against 1 / (1 + margin) instead of against 1 (``judging``). What no test inside the sweeps can see is how much a
machine differs from itself between two days; the margin has to cover that. Worse than any slowdown is a cell that the
baseline measured and whose runs have all failed since: no ratio shows it, ``Apart.ended`` does.
"""
