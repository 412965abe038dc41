"""PyTorch with long blocks of steps per dispatch: native code on the processor, recorded graphs on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from bench.engines.base import Compilation, Epochs
from bench.engines.pytorch.blocks import Blocks
from bench.engines.pytorch.compiled_blocks import CompiledBlocks
from bench.engines.pytorch.flat import TorchNetwork, torch_step
from bench.engines.pytorch.model import from_parameters
from bench.engines.pytorch.opening import TorchEngine
from bench.engines.pytorch.recorded_blocks import RecordedBlocks
from bench.errors import Unavailable
from bench.workload.network import Weights


class TorchFused(TorchEngine):
    """Whole epochs, or long blocks of steps, per dispatch.

    Attributes:
        network: the real module; it holds the trained weights at the end of ``train``.
        blocks: what trains.
    """

    loop = "fused"
    compilation: ClassVar[Compilation] = "cached"

    network: TorchNetwork
    blocks: Blocks

    def open_device(self) -> str:
        """Opens the device, and refuses those that have neither of the two ways."""
        name = super().open_device()
        if self.device.kind not in _WAYS:
            raise Unavailable(
                f"PyTorch has no fused loop on {self.device.kind}",
                "it needs native code (cpu) or graphs of recorded kernels (CUDA, ROCm)",
                "use loop=compiled or loop=eager there",
            )
        return name

    def build(self, weights: Weights) -> None:
        """The module, and the step, ready to be compiled or recorded."""
        self.network = TorchNetwork(self.cell)
        self.blocks = _WAYS[self.device.kind](self, weights)

    def reset(self, weights: Weights) -> None:
        """The given weights, and an optimizer that has seen nothing."""
        self.blocks.reset(weights)

    def warm_up(self) -> None:
        """Compiles or records, and trains one full batch and, where the epoch ends in one, the short batch."""
        self.blocks.warm_up(self.x, self.y)

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        self.blocks.train_epochs(epochs, self.watched)
        self.network.load(self.blocks.weights())

    def trained(self) -> list[Tensor]:
        """The blocks' own."""
        return self.blocks.weights()

    def weights(self) -> Weights:
        """A copy of the weights, by way of the module."""
        return from_parameters(list(self.network.load(self.blocks.weights()).parameters()))


def _compiled(engine: TorchFused, weights: Weights) -> Blocks:
    step = torch_step(engine.cell, engine.network)
    return CompiledBlocks(step, engine.setup.lr, weights, engine.setup.cache_folder)


def _recorded(engine: TorchFused, weights: Weights) -> Blocks:
    return RecordedBlocks(engine.cell, engine.setup.lr, weights, engine.device)


_WAYS: dict[str, Callable[[TorchFused, Weights], Blocks]] = {"cpu": _compiled, "cuda": _recorded, "rocm": _recorded}

ENGINE = TorchFused
