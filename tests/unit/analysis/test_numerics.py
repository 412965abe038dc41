"""The flags in force in words, from what the engines of this project write."""

from __future__ import annotations

from typing import Any

import pytest

from bench.analysis.numerics import numeric_flags


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            {
                "tensorflow": "2.21.0",
                "onednn": True,
                "tensor_float_32": False,
                "jit_compile": False,
                "intra_op_threads": 1,
            },
            "TF32 off, oneDNN on, jit compile off, threads 1",
        ),
        (
            {
                "torch": "2.13.0",
                "torch_threads": 2,
                "float32_matmul_precision": "highest",
                "onednn": True,
                "cuda": None,
            },
            "float32 matrix products highest, oneDNN on, threads 2",
        ),
        ({"x64": True, "threads": None, "jit_compile": True}, "jit compile on, x64 on"),
        ({"blas": "scipy-openblas 0.3.30"}, "BLAS scipy-openblas 0.3.30"),
        ({"python": "3.11.7"}, None),
        ({}, None),
    ],
)
def test_flags_by_hand(environment: dict[str, Any], words: str | None) -> None:
    assert numeric_flags(environment) == words
