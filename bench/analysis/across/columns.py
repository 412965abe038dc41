"""Every column of the tables of a comparison; those of a sweep's own tables are in ``bench.analysis.columns``."""

from __future__ import annotations

from bench.analysis.columns import Column
from bench.analysis.judge import POWER, TIE_MARGIN

_WHICH = (
    Column("sweep", "str", "", "letter of the sweep that is compared with A"),
    Column("sweep_name", "str", "", "its name"),
)
_CURVE = (
    Column("framework", "str", "", "pytorch, keras or reference"),
    Column("backend", "str", "", "Keras' backend; null for the others"),
    Column("loop", "str", "", "how the training loop is written"),
    Column("device", "str", "", "cpu, gpu or tpu"),
)

CELLS_ACROSS = (
    *_WHICH,
    Column("cell_id", "str", "", "the cell, the same in both sweeps"),
    *_CURVE,
    Column("batch_size", "int64", "samples", "rows per step"),
    Column("n_train", "int64", "samples", "rows of the training split"),
    Column("workload", "str", "", "data, network and number format"),
    Column("setting", "str", "", "hash of all but framework, backend, loop, device, batch size: one curve"),
    Column("device_name_base", "str", "", "the device in A, as its driver names it"),
    Column("device_name", "str", "", "the device in the other sweep"),
    Column("n_base", "int64", "", "measured runs in A"),
    Column("n", "int64", "", "measured runs in the other sweep"),
    Column("samples_per_s_base", "float64", "1/s", "median over runs in A"),
    Column("samples_per_s_base_low", "float64", "1/s", "lower end of its 95 % interval"),
    Column("samples_per_s_base_high", "float64", "1/s", "upper end of its 95 % interval"),
    Column("samples_per_s", "float64", "1/s", "median over runs in the other sweep"),
    Column("samples_per_s_low", "float64", "1/s", "lower end of its 95 % interval"),
    Column("samples_per_s_high", "float64", "1/s", "upper end of its 95 % interval"),
    Column("ratio", "float64", "", "throughput over A's, geometric means of runs: above 1 is faster than A"),
    Column("low", "float64", "", "lower end of its 95 % interval, this ratio alone"),
    Column("high", "float64", "", "upper end of its 95 % interval, this ratio alone"),
    Column("p_holm", "float64", "", "p-value of the ratio being 1, corrected over the cells of this sweep"),
    Column("verdict", "str", "", f"faster, slower, tie (within {TIE_MARGIN:.0%}), inconclusive; null without interval"),
    Column("more_runs", "float64", "", "how many more runs would settle an inconclusive one"),
    Column("margin", "float64", "", "margin of regressions, as asked for; ties have their own"),
    Column("p_regression_holm", "float64", "", "p-value of the ratio being 1 / (1 + margin) or more, corrected too"),
    Column("regression", "bool", "", "slower than A by more than the margin, proven"),
    Column("detectable_loss", "float64", "", f"loss x, to 1 / (1 + x) of A, that is found with probability {POWER:g}"),
    Column("reason", "str", "", "why there is no interval and no verdict"),
    Column("time_to_target_s_base", "float64", "s", "median over runs in A"),
    Column("time_to_target_s", "float64", "s", "median over runs in the other sweep"),
    Column("time_to_target_ratio", "float64", "", "A's time over the other's: above 1 is sooner than A"),
    Column("time_to_target_low", "float64", "", "lower end of its 95 % interval"),
    Column("time_to_target_high", "float64", "", "upper end of its 95 % interval"),
    Column("time_to_target_verdict", "str", "", "as verdict, a family of its own"),
    Column("time_to_target_reason", "str", "", "why that has no verdict"),
    Column("rss_over_baseline_bytes_base", "Int64", "bytes", "what training adds to the process in A"),
    Column("rss_over_baseline_bytes", "Int64", "bytes", "what it adds in the other sweep"),
    Column("rss_reason", "str", "", "why one of them is null, or the two cannot be compared"),
    Column("first_step_s_base", "float64", "s", "first step in A, median over runs, cold and warm together"),
    Column("first_step_s", "float64", "s", "the same in the other sweep"),
)

KNEES = (
    *_WHICH,
    *_CURVE,
    Column("workload", "str", "", "data, network and number format"),
    Column("setting", "str", "", "hash of all but framework, backend, loop, device, batch size"),
    Column("n_sizes", "int64", "", "batch sizes measured in both"),
    Column("knee_base", "float64", "samples", "the knee in A, null where the curve is too short"),
    Column("knee_base_low", "float64", "samples", "the least batch size it can be, given the intervals"),
    Column("knee_base_high", "float64", "samples", "the largest"),
    Column("knee", "float64", "samples", "the knee in the other sweep"),
    Column("knee_low", "float64", "samples", "the least batch size it can be"),
    Column("knee_high", "float64", "samples", "the largest"),
    Column("half_batch_base", "float64", "samples", "half-throughput batch of A's step-time model, where it fits"),
    Column("half_batch_base_low", "float64", "samples", "lower end of its 95 % interval"),
    Column("half_batch_base_high", "float64", "samples", "upper end of its 95 % interval"),
    Column("half_batch", "float64", "samples", "the same in the other sweep"),
    Column("half_batch_low", "float64", "samples", "lower end of its 95 % interval"),
    Column("half_batch_high", "float64", "samples", "upper end of its 95 % interval"),
    Column("moved", "str", "", "up, down, no (the ranges overlap), or null"),
    Column("reason", "str", "", "why nothing can be said about a move"),
)

APART = (
    *_WHICH,
    Column("of", "str", "", "letter of the sweep the cell stands in"),
    Column("cell_id", "str", "", "the cell"),
    *_CURVE,
    Column("batch_size", "int64", "samples", "rows per step"),
    Column("kind", "str", "", "why it is not compared"),
    Column("detail", "str", "", "what exactly differs"),
    Column("ended", "str", "", "how all its runs in the other sweep failed, where A measured it; null elsewhere"),
)
