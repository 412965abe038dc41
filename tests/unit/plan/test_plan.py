"""From validated points to a plan: sizes resolved, duplicates merged, labels kept, what cannot run set aside."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell
from bench.config import Config, read_config
from bench.engines import catalogue
from bench.errors import RequiredMissing, UsageError
from bench.plan.expand import cell_of, expand
from bench.plan.plan import make_plan, why_not_here

SIZES = st.lists(st.one_of(st.integers(1, 60), st.just("full")), min_size=1, max_size=12)


def config(**plain: Any) -> Config:
    return read_config({"framework": {"name": "reference"}, "data": {"n": 40}} | plain)


def everything_runs(cell: Cell) -> str | None:
    return None


def only_cpu(cell: Cell) -> str | None:
    return None if cell.device == "cpu" else f"no {cell.device} here"


@given(SIZES)
def test_sizes_resolve_to_the_data_and_duplicates_merge(sizes: list[int | str]) -> None:
    cells = [found.cell for found in expand(config(batch_size=size) for size in sizes)]
    resolved = [40 if size == "full" else min(int(size), 40) for size in sizes]
    assert [cell.batch_size for cell in cells] == list(dict.fromkeys(resolved))
    assert len({cell.id for cell in cells}) == len(cells)


@given(SIZES)
def test_the_label_is_what_the_user_wrote_and_full_stays(sizes: list[int | str]) -> None:
    for found in expand(config(batch_size=size) for size in sizes):
        cell = found.cell
        meant = [size for size in sizes if (40 if size == "full" else min(int(size), 40)) == cell.batch_size]
        assert cell.batch_size_label == ("full" if "full" in meant else str(meant[0]))


@given(sizes=SIZES, rounds=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_cell_that_can_run_is_in_every_round_once(sizes: list[int | str], rounds: int, seed: int) -> None:
    points = [
        config(batch_size=size, device={"name": device}, seed=seed, protocol={"rounds": rounds})
        for size in sizes
        for device in ("cpu", "gpu")
    ]
    plan = make_plan(points, why_not=only_cpu)
    runnable = sorted(run.cell.id for run in plan.runs if run.cell.device == "cpu")
    assert len(plan.rounds) == rounds
    assert all(sorted(order) == runnable for order in plan.rounds)
    assert {run.unavailable_reason for run in plan.unavailable} == {"no gpu here"}
    assert plan == make_plan(points, why_not=only_cpu)


def test_the_fastest_loop_is_named_in_the_cell_and_merges_with_that_loop() -> None:
    pytorch = {"framework": {"name": "pytorch"}}
    fastest = catalogue.fastest("pytorch", None)
    cells = expand([config(loop={"name": "fastest"}, **pytorch), config(loop={"name": fastest}, **pytorch)])
    assert [found.cell.loop for found in cells] == [fastest]


@pytest.mark.parametrize(
    ("optimizer", "unused"),
    [
        ("sgd", {"momentum": 0.5, "beta1": 0.5, "beta2": 0.5, "epsilon": 1e-3}),
        ("adam", {"momentum": 0.5}),
        ("momentum", {"beta1": 0.5}),
    ],
)
def test_what_an_optimizer_does_not_use_makes_no_other_cell(optimizer: str, unused: dict[str, float]) -> None:
    plain, with_unused = {"name": optimizer}, {"name": optimizer, **unused}
    assert cell_of(config(optimizer=plain)).id == cell_of(config(optimizer=with_unused)).id
    assert cell_of(config(optimizer=plain)).id != cell_of(config(optimizer={"name": optimizer, "lr": 0.5})).id


def test_generated_data_gets_its_validation_rows_on_top() -> None:
    data = cell_of(config(data={"n": 1000, "validation": 0.2})).data
    assert (data.n_train, data.n_val) == (1000, 250)
    assert cell_of(config(data={"n": 1000, "validation": 0})).data.n_val == 0


def test_a_sweep_where_nothing_can_run_has_no_rounds() -> None:
    plan = make_plan([config(device={"name": "gpu"})], why_not=only_cpu)
    assert (plan.rounds, plan.total_runs, len(plan.unavailable)) == ([], 0, 1)


def test_the_reference_runs_here_and_its_impossible_device_has_a_reason() -> None:
    assert why_not_here(cell_of(config())) is None
    assert "cpu only" in (why_not_here(cell_of(config(device={"name": "tpu"}))) or "")


class TestRequired:
    POINTS = (config(), config(device={"name": "gpu"}))

    def points(self, *required: str) -> list[Config]:
        return [replace(point, sweep=replace(point.sweep, require=required)) for point in self.POINTS]

    def test_what_is_there_is_enough(self) -> None:
        assert make_plan(self.points("reference", "cpu", "eager"), why_not=only_cpu).total_runs == 5

    def test_what_is_missing_ends_it_with_the_reason(self) -> None:
        with pytest.raises(RequiredMissing, match="gpu is required but cannot run here: no gpu here") as missing:
            make_plan(self.points("cpu", "gpu"), why_not=only_cpu)
        assert missing.value.exit_code == 6

    def test_what_the_grid_does_not_hold_is_wrong_usage(self) -> None:
        with pytest.raises(UsageError, match="no cell of this grid is 'keras'"):
            make_plan(self.points("keras"), why_not=everything_runs)


def test_rounds_and_folder_belong_to_the_whole_sweep() -> None:
    with pytest.raises(UsageError, match=r"protocol\.rounds: cannot be swept"):
        make_plan([config(), config(protocol={"rounds": 2})], why_not=everything_runs)
    several = [config(protocol={"rounds": 10, "precision": width, "max_rounds": 30}) for width in (0.01, 0.02)]
    with pytest.raises(UsageError, match=r"protocol\.precision: cannot be swept"):
        make_plan(several, why_not=everything_runs)
    with pytest.raises(UsageError, match="sweep: cannot be swept"):
        make_plan([config(), config(sweep={"name": "a"})], why_not=everything_runs)


class TestControls:
    LOOPS = ("fused", "idiomatic", "eager")

    def points(self, **protocol: Any) -> list[Config]:
        return [
            config(
                framework=framework, loop={"name": loop}, batch_size=size, device={"name": device}, protocol=protocol
            )
            for framework in ({"name": "pytorch"}, {"name": "keras", "backend": "jax"})
            for loop in self.LOOPS
            for device in ("cpu", "gpu")
            for size in (1, 4, 8, 16, "full")
        ]

    def test_every_framework_has_one_on_every_device_that_is_there(self) -> None:
        twins = [run.cell for run in make_plan(self.points(), why_not=only_cpu, with_controls=True).controls]
        # Of a loop that compiles nothing, though another comes first, and of the middle batch size.
        assert [(c.framework, c.backend, c.loop, c.device, c.batch_size) for c in twins] == [
            ("pytorch", None, "idiomatic", "cpu", 8),
            ("keras", "jax", "idiomatic", "cpu", 8),
        ]

    def test_a_control_is_its_cell_under_another_name(self) -> None:
        plan = make_plan(self.points(), why_not=everything_runs, with_controls=True)
        assert len(plan.controls) == 4
        for run in plan.controls:
            original = replace(run.cell, control=False)
            assert original.id in plan.by_id
            assert run.cell.id != original.id
            assert "-control-b8-" in run.cell.id
            assert not run.cell.protocol.memory
            assert run.data == plan.by_id[original.id].data

    def test_they_are_run_as_all_others_are(self) -> None:
        plan = make_plan(self.points(), why_not=only_cpu, with_controls=True)
        assert all({run.cell.id for run in plan.controls} <= set(order) for order in plan.rounds)
        assert plan.total_runs == 5 * (30 + 2)

    def test_they_can_be_turned_off_and_a_single_run_has_none(self) -> None:
        assert make_plan(self.points(control=False), why_not=everything_runs, with_controls=True).controls == []
        assert make_plan(self.points(), why_not=everything_runs).controls == []

    def test_they_belong_to_the_whole_sweep(self) -> None:
        with pytest.raises(UsageError, match=r"protocol\.control: cannot be swept"):
            make_plan([config(), config(protocol={"control": False})], why_not=everything_runs)

    def test_no_cell_changed_its_id_when_controls_came(self) -> None:
        """As it was computed before there was such a flag."""
        assert cell_of(config()).id == "reference-eager-cpu-b32-17d5947ac8"


def test_a_given_number_of_rounds_is_no_more_than_that() -> None:
    rigorous = config(protocol={"rounds": 10, "precision": 0.02, "max_rounds": 30})
    assert make_plan([rigorous], why_not=everything_runs).stopping is not None
    once = make_plan([rigorous], rounds=1, why_not=everything_runs)
    assert (once.stopping, len(once.rounds)) == (None, 1)
    assert (once.config.protocol.rounds, once.config.protocol.precision) == (1, None)
