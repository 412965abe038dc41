"""What can change Keras' numbers or its speed, read back from the libraries rather than from what was asked."""

from __future__ import annotations

import os
import sys
from typing import Any

import keras
from keras.src.backend.common import dtypes

from bench.engines.keras.device import Device


def pin_configuration(dtype: str) -> None:
    """What ``keras.json`` could have changed: the float type, the epsilon of clipped probabilities, the precision."""
    keras.config.set_floatx(dtype)
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy(dtype)
    keep_float64(dtype)


def keep_float64(dtype: str) -> None:
    """Lets float64 stay float64 in Keras' own operations.

    On JAX and PyTorch Keras takes the result type of two float64 numbers for float32, whatever its ``floatx``: that is
    JAX's rule without ``jax_enable_x64``, and no setting turns it off. Means and, on PyTorch, layers are rounded by it.
    """
    if keras.backend.backend() != "tensorflow":
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64" if dtype == "float64" else "float32"


def describe(device: Device, *, jit_compile: bool | None) -> dict[str, Any]:
    """Versions, threads and numeric flags in force, as plain JSON values."""
    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        "backend": backend,
        "device_kind": device.kind,
        "floatx": keras.config.floatx(),
        "keras_epsilon": keras.config.epsilon(),
        "jit_compile": jit_compile,
    } | _BACKENDS[backend](sys.modules[backend])


def _tensorflow(tf: Any) -> dict[str, Any]:
    build = tf.sysconfig.get_build_info()
    return {
        "tensorflow": tf.__version__,
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") != "0",
        "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "cuda": build.get("cuda_version"),
        "rocm": build.get("rocm_version"),
    }


def _jax(jax: Any) -> dict[str, Any]:
    return {
        "jax": jax.__version__,
        "jaxlib": sys.modules["jaxlib"].__version__,
        "threads": os.environ.get("NPROC"),
        "x64": bool(jax.config.jax_enable_x64),
        "float32_matmul_precision": str(jax.config.jax_default_matmul_precision),
    }


def _torch(torch: Any) -> dict[str, Any]:
    return {
        "torch": str(torch.__version__),
        "torch_threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


_BACKENDS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
