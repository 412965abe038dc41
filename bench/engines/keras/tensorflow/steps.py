"""What the loops written by hand share on TensorFlow: data on the device, and the step itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from bench.engines import chunks
from bench.engines.base import FloatArray, MemoryGauge, Order, StepEngine
from bench.engines.keras.memory import AllocatorStatistics
from bench.engines.keras.model import make_loss
from bench.engines.keras.opening import KerasEngine
from bench.engines.keras.tensorflow.chunks import summed
from bench.workload.network import Weights

# Rows brought to the device at a time.
PIECE_ROWS = 8192


class TensorFlowTraining(KerasEngine):
    """Keras layers, loss and optimizer around a ``GradientTape``.

    Attributes:
        x, y: the training split on the device, (n, F) and (n, 1).
    """

    x: tf.Tensor
    y: tf.Tensor
    _statistics: AllocatorStatistics | None = None

    def build(self, weights: Weights) -> None:
        """Model, optimizer and loss."""
        super().build(weights)
        self.loss = make_loss(self.cell)
        self.loss_sum = make_loss(self.cell, reduction="sum")
        self._variables = [variable.value for variable in self.model.trainable_variables]

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device."""
        self.x, self.y = on_the_device(x), on_the_device(y[:, None])

    def train_rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Gather, forward, loss, backward, update; returns the mean loss of the batch of these rows.

        In a graph a large batch is taken in chunks.
        """
        if tf.inside_function() and rows.shape[0] > chunks.CHUNK_ROWS:
            shapes = [tf.TensorShape(()), *(variable.shape for variable in self._variables)]
            loss, *gradients = summed(self.loss_and_gradients, rows, shapes, self.cell.network.dtype)
        else:
            loss, *gradients = self.loss_and_gradients(rows)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return loss

    def loss_and_gradients(self, rows: tf.Tensor, row_weights: tf.Tensor | None = None) -> list[tf.Tensor]:
        """The mean loss of these rows, or their sum by weight, and its gradients; all variables keep their values."""
        x, y = tf.gather(self.x, rows), tf.gather(self.y, rows)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            outputs = self.model(x, training=True)
            loss = self.loss(y, outputs) if row_weights is None else self.loss_sum(y, outputs, row_weights)
        return [loss, *tape.gradient(loss, self._variables)]

    @contextmanager
    def track_memory(self) -> Iterator[MemoryGauge]:
        """The allocator's peak over the steps of an epoch; its order, as long as the data, is there before them."""
        gauge = MemoryGauge()
        self._statistics = AllocatorStatistics(tf, self.device)
        try:
            yield gauge
            gauge.peak = self._statistics.peak()
        finally:
            self._statistics = None

    def watch_from_here(self) -> None:
        """What is allocated now is no part of the peak."""
        if self._statistics is not None:
            self._statistics.restart()


def on_the_device(array: FloatArray) -> tf.Tensor:
    """A copy, brought there a piece at a time.

    A constant would hold NumPy's copy beside TensorFlow's own for good, and an identity of one until it is made.
    """
    room = tf.raw_ops.Empty(shape=array.shape, dtype=array.dtype)
    for low in range(0, len(array), PIECE_ROWS):
        piece = array[low : low + PIECE_ROWS]
        tf.raw_ops.InplaceUpdate(x=room, i=tf.range(low, low + len(piece)), v=piece)
    return room


class TensorFlowSteps(TensorFlowTraining, StepEngine):
    """The same, one step after the other from Python."""

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses on the host, shape (steps,)."""
        packed: FloatArray = tf.stack(losses).numpy()
        return packed

    def begin_epoch(self, order: Order) -> None:
        """The order goes to the device."""
        self.place_order(order)
        self.watch_from_here()

    @abstractmethod
    def place_order(self, order: Order) -> None:
        """Puts the order where ``step`` finds it."""
