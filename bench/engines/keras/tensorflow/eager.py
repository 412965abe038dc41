"""Keras op by op on TensorFlow: data on the device, steps from Python, no host sync inside the epoch."""

from __future__ import annotations

import tensorflow as tf

from bench.engines.base import Order
from bench.engines.keras.tensorflow.steps import TensorFlowSteps


class KerasEager(TensorFlowSteps):
    """Every operation is a call from Python."""

    loop = "eager"

    order: tf.Tensor

    def place_order(self, order: Order) -> None:
        """On the device."""
        self.order = tf.constant(order)

    def step(self, low: int, high: int) -> tf.Tensor:
        """One update on rows ``order[low:high]``."""
        return self.train_rows(tf.slice(self.order, [low], [high - low]))


ENGINE = KerasEager
