"""Keras with one ``tf.function`` per step: gather, layers, loss, gradient and optimizer in one graph.

What is left per step is the call from Python, so the graph takes no arguments: the epoch's order and the place in it
are variables of the graph, which moves on by itself. It is a concrete function that is called: to find the right trace
by the types of arguments costs as much as half a step of batch 1. Each of the two batch shapes has a graph of its own,
traced in ``warm_up`` and never again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bench.engines.base import FloatArray, Order
from bench.engines.keras.orders import pad
from bench.engines.keras.tensorflow.steps import TensorFlowSteps
from bench.workload.network import Weights


class KerasCompiled(TensorFlowSteps):
    """One compiled graph per step."""

    loop = "compiled"
    compilation = "anew"

    order: tf.Variable
    place: tf.Variable
    _next_low: int
    _graphs: dict[int, Callable[[], tf.Tensor]]

    @property
    def jit_compile(self) -> bool:
        """XLA where Keras would choose it by itself: not on the processor, where it compiles for half a second."""
        return self.cell.device != "cpu"

    def build(self, weights: Weights) -> None:
        """Model, optimizer and loss; graphs are traced when a batch of their size is first met."""
        super().build(weights)
        self._graphs = {}

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device, with room for an order of its rows."""
        super().load(x, y)
        self.order = tf.Variable(tf.range(len(x), dtype=tf.int64), trainable=False)
        self.place = tf.Variable(0, dtype=tf.int64, trainable=False)

    def place_order(self, order: Order) -> None:
        """On the device."""
        padded = pad(order, self.cell.data.n_train, self.cell.batch_size)
        # 64 bits, because TensorFlow keeps variables of 32-bit integers on the host, wherever the graph runs.
        self.order.assign(padded.rows.astype(np.int64), read_value=False)
        self._go_to(0)

    def step(self, low: int, high: int) -> tf.Tensor:
        """One update on rows ``order[low:high]``; the graph stands at ``low`` already where steps come in order."""
        if low != self._next_low:
            self._go_to(low)
        self._next_low = high
        graph = self._graphs.get(high - low) or self._trace(high - low)
        return graph()

    def _go_to(self, low: int) -> None:
        self.place.assign(low, read_value=False)
        self._next_low = low

    def _trace(self, batch_size: int) -> Callable[[], tf.Tensor]:
        places = tf.range(batch_size, dtype=tf.int64)

        def one_step() -> tf.Tensor:
            # Not tf.slice: XLA compiles it anew for every place.
            rows = tf.gather(self.order, self.place + places)
            self.place.assign_add(batch_size)
            return self.train_rows(rows)

        function = tf.function(one_step, autograph=False, jit_compile=self.jit_compile)
        graph: Callable[[], tf.Tensor] = function.get_concrete_function()
        self._graphs[batch_size] = graph
        return graph


ENGINE = KerasCompiled
