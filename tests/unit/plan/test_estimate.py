"""The estimate counts what will be run: it grows with rounds, steps and slowness, and knows what is paid once."""

from dataclasses import replace

import pytest

from bench.cell import Cell
from bench.config import read_config
from bench.plan.estimate import _COSTS, calibrate, estimate_s
from bench.plan.plan import Plan, make_plan


def plan(
    rounds: int = 1,
    epochs: int = 10,
    device: str = "cpu",
    memory: bool = False,
    parity: int = 0,
    loop: str = "idiomatic",
    **framework: str,
) -> Plan:
    points = [
        read_config(
            {
                "framework": framework or {"name": "pytorch"},
                "loop": {"name": loop},
                "device": {"name": device},
                "batch_size": size,
                "budget": {"epochs": epochs},
                "protocol": {"rounds": rounds, "memory": memory, "steady_min_s": 0.3, "parity_steps": parity},
            }
        )
        for size in (1, 32, "full")
    ]
    return make_plan(points, why_not=_nothing_missing)


def _nothing_missing(cell: Cell) -> str | None:
    return None


def test_more_rounds_epochs_and_slower_machines_take_longer() -> None:
    usual = estimate_s(plan(), slowness=1)
    assert estimate_s(plan(rounds=2), slowness=1) > usual
    assert estimate_s(plan(epochs=100), slowness=1) > usual
    assert estimate_s(plan(), slowness=3) > usual
    assert estimate_s(plan(memory=True), slowness=1) > usual
    assert estimate_s(plan(parity=50), slowness=1) > usual


def test_an_import_is_paid_once_where_a_template_forks_and_by_every_run_elsewhere() -> None:
    forked = estimate_s(plan(rounds=4), slowness=1)
    spawned = estimate_s(plan(rounds=4, device="gpu"), slowness=1)
    assert spawned - forked == pytest.approx((4 * 3 - 1) * _COSTS["pytorch"].import_s)


def test_the_memory_pass_is_paid_in_the_first_round_only() -> None:
    cost = [
        estimate_s(plan(rounds=rounds, memory=True), slowness=1) - estimate_s(plan(rounds=rounds), slowness=1)
        for rounds in (1, 5)
    ]
    assert cost[0] == pytest.approx(cost[1])


def test_what_a_cache_keeps_is_compiled_once_per_cell_whatever_the_rounds() -> None:
    def of_compiling(rounds: int, memory: bool = False) -> float:
        """What compiling adds for three cells."""
        known = _COSTS["pytorch"]
        plans = plan(rounds, memory=memory, loop="fused")
        whole = estimate_s(plans, slowness=1)
        loops = {"fused": replace(known.loops["fused"], compile_s=0.0)}
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(_COSTS, "pytorch", replace(known, loops=loops))
            return whole - estimate_s(plans, slowness=1)

    cost = _COSTS["pytorch"].loops["fused"]
    assert cost.compile_s > 0
    assert of_compiling(rounds=1) == pytest.approx(3 * cost.compile_s)
    assert of_compiling(rounds=5) == pytest.approx(3 * cost.compile_s)
    # The first memory pass compiles the step of one row that all of them begin with, and is taken again.
    assert of_compiling(rounds=5, memory=True) == pytest.approx(4 * cost.compile_s + cost.run_s)


def test_an_unknown_loop_is_estimated_too_and_nothing_takes_no_time() -> None:
    assert estimate_s(plan(name="keras", backend="jax"), slowness=1) > 0
    assert estimate_s(replace(plan(), rounds=[]), slowness=1) == 0


def test_the_calibration_gives_a_usable_factor() -> None:
    assert 0 < calibrate(seconds=0.02) < 1000
