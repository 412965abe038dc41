"""The measuring loop under a scripted clock: what lies inside the window, and when steady timing has enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import BudgetSpec, Cell, DataSpec, ProtocolSpec
from bench.engines.base import Engine, Epochs, Setup
from bench.errors import Unavailable
from bench.records import ParityRecord, Status
from bench.run import measure as module
from bench.run.measure import Conditions, Recorder, measure, more_steady
from bench.run.parity import Verdict
from bench.workload.data import Split
from bench.workload.network import Weights
from bench.workload.schedule import epoch_order

TRAIN_NS, SYNC_NS, READ_NS, EVALUATE_NS, WARM_UP_NS = 7_000_000, 500_000, 90_000_000, 11_000_000, 300_000_000


def make_cell(**changes: Any) -> Cell:
    data = DataSpec(name="teacher", n_train=10, n_val=3, features=2)
    plain: dict[str, Any] = dict(
        framework="reference", loop="eager", device="cpu", batch_size=4, batch_size_label="4", data=data
    )
    return Cell(**(plain | {"budget": BudgetSpec(epochs=3)} | changes))


class Clock:
    """A clock that only moves when the engine says that it worked."""

    def __init__(self) -> None:
        self.now_ns = 1_000

    def __call__(self) -> int:
        return self.now_ns

    def work(self, ns: int) -> None:
        self.now_ns += ns


class ScriptedEngine(Engine):
    """Takes scripted time for everything, and remembers what it was asked."""

    framework, loop = "scripted", "eager"
    clock: Clock

    def __init__(self, setup: Setup, clock: Clock) -> None:
        super().__init__(setup)
        self.clock = clock
        self.asked: list[str] = []
        self.orders: list[Any] = []
        self.losses: Callable[[int], Any] = lambda epoch: np.full(3, 0.5)

    def open_device(self) -> str:
        self.asked.append("open_device")
        return "a scripted device"

    def build(self, weights: Weights) -> None:
        self.asked.append("build")

    def load(self, x: Any, y: Any) -> None:
        self.asked.append("load")

    def warm_up(self) -> None:
        self.asked.append("warm_up")
        self.clock.work(WARM_UP_NS)

    def reset(self, weights: Weights) -> None:
        self.asked.append("reset")

    def train(self, epochs: Epochs) -> None:
        self.asked.append("train")
        while (order := epochs.start()) is not None:
            self.orders.append(order)
            self.clock.work(TRAIN_NS)
            epochs.finish(self._read)

    def _read(self) -> Any:
        self.clock.work(READ_NS)
        return self.losses(len(self.orders) - 1)

    def synchronize(self) -> None:
        self.clock.work(SYNC_NS)

    def weights(self) -> Weights:
        self.clock.work(EVALUATE_NS)
        return Weights(np.zeros((2, 64)), np.zeros(64), np.zeros((64, 1)), np.zeros(1))

    def homes(self) -> frozenset[str]:
        return frozenset({"cpu"})

    def environment(self) -> dict[str, Any]:
        return {}


SPLIT = Split(np.ones((10, 2)), np.ones(10), np.ones((3, 2)), np.zeros(3))


def run(cell: Cell, **conditions: Any) -> tuple[ScriptedEngine, Recorder]:
    clock, recorder = Clock(), Recorder()
    engine = ScriptedEngine(Setup(cell=cell, lr=0.1, native_seed=0), clock)
    if losses := conditions.pop("losses", None):
        engine.losses = losses
    measure(engine, SPLIT, Conditions(cell=cell, round_=1, clock=clock, **conditions), recorder)
    return engine, recorder


def test_the_window_holds_training_and_the_wait_for_the_device_and_nothing_else() -> None:
    _, recorder = run(make_cell())
    assert {epoch.window_ns for epoch in recorder.epochs} == {TRAIN_NS + SYNC_NS}


@pytest.mark.parametrize(("device", "other"), [("gpu", "cpu"), ("tpu", "cpu"), ("cpu", "gpu")])
def test_weights_that_live_elsewhere_are_not_trained(monkeypatch: pytest.MonkeyPatch, device: str, other: str) -> None:
    monkeypatch.setattr(ScriptedEngine, "homes", lambda self: frozenset({device, other}))
    with pytest.raises(
        Unavailable, match=f"asked for {device}, the weights live on {' and '.join(sorted((device, other)))}"
    ):
        run(make_cell(device=device))
    monkeypatch.setattr(ScriptedEngine, "homes", lambda self: frozenset({other}))
    with pytest.raises(Unavailable, match=f"asked for {device}, the weights live on {other}\n"):
        run(make_cell(device=device))


def test_phases_are_timed_apart() -> None:
    _, recorder = run(make_cell())
    assert recorder.phases["first_step_s"] == pytest.approx((WARM_UP_NS + SYNC_NS) / 1e9)
    assert recorder.phases["training_s"] == pytest.approx(3 * (TRAIN_NS + SYNC_NS) / 1e9)
    assert recorder.phases["evaluation_s"] == pytest.approx(3 * (READ_NS + EVALUATE_NS) / 1e9)
    assert recorder.device_name == "a scripted device"


def test_training_and_steady_timing_each_start_from_the_initial_weights() -> None:
    engine, _ = run(make_cell())
    assert engine.asked == ["open_device", "build", "load", "warm_up", "reset", "train", "reset", "train"]


def gated(cell: Cell, objection: str | None, monkeypatch: pytest.MonkeyPatch) -> tuple[ScriptedEngine, Recorder]:
    """A run whose gate takes a scripted second and ends as it is told to."""
    record = ParityRecord(difference=1e-7, steps=50, bar=5e-6)

    def check(engine: ScriptedEngine, *_: Any) -> Verdict:
        engine.asked.append("gate")
        engine.clock.work(1_000_000_000)
        return Verdict(record, objection)

    monkeypatch.setattr(module, "check_parity", check)
    return run(cell)


def test_the_parity_gate_comes_before_training_outside_every_window_and_leaves_the_initial_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, recorder = gated(make_cell(protocol=ProtocolSpec(parity_steps=50)), None, monkeypatch)
    before = ["open_device", "build", "load", "warm_up", "reset", "gate", "reset"]
    assert engine.asked == [*before, "train", "reset", "train"]
    assert recorder.phases["parity_s"] == pytest.approx(1 + SYNC_NS / 1e9)
    assert recorder.phases["first_step_s"] == pytest.approx((WARM_UP_NS + SYNC_NS) / 1e9)
    assert {epoch.window_ns for epoch in recorder.epochs} == {TRAIN_NS + SYNC_NS}
    assert recorder.parity == ParityRecord(difference=1e-7, steps=50, bar=5e-6)
    assert recorder.status is Status.OK


def test_a_run_whose_training_is_another_one_is_invalid_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell(protocol=ProtocolSpec(parity_steps=50))
    engine, recorder = gated(cell, "not the reference's training", monkeypatch)
    assert (recorder.status, recorder.reason) == (Status.INVALID, "not the reference's training")
    assert recorder.parity is not None
    assert recorder.epochs == []
    assert "train" not in engine.asked
    assert "training_s" not in recorder.phases


def test_no_steps_turn_the_gate_off(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, recorder = gated(make_cell(protocol=ProtocolSpec(parity_steps=0)), "never asked", monkeypatch)
    assert recorder.status is Status.OK
    assert recorder.parity is None
    assert "gate" not in engine.asked
    assert "parity_s" not in recorder.phases


def test_a_real_gate_tells_a_scripted_engine_from_training() -> None:
    _, recorder = run(make_cell(protocol=ProtocolSpec(parity_steps=3)))
    assert recorder.status is Status.INVALID
    assert recorder.parity is not None
    assert recorder.parity.difference is not None
    assert recorder.parity.difference > 0.1
    assert recorder.reason is not None
    assert "the loss was 0.5" in recorder.reason


def test_every_epoch_has_the_order_of_its_seed_round_and_number() -> None:
    cell = make_cell(seed=5)
    engine, recorder = run(cell)
    for epoch, order in enumerate(engine.orders):
        np.testing.assert_array_equal(order, epoch_order(5, 1, epoch, 10, True))
    assert [epoch.epoch for epoch in recorder.epochs] == list(range(len(engine.orders)))


def test_steady_timing_goes_on_until_there_is_enough_to_measure() -> None:
    _, recorder = run(make_cell(protocol=ProtocolSpec(steady_min_s=0.1, steady_min_epochs=3)))
    steady = [epoch for epoch in recorder.epochs if epoch.phase == "steady"]
    assert len(steady) == 14  # 13 windows of 7.5 ms are 97.5 ms: not yet 0.1 s
    assert recorder.phases["steady_s"] == pytest.approx(14 * 0.0075)


def test_steady_epochs_are_not_evaluated() -> None:
    _, recorder = run(make_cell())
    assert {epoch.train_loss is None for epoch in recorder.epochs if epoch.phase == "steady"} == {True}
    assert {epoch.train_loss is None for epoch in recorder.epochs if epoch.phase == "training"} == {False}


def test_losses_are_kept_for_the_training_phase_only() -> None:
    _, recorder = run(make_cell())
    assert [len(losses) for losses in recorder.step_losses] == [3, 3, 3]


def test_a_loss_that_is_no_number_ends_the_run_as_diverged_and_says_where() -> None:
    def losses(epoch: int) -> Any:
        return np.array([0.5, np.nan, 0.5]) if epoch == 1 else np.full(3, 0.5)

    engine, recorder = run(make_cell(), losses=losses)
    assert recorder.status is Status.DIVERGED
    assert recorder.reason == "the loss was not finite in epoch 1, at step 1: lower optimizer.lr"
    assert len(engine.orders) == 2
    assert "steady_s" not in recorder.phases


def test_a_missed_target_is_said_and_the_run_is_timed_all_the_same() -> None:
    _, recorder = run(make_cell(), target_loss=0.1)
    assert recorder.status is Status.TARGET_NOT_REACHED
    assert recorder.status.measured
    assert recorder.reason is not None
    assert "0.6931" in recorder.reason
    assert "0.1" in recorder.reason
    assert recorder.phases["steady_s"] > 0


def test_a_target_that_is_met_leaves_the_run_ok() -> None:
    _, recorder = run(make_cell(), target_loss=0.7)
    assert recorder.status is Status.OK


def test_signs_of_life_come_outside_every_window() -> None:
    clock_at_signs: list[int] = []
    clock = Clock()
    cell = make_cell()
    engine = ScriptedEngine(Setup(cell=cell, lr=0.1, native_seed=0), clock)
    recorder = Recorder()

    def alive() -> None:
        clock_at_signs.append(clock())
        clock.work(1_000_000_000)

    measure(engine, SPLIT, Conditions(cell=cell, round_=0, clock=clock, alive=alive), recorder)
    assert len(clock_at_signs) >= len(recorder.epochs)
    assert {epoch.window_ns for epoch in recorder.epochs} == {TRAIN_NS + SYNC_NS}


def test_a_failure_keeps_the_phases_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, recorder, cell = Clock(), Recorder(), make_cell()
    engine = ScriptedEngine(Setup(cell=cell, lr=0.1, native_seed=0), clock)

    def fail(weights: Any, x: Any, y: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(module, "loss_and_accuracy", fail)
    with pytest.raises(MemoryError):
        measure(engine, SPLIT, Conditions(cell=cell, round_=0, clock=clock), recorder)
    assert set(recorder.phases) == {"build_s", "data_to_device_s", "first_step_s"}


def test_a_device_that_is_not_there_passes_through() -> None:
    class Elsewhere(ScriptedEngine):
        def open_device(self) -> str:
            raise Unavailable("no GPU here")

    clock, cell = Clock(), make_cell()
    with pytest.raises(Unavailable, match="no GPU here"):
        measure(
            Elsewhere(Setup(cell=cell, lr=0.1, native_seed=0), clock),
            SPLIT,
            Conditions(cell=cell, round_=0, clock=clock),
            Recorder(),
        )


@given(
    epoch_s=st.floats(1e-5, 30.0),
    min_s=st.floats(0.0, 2.0),
    min_epochs=st.integers(1, 6),
    max_s=st.floats(0.0, 5.0),
)
def test_steady_timing_always_ends_with_one_epoch_at_least_and_one_beyond_the_most_time_at_most(
    epoch_s: float, min_s: float, min_epochs: int, max_s: float
) -> None:
    protocol = ProtocolSpec(steady_min_s=min_s, steady_min_epochs=min_epochs, steady_max_s=max_s)
    epochs = next(n for n in range(1, 1_000_000) if not more_steady(protocol, n, n * epoch_s))
    assert more_steady(protocol, 0, 0.0)
    assert (epochs - 1) * epoch_s < max_s or epochs == 1
    enough = epochs >= min_epochs and epochs * epoch_s >= min_s
    assert enough or epochs * epoch_s >= max_s
