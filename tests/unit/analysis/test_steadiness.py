"""Planted courses are found, noise is flat, and what follows for a run's numbers."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.analysis.changepoints import PENALTY, best_partition
from bench.analysis.steadiness import (
    DISTURBED,
    FLAT,
    MIN_EPOCHS,
    NO_STEADY_STATE,
    SLOWDOWN,
    TOO_FEW,
    UNSTEADY,
    WARMUP,
    Course,
    courses,
)
from bench.analysis.tables import Tables, build_tables
from tests.benchmarks.steadiness import NOISE, bias, changed, courses_of, noise
from tests.unsteady import RESTLESS, SLOWING, WARMING, make_unsteady_sweep

FloatArray = NDArray[np.float64]


def course_of(step_us: FloatArray) -> Course:
    found = courses(step_us, np.zeros(len(step_us), dtype=np.int64), 1)[0]
    assert found is not None
    return found


def planted(epochs: int, before: float, factor: float, seed: int = 0) -> FloatArray:
    """Steps of 100 us whose first part takes so many times as long."""
    step_us: FloatArray = 100.0 * np.exp(noise("independent", 1, epochs, np.random.default_rng(seed))[0])
    step_us[: round(before * epochs)] *= factor
    return step_us


@pytest.mark.parametrize("epochs", [20, 60, 128, 129, 700, 3000])
@pytest.mark.parametrize("before", [0.2, 0.4, 0.7])
def test_a_warm_up_is_found_where_it_ends(epochs: int, before: float) -> None:
    course = course_of(planted(epochs, before, 1.3))
    assert course.kind == WARMUP
    assert course.warmup_epochs == pytest.approx(before * epochs, abs=max(1, epochs / 64))
    assert course.segments[-1].level == pytest.approx(100, rel=0.05)
    assert course.segments[0].level == pytest.approx(130, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(epochs=st.integers(24, 400), before=st.floats(0.3, 0.7), seed=st.integers(0, 10**6))
def test_a_warm_up_reversed_is_a_slowdown(epochs: int, before: float, seed: int) -> None:
    warming = planted(epochs, before, 1.5, seed)
    assert course_of(warming).kind == WARMUP
    assert course_of(warming[::-1]).kind == SLOWDOWN


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    epochs=st.integers(MIN_EPOCHS, 300),
    factor=st.floats(0.5, 2),
    unit=st.floats(1e-6, 1e6),
)
def test_the_unit_of_time_decides_nothing(seed: int, epochs: int, factor: float, unit: float) -> None:
    step_us = planted(epochs, 0.4, factor, seed)
    one, other = course_of(step_us), course_of(step_us * unit)
    assert (one.kind, one.warmup_epochs, one.disturbed) == (other.kind, other.warmup_epochs, other.disturbed)
    assert [s.level * unit for s in one.segments] == pytest.approx([s.level for s in other.segments])


@pytest.mark.parametrize("kind", [name for name in NOISE if name not in ("ar 0.6", "burst")])
@pytest.mark.parametrize("epochs", [12, 50, 300])
def test_noise_is_flat(kind: str, epochs: int) -> None:
    logs = noise(kind, 300, epochs, np.random.default_rng(5))
    found = courses_of(logs)
    counts = Counter(course.kind for course in found)
    assert sum(counts[kind] for kind in UNSTEADY) <= 0.03 * len(found)
    assert counts[WARMUP] <= 0.03 * len(found)
    assert abs(bias(logs, found)) < 5e-4


def test_changes_are_found_more_often_in_longer_runs() -> None:
    found = [changed(WARMUP, 0.3, 0.2, 100, epochs) for epochs in (10, 20, 50)]
    assert found == sorted(found)
    assert found[-1] > 0.95


def test_interruptions_are_the_machines() -> None:
    step_us = planted(200, 0, 1)
    step_us[[20, 90, 91, 150]] *= 4
    step_us[120:130] *= 1.5
    course = course_of(step_us)
    assert course.kind == FLAT
    assert 8 <= course.disturbed <= 12
    assert course.reason == f"{course.disturbed} of 200 steady epochs off the level"
    assert len(course.segments) == 1
    assert course.segments[0].level == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize(("longer", "kind"), [(0.5 * DISTURBED, FLAT), (2 * DISTURBED, NO_STEADY_STATE)])
def test_an_end_at_another_level_counts_once_it_lasts(longer: float, kind: str) -> None:
    step_us = planted(200, 0, 1)
    step_us[200 - round(200 * longer) :] *= 1.4
    course = course_of(step_us)
    assert course.kind == kind
    assert course.warmup_epochs == 0


def test_a_level_left_for_long_and_found_again_is_no_steady_state() -> None:
    step_us = planted(200, 0, 1)
    step_us[60:110] *= 1.4
    course = course_of(step_us)
    assert course.kind == NO_STEADY_STATE
    assert course.reason == "the level of the last 90 of 200 steady epochs was left"


def test_levels_closer_than_the_tolerance_are_one() -> None:
    calm = 100 + 0.05 * np.sin(np.arange(200) * 2.1)
    calm[:80] *= 1.015
    assert course_of(calm).kind == FLAT
    calm[:80] *= 1.015
    assert course_of(calm).kind == WARMUP


def test_runs_without_any_noise_can_be_judged() -> None:
    assert course_of(np.full(30, 5.0)).kind == FLAT
    assert course_of(np.repeat([6.0, 5.0], 15)).warmup_epochs == 15


def test_few_epochs_are_no_guess() -> None:
    course = course_of(planted(MIN_EPOCHS - 1, 0.5, 3.0))
    assert (course.kind, course.segments, course.warmup_epochs) == (TOO_FEW, (), 0)
    assert course.reason == f"{MIN_EPOCHS - 1} steady epochs: a class takes {MIN_EPOCHS}"


def test_a_run_is_judged_as_if_it_were_alone() -> None:
    series = [planted(epochs, 0.4, 1.3, seed=epochs) for epochs in (3, 500, 12, 128, 40)]
    run = np.repeat([0, 2, 3, 4, 6], [len(step_us) for step_us in series])
    together = courses(np.concatenate(series), run, 8)
    assert [together[i] for i in (1, 5, 7)] == [None] * 3
    assert [together[i] for i in (0, 2, 3, 4, 6)] == [course_of(step_us) for step_us in series]
    assert courses(np.empty(0), np.empty(0, dtype=np.int64), 0) == []


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 10))
def test_the_partition_is_the_best_of_all(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.repeat(rng.normal(0, 4, n), rng.integers(1, 5, n))[:n] + rng.normal(size=n)
    padded = np.stack([np.concatenate([values, np.full(3, np.nan)]), np.zeros(n + 3)])
    starts = best_partition(padded, np.array([n, n + 3]))
    assert _cost(values, np.flatnonzero(starts[0]).tolist()) == pytest.approx(
        min(_cost(values, [0, *cuts]) for cuts in _all_cuts(n))
    )
    assert np.flatnonzero(starts[1]).tolist() == [0]


def _all_cuts(n: int) -> Iterator[tuple[int, ...]]:
    """Every choice of cuts that leaves two values in every segment."""
    for many in range(n // 2):
        for cuts in itertools.combinations(range(2, n - 1), many):
            if min(np.diff([0, *cuts, n])) >= 2:
                yield cuts


def _cost(values: FloatArray, starts: Sequence[int]) -> float:
    segments = np.split(values, starts[1:])
    return sum(_squares(segment) for segment in segments) + PENALTY * math.log(len(values)) * len(segments)


def _squares(values: FloatArray) -> float:
    return float(np.sum((values - values.mean()) ** 2))


@pytest.fixture(scope="module")
def unsteady(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return build_tables(make_unsteady_sweep(tmp_path_factory.mktemp("unsteady") / "s"))


def rows(table: pd.DataFrame, cell: tuple[str, str, int]) -> pd.DataFrame:
    framework, loop, batch_size = cell
    chosen = (table["framework"] == framework) & (table["loop"] == loop) & (table["batch_size"] == batch_size)
    return table[chosen]


def steady_us(tables: Tables, run: pd.Series[Any]) -> FloatArray:
    epochs = tables.epochs
    own = (epochs["cell_id"] == run["cell_id"]) & (epochs["round"] == run["round"]) & (epochs["phase"] == "steady")
    step_us: FloatArray = (epochs["window_ns"] / epochs["updates"] / 1e3)[own].to_numpy(np.float64)
    return step_us


def test_a_warm_up_is_no_part_of_a_runs_speed(unsteady: Tables) -> None:
    for _, run in rows(unsteady.runs, WARMING).iterrows():
        step_us = steady_us(unsteady, run)
        assert run["steadiness"] == WARMUP
        assert run["warmup_epochs"] == pytest.approx(0.2 * len(step_us), abs=1)
        assert run["timed_epochs"] == len(step_us) - run["warmup_epochs"]
        assert run["step_us"] == pytest.approx(np.median(step_us[run["warmup_epochs"] :]))
        assert "steady epochs before a level up to" in run["steadiness_reason"]


@pytest.mark.parametrize(("cell", "kind"), [(SLOWING, SLOWDOWN), (RESTLESS, NO_STEADY_STATE)])
def test_an_unsteady_run_keeps_all_of_its_epochs_and_is_counted(
    unsteady: Tables, cell: tuple[str, str, int], kind: str
) -> None:
    for _, run in rows(unsteady.runs, cell).iterrows():
        step_us = steady_us(unsteady, run)
        assert (run["steadiness"], run["warmup_epochs"], run["timed_epochs"]) == (kind, 0, len(step_us))
        assert run["step_us"] == pytest.approx(np.median(step_us))
    of_cell = rows(unsteady.cells, cell).iloc[0]
    assert (of_cell["steadiness"], of_cell["n_unsteady"], of_cell["n_warmup"]) == (kind, 3, 0)


def test_what_is_made_of_unsteady_runs_says_so(unsteady: Tables) -> None:
    by_size = unsteady.comparisons.groupby("batch_size")["unsteady"].max()
    assert by_size.to_dict() == {8: 0, 32: 3, 128: 3}


def test_cells_count_their_kinds(unsteady: Tables) -> None:
    warming = rows(unsteady.cells, WARMING).iloc[0]
    assert (warming["steadiness"], warming["n_warmup"], warming["n_unsteady"], warming["n_too_few"]) == (
        WARMUP,
        3,
        0,
        0,
    )
    flat = rows(unsteady.cells, ("pytorch", "eager", 8)).iloc[0]
    assert (flat["steadiness"], flat["n_warmup"], flat["n_unsteady"]) == (FLAT, 0, 0)
    assert pd.isna(flat["steadiness_reason"])


def test_a_run_that_was_not_measured_has_no_course_but_a_reason(tables: Tables) -> None:
    failed = tables.runs[~tables.runs["status"].isin(["ok", "target_not_reached"])]
    assert len(failed)
    assert failed["steadiness"].isna().all()
    assert failed["steadiness_reason"].str.startswith("the run ended").all()
    assert (failed["warmup_epochs"] == 0).all()
