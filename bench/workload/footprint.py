"""The analytic memory model: how many bytes training needs whatever the framework, from its shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.cell import Cell
from bench.workload.network import parameter_count

# Arrays of P numbers: weights and gradients, and what the optimizer keeps beside them.
_STATE_ARRAYS = {"sgd": 2, "momentum": 3, "adam": 4}

# Three arrays of H*B numbers live at a step's peak (before ReLU, after it, a gradient of either); the rest of the
# transients is 268 bytes in float32, seen with PyTorch's profiler, exact from batch 512 up.
_HIDDEN_ARRAYS = 3
_STEP_REST_FLOAT32_BYTES = 268


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes by purpose.

    Attributes:
        state_bytes: weights, gradients and the optimizer's moments.
        data_bytes: the training split, features and labels.
        step_bytes: what one step allocates at its peak and gives back.
    """

    state_bytes: int
    data_bytes: int
    step_bytes: int

    @property
    def total_bytes(self) -> int:
        """All three together."""
        return self.state_bytes + self.data_bytes + self.step_bytes


def footprint(cell: Cell) -> Footprint:
    """The model for a cell: 16P + 4N(F+1) + 12HB + 268 bytes with Adam in float32, twice that in float64."""
    item = np.dtype(cell.network.dtype).itemsize
    data, hidden = cell.data, cell.network.hidden
    return Footprint(
        state_bytes=_STATE_ARRAYS[cell.optimizer.name] * item * parameter_count(data.features, hidden),
        data_bytes=item * data.n_train * (data.features + 1),
        step_bytes=_HIDDEN_ARRAYS * item * hidden * cell.batch_size + _STEP_REST_FLOAT32_BYTES * item // 4,
    )
