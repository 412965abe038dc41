# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How fast is each batch size, and in which framework?
#
# `make sweep` trains one small network in PyTorch and in Keras, once for every batch size, and leaves its
# figures as tables. This notebook loads those tables with pandas and draws the main comparison again, step by
# step, so that you can change it. To use a sweep of your own, set `BENCH_SWEEP` to its folder before you
# start Jupyter, or edit the next cell.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

SWEEP = Path(os.environ.get("BENCH_SWEEP", "../results/reference/smoke"))

cells = pd.read_parquet(SWEEP / "tables" / "cells.parquet")
runs = pd.read_parquet(SWEEP / "tables" / "runs.parquet")
# A control is a cell under a second name, there to measure the machine's noise: no choice of its own.
cells, runs = (table.query("not control") if "control" in table else table for table in (cells, runs))
print(f"{SWEEP.name}: {len(cells)} cells, {len(runs)} runs")

# %% [markdown]
# ## What is in the tables
#
# A **cell** is one choice: framework, loop, device and batch size. A **run** is one training of that cell in
# a process of its own. Each cell is run several times (several *rounds*), because a computer is never equally
# fast twice. The cell's figure is the median over its runs.
#
# A cell that could not run is a row all the same, with the reason beside it. A gap in a figure should never
# leave you guessing.

# %%
cells.groupby(["framework", "loop", "device", "status"], observed=True).size().rename("cells").reset_index()

# %% [markdown]
# Only cells that were measured have a throughput. `curve` names what belongs on one line of a figure: the
# same framework, loop and device, at every batch size.

# %%
CURVE = ["framework", "backend", "loop", "device"]


def with_curve(table: pd.DataFrame) -> pd.DataFrame:
    """The measured rows of a table, each with the name of the curve that it belongs to."""
    measured = table[table["samples_per_s"].notna()].copy()
    names = measured[CURVE].astype("string").fillna("")
    measured["curve"] = names.agg(" ".join, axis=1).str.split().str.join(" ").astype(str)
    measured["batch_size"] = measured["batch_size"].astype(int)
    measured["samples_per_s"] = measured["samples_per_s"].astype(float)
    return measured.sort_values(["curve", "batch_size"])


measured_cells = with_curve(cells)
measured_runs = with_curve(runs)
shown = ["batch_size_label", "status", "samples_per_s", "step_us"]
measured_cells.set_index("curve")[shown].round({"samples_per_s": 0, "step_us": 1})

# %% [markdown]
# ## Throughput against batch size
#
# **Throughput** is how many training samples are worked through per second. Both axes are logarithmic: equal
# distances mean equal *factors*. The dotted guide shows what perfect scaling would be, twice the batch at
# twice the throughput, starting from the slowest curve's smallest batch.
#
# How to read it:
#
# - Where a curve runs **parallel to the guide**, a step takes the same time whatever the batch size. The time
#   goes into *starting* the step (Python, the framework's bookkeeping), not into the arithmetic. A larger
#   batch is then nearly free.
# - Where it **bends away from the guide**, the arithmetic begins to count.
# - Each small point is one run. Where the points of two curves overlap, the sweep cannot tell the two apart.

# %%
palette = dict(zip(measured_cells["curve"].unique(), sns.color_palette("colorblind"), strict=False))


def draw_throughput(axes: plt.Axes) -> None:
    """One line per curve through the medians, one faint point per run, the interval where there is one."""
    style = {"x": "batch_size", "y": "samples_per_s", "hue": "curve", "palette": palette, "ax": axes}
    axes.set(xscale="log", yscale="log")
    sns.scatterplot(measured_runs, s=14, alpha=0.5, legend=False, **style)
    sns.lineplot(measured_cells, style="curve", markers=True, dashes=False, errorbar=None, **style)
    for curve, rows in measured_cells.dropna(subset="samples_per_s_low").groupby("curve"):
        low, high = (rows[column].astype(float) for column in ("samples_per_s_low", "samples_per_s_high"))
        axes.fill_between(rows["batch_size"], low, high, color=palette[curve], alpha=0.2, linewidth=0)
    draw_guide(axes)
    axes.set(xlabel="batch size", ylabel="throughput (samples/s)", title="Throughput against batch size")
    axes.legend(title=None, frameon=False)


def draw_guide(axes: plt.Axes) -> None:
    """Perfect scaling from the slowest curve's smallest batch."""
    smallest = measured_cells[measured_cells["batch_size"] == measured_cells["batch_size"].min()]
    start = smallest.nsmallest(1, "samples_per_s").iloc[0]
    sizes = np.sort(measured_cells["batch_size"].unique())
    guide = start["samples_per_s"] * sizes / start["batch_size"]
    axes.plot(sizes, guide, linestyle=":", color="grey", label="perfect scaling", zorder=0)


figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
draw_throughput(axes)

# %% [markdown]
# ## Where the time of a step goes
#
# Almost every curve above follows one simple model. A step on $B$ samples takes
#
# $$t(B) = t_0 + \frac{B}{r}$$
#
# with $t_0$ the fixed cost of a step (paid even for a single sample) and $r$ the throughput that a very large
# batch would reach. At the batch size $t_0 \cdot r$ half of the time is fixed cost: below it a larger batch
# is nearly free, above it hardly pays. The fit below is weighted so that every batch size counts by its
# *relative* error.

# %%


def fit_step_time(rows: pd.DataFrame) -> pd.Series:
    """Least squares on relative errors of t(B) = t0 + B/r; microseconds and samples per second."""
    sizes = rows["batch_size"].to_numpy(float)
    step_s = sizes / rows["samples_per_s"].to_numpy()
    design = np.column_stack([np.ones_like(sizes), sizes]) / step_s[:, None]
    t0, per_sample = np.linalg.lstsq(design, np.ones_like(sizes))[0]
    if t0 <= 0 or per_sample <= 0:  # too few or too noisy batch sizes to tell the two costs apart
        return pd.Series({"t0_us": np.nan, "r_samples_per_s": np.nan, "half_throughput_batch": np.nan})
    return pd.Series({"t0_us": t0 * 1e6, "r_samples_per_s": 1 / per_sample, "half_throughput_batch": t0 / per_sample})


enough = measured_cells.groupby("curve").filter(lambda rows: rows["batch_size"].nunique() >= 3)
fits = pd.DataFrame({curve: fit_step_time(rows) for curve, rows in enough.groupby("curve")}).T
fits.round({"t0_us": 1, "r_samples_per_s": -2, "half_throughput_batch": 0})

# %% [markdown]
# ## How many times faster?
#
# A ratio is only fair between like and like. Here: the same batch size on the same device, each framework with
# the fastest of the loops that were measured. 1 means equally fast. Before you quote a ratio close to 1, look at
# how far the single runs above scatter: a difference smaller than the scatter is a tie.

# %%
best = measured_cells.pivot_table(
    index=["device", "batch_size"], columns="framework", values="samples_per_s", aggfunc="max", observed=True
)
if {"pytorch", "keras"} <= set(best.columns):
    best["pytorch / keras"] = best["pytorch"] / best["keras"]
best.round({"pytorch": 0, "keras": 0, "pytorch / keras": 2})

# %% [markdown]
# ## To try
#
# 1. Sweep several loops and colour by `loop` instead of `curve`. Which changes more, the framework or the way
#    the training loop is written?
# 2. Draw `step_us` instead of `samples_per_s`. What does a flat line mean now?
# 3. Throughput says nothing about learning. Plot `time_to_target_s` against `batch_size`: is the fastest
#    batch size per sample also the fastest to the target loss? (Rows without a value never got there within
#    the budget.)
