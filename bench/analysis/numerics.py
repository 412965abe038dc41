"""The numeric flags in force in a run, as one line of words; its engine read them back from its libraries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# As engines name them in ``environment``, and as people do; in this order.
_FLAGS = {
    "tensor_float_32": "TF32",
    "float32_matmul_precision": "float32 matrix products",
    "onednn": "oneDNN",
    "jit_compile": "jit compile",
    "x64": "x64",
    "deterministic_algorithms": "deterministic algorithms",
    "cudnn_benchmark": "cuDNN benchmark",
    "blas": "BLAS",
    "torch_threads": "threads",
    "intra_op_threads": "threads",
    "threads": "threads",
}


def numeric_flags(environment: Mapping[str, Any]) -> str | None:
    """``TF32 off, oneDNN on, jit compile off, threads 1``; None where the run left no word of them."""
    told = [f"{words} {_value(environment[name])}" for name, words in _FLAGS.items() if _is_told(environment, name)]
    return ", ".join(told) or None


def _is_told(environment: Mapping[str, Any], name: str) -> bool:
    return environment.get(name) is not None


def _value(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
