"""Gradients of a batch of any size, a chunk at a time, in a loop of the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from bench.engines import chunks

Terms = Callable[[jax.Array, jax.Array], Any]


def summed(terms: Terms, rows: jax.Array, dtype: str) -> Any:
    """The sums over all rows of the terms that some of them add.

    Ten million rows are thousands of chunks, whose rounding would add up, and JAX has no float64 beside float32: what a
    sum loses is kept and added to the next term (Kahan 1965, https://doi.org/10.1145/363707.363723).

    Args:
        terms: of a chunk's rows and their weights, each (chunk_rows,): 1 over the size of the batch, or 0.
        rows: of the whole batch, more than a chunk's, (batch_size,).
        dtype: of weights and terms.
    """
    batch_size, size = len(rows), chunks.CHUNK_ROWS

    def terms_of(chunk: jax.Array) -> Any:
        low = chunk * size
        places = jnp.minimum(low, batch_size - size) + jnp.arange(size, dtype=jnp.int32)
        row_weights = (places >= low).astype(dtype) / batch_size
        return terms(jax.lax.dynamic_slice(rows, (places[0],), (size,)), row_weights)

    def add_chunk(chunk: jax.Array, sums_and_lost: tuple[Any, Any]) -> tuple[Any, Any]:
        sums, lost = sums_and_lost
        whole = jax.tree.map(jnp.add, terms_of(chunk), lost)
        higher = jax.tree.map(jnp.add, sums, whole)
        lost = jax.tree.map(lambda above, total, term: term - (above - total), higher, sums, whole)
        return higher, lost

    shapes = jax.eval_shape(terms_of, jnp.int32(0))
    zeros = jax.tree.map(lambda term: jnp.zeros(term.shape, term.dtype), shapes)
    sums, _ = jax.lax.fori_loop(jnp.int32(0), jnp.int32(chunks.number_of(batch_size)), add_chunk, (zeros, zeros))
    return sums
