"""What the loops written by hand share on TensorFlow: data on the device, and the step itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from bench.engines.base import FloatArray, MemoryGauge, Order, StepEngine
from bench.engines.keras.memory import AllocatorStatistics
from bench.engines.keras.model import make_loss
from bench.engines.keras.opening import KerasEngine
from bench.workload.network import Weights


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
        self._variables = [variable.value for variable in self.model.trainable_variables]

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device; a constant would hold NumPy's copy beside TensorFlow's own."""
        self.x, self.y = tf.identity(x), tf.identity(y[:, None])

    def train_rows(self, rows: tf.Tensor) -> tf.Tensor:
        """Gather, forward, loss, backward, update; returns the mean loss of the batch of these rows."""
        x, y = tf.gather(self.x, rows), tf.gather(self.y, rows)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            loss = self.loss(y, self.model(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self._variables), self.model.trainable_variables)
        return loss

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
