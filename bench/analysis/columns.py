"""Every column of every table: its type, its unit and what it means, in one place.

Types are pandas'; null is NaN in ``str`` and ``float64``, NA in ``Int64``. Where a value does not exist it is null and
the named ``*_reason`` column, else ``reason``, says why. ``runs`` has no intervals:
steps of one process are no repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Column:
    """A column's name, pandas type, unit (empty: none) and meaning."""

    name: str
    dtype: str
    unit: str
    meaning: str


def frame(values: Any, columns: Sequence[Column]) -> pd.DataFrame:
    """The values as a table of exactly these columns, in their order and types.

    Args:
        values: a mapping or table that has every column by its name.
        columns: the columns wanted.

    Raises:
        KeyError: a column has no values.
    """
    return pd.DataFrame({c.name: _typed(values[c.name], c.dtype) for c in columns}, copy=False)


def empty(columns: Sequence[Column]) -> pd.DataFrame:
    """A table of these columns without rows."""
    return frame({column.name: [] for column in columns}, columns)


def _typed(values: Any, dtype: str) -> Any:
    series: Any = pd.Series(values, copy=False).reset_index(drop=True)
    return series.astype(dtype)


CELL = (
    Column("cell_id", "str", "", "readable slug and hash of everything that can change the measurement"),
    Column("framework", "str", "", "pytorch, keras or reference"),
    Column("backend", "str", "", "Keras' backend; null for the others"),
    Column("loop", "str", "", "how the training loop is written: idiomatic, eager, compiled or fused"),
    Column("device", "str", "", "cpu, gpu or tpu"),
    Column("device_name", "str", "", "the device as its driver names it; null where no run opened it"),
    Column("batch_size", "int64", "samples", "rows per step"),
    Column("batch_size_label", "str", "", "as the user wrote it: the number, or full"),
    Column("n_train", "int64", "samples", "rows of the training split"),
    Column("n_val", "int64", "samples", "rows of the validation split"),
    Column("features", "int64", "", "columns of X"),
    Column("hidden", "int64", "", "units of the hidden layer"),
    Column("dtype", "str", "", "number format of weights and data"),
    Column("optimizer", "str", "", "sgd, momentum or adam"),
    Column("lr_policy", "str", "", "how the learning rate follows the batch size"),
    Column("lr", "float64", "", "the learning rate in force at this batch size"),
    Column("data", "str", "", "teacher, tutorial, breast_cancer or file"),
    Column("defaults", "str", "", "pinned (same arithmetic everywhere) or framework (as each tutorial has it)"),
    Column("threads", "int64", "", "compute threads allowed"),
    Column("seed", "int64", "", "seeds data, split, weights and orders"),
    Column("workload", "str", "", "what two cells must share to be weighed against each other in the verdict"),
    Column("setting", "str", "", "hash of all but framework, backend, loop, device, batch size: one curve"),
    Column("target_loss", "float64", "", "training loss to reach; null where none was set"),
    Column("control", "bool", "", "a cell of this sweep under a second name: of use to its noise table alone"),
)

_SPEED_REASON = Column("samples_per_s_reason", "str", "", "why samples_per_s and step_us are null")
_TIMED_PHASE = Column("timed_phase", "str", "", "steady, or training where no steady epoch was timed, or mixed")
_STEADINESS = Column(
    "steadiness", "str", "", "of the steady epochs: flat, warmup, too_few, slowdown or no_steady_state; a cell's worst"
)
_INITIAL_LOSS = Column("initial_train_loss", "float64", "", "training loss before the first update")
_FINAL = (
    Column("final_train_loss", "float64", "", "loss over the training split after the last training epoch"),
    Column("final_train_accuracy", "float64", "", "accuracy over the training split after the last training epoch"),
    Column("final_val_loss", "float64", "", "loss over the validation split after the last training epoch"),
    Column("final_val_accuracy", "float64", "", "accuracy over the validation split after the last training epoch"),
)
_BEFORE_THE_FIRST_STEP = (
    Column("start_s", "float64", "s", "from the request until the worker was ready"),
    Column("import_s", "float64", "s", "the framework's import, paid once by the template; null for spawn"),
    Column("build_s", "float64", "s", "model and optimizer"),
    Column("data_to_device_s", "float64", "s", "moving the data set"),
    Column("first_step_s", "float64", "s", "one step of every batch shape: trace, and compile or load"),
)
_TRAINING = (
    Column(
        "parity_s", "float64", "s", "the parity gate, the reference's own steps included; null where there was none"
    ),
    Column("training_s", "float64", "s", "sum of the training windows"),
    Column("evaluation_s", "float64", "s", "evaluation between the training windows"),
    Column("steady_s", "float64", "s", "sum of the steady windows"),
)
_CONVERGENCE_REASON = Column(
    "steps_to_target_reason", "str", "", "why steps, epochs and times to the target are null (censored, or never run)"
)
_MEMORY = (
    Column("baseline_rss_bytes", "Int64", "bytes", "resident set of the warmed-up process before it trains"),
    Column("peak_rss_bytes", "Int64", "bytes", "highest resident set of the process while it trains"),
    Column("rss_over_baseline_bytes", "Int64", "bytes", "peak minus baseline: what training adds to the process"),
    Column("rss_reason", "str", "", "why the three resident sets are null"),
    Column("device_peak_bytes", "Int64", "bytes", "the framework's allocator or compiler figure for training"),
    Column("device_peak_source", "str", "", "where that figure comes from; different sources are not comparable"),
    Column("device_peak_reason", "str", "", "why it is null"),
    Column("memory_isolation", "str", "", "fork or spawn: resident sets of the two are not comparable"),
    Column("model_bytes", "int64", "bytes", "analytic model: state, data and one step together"),
    Column("model_state_bytes", "int64", "bytes", "analytic model: weights, gradients, optimizer state"),
    Column("model_data_bytes", "int64", "bytes", "analytic model: training split"),
    Column("model_step_bytes", "int64", "bytes", "analytic model: what one step allocates at its peak"),
)
_PARITY = (
    Column("parity", "float64", "", "largest |loss - reference's| / max(1, |reference's|) over the gate's steps"),
    Column("parity_bar", "float64", "", "what it may not exceed; null where nothing was asked, or no gate ran"),
    Column("parity_control", "float64", "", "the same of the reference in the engine's number format: rounding alone"),
    Column("parity_flips", "float64", "", "the same of the float64 reference with undecided ReLU gates flipped"),
    Column("parity_undecided", "Int64", "", "ReLU gates whose side rounding decided"),
    Column("parity_steps", "Int64", "", "steps compared"),
    Column("parity_step", "Int64", "", "the step, from 0, where the difference was largest"),
    Column("parity_reason", "str", "", "why parity is null"),
    Column("numeric_flags", "str", "", "TF32, oneDNN, jit, threads as the libraries told them; null where none did"),
)

_NOISE = (
    Column("noise_period_s", "float64", "s", "from just before the worker was asked until just after it had ended"),
    Column("load_before", "float64", "", "load average over the last minute at the start; the run before counts in it"),
    Column("load_after", "float64", "", "the same at the end; this run counts in it"),
    Column("steal_share", "float64", "", "share of all processors' time that a virtual machine's host gave to others"),
    Column("others_share", "float64", "", "share of all processors' time that others than worker and harness used"),
    Column("steal_processors", "float64", "", "processors' worth of time that the host took of those the run may use"),
    Column("others_processors", "float64", "", "processors' worth of time that others used of those the run may use"),
    Column("frequency_min_mhz", "float64", "MHz", "lowest frequency of the processors looked at, at start and end"),
    Column("frequency_mean_mhz", "float64", "MHz", "their mean"),
    Column("frequency_max_mhz", "float64", "MHz", "the highest"),
    Column("thermal_throttles", "Int64", "", "times that heat or power slowed a core meanwhile"),
    Column("limit_throttles", "Int64", "", "times that the control group's CPU limit stopped it meanwhile"),
    Column("cpu_pressure_share", "float64", "", "share of the time in which somebody had to wait for a processor"),
    Column("involuntary_switches", "Int64", "", "times that the worker's processor was given to somebody else"),
    Column("major_faults", "Int64", "", "pages that the worker had to wait for the disk for"),
    Column("noise_reason", "str", "", "why any of those is null"),
    Column("gpu_clock_mhz", "Int64", "MHz", "clock of the GPU's processors just after the run"),
    Column("gpu_slowed_by", "str", "", "what held its clock down: temperature, power, hardware, joined; or nothing"),
    Column("gpu_others", "Int64", "", "other processes that could compute on the GPU just before or after the run"),
    Column("gpu_reason", "str", "", "why any of those three is null"),
    Column("disturbance", "str", "", "what disturbed the run, of what bench.analysis.disturbance knows; null: nothing"),
)

RUNS = (
    *CELL,
    Column("round", "int64", "", "the pass over all cells, from 0; seeds weights and orders"),
    Column("order_in_round", "Int64", "", "its place in that pass; null for a run never started"),
    Column("status", "str", "", "how the run ended (bench.records.Status)"),
    Column("reason", "str", "", "why, for every status but ok"),
    Column("started_at", "str", "", "UTC, ISO 8601; null where the record is damaged"),
    Column("wall_s", "float64", "s", "from the supervisor's first act to the record, memory pass included"),
    Column("memory_wall_s", "float64", "s", "wall time of the memory pass; null where there was none"),
    Column("isolation", "str", "", "fork, spawn, or null where nothing was started"),
    Column("samples_per_s", "float64", "1/s", "median over steady epochs after the warm-up of samples / window"),
    Column("step_us", "float64", "us", "median over steady epochs after the warm-up of window / updates"),
    _SPEED_REASON,
    _TIMED_PHASE,
    Column("timed_epochs", "int64", "", "epochs that median is over"),
    Column("warmup_epochs", "int64", "", "steady epochs before the steady state, which that median leaves out"),
    _STEADINESS,
    Column("steadiness_reason", "str", "", "what that rests on; why it is null; null for a flat run undisturbed"),
    *_BEFORE_THE_FIRST_STEP,
    Column("compile_cache", "str", "", "its programs: cold (compiled, kept), warm (loaded), anew (not kept), nothing"),
    Column("compile_cache_reason", "str", "", "why that is null"),
    *_TRAINING,
    Column("updates", "Int64", "", "updates made in training"),
    Column("epochs", "Int64", "", "training epochs finished"),
    _INITIAL_LOSS,
    *_FINAL,
    Column("steps_to_target", "Int64", "", "updates until the first evaluation at or below the target"),
    Column("epochs_to_target", "Int64", "", "training epochs until then"),
    Column("time_to_target_s", "float64", "s", "sum of the training windows until then"),
    Column("time_to_target_cold_s", "float64", "s", "the same plus first_step_s, cold or warm as this run paid it"),
    _CONVERGENCE_REASON,
    *_MEMORY,
    *_PARITY,
    Column("step_stride", "int64", "", "1 where the run stored every step's loss, k where every k-th"),
    *_NOISE,
)

CELLS = (
    *CELL,
    Column("n_planned", "int64", "", "runs the plan has for it"),
    Column("n_runs", "int64", "", "runs with a record"),
    Column("n_ok", "int64", "", "runs of status ok"),
    Column("n_measured", "int64", "", "runs whose timing counts: ok and target_not_reached"),
    Column("status", "str", "", "the worst status of its runs; interrupted where runs are missing"),
    Column("reason", "str", "", "how many runs ended so and why the first of them did, for every status but ok"),
    Column("samples_per_s", "float64", "1/s", "median over measured runs"),
    Column("samples_per_s_low", "float64", "1/s", "lower end of its 95 % interval"),
    Column("samples_per_s_high", "float64", "1/s", "upper end of its 95 % interval"),
    Column("step_us", "float64", "us", "median over measured runs"),
    Column("step_us_low", "float64", "us", "lower end of its 95 % interval"),
    Column("step_us_high", "float64", "us", "upper end of its 95 % interval"),
    _SPEED_REASON,
    Column("interval_reason", "str", "", "why samples_per_s and step_us have no interval"),
    _TIMED_PHASE,
    _STEADINESS,
    Column("n_unsteady", "int64", "", "measured runs that slow down or have no steady state: flagged wherever shown"),
    Column("n_warmup", "int64", "", "measured runs whose first steady epochs were left out as a warm-up"),
    Column("n_too_few", "int64", "", "measured runs with too few steady epochs to say"),
    Column("steadiness_reason", "str", "", "of the first of its worst runs; null where all are flat undisturbed"),
    *_BEFORE_THE_FIRST_STEP,
    Column("first_step_cold_s", "float64", "s", "the same over cold runs alone: what compiling costs"),
    Column("first_step_cold_reason", "str", "", "why that is null"),
    Column("first_step_warm_s", "float64", "s", "the same over warm runs alone: what loading costs"),
    Column("first_step_warm_reason", "str", "", "why that is null"),
    *_TRAINING,
    Column("updates", "int64", "", "updates of the training budget"),
    Column("epochs", "int64", "", "epochs of the training budget"),
    _INITIAL_LOSS,
    *_FINAL,
    Column("n_reached", "int64", "", "runs that reached the target"),
    Column("n_censored", "int64", "", "runs that trained (diverged ones included) and did not reach it"),
    Column("steps_to_target", "float64", "", "median over runs, a censored run counting as later than any other"),
    Column("epochs_to_target", "float64", "", "the same for epochs"),
    Column("time_to_target_s", "float64", "s", "the same for the sum of training windows"),
    Column("time_to_target_s_low", "float64", "s", "lower end of its 95 % interval; null where a run is censored"),
    Column("time_to_target_s_high", "float64", "s", "upper end of its 95 % interval; null where a run is censored"),
    Column("time_to_target_interval_reason", "str", "", "why time_to_target_s has no interval"),
    Column("time_to_target_cold_s", "float64", "s", "the same, with each run's own first_step_s added, cold or warm"),
    _CONVERGENCE_REASON,
    *_MEMORY,
    *_PARITY,
)

EPOCHS = (
    Column("cell_id", "category", "", "the cell"),
    Column("round", "int32", "", "the run's round"),
    Column("phase", "category", "", "training or steady"),
    Column("epoch", "int32", "", "from 0; steady epochs go on counting after the training ones"),
    Column("samples", "int64", "samples", "samples trained on in it"),
    Column("updates", "int64", "", "updates made in it"),
    Column("window_ns", "int64", "ns", "the timed window"),
    Column("train_loss", "float64", "", "over the training split after it; null in steady epochs"),
    Column("train_accuracy", "float64", "", "over the training split after it; null in steady epochs"),
    Column("val_loss", "float64", "", "over the validation split after it; null in steady epochs"),
    Column("val_accuracy", "float64", "", "over the validation split after it; null in steady epochs"),
)

STEPS = (
    Column("cell_id", "category", "", "the cell"),
    Column("round", "int32", "", "the run's round"),
    Column("step", "int64", "", "training step from 0"),
    Column("epoch", "int32", "", "its epoch"),
    Column("batch_samples", "int32", "samples", "rows in its batch; the last of an epoch may hold fewer"),
    Column("loss", "float64", "", "the batch's own mean loss before the update; null where it was not finite"),
)

COMPARISONS = (
    Column("numerator", "str", "", "framework above the ratio"),
    Column("denominator", "str", "", "framework and backend below it"),
    Column("loop", "str", "", "loop of both, or fastest: each side's fastest loop at this batch size"),
    Column("device", "str", "", "device of both"),
    Column("batch_size", "int64", "samples", "batch size of both"),
    Column("batch_size_label", "str", "", "as the user wrote it"),
    Column("workload", "str", "", "workload of both"),
    Column("setting", "str", "", "setting of both"),
    Column("quantity", "str", "", "what the ratio is of: samples_per_s"),
    Column("numerator_cell_id", "str", "", "the cell above"),
    Column("denominator_cell_id", "str", "", "the cell below"),
    Column("numerator_loop", "str", "", "its loop"),
    Column("denominator_loop", "str", "", "its loop"),
    Column("n_pairs", "int64", "", "rounds in which both were measured"),
    Column("ratio", "float64", "", "geometric mean over rounds (trimmed from 10 on); above 1: the numerator is faster"),
    Column("low", "float64", "", "lower end of its 95 % interval"),
    Column("high", "float64", "", "upper end of its 95 % interval"),
    Column("p", "float64", "", "of the ratio being 1, t test on the logarithms, before correction"),
    Column("p_holm", "float64", "", "the same after Holm's correction over all pairs of this table"),
    Column("p_tie_holm", "float64", "", "of the ratio being 5 % or more from 1 (TOST), corrected in the same way"),
    Column("verdict", "str", "", "faster, slower, tie (within 5 % of 1 for certain) or inconclusive: of the numerator"),
    Column("more_rounds", "Int64", "", "about how many rounds would settle it, with a chance of 80 %"),
    Column("more_rounds_reason", "str", "", "why that is null: it is settled, or has no interval yet"),
    Column("reason", "str", "", "why there is no interval"),
    Column("unsteady", "int64", "", "runs of both cells that slow down or have no steady state"),
)

PAYOFFS = (
    Column("framework", "str", "", "framework of both loops"),
    Column("backend", "str", "", "its backend; null where it has none"),
    Column("device", "str", "", "device of both"),
    Column("batch_size", "int64", "samples", "batch size of both"),
    Column("batch_size_label", "str", "", "as the user wrote it"),
    Column("workload", "str", "", "workload of both"),
    Column("setting", "str", "", "setting of both"),
    Column("loop", "str", "", "the loop that may pay for itself"),
    Column("other_loop", "str", "", "the loop it is weighed against"),
    Column("start", "str", "", "cold: programs are compiled; warm: those that a cache keeps are loaded"),
    Column("cell_id", "str", "", "the loop's cell"),
    Column("other_cell_id", "str", "", "the other loop's"),
    Column("n_starts", "int64", "", "rounds in which both started so; runs without a cache start so in every one"),
    Column("n_rounds", "int64", "", "rounds in which both were measured, however they started"),
    Column("first_step_s", "float64", "s", "the loop's first step, median over the former rounds"),
    Column("other_first_step_s", "float64", "s", "the other loop's"),
    Column("step_us", "float64", "us", "the loop's step, median over the latter rounds"),
    Column("other_step_us", "float64", "us", "the other loop's"),
    Column("verdict", "str", "", "of the loop: at once, later (see after_steps), never or inconclusive"),
    Column("after_steps", "float64", "", "steps after which it has caught up; 0 at once"),
    Column("after_steps_low", "float64", "", "lower end of its 95 % interval"),
    Column("after_steps_high", "float64", "", "upper end of its 95 % interval"),
    Column("after_epochs", "float64", "", "the same in epochs of this training split"),
    Column("after_s", "float64", "s", "the same in time since the start of the first step"),
    Column("reason", "str", "", "why it has not caught up, or why that cannot be told"),
    Column("interval_reason", "str", "", "why after_steps has no interval"),
    Column("unsteady", "int64", "", "runs of both cells that slow down or have no steady state"),
)

_CURVE = (
    Column("framework", "str", "", "framework of the curve"),
    Column("backend", "str", "", "its backend; null where it has none"),
    Column("loop", "str", "", "its loop"),
    Column("device", "str", "", "its device"),
    Column("workload", "str", "", "its workload"),
    Column("setting", "str", "", "its setting"),
)

MODELS = (
    *_CURVE,
    Column("n_batch_sizes", "int64", "", "batch sizes fitted, those of equal mean rows per step counting once"),
    Column("smallest_batch_size", "int64", "samples", "the smallest that was measured"),
    Column("largest_batch_size", "int64", "samples", "the largest that was measured"),
    Column("n_rounds", "int64", "", "rounds that measured any of them"),
    Column("n_runs", "int64", "", "measured runs"),
    Column("dispatch_us", "float64", "us", "t0 of t0 + B / r: what every step costs, however small"),
    Column("dispatch_us_low", "float64", "us", "lower end of its 95 % interval"),
    Column("dispatch_us_high", "float64", "us", "upper end of its 95 % interval"),
    Column("asymptotic_samples_per_s", "float64", "1/s", "r: the throughput that large batches approach"),
    Column("asymptotic_samples_per_s_low", "float64", "1/s", "lower end of its 95 % interval"),
    Column("asymptotic_samples_per_s_high", "float64", "1/s", "upper end of its 95 % interval"),
    Column("half_batch_size", "float64", "samples", "t0 r: at this batch size half of a step is dispatch"),
    Column("half_batch_size_low", "float64", "samples", "lower end of its 95 % interval"),
    Column("half_batch_size_high", "float64", "samples", "upper end of its 95 % interval"),
    Column("fits", "bool", "", "whether no median lies further from the model than 15 %; if not, it says nothing"),
    Column("deviation", "float64", "", "median over model less 1, of the batch size where that is furthest from 0"),
    Column("deviation_batch_size", "Int64", "samples", "that batch size"),
    Column("lack_of_fit_p", "float64", "", "of the F test that only scatter lies between curve and model"),
    Column("reason", "str", "", "why the model says nothing"),
    Column("interval_reason", "str", "", "why dispatch_us has no interval"),
    Column("rate_reason", "str", "", "why asymptotic_samples_per_s and half_batch_size have no upper end, or no value"),
)

CROSSINGS = (
    *_CURVE,
    Column("other_framework", "str", "", "framework of the curve it is weighed against"),
    Column("other_backend", "str", "", "its backend; null where it has none"),
    Column("other_loop", "str", "", "its loop"),
    Column("other_device", "str", "", "its device"),
    Column("n_rounds", "int64", "", "rounds that measured both"),
    Column("smallest_batch_size", "Int64", "samples", "the smallest that both have"),
    Column("largest_batch_size", "Int64", "samples", "the largest that both have: beyond the two nothing is said"),
    Column("said_by", "str", "", "what says where: model, if both lines fit and no run objects; else measured"),
    Column("verdict", "str", "", "crosses, crosses again (more than once), nowhere, tie or inconclusive"),
    Column("at_batch_size", "float64", "samples", "where they change places"),
    Column("at_batch_size_low", "float64", "samples", "lower end of its interval; measured: a batch size before it"),
    Column("at_batch_size_high", "float64", "samples", "upper end of its interval; measured: a batch size after it"),
    Column("at_smallest", "str", "", "faster, slower, tie or inconclusive: the curve at the smallest, not the other"),
    Column("at_largest", "str", "", "the same at the largest"),
    Column(
        "dispatch_ratio", "float64", "", "the curve's dispatch_us over the other's; null where one has none or may be 0"
    ),
    Column("dispatch_ratio_low", "float64", "", "lower end of its 95 % interval; it takes 3 rounds"),
    Column("dispatch_ratio_high", "float64", "", "upper end of its 95 % interval"),
    Column("rate_ratio", "float64", "", "the same of asymptotic_samples_per_s"),
    Column("rate_ratio_low", "float64", "", "lower end of its 95 % interval; it takes 3 rounds"),
    Column("rate_ratio_high", "float64", "", "upper end of its 95 % interval"),
    Column("reason", "str", "", "why there is no at_batch_size"),
    Column("interval_reason", "str", "", "why it has no interval"),
)

NOISE = (
    Column("check", "str", "", "control, drift, step, disturbed_runs"),
    Column("framework", "str", "", "of a control: its framework; null for what is asked of the whole sweep"),
    Column("backend", "str", "", "of a control: its backend; null where it has none"),
    Column("device", "str", "", "of a control: its device"),
    Column("cell_id", "str", "", "of a control: the cell under its own name"),
    Column("control_cell_id", "str", "", "of a control: the same cell under the second name"),
    Column("n", "int64", "", "rounds that measured both; or runs behind the check"),
    Column("value", "float64", "", "control: speed under the second name over that under the first; drift: the last "
           "run's time over the first's; step: times after it over those before; disturbed_runs: their share"),
    Column("low", "float64", "", "lower end of its 95 % interval"),
    Column("high", "float64", "", "upper end of its 95 % interval"),
    Column("p", "float64", "", "of there being nothing, of controls after Holm's correction; null for disturbed_runs"),
    Column("verdict", "str", "", "of a control as in comparisons; of the others quiet, disturbed or unknown"),
    Column("floor", "float64", "", "of a control: ratio above 1 that one comparison like it finds nine times in ten"),
    Column("limit", "float64", "", "beyond what the check disturbs: a ratio above 1, or a share"),
    Column("position", "Int64", "", "of a step: the run, from 0 in the order of their starts, that it comes before"),
    Column("alarm", "bool", "", "whether the check makes the sweep one of a disturbed machine"),
    Column("reason", "str", "", "in words what disturbed; or why there is no value or interval, or no verdict"),
)  # fmt: skip
