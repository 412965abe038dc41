"""Environment variables that PyTorch must find when it is imported."""

from __future__ import annotations


def variables(threads: int, device: str = "cpu") -> dict[str, str]:
    """What to set before ``import torch``.

    Device plug-ins such as torch-tpu load themselves at import, and may start their runtime in doing so: they are let
    in for the device that needs them only. TF32 is pinned in the environment as well as by torch's own flags, because
    the libraries read it even where torch does not ask. Its compiler works in the run's own process: a pool of its
    own would outlive the compiling and take processor time from the windows.
    """
    return {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "1" if device == "tpu" else "0",
        "NVIDIA_TF32_OVERRIDE": "0",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
