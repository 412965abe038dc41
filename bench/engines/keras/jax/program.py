"""What Keras' loops on JAX share: training as a pure function of a state, compiled ahead of time.

Keras hands out its layers and its optimizer as functions (``stateless_call``, ``stateless_apply``). The state between
two calls is a tuple of JAX arrays that the programs take over and give back (their buffers are donated); the
variables of the real model and optimizer get a copy at the end of ``train``, outside every window.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bench.engines import chunks
from bench.engines.base import Epochs, FloatArray, MemoryGauge, MemoryPeak
from bench.engines.keras.jax.chunks import summed
from bench.engines.keras.model import make_loss
from bench.engines.keras.opening import KerasEngine
from bench.engines.keras.orders import PaddedOrder, pad
from bench.workload.network import Weights


class State(NamedTuple):
    """What training changes.

    Attributes:
        weights: the model's, in Keras' order.
        slots: the optimizer's variables.
        losses: the mean loss of each step of this epoch, shape (steps,).
    """

    weights: tuple[jax.Array, ...]
    slots: tuple[jax.Array, ...]
    losses: jax.Array


class JaxLoop(KerasEngine):
    """Keras layers, loss and optimizer in programs compiled by XLA.

    Attributes:
        x, y: the training split on the device, (n, F) and (n, 1).
        state: the state of training; its buffers belong to the next call of a program.
    """

    compilation = "cached"

    x: jax.Array
    y: jax.Array
    state: State

    def build(self, weights: Weights) -> None:
        """Model, optimizer and loss; the state is made where the data arrive."""
        super().build(weights)
        self.loss = make_loss(self.cell)
        self.loss_sum = make_loss(self.cell, reduction="sum")

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """The whole split goes to the device."""
        self.x, self.y = jax.device_put(x), jax.device_put(y[:, None])
        self.take_state()

    def reset(self, weights: Weights) -> None:
        """Weights, slots and count of updates from their start; the programs stay."""
        super().reset(weights)
        self.take_state()

    def take_state(self) -> None:
        """A copy of the real variables: their own arrays may share memory with NumPy's, which nobody may donate."""
        self.state = State(
            tuple(jnp.array(variable.value, copy=True) for variable in self.model.trainable_variables),
            tuple(jnp.array(variable.value, copy=True) for variable in self.optimizer.variables),
            jnp.zeros(self.cell.steps_per_epoch, self.cell.network.dtype),
        )

    def return_state(self) -> None:
        """The real variables get a copy of the state, for the model's own forward and for saving."""
        for variables, values in (
            (self.model.trainable_variables, self.state.weights),
            (self.optimizer.variables, self.state.slots),
        ):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(jnp.array(value, copy=True))

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        n, batch_size = self.cell.data.n_train, self.cell.batch_size
        while (order := epochs.start()) is not None:
            padded = pad(order, n, batch_size)
            self.run_epoch(padded)
            epochs.finish(lambda steps=padded.steps: np.array(self.state.losses)[:steps])  # type: ignore[misc]
        self.return_state()

    def warm_up(self) -> None:
        """Compiles, and trains one full batch and, where the epoch ends in one, the short batch."""
        n, batch_size = self.cell.data.n_train, self.cell.batch_size
        self.compile()
        self.run_epoch(pad(np.arange(batch_size + n % batch_size), n, batch_size))
        self.synchronize()

    @abstractmethod
    def compile(self) -> None:
        """Makes the programs of the loop; ``x``, ``y`` and ``state`` tell the shapes."""

    @abstractmethod
    def run_epoch(self, order: PaddedOrder) -> None:
        """Trains the steps of the order, without waiting for them."""

    @abstractmethod
    def programs(self) -> dict[str, jax.stages.Compiled]:
        """The compiled programs, by what they are called in a memory figure."""

    def synchronize(self) -> None:
        """Returns when the last program has finished; all its results are ready at once."""
        self.state.losses.block_until_ready()

    def trained(self) -> Iterable[jax.Array]:
        """The state's weights: the real variables get copies only."""
        return self.state.weights

    def weights(self) -> Weights:
        """A copy of the weights, straight from the state."""
        return Weights(*(np.array(weight) for weight in self.state.weights))

    @property
    def jit_compile(self) -> bool:
        """XLA compiles all of it."""
        return True

    def train_rows(self, state: State, x: jax.Array, y: jax.Array, rows: jax.Array, step: jax.Array) -> State:
        """Gather, forward, loss, backward, update; writes the batch's mean loss at ``step``."""

        def terms(rows: jax.Array, row_weights: jax.Array | None) -> tuple[jax.Array, tuple[jax.Array, ...]]:
            batch_x, batch_y = (values.at[rows].get(mode="promise_in_bounds") for values in (x, y))
            return self.loss_and_gradients(state.weights, batch_x, batch_y, row_weights)

        is_large = len(rows) > chunks.CHUNK_ROWS
        loss, gradients = summed(terms, rows, self.cell.network.dtype) if is_large else terms(rows, None)
        weights, slots = self.optimizer.stateless_apply(state.slots, gradients, state.weights)
        losses = jax.lax.dynamic_update_index_in_dim(state.losses, loss, step, axis=0)
        return State(tuple(weights), tuple(slots), losses)

    def loss_and_gradients(
        self, weights: tuple[jax.Array, ...], x: jax.Array, y: jax.Array, row_weights: jax.Array | None
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """The mean loss of a batch, or its sum by weight, and the gradients."""

        def loss_of(weights: tuple[jax.Array, ...]) -> jax.Array:
            outputs, _ = self.model.stateless_call(weights, [], x, training=True)
            loss: jax.Array = self.loss(y, outputs) if row_weights is None else self.loss_sum(y, outputs, row_weights)
            return loss

        return jax.value_and_grad(loss_of)(weights)

    @contextmanager
    def track_memory(self) -> Iterator[MemoryGauge]:
        """What XLA plans for the largest program: temporaries, and results that do not reuse their inputs."""
        gauge = MemoryGauge()
        yield gauge
        gauge.peak = planned(self.programs())


def ahead_of_time(
    function: Callable[..., Any], *arguments: Any, options: dict[str, Any] | None = None
) -> jax.stages.Compiled:
    """Compiled for the shapes of these arguments; the first one's buffers are donated.

    XLA's options come and go with its versions: where it knows one no more, it compiles without them.
    """
    lowered = jax.jit(function, donate_argnums=0).lower(*arguments)
    try:
        return lowered.compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return lowered.compile()


def planned(programs: dict[str, jax.stages.Compiled]) -> MemoryPeak:
    """The largest of the programs, by XLA's own analysis."""
    plans: dict[str, Any] = {name: program.memory_analysis() for name, program in programs.items()}
    if not all(plans.values()):
        return MemoryPeak(reason=f"XLA tells no memory plan on {jax.default_backend()}")
    peaks = {
        name: plan.temp_size_in_bytes + plan.output_size_in_bytes - plan.alias_size_in_bytes
        for name, plan in plans.items()
    }
    largest = max(peaks, key=lambda name: peaks[name])
    return MemoryPeak(peak_bytes=int(peaks[largest]), source=f"XLA memory analysis of {largest}")
