"""The two-layer network in NumPy: weights in the one layout, forward pass, loss, accuracy and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.workload.seeds import generator

FloatArray = NDArray[np.floating[Any]]
Gates = NDArray[np.bool_]

# Rows computed at a time: the hidden layer of a chunk stays in the processor's cache (2 MiB in float64 where H = 64),
# which makes evaluating a million rows several times faster than at one go.
CHUNK_ROWS = 4096


class Weights(NamedTuple):
    """All weights of the network; kernels are (in, out).

    Shapes: ``hidden_kernel`` (F, H), ``hidden_bias`` (H,), ``output_kernel`` (H, 1), ``output_bias`` (1,); all float32
    or all float64.
    """

    hidden_kernel: FloatArray
    hidden_bias: FloatArray
    output_kernel: FloatArray
    output_bias: FloatArray

    def astype(self, dtype: DTypeLike) -> Weights:
        """A copy in another dtype."""
        return Weights(*(array.astype(dtype) for array in self))


def parameter_count(features: int, hidden: int) -> int:
    """Number of weights P = F*H + H + H + 1."""
    return features * hidden + hidden + hidden + 1


def initial_weights(features: int, hidden: int, dtype: DTypeLike, *, seed: int, round_: int) -> Weights:
    """Glorot-uniform kernels and zero biases (Glorot and Bengio 2010, equation 16).

    Drawn in float64 and then cast, so that float32 and float64 runs start from the same numbers.
    """
    rng = generator(seed, round_, "weights")
    return Weights(
        hidden_kernel=_glorot_uniform(rng, features, hidden),
        hidden_bias=np.zeros(hidden),
        output_kernel=_glorot_uniform(rng, hidden, 1),
        output_bias=np.zeros(1),
    ).astype(dtype)


def forward(weights: Weights, x: FloatArray) -> FloatArray:
    """Logits of the rows of ``x`` (n, F), shape (n,), in the weights' dtype."""
    hidden = np.maximum(x @ weights.hidden_kernel + weights.hidden_bias, 0)
    logits: FloatArray = np.squeeze(hidden @ weights.output_kernel + weights.output_bias, axis=1)
    return logits


def loss_and_accuracy(weights: Weights, x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Mean binary cross-entropy and share of rows classified rightly, over the whole of ``x`` (n, F) and ``y`` (n,).

    Computed in chunks, so that ten million rows fit, and summed in float64 whatever the dtype. Weights that have
    diverged give a loss that is not finite, without a warning.
    """
    loss_sum, hits = 0.0, 0
    for low in range(0, len(y), CHUNK_ROWS):
        x_chunk = x[low : low + CHUNK_ROWS].astype(weights.hidden_kernel.dtype, copy=False)
        y_chunk = y[low : low + CHUNK_ROWS]
        with np.errstate(over="ignore", invalid="ignore"):
            logits = forward(weights, x_chunk).astype(np.float64)
            loss_sum += float(_cross_entropy(logits, y_chunk).sum())
        hits += int(np.count_nonzero((logits > 0) == (y_chunk > 0.5)))
    return loss_sum / len(y), hits / len(y)


def is_open(before_relu: FloatArray) -> Gates:
    """Which ReLU gates pass a gradient: a hidden unit at exactly 0 passes none, as in PyTorch and TensorFlow."""
    gates: Gates = before_relu > 0
    return gates


def loss_and_gradients(
    weights: Weights, x: FloatArray, y: FloatArray, *, passes: Callable[[FloatArray], Gates] = is_open
) -> tuple[float, Weights]:
    """Mean binary cross-entropy of a batch, and its gradient with respect to every weight.

    With d = (sigmoid(z) - y) / n the derivative with respect to the logits z, the rest is the chain rule through
    two matrix products. ``passes`` tells from the hidden layer before its ReLU, shape (n, H), which gates pass the
    gradient on; the parity check asks otherwise where rounding decides.
    """
    before_relu = x @ weights.hidden_kernel + weights.hidden_bias
    hidden = np.maximum(before_relu, 0)
    logits = hidden @ weights.output_kernel + weights.output_bias
    d_logits = (_sigmoid(logits) - y[:, None]) / len(y)
    d_hidden = (d_logits @ weights.output_kernel.T) * passes(before_relu)
    gradients = Weights(
        hidden_kernel=x.T @ d_hidden,
        hidden_bias=d_hidden.sum(axis=0),
        output_kernel=hidden.T @ d_logits,
        output_bias=d_logits.sum(axis=0),
    )
    return float(_cross_entropy(logits[:, 0], y).mean()), gradients


def _glorot_uniform(rng: np.random.Generator, fan_in: int, fan_out: int) -> FloatArray:
    limit = np.sqrt(6 / (fan_in + fan_out))
    kernel: FloatArray = rng.uniform(-limit, limit, size=(fan_in, fan_out))
    return kernel


def _cross_entropy(logits: FloatArray, y: FloatArray) -> FloatArray:
    """-y log s(z) - (1 - y) log(1 - s(z)), written so that no exponential overflows."""
    return np.maximum(logits, 0) - logits * y + np.log1p(np.exp(-np.abs(logits)))


def _sigmoid(logits: FloatArray) -> FloatArray:
    probabilities: FloatArray = 0.5 * (1 + np.tanh(0.5 * logits))
    return probabilities
