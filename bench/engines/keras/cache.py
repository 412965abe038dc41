"""Compiled programs kept from run to run: JAX and PyTorch write them to a folder, by a hash of program and compiler."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import keras


def keep_programs(folder: Path | None) -> None:
    """Makes compilers look into ``folder`` first; None keeps nothing (but PyTorch, which then has a folder of its own).

    TensorFlow's own folder for XLA's programs (``tf_xla_persistent_cache_directory``) is not used: the names of its
    files tell neither the version nor the processor apart, and at every hit on the processor it logs, as an error, that
    the program may end in an illegal instruction.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        _keep_jax_programs(sys.modules["jax"], folder)
    if backend == "torch" and folder is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "inductor")


def _keep_jax_programs(jax: Any, folder: Path | None) -> None:
    from jax.experimental.compilation_cache import compilation_cache

    settings = {
        "jax_enable_compilation_cache": folder is not None,
        "jax_compilation_cache_dir": None if folder is None else str(folder / "jax"),
        # By default only programs that took a second to compile are worth a file.
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
        # Further caches of XLA's own, which exist for GPUs only.
        "jax_persistent_cache_enable_xla_caches": "none",
        "jax_raise_persistent_cache_errors": False,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
    # A process asks once whether there is a folder, and remembers the answer.
    compilation_cache.reset_cache()
