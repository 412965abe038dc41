"""Keras on JAX, one program per epoch: a loop over the full batches, and the short batch after it.

The number of full batches is an argument of the program, so that a part of an epoch is trained by the program of the
whole. On a processor the loop over small batches is one compiled function: the way from one operation to the next is
half of a step and more up to 16 rows. Each step gathers its own rows: to gather a block of batches at once and slice it
was measured to be no faster on a processor, and one flat array of all weights slower at batch 1.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from bench.engines.keras.jax.program import JaxLoop, State, ahead_of_time
from bench.engines.keras.orders import PaddedOrder

# The largest batch whose loop is faster as one compiled function (see ``bench.engines.keras.variables``) than with its
# matrix products in a library; from 48 rows on XLA's own products are many times slower than that, and up to 40 rows
# they win for hidden layers of 64 to 512 units in either precision.
ONE_FUNCTION_ROWS = 40
WITHOUT_LIBRARY = {"xla_cpu_experimental_ynn_fusion_type": ""}


class KerasFused(JaxLoop):
    """A whole epoch per dispatch."""

    loop = "fused"

    program: jax.stages.Compiled

    def compile(self) -> None:
        """One program."""
        rows = np.zeros(len(self.x), np.int32)
        options = WITHOUT_LIBRARY if self.cell.batch_size <= ONE_FUNCTION_ROWS and self.cell.device == "cpu" else {}
        arguments = (self.state, self.x, self.y, rows, np.int32(0), np.bool_(True))
        self.program = ahead_of_time(self.epoch, *arguments, options=options)

    def run_epoch(self, order: PaddedOrder) -> None:
        """One call."""
        self.state = self.program(
            self.state, self.x, self.y, order.rows, np.int32(order.full_steps), np.bool_(order.ends_short)
        )

    def programs(self) -> dict[str, jax.stages.Compiled]:
        """The one."""
        return {"an epoch": self.program}

    def epoch(
        self, state: State, x: jax.Array, y: jax.Array, order: jax.Array, full_steps: jax.Array, ends_short: jax.Array
    ) -> State:
        """``full_steps`` full batches of the order, then the short one where there is one."""
        batch_size = self.cell.batch_size

        def step(index: jax.Array, state: State) -> State:
            rows = jax.lax.dynamic_slice(order, (index * batch_size,), (batch_size,))
            return self.train_rows(state, x, y, rows, index)

        def short_step(state: State) -> State:
            rows = jax.lax.dynamic_slice(order, (full_steps * batch_size,), (short,))
            return self.train_rows(state, x, y, rows, full_steps)

        state = jax.lax.fori_loop(jnp.int32(0), full_steps, step, state)
        if short := len(order) % batch_size:
            state = jax.lax.cond(ends_short, short_step, lambda state: state, state)
        return state


ENGINE = KerasFused
