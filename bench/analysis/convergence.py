"""What training reached and when: the target, the losses at the end, and the running mean that tutorials plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """When each run first evaluated at or below its target; arrays of one entry per run, NaN where censored.

    Attributes:
        epochs: training epochs until then, that one included.
        steps: updates until then.
        time_s: sum of the training windows until then.
    """

    epochs: FloatArray
    steps: FloatArray
    time_s: FloatArray


def reach(training: pd.DataFrame, targets: FloatArray) -> Reached:
    """First evaluation at or below the target, as MLPerf counts it: what happens later does not matter.

    Args:
        training: the training epochs of all runs, ordered by ``run`` and ``epoch``: columns run (0 to n - 1), epoch,
            updates, window_ns, train_loss.
        targets: each run's target training loss, shape (n,), float64; NaN where there is none.
    """
    run = training["run"].to_numpy()
    elapsed = pd.DataFrame(
        {
            "run": run,
            "epochs": training.groupby("run", sort=False).cumcount() + 1,
            "steps": training.groupby("run", sort=False)["updates"].cumsum(),
            "time_s": training.groupby("run", sort=False)["window_ns"].cumsum() / 1e9,
        }
    )
    # A comparison with NaN (no target, no finite loss) is False: not reached.
    first = elapsed[training["train_loss"].to_numpy() <= targets[run]].drop_duplicates("run").set_index("run")
    everywhere = first.astype(np.float64).reindex(range(len(targets)))
    return Reached(
        epochs=everywhere["epochs"].to_numpy(),
        steps=everywhere["steps"].to_numpy(),
        time_s=everywhere["time_s"].to_numpy(),
    )


def why_not_reached(target: float, epochs: int) -> str:
    """The reason beside a censored time or step count of a run."""
    return "no target was set" if np.isnan(target) else f"target not reached in {epochs} epochs"


def running_mean(losses: FloatArray, batch_samples: NDArray[np.int64], epoch: NDArray[np.int64]) -> FloatArray:
    """What Keras hands its callbacks: the mean loss over the samples of the epoch so far.

    R_k = sum(loss_i b_i, i <= k) / sum(b_i, i <= k), starting afresh with every epoch.

    Args:
        losses: each batch's own mean loss, shape (steps,), float64.
        batch_samples: rows of each batch, shape (steps,).
        epoch: epoch of each batch, shape (steps,), not decreasing.
    """
    steps = pd.DataFrame({"loss": losses * batch_samples, "samples": batch_samples})
    so_far = steps.groupby(np.asarray(epoch), sort=False).cumsum()
    means: FloatArray = (so_far["loss"] / so_far["samples"]).to_numpy(np.float64)
    return means


def batch_losses(running_means: FloatArray, batch_samples: NDArray[np.int64], epoch: NDArray[np.int64]) -> FloatArray:
    """Each batch's own loss, recovered from running means R: (R_k n_k - R_{k-1} n_{k-1}) / b_k.

    n_k counts the samples of the epoch up to batch k, b_k those of the batch itself; shapes as in ``running_mean``.
    """
    epoch = np.asarray(epoch)
    n = pd.Series(np.asarray(batch_samples)).groupby(epoch, sort=False).cumsum()
    totals = pd.Series(running_means * n.to_numpy())
    before = totals.groupby(epoch, sort=False).shift(fill_value=0.0)
    return np.asarray((totals - before) / batch_samples, dtype=np.float64)
