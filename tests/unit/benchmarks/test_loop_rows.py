"""What the benchmark of loops concludes from its rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.benchmarks.loop_rows import FULL, Bar, Row, bars, lines, matrix
from tests.benchmarks.loops import merge
from tests.benchmarks.timing import Family, Spread, ratios

TORCH, TENSORFLOW = Family("pytorch", None, "fused"), Family("keras", "tensorflow", "fused")
FLOOR = Family("floor", None, "fused")


def _row(
    family: Family, batch_size: int, *, x_idiomatic: float | None = 500, x_floor: float = 2, step: float = 1
) -> Row:
    return Row(
        family=family,
        batch_size=batch_size,
        step_us=Spread(step, step, step),
        x_idiomatic=None if x_idiomatic is None else Spread(x_idiomatic, 0.9 * x_idiomatic, 1.1 * x_idiomatic),
        x_floor=None if family == FLOOR else Spread(x_floor, 0.9 * x_floor, 1.1 * x_floor),
        first_step_s=0.5,
        blocks=5,
    )


def _bar(rows: Sequence[Row], demand: str) -> Bar:
    (bar,) = (bar for bar in bars(rows) if bar.demand.startswith(demand))
    return bar


def test_everything_fast_enough_meets_every_bar() -> None:
    rows = [_row(family, size) for family in (TORCH, TENSORFLOW) for size in (1, 32, FULL)]
    assert [bar for bar in bars(rows) if not bar.met] == []


@pytest.mark.parametrize(
    ("family", "batch_size", "bar"),
    [(TENSORFLOW, 1, 200), (TENSORFLOW, 32, 30), (TENSORFLOW, FULL, 15), (TORCH, 1, 15), (TORCH, 32, 12)],
)
def test_a_fused_loop_below_its_bar_misses_it(family: Family, batch_size: int, bar: float) -> None:
    demand = f"{family} at batch {batch_size} at least {bar:g}x"
    assert _bar([_row(family, batch_size, x_idiomatic=bar)], demand).met
    missed = _bar([_row(family, batch_size, x_idiomatic=0.99 * bar)], demand)
    assert missed.met is False
    assert str(missed).startswith("MISSED")


def test_a_bar_without_a_row_is_neither_met_nor_missed() -> None:
    bar = _bar([_row(TORCH, 1)], "pytorch fused at batch 32")
    assert bar.met is None
    assert "not measured" in str(bar)


def test_a_loop_is_slower_only_where_most_of_its_blocks_were() -> None:
    tie, slower = _row(TORCH, 32, x_idiomatic=0.95), _row(TORCH, 64, x_idiomatic=0.8)
    assert _bar([tie], "no loop slower").met
    bar = _bar([tie, slower], "no loop slower")
    assert bar.met is False
    assert "batch 64" in bar.figure
    assert "batch 32" not in bar.figure


def test_the_best_framework_is_the_one_closest_to_the_floor_and_never_the_oracle() -> None:
    oracle = _row(Family("reference", None, "eager"), 8, x_idiomatic=None, x_floor=1.5)
    bar = _bar([oracle, _row(TORCH, 8, x_floor=4), _row(TENSORFLOW, 8, x_floor=3.5)], "the best framework within 3x")
    assert bar.met is False
    assert "tensorflow" in bar.figure


def test_pytorch_alone_is_held_to_its_own_distance() -> None:
    near_and_far = [_row(TENSORFLOW, FULL, x_floor=1.1), _row(TORCH, FULL, x_floor=3.2)]
    assert _bar(near_and_far, "pytorch within 3x").met is False


def test_ratios_are_taken_block_by_block() -> None:
    assert ratios([2, 40, 6], [1, 10, 3]) == Spread(2, 2, 4)


def test_a_benchmark_of_the_file_is_a_row_again() -> None:
    row = _row(TENSORFLOW, 32)
    told = {
        "family": list(row.family),
        "batch_size": 32,
        "step_us": list(row.step_us),
        "x_idiomatic": list(row.x_idiomatic or ()),
        "x_floor": list(row.x_floor or ()),
        "first_step_s": 0.5,
    }
    assert Row.of_benchmark({"extra_info": told, "stats": {"rounds": 5}}) == row


def test_a_merged_file_has_the_benchmarks_of_all_and_is_valid_without_any() -> None:
    first, second = ({"version": "5", "benchmarks": [name]} for name in ("a", "b"))
    assert merge([first, second]) == {"version": "5", "benchmarks": ["a", "b"]}
    assert merge([])["benchmarks"] == []


def test_the_table_has_the_fastest_floor_and_tells_what_is_missing() -> None:
    rows = [_row(FLOOR, 1, x_idiomatic=None, step=9), _row(FLOOR, 1, x_idiomatic=None, step=7), _row(TORCH, 32)]
    absent = {Family("keras", "torch", "fused"): "no such loop", TORCH: "told twice"}
    table = matrix(rows, "us a step", lambda row: row.step_us.median, absent)
    assert [line.split() for line in table] == [
        ["us", "a", "step", "1", "32"],
        ["floor", "fused", "7.00", "failed"],
        ["pytorch", "fused", "failed", "1.00"],
        ["keras", "torch", "fused", "no", "such", "loop"],
    ]


def test_a_line_shows_quartiles() -> None:
    assert "500 (450 to 550)" in lines([_row(TORCH, 1)])[1]
