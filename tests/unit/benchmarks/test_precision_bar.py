"""Intervals that were looked at in order to stop still hold the truth about as often as they say."""

from bench.config.schema import FIRST_LOOK
from tests.benchmarks.precision import BAR, RULE, coverage


def test_coverage_of_intervals_that_ended_the_rounds() -> None:
    """At the spread where looking does most harm; the whole table is `python -m tests.benchmarks.precision`."""
    usual = coverage(0.045, first_look=FIRST_LOOK, cells=6000)
    assert BAR <= usual.share <= 0.97
    assert FIRST_LOOK < usual.rounds < (RULE.max_rounds or 0)


def test_looking_sooner_is_what_does_the_harm() -> None:
    early, usual = (coverage(0.035, first_look=first, cells=6000).share for first in (5, FIRST_LOOK))
    assert early < BAR < usual


def test_a_spread_that_fits_at_the_first_look_costs_nothing() -> None:
    calm = coverage(0.01, first_look=FIRST_LOOK, cells=6000)
    assert (calm.rounds, calm.met) == (FIRST_LOOK, 1.0)
    assert 0.94 < calm.share < 0.96
