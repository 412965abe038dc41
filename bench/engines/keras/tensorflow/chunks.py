"""Gradients of a batch of any size, a chunk at a time, in a loop of the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from bench.engines import chunks

Terms = Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]


def summed(terms: Terms, rows: tf.Tensor, shapes: Sequence[tf.TensorShape], dtype: str) -> list[tf.Tensor]:
    """The sums over all rows of the terms that some of them add.

    Args:
        terms: of a chunk's rows and their weights, each (chunk_rows,): 1 over the size of the batch, or 0.
        rows: of the whole batch, more than a chunk's, (batch_size,).
        shapes: of the terms.
        dtype: of weights and terms.
    """
    batch_size, size = int(rows.shape[0]), chunks.CHUNK_ROWS

    def add_chunk(chunk: tf.Tensor, *sums: tf.Tensor) -> tuple[tf.Tensor, ...]:
        low = chunk * size
        places = tf.minimum(low, batch_size - size) + tf.range(size)
        row_weights = tf.cast(places >= low, dtype) / batch_size
        more = zip(sums, terms(tf.gather(rows, places), row_weights), strict=True)
        return chunk + 1, *(total + tf.cast(term, total.dtype) for total, term in more)

    # In float64: ten million rows are thousands of chunks, whose rounding would add up.
    start = (tf.constant(0), *(tf.zeros(shape, tf.float64) for shape in shapes))
    _, *sums = tf.while_loop(lambda chunk, *_: chunk < chunks.number_of(batch_size), add_chunk, start)
    return [tf.cast(total, dtype) for total in sums]
