"""Convergence: the first evaluation at or below the target, censoring, and losses recovered from running means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.convergence import batch_losses, reach, running_mean, why_not_reached


def training(*runs: list[float]) -> pd.DataFrame:
    """Ten updates and two seconds an epoch."""
    rows = [
        {"run": run, "epoch": epoch, "updates": 10, "window_ns": 2_000_000_000, "train_loss": loss}
        for run, losses in enumerate(runs)
        for epoch, loss in enumerate(losses)
    ]
    table = pd.DataFrame(rows, columns=["run", "epoch", "updates", "window_ns", "train_loss"])
    return table.astype(dict.fromkeys(table.columns, "int64") | {"train_loss": "float64"})


def test_the_first_evaluation_at_or_below_the_target_counts() -> None:
    seen = reach(training([0.9, 0.5, 0.7, 0.3], [0.4, 0.9]), np.array([0.5, 0.5]))
    assert seen.epochs.tolist() == [2, 1]
    assert seen.steps.tolist() == [20, 10]
    assert seen.time_s.tolist() == [4.0, 2.0]


def test_a_run_that_never_gets_there_is_censored() -> None:
    seen = reach(training([0.9, 0.8], [0.4]), np.array([0.5, 0.5]))
    assert np.isnan([seen.epochs[0], seen.steps[0], seen.time_s[0]]).all()
    assert seen.time_s[1] == 2.0


@pytest.mark.parametrize(("loss", "target"), [(0.1, np.nan), (np.nan, 0.5)])
def test_without_a_target_or_a_finite_loss_nothing_is_reached(loss: float, target: float) -> None:
    seen = reach(training([loss], [0.1]), np.array([target, 0.5]))
    assert np.isnan(seen.time_s[0])
    assert seen.time_s[1] == 2.0


def test_a_run_without_epochs_is_censored() -> None:
    assert np.isnan(reach(training([0.1]), np.array([0.5, 0.5])).time_s[1])
    assert len(reach(training(), np.array([])).time_s) == 0


def test_the_reason_tells_censoring_from_no_target() -> None:
    assert why_not_reached(0.5, 10) == "target not reached in 10 epochs"
    assert why_not_reached(np.nan, 10) == "no target was set"


def test_running_mean_weights_by_samples_and_starts_afresh_each_epoch() -> None:
    seen = running_mean(np.array([1.0, 3.0, 8.0, 5.0]), np.array([2, 2, 1, 2]), np.array([0, 0, 0, 1]))
    assert seen == pytest.approx(np.array([1.0, 2.0, 16 / 5, 5.0]))


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 64)), min_size=1, max_size=40), st.integers(1, 7))
def test_each_batchs_own_loss_comes_back_from_the_running_means(steps: list[tuple[float, int]], per_epoch: int) -> None:
    losses = np.array([loss for loss, _ in steps])
    samples = np.array([n for _, n in steps], dtype=np.int64)
    epoch = np.arange(len(steps)) // per_epoch
    recovered = batch_losses(running_mean(losses, samples, epoch), samples, epoch)
    assert recovered == pytest.approx(losses, abs=1e-9)
