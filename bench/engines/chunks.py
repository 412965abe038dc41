"""How a large batch is cut: into chunks of one size, the last of which reaches back over rows already counted.

A chunk goes through forward and backward by itself and gradients are summed, so the hidden layer of a chunk stays in
the processor's cache, and memory does not grow with the batch. Rows counted before weigh nothing the second time.
"""

from __future__ import annotations

CHUNK_ROWS = 4096


def number_of(batch_size: int) -> int:
    """How many chunks a batch takes."""
    return -(-batch_size // CHUNK_ROWS)
