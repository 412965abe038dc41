"""What can change PyTorch's numbers or its speed, read back from PyTorch rather than from what was asked."""

from __future__ import annotations

from typing import Any

import torch

from bench.engines.pytorch.device import Device


def pin_precision() -> None:
    """Full float32 in matrix products: no TF32, no bfloat16."""
    torch.set_float32_matmul_precision("highest")


def describe(device: Device) -> dict[str, Any]:
    """Versions, threads and numeric flags in force, as plain JSON values."""
    return {
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "device_kind": device.kind,
        "torch_threads": torch.get_num_threads(),
        "torch_interop_threads": torch.get_num_interop_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": bool(torch.backends.mkldnn.enabled),
    }
