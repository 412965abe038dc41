"""What every Keras loop does alike: open the device, build, reset, tell the environment, watch memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from bench.engines.base import Engine, MemoryGauge
from bench.engines.keras.cache import keep_programs
from bench.engines.keras.device import Device, kind_of_home, open_device
from bench.engines.keras.environment import describe, pin_configuration
from bench.engines.keras.memory import watch
from bench.engines.keras.model import FreshOptimizer, get_weights, make_layers
from bench.engines.keras.optimizer import make_optimizer
from bench.engines.keras.shuffling import seed_shuffling
from bench.workload.network import Weights


class KerasEngine(Engine):
    """An engine on a Keras backend.

    Attributes:
        device: where it trains, once open.
        model: the Keras model.
        optimizer: its Keras optimizer, with its slots made.
    """

    framework = "keras"
    device: Device
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    _fresh: FreshOptimizer

    def open_device(self) -> str:
        """Pins what may be configured, opens the device, and makes sure that variables live there."""
        pin_configuration(self.cell.network.dtype)
        keep_programs(self.setup.cache_folder)
        self.device = open_device(self.cell)
        return self.device.name

    def build(self, weights: Weights) -> None:
        """Model and optimizer; slots are made now, because a graph that makes them is traced twice."""
        self.model = self.make_model()
        self.optimizer = self.make_optimizer()
        self.optimizer.build(self.model.trainable_variables)
        self._fresh = FreshOptimizer(self.optimizer)
        self.model.set_weights(list(weights))

    def make_model(self) -> keras.Model:
        """The network."""
        return keras.Sequential(make_layers(self.cell))

    def make_optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer."""
        return make_optimizer(self.cell, self.setup.lr)

    def reset(self, weights: Weights) -> None:
        """Weights, slots and the native shuffling from their start; whatever was traced stays."""
        self.model.set_weights(list(weights))
        self._fresh.restore()
        seed_shuffling(self.setup.native_seed)

    def synchronize(self) -> None:
        """Returns when the device has finished everything asked of it."""
        self.device.synchronize()

    def weights(self) -> Weights:
        """A copy of the weights."""
        return get_weights(self.model)

    def trained(self) -> Iterable[Any]:
        """The weights as the backend's own arrays, where they are trained."""
        return [variable.value for variable in self.model.trainable_variables]

    def homes(self) -> frozenset[str]:
        """Where the weights say they live."""
        backend = keras.backend.backend()
        return frozenset(kind_of_home(backend, value) for value in self.trained())

    @property
    def jit_compile(self) -> bool | None:
        """Whether steps are compiled by XLA; None where no graph is made."""
        return None

    def environment(self) -> dict[str, Any]:
        """Versions, threads and numeric flags in force."""
        return describe(self.device, jit_compile=self.jit_compile)

    @contextmanager
    def track_memory(self) -> Iterator[MemoryGauge]:
        """The backend's own figure for the epoch in the block."""
        with watch(self.device, self.model, self.cell) as gauge:
            yield gauge
