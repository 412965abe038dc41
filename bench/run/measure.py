"""The measuring loop: phases, the timed window, steady timing. It knows clocks and epochs, and no framework.

The window of an epoch opens when the host holds the epoch's order and closes when the device has finished its last
update. Drawing the order, reading the losses, evaluation and signs of life lie outside. One window is one clock
difference of ``perf_counter_ns``: no clock is read per step, because at batch 1 a step of this network takes
microseconds and a clock per step would be part of what is measured.

Steady timing continues from the initial weights until there is enough to measure: a batch of 1,000 gives ten steps in
ten epochs, far too few to time. The number of steady epochs depends on the clock alone, never on the losses.
"""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell, ProtocolSpec
from bench.engines.base import Engine, FloatArray, Order
from bench.errors import Unavailable
from bench.records import CompileCache, EpochRecord, ParityRecord, PhaseTimes, Status
from bench.run.caching import compile_cache, kept_programs
from bench.run.parity import check_parity
from bench.workload.data import Split
from bench.workload.network import initial_weights, loss_and_accuracy
from bench.workload.schedule import epoch_order

Clock = Callable[[], int]
"""Nanoseconds of a monotonic clock."""

MAX_STEPS_STORED = 200_000
"""Per-step losses kept of one run; where it has more, every k-th is."""


def step_stride(cell: Cell) -> int:
    """The k of "every k-th step's loss is kept"; 1 where all of them are."""
    return max(1, -(-cell.steps_per_epoch * cell.budget.epochs // MAX_STEPS_STORED))


@dataclass(kw_only=True)
class Recorder:
    """What has been measured so far; complete at every moment, so that a run that fails keeps its earlier phases."""

    status: Status = Status.OK
    reason: str | None = None
    device_name: str | None = None
    phases: dict[str, float] = field(default_factory=dict)
    compile_cache: CompileCache | None = None
    parity: ParityRecord | None = None
    initial_train_loss: float | None = None
    initial_val_loss: float | None = None
    epochs: list[EpochRecord] = field(default_factory=list)
    step_losses: list[NDArray[np.float64]] = field(default_factory=list)

    def phase_times(self) -> PhaseTimes:
        """Seconds of the phases that were reached."""
        return PhaseTimes(**self.phases)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a measurement depends on beside the engine.

    Attributes:
        cell: what is measured.
        round_: seeds weights and orders.
        target_loss: training loss that tells ``ok`` from ``target_not_reached``.
        clock: injected, so that tests can script it.
        alive: called outside every window, at least once an epoch.
        entered: called with every phase's name as it begins.
    """

    cell: Cell
    round_: int
    target_loss: float | None = None
    clock: Clock = time.perf_counter_ns
    alive: Callable[[], None] = lambda: None
    entered: Callable[[str], None] = lambda phase: None


class TimedEpochs(ABC):
    """One phase's epochs as ``Engine.train`` sees them: the only place where the window's clock is read."""

    phase: str

    def __init__(self, engine: Engine, conditions: Conditions, first_epoch: int) -> None:
        self.engine = engine
        self.conditions = conditions
        self.epoch = first_epoch
        self.windows_ns: list[int] = []
        self._opened_ns = 0

    @property
    def total_s(self) -> float:
        """Sum of the windows so far, in seconds."""
        return sum(self.windows_ns) / 1e9

    def start(self) -> Order | None:
        """The next epoch's order, or None; the window opens as it is handed over."""
        self.conditions.alive()
        if not self.wants_another():
            return None
        cell = self.conditions.cell
        order = epoch_order(cell.seed, self.conditions.round_, self.epoch, cell.data.n_train, cell.data.shuffle)
        self._opened_ns = self.conditions.clock()
        return order

    def finish(self, losses: Callable[[], FloatArray]) -> None:
        """Waits for the device and closes the window; then reads the losses."""
        self.engine.synchronize()
        self.windows_ns.append(self.conditions.clock() - self._opened_ns)
        self.take(losses)
        self.epoch += 1

    def record(self, **evaluation: float) -> EpochRecord:
        """The record of the epoch just finished."""
        cell = self.conditions.cell
        return EpochRecord(
            phase=self.phase,
            epoch=self.epoch,
            samples=cell.data.n_train,
            updates=cell.steps_per_epoch,
            window_ns=self.windows_ns[-1],
            **evaluation,
        )

    @abstractmethod
    def wants_another(self) -> bool:
        """Whether the phase goes on."""

    @abstractmethod
    def take(self, losses: Callable[[], FloatArray]) -> None:
        """Records the epoch just finished, outside the window."""


class TrainingEpochs(TimedEpochs):
    """The budget, from the initial weights: every step's loss, and an evaluation after every epoch."""

    phase = "training"

    def __init__(self, engine: Engine, conditions: Conditions, recorder: Recorder, split: Split) -> None:
        super().__init__(engine, conditions, first_epoch=0)
        self.recorder = recorder
        self.split = split
        self.evaluation_ns = 0

    def wants_another(self) -> bool:
        """Until the budget is spent or the losses are no numbers any more."""
        return self.recorder.status is Status.OK and self.epoch < self.conditions.cell.budget.epochs

    def take(self, losses: Callable[[], FloatArray]) -> None:
        """Keeps the losses, evaluates both splits, and notices divergence."""
        began_ns = self.conditions.clock()
        step_losses = np.asarray(losses(), dtype=np.float64).reshape(-1)
        self.recorder.step_losses.append(self._thinned(step_losses))
        self.recorder.epochs.append(self.record(**evaluate(self.engine, self.split)))
        self._notice_divergence(step_losses)
        self.evaluation_ns += self.conditions.clock() - began_ns

    def _thinned(self, step_losses: NDArray[np.float64]) -> NDArray[np.float64]:
        cell = self.conditions.cell
        stride = step_stride(cell)
        return step_losses[-self.epoch * cell.steps_per_epoch % stride :: stride].copy()

    def _notice_divergence(self, step_losses: NDArray[np.float64]) -> None:
        finite = np.isfinite(step_losses)
        evaluated = self.recorder.epochs[-1].train_loss
        if finite.all() and evaluated is not None and np.isfinite(evaluated):
            return
        where = f"at step {int(np.argmin(finite))}" if not finite.all() else "at its evaluation"
        self.recorder.status = Status.DIVERGED
        self.recorder.reason = f"the loss was not finite in epoch {self.epoch}, {where}: lower optimizer.lr"


class SteadyEpochs(TimedEpochs):
    """More epochs of the same, until there is enough time to measure."""

    phase = "steady"

    def __init__(self, engine: Engine, conditions: Conditions, recorder: Recorder) -> None:
        super().__init__(engine, conditions, first_epoch=conditions.cell.budget.epochs)
        self.recorder = recorder

    def wants_another(self) -> bool:
        """Whether the least time and the least number of epochs are still to be had within the most time."""
        return more_steady(self.conditions.cell.protocol, len(self.windows_ns), self.total_s)

    def take(self, losses: Callable[[], FloatArray]) -> None:
        """Keeps the window; the losses of these epochs belong to nothing."""
        self.recorder.epochs.append(self.record())


def more_steady(protocol: ProtocolSpec, epochs: int, total_s: float) -> bool:
    """Whether steady timing wants another epoch after ``epochs`` of them took ``total_s`` seconds."""
    if epochs == 0:
        return True
    enough = epochs >= protocol.steady_min_epochs and total_s >= protocol.steady_min_s
    return not enough and total_s < protocol.steady_max_s


def evaluate(engine: Engine, split: Split) -> dict[str, float]:
    """Loss and accuracy of the engine's weights on both splits, in NumPy: one definition for every framework."""
    weights = engine.weights()
    train_loss, train_accuracy = loss_and_accuracy(weights, split.x_train, split.y_train)
    val_loss, val_accuracy = loss_and_accuracy(weights, split.x_val, split.y_val)
    return {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
    }


def measure(engine: Engine, split: Split, conditions: Conditions, recorder: Recorder) -> None:
    """Takes an engine through every phase of a run, filling ``recorder`` as it goes.

    Raises:
        Unavailable: the engine cannot run this cell here.
        Exception: whatever the framework raises; what was recorded before stays recorded.
    """
    start_engine(engine, split, conditions, recorder)
    weights = starting_weights(conditions)
    if not passes_parity_gate(engine, split, conditions, recorder):
        return
    initial = evaluate(engine, split)
    recorder.initial_train_loss, recorder.initial_val_loss = initial["train_loss"], initial["val_loss"]

    training = TrainingEpochs(engine, conditions, recorder, split)
    try:
        train_undisturbed(engine, training)
    finally:
        recorder.phases |= {"training_s": training.total_s, "evaluation_s": training.evaluation_ns / 1e9}
    if recorder.status is not Status.OK:
        return
    notice_missed_target(recorder, conditions.target_loss)

    engine.reset(weights)
    steady = SteadyEpochs(engine, conditions, recorder)
    try:
        train_undisturbed(engine, steady)
    finally:
        recorder.phases["steady_s"] = steady.total_s


def start_engine(engine: Engine, split: Split, conditions: Conditions, recorder: Recorder) -> None:
    """Device, build, data, first step; leaves the engine at its initial weights with everything compiled."""
    set_up(engine, split, conditions, recorder)
    first_step(engine, conditions, recorder)


def set_up(engine: Engine, split: Split, conditions: Conditions, recorder: Recorder) -> None:
    """Device, build, data: everything before the first step."""
    with phase("build_s", conditions, recorder):
        recorder.device_name = engine.open_device()
        engine.build(starting_weights(conditions))
    with phase("data_to_device_s", conditions, recorder):
        engine.load(split.x_train, split.y_train)
        engine.synchronize()


def first_step(engine: Engine, conditions: Conditions, recorder: Recorder) -> None:
    """Trace and compile (or load), by one step of every batch shape; back at the initial weights afterwards."""
    kept = kept_programs(engine)
    with phase("first_step_s", conditions, recorder):
        engine.warm_up()
        engine.synchronize()
    make_sure_where_it_trains(engine)
    recorder.compile_cache = compile_cache(engine, kept)
    engine.reset(starting_weights(conditions))


def make_sure_where_it_trains(engine: Engine) -> None:
    """Asks the weights where they live, after a step: a framework that finds no device often takes another untold.

    Raises:
        Unavailable: it is not where the cell asks for.
    """
    wanted, homes = engine.cell.device, engine.homes()
    if homes != {wanted}:
        raise Unavailable(
            f"asked for {wanted}, the weights live on {' and '.join(sorted(homes))}",
            "a run on another device than its cell says is worth nothing",
            "bench doctor tells what this machine and its packages offer",
        )


def passes_parity_gate(engine: Engine, split: Split, conditions: Conditions, recorder: Recorder) -> bool:
    """Some steps beside the reference, outside every window; a run whose training is another one ends ``invalid``.

    The engine is back at its initial weights afterwards.
    """
    if conditions.cell.protocol.parity_steps == 0:
        return True
    weights = starting_weights(conditions)
    with phase("parity_s", conditions, recorder):
        recorder.parity, objection = check_parity(engine, split, weights, conditions.round_, conditions.alive)
        engine.reset(weights)
        engine.synchronize()
    if objection is not None:
        recorder.status, recorder.reason = Status.INVALID, objection
    return objection is None


def starting_weights(conditions: Conditions) -> Any:
    """The initial weights that every framework and loop of this round receives."""
    cell = conditions.cell
    return initial_weights(
        cell.data.features, cell.network.hidden, cell.network.dtype, seed=cell.seed, round_=conditions.round_
    )


def train_undisturbed(engine: Engine, epochs: TimedEpochs) -> None:
    """Trains with the garbage of the phases before already gone, so that no window pays for it.

    The collector stays on: what a loop allocates inside its window is the loop's own cost.
    """
    epochs.conditions.entered(epochs.phase)
    gc.collect()
    gc.freeze()
    engine.train(epochs)


def notice_missed_target(recorder: Recorder, target_loss: float | None) -> None:
    """Marks a run whose training never reached the target: timed all the same, but censored in convergence."""
    reached = [epoch.train_loss for epoch in recorder.epochs if epoch.train_loss is not None]
    if target_loss is None or not reached or min(reached) <= target_loss:
        return
    recorder.status = Status.TARGET_NOT_REACHED
    recorder.reason = (
        f"the lowest training loss in {len(reached)} epochs was {min(reached):.4g}, the target is {target_loss:.4g}"
    )


@contextmanager
def phase(name: str, conditions: Conditions, recorder: Recorder) -> Iterator[None]:
    """Times one phase that happens once, even where it fails."""
    conditions.alive()
    conditions.entered(name)
    began_ns = conditions.clock()
    try:
        yield
    finally:
        recorder.phases[name] = (conditions.clock() - began_ns) / 1e9
