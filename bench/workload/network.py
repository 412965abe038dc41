"""The two-layer network in NumPy: weights in the one layout, forward pass, loss and accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Weights(NamedTuple):
    """All weights of the network; kernels are (in, out).

    Shapes: ``hidden_kernel`` (F, H), ``hidden_bias`` (H,), ``output_kernel`` (H, 1), ``output_bias`` (1,); all float32
    or all float64.
    """

    hidden_kernel: NDArray[np.floating[Any]]
    hidden_bias: NDArray[np.floating[Any]]
    output_kernel: NDArray[np.floating[Any]]
    output_bias: NDArray[np.floating[Any]]
