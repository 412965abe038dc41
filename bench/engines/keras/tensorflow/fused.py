"""Keras on TensorFlow, one XLA program per epoch: a loop over the full batches, and the short batch after it.

The number of full batches is an argument of the program, so that a part of an epoch is trained by the program of the
whole. Weights and optimizer state are the real model's variables: XLA takes them over and gives them back once per
epoch. Outside XLA the same loop spends fifty times as long on a step of batch 1, scheduling one operation after the
other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from bench.engines.base import Epochs, Order
from bench.engines.keras.orders import PaddedOrder, pad
from bench.engines.keras.tensorflow.steps import TensorFlowTraining

Epoch = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


class KerasFused(TensorFlowTraining):
    """A whole epoch per dispatch."""

    loop = "fused"
    compilation = "anew"

    epoch: Epoch

    @property
    def jit_compile(self) -> bool:
        """XLA on every device."""
        return True

    def warm_up(self) -> None:
        """Traces, compiles, and trains one full batch and, where the epoch ends in one, the short batch."""
        n, batch_size = self.cell.data.n_train, self.cell.batch_size
        self.epoch = self._trace()
        self.run_epoch(pad(np.arange(batch_size + n % batch_size), n, batch_size))
        self.synchronize()

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        while (order := epochs.start()) is not None:
            padded = self.place_order(order)
            losses = self.run_epoch(padded)
            epochs.finish(lambda losses=losses, steps=padded.steps: losses.numpy()[:steps])  # type: ignore[misc]

    def place_order(self, order: Order) -> PaddedOrder:
        """Padded to the length of the program's argument."""
        self.watch_from_here()
        return pad(order, self.cell.data.n_train, self.cell.batch_size)

    def run_epoch(self, order: PaddedOrder) -> tf.Tensor:
        """One call; returns room for the losses of a whole epoch, of which the order's steps are filled."""
        return self.epoch(tf.constant(order.rows), tf.constant(order.full_steps), tf.constant(order.ends_short))

    def _trace(self) -> Epoch:
        n, batch_size, dtype = self.cell.data.n_train, self.cell.batch_size, self.cell.network.dtype
        short = n % batch_size

        def run(order: tf.Tensor, full_steps: tf.Tensor, ends_short: tf.Tensor) -> tf.Tensor:
            def step(index: tf.Tensor, losses: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
                rows = tf.slice(order, [index * batch_size], [batch_size])
                return index + 1, losses.write(index, self.train_rows(rows))

            def short_step() -> tf.Tensor:
                # Not tf.slice: for a slice that begins where an argument says, XLA compiles anew for every value of it.
                # In the loop it knows that the place moves.
                return self.train_rows(tf.gather(order, full_steps * batch_size + tf.range(short)))

            losses = tf.TensorArray(dtype, size=self.cell.steps_per_epoch, element_shape=())
            index, losses = tf.while_loop(lambda index, _: index < full_steps, step, (tf.constant(0), losses))
            if short:
                # The branches return the loss alone: an array of losses would be copied by each.
                loss = tf.cond(ends_short, short_step, lambda: tf.zeros((), dtype))
                losses = losses.write(index, loss)
            return losses.stack()

        epoch: Epoch = tf.function(run, autograph=False, jit_compile=True).get_concrete_function(
            tf.TensorSpec((n,), tf.int32), tf.TensorSpec((), tf.int32), tf.TensorSpec((), tf.bool)
        )
        return epoch


ENGINE = KerasFused
