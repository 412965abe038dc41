"""One synthetic run: plausible times, losses and memory without training anything.

Speed follows t(B) = t0 + B/r for every family, with a log-normal factor per process; losses follow an exponential
approach whose pace depends on the batch size as S(B) = S_min (1 + B_c/B) (McCandlish et al. 2018).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell
from bench.records import CompileCache, MemoryRecord, ParityRecord, PhaseTimes, RunResult, Status

INITIAL_LOSS, FLOOR_LOSS = 0.74, 0.30
_CRITICAL_BATCH, _PACE_UPDATES = 50.0, 150.0
CREATED_AT = "2026-11-23T20:00:00.000+00:00"
_REASONS = {
    Status.DIVERGED: "the loss was not finite in epoch 0, at step 3: lower optimizer.lr",
    Status.TIMEOUT: "longer than protocol.timeout_s=600",
    Status.CRASHED: "the worker was ended by SIGKILL and left no record",
    Status.OOM: "RuntimeError: can't allocate memory: <tried> 1 TiB",
    Status.ERROR: "ValueError: <b>made & planted</b> by the test",
    Status.INVALID: "not the reference's training: at step 7 of 50 the loss was 0.7012345, the reference's 0.7009876; "
    "a difference of 0.00025, the bar is 5e-06",
}


class Pace(NamedTuple):
    """One family's step time, t0 + B/r in microseconds, and what comes before the first step, in seconds.

    ``warm_s`` is the first step of every round but the first, for a family that keeps what it compiled.
    """

    t0_us: float
    us_per_sample: float
    first_step_s: float
    start_s: float
    compiles: bool = False
    warm_s: float | None = None

    def first_step(self, round_: int) -> tuple[float, CompileCache]:
        """Its seconds, and where its programs came from."""
        if self.warm_s is not None:
            return (self.first_step_s, CompileCache.COLD) if round_ == 0 else (self.warm_s, CompileCache.WARM)
        return self.first_step_s, CompileCache.ANEW if self.compiles else CompileCache.NOTHING


PACES = {
    ("pytorch", "idiomatic"): Pace(390.0, 3.1, 0.01, 0.07),
    ("pytorch", "eager"): Pace(250.0, 0.32, 0.01, 0.07),
    ("pytorch", "compiled"): Pace(110.0, 0.40, 9.0, 0.07, compiles=True),
    ("pytorch", "fused"): Pace(21.0, 0.19, 6.4, 0.07, compiles=True, warm_s=0.11),
    ("keras", "idiomatic"): Pace(1000.0, 25.0, 0.8, 0.6, compiles=True),
    ("keras", "eager"): Pace(2400.0, 1.1, 0.1, 0.6),
    ("keras", "compiled"): Pace(180.0, 0.9, 0.5, 0.6, compiles=True),
    ("keras", "fused"): Pace(3.0, 0.72, 1.3, 0.6, compiles=True),
    ("reference", "eager"): Pace(60.0, 1.2, 0.001, 0.05),
}


def synthetic_run(
    cell: Cell, round_: int, order: int, *, planted: Status | None, target_loss: float | None, pace: Pace, noise: float
) -> tuple[RunResult, dict[str, NDArray[Any]] | None]:
    """One run's record and the arrays of its trace, the same for the same arguments; ``planted`` is how it fails."""
    # A stream of the run's own: a sweep with one batch size more keeps every other number.
    rng = np.random.default_rng([cell.seed, round_, *cell.id.encode()])
    losses, evaluations = _learning(cell, rng)
    windows_ns = _windows(cell, pace, noise, rng)
    status, reason = _ending(planted, target_loss, evaluations)
    killed = status in (Status.CRASHED, Status.TIMEOUT)
    result = RunResult(
        cell_id=cell.id,
        round=round_,
        order_in_round=order,
        status=status,
        reason=reason,
        started_at=CREATED_AT,
        wall_s=round(pace.start_s + pace.first_step(round_)[0] + float(windows_ns.sum()) / 1e9 + 0.05, 6),
        isolation="fork",
        exit_code=None if killed else 0,
        exit_signal="SIGKILL" if killed else None,
        device_name="Synthetic CPU",
        target_loss=target_loss,
        import_s=pace.start_s * 20,
        phases=_phases(cell, pace, pace.first_step(round_)[0], windows_ns, status, rng),
        compile_cache=pace.first_step(round_)[1],
        initial_train_loss=INITIAL_LOSS,
        initial_val_loss=INITIAL_LOSS * 1.01,
        memory=_memory(cell, round_, status),
        memory_wall_s=0.4 if round_ == 0 else None,
        environment={"threads": 1, "framework_version": "0.0", "onednn": True, "jit_compile": False},
        parity=_parity(cell, round_, status),
        parity_reason=None if _is_gated(cell, status) else _why_no_gate(cell, status),
    )
    return result, _trace_of(cell, status, losses, evaluations, windows_ns)


def _phases(
    cell: Cell,
    pace: Pace,
    first_step_s: float,
    windows_ns: NDArray[np.int64],
    status: Status,
    rng: np.random.Generator,
) -> PhaseTimes:
    before = {"start_s": pace.start_s, "build_s": 0.01, "data_to_device_s": 0.001}
    first_step_s *= rng.lognormal(0.0, 0.05)
    if not status.measured:
        return PhaseTimes(**before, first_step_s=first_step_s)
    epochs = cell.budget.epochs
    return PhaseTimes(
        **before,
        first_step_s=first_step_s,
        training_s=float(windows_ns[:epochs].sum()) / 1e9,
        evaluation_s=0.002 * epochs,
        steady_s=float(windows_ns[epochs:].sum()) / 1e9,
    )


def _why_no_gate(cell: Cell, status: Status) -> str:
    if cell.protocol.parity_steps == 0:
        return "protocol.parity_steps is 0: the gate is off"
    return f"the run ended {status.value} and left no word of a gate"


def _is_gated(cell: Cell, status: Status) -> bool:
    return cell.protocol.parity_steps > 0 and (status.measured or status in (Status.DIVERGED, Status.INVALID))


def _parity(cell: Cell, round_: int, status: Status) -> ParityRecord | None:
    """Rounding as it is seen: two parts in ten million at batch 1, a third of that at the largest batches."""
    if not _is_gated(cell, status):
        return None
    # Not the run's own stream: what was drawn from it before there was a gate stays the same.
    rng = np.random.default_rng([7, cell.seed, round_, *cell.id.encode()])
    size = 6e-8 + 1.5e-7 / math.sqrt(cell.batch_size)
    control, engine = size * rng.lognormal(0.0, 0.2, 2)
    flipped = cell.batch_size == 256
    return ParityRecord(
        difference=2.5e-4 if status is Status.INVALID else float(engine),
        step=7,
        steps=cell.protocol.parity_steps,
        bar=(9e-6 if flipped else 5e-6) if cell.defaults == "pinned" else None,
        control=float(control),
        flips=4.5e-6 if flipped else 0.0,
        undecided=3 if flipped else 0,
    )


def _trace_of(
    cell: Cell,
    status: Status,
    losses: NDArray[np.float64],
    evaluations: NDArray[np.float64],
    windows_ns: NDArray[np.int64],
) -> dict[str, NDArray[Any]] | None:
    """All of it for a measured run, the first epoch for one that failed in it, nothing for one that was ended."""
    if status in (Status.TIMEOUT, Status.CRASHED, Status.OOM, Status.INVALID):
        return None
    if status is Status.DIVERGED:
        losses[0, 3 % losses.shape[1] :] = np.nan
        evaluations[0] = np.nan
    epochs = cell.budget.epochs if status.measured else 1
    return _trace(cell, losses[:epochs], evaluations[:epochs], windows_ns, steady=status.measured)


def _learning(cell: Cell, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Losses of every step, shape (epochs, steps), and evaluations after each epoch, shape (epochs, 4)."""
    epochs, steps = cell.budget.epochs, cell.steps_per_epoch
    pace = _PACE_UPDATES * (1 + _CRITICAL_BATCH / cell.batch_size) * (1e-3 / cell.optimizer.lr)
    progress = np.exp(-np.arange(epochs * steps + 1) / pace)
    smooth = FLOOR_LOSS + (INITIAL_LOSS - FLOOR_LOSS) * progress
    noise = rng.lognormal(0.0, 0.5 / math.sqrt(cell.batch_size), epochs * steps)
    train = smooth[steps::steps] * rng.lognormal(0.0, 0.003, epochs)
    accuracy = 0.5 + 0.45 * (INITIAL_LOSS - train) / (INITIAL_LOSS - FLOOR_LOSS)
    evaluations = np.column_stack([train, accuracy, train * 1.05, accuracy - 0.02]).clip(0.0, None)
    evaluations[:, [1, 3]] = evaluations[:, [1, 3]].clip(0.0, 1.0)
    return (smooth[:-1] * noise).reshape(epochs, steps), evaluations


def _windows(cell: Cell, pace: Pace, noise: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Training windows, then as many steady ones as the protocol asks for, in nanoseconds."""
    epoch_us = cell.steps_per_epoch * pace.t0_us + cell.data.n_train * pace.us_per_sample
    process_factor = rng.lognormal(0.0, noise)
    protocol = cell.protocol
    steady = max(protocol.steady_min_epochs, math.ceil(protocol.steady_min_s * 1e6 / epoch_us))
    factors = process_factor * (1 + rng.exponential(noise / 2, cell.budget.epochs + steady))
    return (epoch_us * 1e3 * factors).astype(np.int64)


def _ending(
    planted: Status | None, target_loss: float | None, evaluations: NDArray[np.float64]
) -> tuple[Status, str | None]:
    if planted is not None:
        return planted, _REASONS[planted]
    lowest = float(evaluations[:, 0].min())
    if target_loss is None or lowest <= target_loss:
        return Status.OK, None
    epochs = len(evaluations)
    reason = f"the lowest training loss in {epochs} epochs was {lowest:.4g}, the target is {target_loss:.4g}"
    return Status.TARGET_NOT_REACHED, reason


def _trace(
    cell: Cell,
    losses: NDArray[np.float64],
    evaluations: NDArray[np.float64],
    windows_ns: NDArray[np.int64],
    *,
    steady: bool,
) -> dict[str, NDArray[Any]]:
    trained, steps = losses.shape
    extra = len(windows_ns) - cell.budget.epochs if steady else 0
    batch_samples = np.full(steps, cell.batch_size)
    batch_samples[-1] = cell.data.n_train - (steps - 1) * cell.batch_size
    evaluated = np.full((trained + extra, 4), np.nan)
    evaluated[:trained] = evaluations
    first_steady = cell.budget.epochs
    return {
        "step_epoch": np.repeat(np.arange(trained), steps),
        "step_step": np.arange(trained * steps),
        "step_batch_samples": np.tile(batch_samples, trained),
        "step_loss": losses.ravel(),
        "epoch_phase": np.array(["training"] * trained + ["steady"] * extra),
        "epoch_epoch": np.concatenate([np.arange(trained), np.arange(first_steady, first_steady + extra)]),
        "epoch_samples": np.full(trained + extra, cell.data.n_train),
        "epoch_updates": np.full(trained + extra, steps),
        "epoch_window_ns": np.concatenate([windows_ns[:trained], windows_ns[first_steady : first_steady + extra]]),
        "epoch_train_loss": evaluated[:, 0],
        "epoch_train_accuracy": evaluated[:, 1],
        "epoch_val_loss": evaluated[:, 2],
        "epoch_val_accuracy": evaluated[:, 3],
    }


def _memory(cell: Cell, round_: int, status: Status) -> MemoryRecord:
    if round_ > 0 or not status.measured:
        why = "memory is measured in the first round only" if round_ > 0 else f"the run ended {status.value}"
        return MemoryRecord(rss_reason=why, device_peak_reason=why)
    step_bytes = 3 * 4 * cell.network.hidden * cell.batch_size
    baseline = {"pytorch": 230 << 20, "keras": 820 << 20}.get(cell.framework, 60 << 20)
    over = (1 << 20) + 2 * step_bytes
    knows = cell.framework == "pytorch"
    return MemoryRecord(
        baseline_rss_bytes=baseline,
        peak_rss_bytes=baseline + over,
        rss_over_baseline_bytes=over,
        device_peak_bytes=step_bytes + 268 if knows else None,
        device_peak_source="torch.profiler memory events" if knows else None,
        device_peak_reason=None if knows else "the allocator's figure did not move on this build",
        isolation="fork",
        steps=20,
    )
