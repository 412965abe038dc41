"""The network in Keras, its loss, and the way weights go in and come out (Keras' layout is the one layout)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from bench.cell import Cell
from bench.workload.network import FloatArray, Weights


def make_layers(cell: Cell) -> list[Any]:
    """The network as the tutorial writes it: it ends in a sigmoid where ``defaults=framework``, in logits else."""
    return [
        keras.Input(shape=(cell.data.features,)),
        keras.layers.Dense(cell.network.hidden, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid" if cell.defaults == "framework" else None),
    ]


def make_loss(cell: Cell, reduction: str = "sum_over_batch_size") -> keras.losses.Loss:
    """The binary cross-entropy that belongs to ``make_layers``: by default its mean over the rows."""
    return keras.losses.BinaryCrossentropy(from_logits=cell.defaults == "pinned", reduction=reduction)


def make_accuracy(cell: Cell) -> keras.metrics.Metric:
    """What ``metrics=["accuracy"]`` means here; a logit of 0 is a probability of 0.5."""
    return keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0 if cell.defaults == "pinned" else 0.5)


def get_weights(model: keras.Model) -> Weights:
    """A copy on the host."""
    return Weights(*(to_numpy(variable) for variable in model.trainable_variables))


def to_numpy(variable: keras.Variable) -> FloatArray:
    """A copy on the host; ``asarray`` first, because NumPy 2 warns when it is asked to copy a Keras variable."""
    return np.asarray(variable).copy()


class FreshOptimizer:
    """Remembers an optimizer as it was built, so that it can be made new without tracing anything again."""

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self._fresh = [(variable, to_numpy(variable)) for variable in optimizer.variables]

    def restore(self) -> None:
        """Slots and the count of updates go back to zero, in place."""
        for variable, value in self._fresh:
            variable.assign(value)
