"""Keras on PyTorch with long blocks of steps per dispatch: Keras layers and loss in PyTorch's ahead-of-time program.

The block, its compiler and its cache are those of ``bench.engines.pytorch``: what is compiled is whatever network the
step is given. Here that is the real Keras model, called as a function of its weights (``stateless_call``), and Keras'
loss. The optimizer is a function of flat state, with the arithmetic of the Keras optimizer it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from torch import Tensor, from_numpy

from bench.engines.base import Epochs, FloatArray
from bench.engines.keras.model import make_loss
from bench.engines.keras.opening import KerasEngine
from bench.engines.keras.optimizer import KERAS_ADAM_EPSILON
from bench.engines.pytorch.compiled_blocks import CompiledBlocks
from bench.engines.pytorch.flat import FlatStep
from bench.errors import Unavailable
from bench.workload.network import Weights


class KerasNetwork:
    """The real Keras model as a function of its weights, which have the one layout already."""

    def __init__(self, model: keras.Model, loss: keras.losses.Loss, row_loss: keras.losses.Loss) -> None:
        self.shapes: Sequence[tuple[int, ...]] = [tuple(variable.shape) for variable in model.trainable_variables]
        self._model, self._loss, self._row_loss = model, loss, row_loss

    def mean_loss(self, weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """By Keras' loss."""
        loss: Tensor = self._loss(y, self._outputs(weights, x))
        return loss

    def row_losses(self, weights: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
        """By the same loss without its mean, (B, 1)."""
        losses: Tensor = self._row_loss(y, self._outputs(weights, x))
        return losses.reshape(-1, 1)

    def _outputs(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        outputs: Tensor
        outputs, _ = self._model.stateless_call(list(weights), [], x, training=True)
        return outputs


class KerasFused(KerasEngine):
    """Long blocks of steps per dispatch.

    Attributes:
        blocks: what trains; the model's own variables get a copy of its weights at the end of ``train``.
        x: the training split, (n, F).
        y: its labels, (n, 1).
    """

    loop = "fused"
    compilation = "cached"

    blocks: CompiledBlocks
    x: Tensor
    y: Tensor

    def open_device(self) -> str:
        """Opens the device, and refuses any but the processor."""
        name = super().open_device()
        if self.device.kind != "cpu":
            raise Unavailable(
                f"Keras on PyTorch has no fused loop on {self.device.kind}",
                "its program is native code of the processor",
                "use loop=compiled there",
            )
        return name

    def build(self, weights: Weights) -> None:
        """The Keras model, and the step made of it."""
        super().build(weights)
        network = KerasNetwork(self.model, make_loss(self.cell), make_loss(self.cell, reduction="none"))
        pinned = self.cell.defaults == "pinned"
        epsilon = self.cell.optimizer.epsilon if pinned else KERAS_ADAM_EPSILON
        step = FlatStep(self.cell, network, epsilon, corrects_root=pinned)
        self.blocks = CompiledBlocks(step, self.setup.lr, weights, self.setup.cache_folder)

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The arrays as they are: the host is the device."""
        self.x, self.y = from_numpy(x), from_numpy(y).unsqueeze(1)

    def reset(self, weights: Weights) -> None:
        """The given weights, and an optimizer that has seen nothing."""
        super().reset(weights)
        self.blocks.reset(weights)

    def warm_up(self) -> None:
        """Compiles or loads, and trains one full batch and, where the epoch ends in one, the short batch."""
        self.blocks.warm_up(self.x, self.y)

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        self.blocks.train_epochs(epochs)
        self._return_weights()

    def weights(self) -> Weights:
        """A copy of the weights, by way of the model."""
        self._return_weights()
        return super().weights()

    def _return_weights(self) -> None:
        self.model.set_weights([weight.numpy() for weight in self.blocks.weights()])

    @property
    def jit_compile(self) -> bool:
        """PyTorch's compiler compiles all of it."""
        return True


ENGINE = KerasFused
