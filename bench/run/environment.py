"""What a worker can tell of its own process. Standard library alone: the interpreter may hold only a framework."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

# Variables that can change what a framework computes, or how fast.
_TELLING_PREFIXES = (
    "OMP_", "MKL_", "KMP_", "OPENBLAS_", "BLIS_", "VECLIB_", "NUMEXPR_",
    "TF_", "XLA_", "JAX_", "KERAS_", "TORCH", "PYTORCH_", "ONEDNN_", "DNNL_", "NVIDIA_TF32",
    "CUDA_", "HIP_", "ROCR_", "HSA_", "MALLOC_", "LD_PRELOAD", "PYTHONHASHSEED",
)  # fmt: skip


def describe_process() -> dict[str, Any]:
    """This process as plain JSON values.

    Returns:
        ``python`` (version), ``executable``, ``affinity`` (processors it may use; None where the system cannot tell),
        ``nice`` (its priority) and ``variables`` (those of its environment that frameworks and their libraries read).
    """
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "nice": os.nice(0),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if _tells(name)},
    }


def _tells(name: str) -> bool:
    """Whether a variable tunes a framework; ``TF_CLI_`` is Terraform's."""
    return name.startswith(_TELLING_PREFIXES) and not name.startswith("TF_CLI_")
