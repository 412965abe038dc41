"""Every round passes over every cell once, in an order of its own that the seed alone decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.config import read_config
from bench.plan.rounds import Stopped, Stopping, shuffled_round, shuffled_rounds, stopping_of
from bench.records import MOST_ROUNDS

IDS = st.lists(st.text(alphabet="abcdef0123456789-", min_size=1, max_size=6), unique=True, max_size=30)
SEEDS = st.integers(0, 2**32 - 1)


@given(ids=IDS, rounds=st.integers(1, 8), seed=SEEDS)
def test_every_round_holds_every_cell_once(ids: list[str], rounds: int, seed: int) -> None:
    orders = shuffled_rounds(ids, rounds, seed)
    assert len(orders) == rounds
    assert all(sorted(order) == sorted(ids) for order in orders)


@given(ids=IDS, rounds=st.integers(1, 8), seed=SEEDS, data=st.data())
def test_the_seed_decides_and_not_the_order_of_the_grid(
    ids: list[str], rounds: int, seed: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(ids))
    assert shuffled_rounds(ids, rounds, seed) == shuffled_rounds(shuffled, rounds, seed)


@given(ids=IDS, rounds=st.integers(1, 5), more=st.integers(1, 5), seed=SEEDS)
def test_a_longer_sweep_begins_with_the_shorter_ones_rounds(ids: list[str], rounds: int, more: int, seed: int) -> None:
    assert shuffled_rounds(ids, rounds + more, seed)[:rounds] == shuffled_rounds(ids, rounds, seed)


def test_rounds_and_seeds_differ() -> None:
    ids = [f"cell-{number}" for number in range(20)]
    first, second = shuffled_rounds(ids, 2, seed=0)
    assert first != second
    assert first != shuffled_rounds(ids, 1, seed=1)[0]


def test_every_place_in_a_round_is_as_likely_as_any_other() -> None:
    """A cell that always came first would always meet a cold machine: chi-square of 4 places over 4,000 seeds."""
    ids = ["a", "b", "c", "d"]
    places = [shuffled_rounds(ids, 1, seed)[0].index("a") for seed in range(4000)]
    counts = [places.count(place) for place in range(4)]
    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 16.27  # the 99.9 % point with 3 degrees of freedom


def test_the_order_is_the_same_on_every_version_of_python() -> None:
    assert shuffled_rounds(["a", "b", "c", "d", "e"], 2, seed=1) == [
        ["d", "e", "c", "b", "a"],
        ["d", "c", "b", "a", "e"],
    ]


@given(ids=IDS, round_=st.integers(0, 40), seed=SEEDS, data=st.data())
def test_a_round_of_a_few_cells_has_an_order_of_its_own_too(
    ids: list[str], round_: int, seed: int, data: st.DataObject
) -> None:
    few = data.draw(st.sets(st.sampled_from(ids))) if ids else set()
    order = shuffled_round(few, round_, seed)
    assert sorted(order) == sorted(few)
    assert order == shuffled_round(sorted(few, reverse=True), round_, seed)
    assert shuffled_round(ids, round_, seed) == shuffled_rounds(ids, round_ + 1, seed)[round_]


RULE = Stopping(precision=0.02, of="cells", max_rounds=30, budget_s=100.0)


@pytest.mark.parametrize(
    ("half_widths", "rounds", "elapsed_s", "next_round_s", "why"),
    [
        ([0.02, 0.001], 10, 0.0, 1.0, Stopped.PRECISE),
        ([0.0201, 0.001], 10, 0.0, 1.0, None),
        ([None, 0.001], 10, 0.0, 1.0, None),
        ([0.03], 29, 0.0, 1.0, None),
        ([0.03], 30, 0.0, 1.0, Stopped.MAX_ROUNDS),
        ([0.03], 12, 99.0, 1.0, None),
        ([0.03], 12, 99.0, 1.1, Stopped.BUDGET),
        ([0.03], 12, 101.0, 0.0, Stopped.BUDGET),
        # Whatever ended it, a sweep that is precise is precise.
        ([0.01], 30, 500.0, 1.0, Stopped.PRECISE),
        ([], 10, 0.0, 0.0, Stopped.NOTHING_TO_JUDGE),
    ],
)
def test_when_there_is_no_further_round(
    half_widths: list[float | None], rounds: int, elapsed_s: float, next_round_s: float, why: Stopped | None
) -> None:
    assert RULE.why_stop(half_widths, rounds=rounds, elapsed_s=elapsed_s, next_round_s=next_round_s) is why


def test_without_bounds_of_its_own_a_sweep_still_ends() -> None:
    endless = Stopping(precision=0.02, of="cells", max_rounds=None, budget_s=None)
    for rounds, why in ((MOST_ROUNDS - 1, None), (MOST_ROUNDS, Stopped.MAX_ROUNDS)):
        assert endless.why_stop([0.5], rounds=rounds, elapsed_s=1e9, next_round_s=1e9) is why


def test_the_rule_is_the_protocols() -> None:
    assert stopping_of(read_config({}).protocol) is None
    asked = {"rounds": 12, "precision": 0.01, "precision_of": "comparisons", "max_rounds": 40, "budget_s": 7}
    assert stopping_of(read_config({"protocol": asked}).protocol) == Stopping(
        precision=0.01, of="comparisons", max_rounds=40, budget_s=7.0
    )
