"""Every round passes over every cell once, in an order of its own that the seed alone decides."""

from hypothesis import given
from hypothesis import strategies as st

from bench.plan.rounds import shuffled_rounds

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
