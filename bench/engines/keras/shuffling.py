"""Native shuffling that is new in every epoch and can be repeated: on TensorFlow, Keras offers only one of the two.

There ``fit`` permutes with ``tf.random.shuffle`` and starts a new iterator in every epoch. With a seed each iterator
starts the same random stream again, so that all epochs have one order; without a seed no run can be repeated. On its
other backends Keras draws the permutation from NumPy's and PyTorch's own generators, which move on from epoch to epoch.
While ``fit`` runs here, TensorFlow does as JAX does: one permutation per epoch, drawn by NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


def seed_shuffling(seed: int) -> None:
    """Starts the generators that ``fit`` shuffles with; each takes 32 bits.

    ``keras.utils.set_random_seed`` would do the same, but imports TensorFlow to seed it even where JAX or PyTorch
    computes: two seconds in every run.
    """
    np.random.seed(seed % 2**32)
    if keras.backend.backend() == "torch":
        sys.modules["torch"].manual_seed(seed % 2**32)


@contextmanager
def repeatable_shuffling() -> Iterator[None]:
    """Pipelines that ``fit`` builds in this block draw their permutations from NumPy's global generator."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    tf = sys.modules["tensorflow"]
    native = tf.random.shuffle

    def shuffle(indices: Any) -> Any:
        shuffled = tf.numpy_function(np.random.permutation, [indices], indices.dtype)
        shuffled.set_shape(indices.shape)
        return shuffled

    tf.random.shuffle = shuffle
    try:
        yield
    finally:
        tf.random.shuffle = native
