"""Keras op by op on TensorFlow: data on the device, steps from Python, no host sync inside the epoch.

Most of an eager step of Keras is the way to its operations: ``__call__`` of layers and losses, an optimizer that
spells out Adam per variable. Here the layers' operations run on the real model's variables under a ``GradientTape``,
the mean cross-entropy's gradient with respect to the logits is given to the tape in closed form, (sigmoid(z) - y) / n,
as a fused loss kernel would, and TensorFlow's update kernels do the rest. Rows are gathered, and losses computed, for a
block of batches at a time. With ``defaults=framework`` all of it is Keras' own, at Keras' own pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.eager.imperative_grad import imperative_grad

from bench.engines.base import FloatArray, Order
from bench.engines.keras.tensorflow.kernels import Updater, make_updater
from bench.engines.keras.tensorflow.steps import TensorFlowSteps
from bench.workload.network import Weights

# Rows gathered at a time, where the batch is smaller: enough that gathering costs next to nothing per step.
BLOCK_ROWS = 256


class KerasEager(TensorFlowSteps):
    """Every operation is a call from Python."""

    loop = "eager"

    order: tf.Tensor
    updater: Updater

    def build(self, weights: Weights) -> None:
        """Model and optimizer, and the kernels that work on their variables."""
        super().build(weights)
        self.updater = make_updater(self.cell, self.setup.lr, self.optimizer, self.model)
        self._handles = [variable.handle for variable in self._variables]
        self._train_block = self.train_block if self.cell.defaults == "pinned" else self.train_block_with_keras

    def reset(self, weights: Weights) -> None:
        """Weights and optimizer from their start."""
        super().reset(weights)
        self.updater.updates = 0

    def place_order(self, order: Order) -> None:
        """On the device."""
        self.order = tf.constant(order)

    def run_epoch(self, order: Order) -> list[Any]:
        """All steps of one epoch; the losses of each block are one tensor."""
        self.begin_epoch(order)
        losses = [
            self._train_block(tf.slice(self.order, [low], [steps * size]), steps, size)
            for low, steps, size in blocks(len(order), self.cell.batch_size)
        ]
        self.updater.count()
        return losses

    def step(self, low: int, high: int) -> tf.Tensor:
        """One update on rows ``order[low:high]``."""
        return self._train_block(tf.slice(self.order, [low], [high - low]), 1, high - low)[0]

    def train_block(self, rows: tf.Tensor, steps: int, size: int) -> tf.Tensor:
        """``steps`` updates on ``size`` rows each; returns their mean losses, shape (steps,)."""
        x, y = tf.gather(self.x, rows), tf.gather(self.y, rows)
        share = tf.constant(1 / size, x.dtype)
        batches = zip(tf.split(x, steps), tf.split(y, steps), strict=True)
        logits = tf.concat([self.train_batch(*batch, share) for batch in batches], 0)
        row_losses = tf.nn.sigmoid_cross_entropy_with_logits(y, logits)
        return tf.reduce_mean(tf.reshape(row_losses, (steps, size)), 1)

    def train_batch(self, x: tf.Tensor, y: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
        """Forward, backward, update; returns the logits, shape (size, 1)."""
        ops = tf.raw_ops
        weights = [ops.ReadVariableOp(resource=handle, dtype=x.dtype) for handle in self._handles]
        hidden_kernel, hidden_bias, output_kernel, output_bias = weights
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            hidden = ops.Relu(features=ops.BiasAdd(value=ops.MatMul(a=x, b=hidden_kernel), bias=hidden_bias))
            logits = ops.BiasAdd(value=ops.MatMul(a=hidden, b=output_kernel), bias=output_bias)
        d_logits = ops.Mul(x=ops.Sub(x=ops.Sigmoid(x=logits), y=y), y=share)
        # What tape.gradient ends in; to flatten and pack a few tensors takes it as long as the gradients do.
        self.updater.update(imperative_grad(tape._tape, [logits], weights, output_gradients=[d_logits]))
        return logits

    def train_block_with_keras(self, rows: tf.Tensor, steps: int, size: int) -> tf.Tensor:
        """The same through Keras' layers, loss and optimizer."""
        losses = [self.train_rows(batch) for batch in tf.split(rows, steps)]
        self.updater.updates += steps
        return tf.stack(losses)

    def read_losses(self, losses: list[Any]) -> FloatArray:
        """The losses on the host, shape (steps,)."""
        packed: FloatArray = tf.concat([tf.reshape(loss, (-1,)) for loss in losses], 0).numpy()
        return packed


def blocks(rows: int, batch_size: int) -> Iterator[tuple[int, int, int]]:
    """The first row, number of steps and batch size of each block; a short last batch is a block of its own."""
    full = rows // batch_size
    per_block = max(1, BLOCK_ROWS // batch_size)
    for first in range(0, full, per_block):
        yield first * batch_size, min(per_block, full - first), batch_size
    if short := rows % batch_size:
        yield rows - short, 1, short


ENGINE = KerasEager
