"""Keras as its tutorials write it: ``compile`` and one ``model.fit`` on NumPy arrays, with a per-batch loss history.

One ``fit`` trains all epochs of a phase, so that what ``fit`` does once (its ``tf.data`` pipeline, its callbacks) is
paid once, as in the tutorial. The window opens where ``fit`` enters an epoch and closes in the epoch's last callback.

The tutorial's callback reads ``logs["loss"]``, which is the running mean of the epoch so far. Differences of running
means are too coarse in float32, so ``logs`` carry each batch's own loss besides: ``compute_loss``, the method that
Keras lets a model override, stores it in a metric of one number.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, ClassVar

import keras
import numpy as np

from bench.engines.base import Compilation, Epochs, FloatArray
from bench.engines.keras.model import make_accuracy, make_layers, make_loss
from bench.engines.keras.opening import KerasEngine
from bench.engines.keras.shuffling import repeatable_shuffling
from bench.workload.network import Weights

# fit wants a number of epochs; the measuring loop ends it earlier.
_ENDLESS = sys.maxsize

# Of the program of a step: TensorFlow traces it, JAX compiles it (and can keep it), PyTorch runs op by op.
_COMPILATION: dict[str, Compilation] = {"tensorflow": "anew", "jax": "cached", "torch": "nothing"}


class LastValue(keras.metrics.Metric):  # type: ignore[misc]
    """The last number it was given."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.last = self.add_variable((), initializer="zeros", name="last")

    def update_state(self, value: Any) -> None:
        """Forgets the number before."""
        self.last.assign(value)

    def result(self) -> Any:
        """The number."""
        return self.last.value


class TellingModel(keras.Sequential):  # type: ignore[misc]
    """A ``Sequential`` whose logs hold each batch's own mean loss as ``batch_loss``."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__(layers)
        self.batch_loss = LastValue("batch_loss")

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss as Keras computes it, and remembered."""
        loss = super().compute_loss(*args, **kwargs)
        self.batch_loss.update_state(loss)
        return loss


class AnotherFit(Exception):
    """Leaves ``fit`` before its first step: Keras looks at ``stop_training`` only after one."""


class BatchLossHistory(keras.callbacks.Callback):  # type: ignore[misc]
    """The tutorial's callback, one list per epoch, driven by the measuring loop.

    Attributes:
        rows: how many rows this ``fit`` was given.
        asked: rows of the epoch that the measuring loop has started and nobody has trained yet; 0 where it wants
            no more, None where it has not been asked.
    """

    def __init__(self, epochs: Epochs, rows: int, asked: int | None) -> None:
        super().__init__()
        self.epochs = epochs
        self.rows = rows
        self.asked = asked
        self.losses: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """Opens the first window; what follows is Keras' own epoch."""
        if self.asked is None:
            self.ask()
        if self.asked != self.rows:
            raise AnotherFit

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Reads the loss, as the tutorial does: a wait for the device at every step."""
        self.losses.append(logs["batch_loss"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Closes the window and opens the next."""
        losses, self.losses = self.losses, []
        self.epochs.finish(lambda: np.array(losses))
        self.ask()
        self.model.stop_training = self.asked != self.rows

    def next(self) -> BatchLossHistory:
        """The history of the ``fit`` that trains what has been asked for."""
        return BatchLossHistory(self.epochs, self.asked or 0, self.asked)

    def ask(self) -> None:
        """What the measuring loop wants next."""
        order = self.epochs.start()
        self.asked = 0 if order is None else len(order)


class WarmUpEpoch:
    """An epoch that nobody measures."""

    def __init__(self, rows: int) -> None:
        self.order: np.ndarray[Any, np.dtype[np.int64]] | None = np.arange(rows)

    def start(self) -> np.ndarray[Any, np.dtype[np.int64]] | None:
        """Once."""
        return self.order

    def finish(self, losses: Any) -> None:
        """No more."""
        self.order = None


class KerasIdiomatic(KerasEngine):
    """The front door. It shuffles natively, from the setup's seed; with that turned off rows come as they stand."""

    loop = "idiomatic"
    follows_order = False
    compilation: ClassVar[Compilation] = _COMPILATION[keras.backend.backend()]

    x: FloatArray
    y: FloatArray

    @property
    def jit_compile(self) -> bool:
        """What Keras' ``auto`` chooses: XLA on JAX always, on TensorFlow where there is an accelerator."""
        return {"tensorflow": self.cell.device != "cpu", "jax": True, "torch": False}[keras.backend.backend()]

    def make_model(self) -> keras.Model:
        """The network."""
        return TellingModel(make_layers(self.cell))

    def build(self, weights: Weights) -> None:
        """``compile``."""
        super().build(weights)
        self.model.compile(
            optimizer=self.optimizer,
            loss=make_loss(self.cell),
            metrics=[make_accuracy(self.cell)],
            jit_compile=self.jit_compile,
        )

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """NumPy arrays, as tutorials keep them."""
        self.x, self.y = x, y[:, None]

    def warm_up(self) -> None:
        """A short epoch of one full batch and, where an epoch ends in one, the short batch."""
        n, batch_size = self.cell.data.n_train, self.cell.batch_size
        rows = batch_size + n % batch_size
        self._fit(BatchLossHistory(WarmUpEpoch(rows), rows, None))

    def train(self, epochs: Epochs) -> None:
        """One ``fit`` for all epochs of one size, until ``epochs.start()`` answers None.

        ``fit`` takes its data before the measuring loop is asked for the first time. It is given the whole split,
        and left again before its first step where a part is wanted.
        """
        history = BatchLossHistory(epochs, self.cell.data.n_train, None)
        while history.asked != 0:
            with suppress(AnotherFit):
                self._fit(history)
            history = history.next()

    def _fit(self, history: BatchLossHistory) -> None:
        with repeatable_shuffling():
            self.model.fit(
                self.x[: history.rows],
                self.y[: history.rows],
                batch_size=self.cell.batch_size,
                epochs=_ENDLESS,
                shuffle=self.shuffles_natively,
                callbacks=[history],
                verbose=0,
            )


ENGINE = KerasIdiomatic
