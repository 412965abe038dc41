"""Environment variables that Keras and its backends must find when they are imported."""

from __future__ import annotations

import os

# A folder that cannot exist: Keras then finds no keras.json, which could switch backend, dtype and epsilon without a
# word, and cannot write one either.
_NO_HOME = f"{os.devnull}/keras"

# On the processor XLA runs a loop's operations one by one, 50 ns and more between two of them, unless all that the loop
# touches is smaller than this (by itself 1 KiB) and none of them is a call into a library: then the loop becomes one
# compiled function. ``jax.fused`` decides which programs call a library.
_LOOPS_AS_ONE_FUNCTION = f"--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold={2**40}"


def variables(backend: str, threads: int, device: str = "cpu") -> dict[str, str]:
    """What to set before ``import keras`` on ``backend`` (``tensorflow``, ``jax`` or ``torch``)."""
    return _keras(backend) | _tensorflow(threads) | _jax(backend, threads, device) | _devices(backend, device)


def _keras(backend: str) -> dict[str, str]:
    """The last three would cut epochs short or change how models are built; these values are Keras' own."""
    return {
        "KERAS_BACKEND": backend,
        "KERAS_HOME": _NO_HOME,
        "KERAS_MAX_EPOCHS": "0",
        "KERAS_MAX_STEPS_PER_EPOCH": "0",
        "KERAS_NNX_ENABLED": "false",
    }


def _tensorflow(threads: int) -> dict[str, str]:
    """Pins oneDNN, TensorFlow's default on x86. With the BFC allocator it counts every block, at no cost to a step."""
    return {
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "TF_CPU_ALLOCATOR_USE_BFC": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
        "NVIDIA_TF32_OVERRIDE": "0",
    }


def _jax(backend: str, threads: int, device: str) -> dict[str, str]:
    """JAX 0.10 sizes its pool of compute threads by NPROC; it ignores ``intra_op_parallelism_threads`` in XLA_FLAGS.

    Where another backend computes, JAX is imported all the same if it is there, and must not touch an accelerator.
    """
    platforms = {"cpu": "cpu", "gpu": "", "tpu": "tpu"}[device] if backend == "jax" else "cpu"
    settings = {
        "JAX_PLATFORMS": platforms,
        "JAX_ENABLE_X64": "0",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "NPROC": str(threads),
    }
    # XLA takes this option in no other way.
    return settings | ({"XLA_FLAGS": _LOOPS_AS_ONE_FUNCTION} if (backend, device) == ("jax", "cpu") else {})


def _devices(backend: str, device: str) -> dict[str, str]:
    """A run on the processor cannot see a GPU, whatever the framework would prefer."""
    if device != "cpu":
        return {}
    return {"CUDA_VISIBLE_DEVICES": "-1"} | ({"KERAS_TORCH_DEVICE": "cpu"} if backend == "torch" else {})
