"""Peak bytes while an epoch is trained, as the backend tells them: TensorFlow's allocator, or XLA's plan for a step.

On the processor TensorFlow counts blocks of any size only with ``TF_CPU_ALLOCATOR_USE_BFC=1`` (without it, from 256 KiB
on with oneDNN, and none without): where the peak does not move, there is no figure rather than a zero. JAX keeps no
statistics on the processor, but XLA knows what a compiled step needs before it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from bench.cell import Cell
from bench.engines.base import MemoryGauge, MemoryPeak
from bench.engines.keras.device import Device


@contextmanager
def watch(device: Device, model: keras.Model, cell: Cell) -> Iterator[MemoryGauge]:
    """Fills the gauge with the peak of the block."""
    gauge = MemoryGauge()
    backend = keras.backend.backend()
    if backend == "tensorflow":
        statistics = AllocatorStatistics(sys.modules["tensorflow"], device)
        yield gauge
        gauge.peak = statistics.peak()
    elif backend == "jax":
        yield gauge
        gauge.peak = planned_by_xla(sys.modules["jax"], model, cell)
    else:
        yield gauge
        gauge.peak = MemoryPeak(reason=f"Keras on {backend} has no allocator figure that can be reset")


class AllocatorStatistics:
    """TensorFlow's allocator of one device, from now on."""

    def __init__(self, tf: Any, device: Device) -> None:
        self._experimental = tf.config.experimental
        self._device = device
        self._name = f"{device.kind.upper()}:0"
        self.restart()

    def restart(self) -> None:
        """Counts from what is held now."""
        self._device.synchronize()
        try:
            self._experimental.reset_memory_stats(self._name)
            self._held_bytes: int | None = self._experimental.get_memory_info(self._name)["current"]
        except ValueError:  # TensorFlow's answer for an allocator that counts nothing
            self._held_bytes = None

    def peak(self) -> MemoryPeak:
        """The peak above what was held; None where the allocator counts nothing."""
        self._device.synchronize()
        peak_bytes = self._peak_bytes()
        if peak_bytes <= 0:
            return MemoryPeak(reason=f"TensorFlow's allocator on {self._name} keeps no statistics")
        return MemoryPeak(peak_bytes=peak_bytes, source=f"tensorflow allocator {self._name}")

    def _peak_bytes(self) -> int:
        if self._held_bytes is None:
            return 0
        peak_bytes: int = self._experimental.get_memory_info(self._name)["peak"]
        return peak_bytes - self._held_bytes


def planned_by_xla(jax: Any, model: keras.Model, cell: Cell) -> MemoryPeak:
    """What a step on one full batch needs: the batch, temporaries, and results that do not reuse their inputs."""
    dtype = cell.network.dtype
    batch = [np.zeros((cell.batch_size, columns), dtype) for columns in (cell.data.features, 1)]
    compiled = jax.jit(model.train_step, donate_argnums=0).lower(_state(model), tuple(batch)).compile()
    plan = compiled.memory_analysis()
    if plan is None:
        return MemoryPeak(reason=f"XLA tells no memory plan on {jax.default_backend()}")
    results = plan.output_size_in_bytes - plan.alias_size_in_bytes
    peak_bytes = sum(array.nbytes for array in batch) + plan.temp_size_in_bytes + results
    return MemoryPeak(peak_bytes=int(peak_bytes), source="XLA memory analysis of one step")


def _state(model: keras.Model) -> tuple[list[Any], ...]:
    """A Keras model's variables as JAX arrays, in the order of ``train_step``."""
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    return tuple([variable.value for variable in group] for group in groups)
