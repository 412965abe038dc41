"""Keras on JAX, one program per step: gather, layers, loss, gradient and optimizer.

What is left per step is the call from Python, so the place in the order moves on inside the program and losses are
written into an array of the state, rather than being results of their own. Each of the two batch shapes has a program.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bench.engines.keras.jax.program import JaxLoop, State, ahead_of_time
from bench.engines.keras.orders import PaddedOrder


class Place(NamedTuple):
    """A state and the next step it stands at, int32."""

    state: State
    step: jax.Array


class KerasCompiled(JaxLoop):
    """One compiled program per step."""

    loop = "compiled"

    full: jax.stages.Compiled
    short: jax.stages.Compiled | None

    def compile(self) -> None:
        """The program of a full batch, and of the short one where an epoch ends in one."""
        place, order = Place(self.state, jnp.int32(0)), jnp.zeros(len(self.x), jnp.int32)
        full, short = self.cell.batch_size, len(self.x) % self.cell.batch_size
        self.full = self._program(full, place, order)
        self.short = self._program(short, place, order) if short else None

    def run_epoch(self, order: PaddedOrder) -> None:
        """One call per step."""
        place, rows = Place(self.state, jnp.int32(0)), jax.device_put(order.rows)
        x, y, full = self.x, self.y, self.full
        for _ in range(order.full_steps):
            place = full(place, x, y, rows)
        if order.ends_short and self.short is not None:
            place = self.short(place, x, y, rows)
        self.state = place.state

    def programs(self) -> dict[str, jax.stages.Compiled]:
        """One for each batch shape."""
        return {"a step": self.full} | ({} if self.short is None else {"a short step": self.short})

    def _program(self, size: int, place: Place, order: jax.Array) -> jax.stages.Compiled:
        batch_size = self.cell.batch_size

        def step(place: Place, x: jax.Array, y: jax.Array, order: jax.Array) -> Place:
            rows = jax.lax.dynamic_slice(order, (place.step * batch_size,), (size,))
            return Place(self.train_rows(place.state, x, y, rows, place.step), place.step + 1)

        return ahead_of_time(step, place, self.x, self.y, order)


ENGINE = KerasCompiled
