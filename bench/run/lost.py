"""How drivers and runtimes say that a device which was there is not any more."""

from __future__ import annotations

_WORDS = (
    "no cuda-capable device",
    "cuda-capable device(s) is/are busy or unavailable",
    "cuda_error_no_device",
    "cudaerrornodevice",
    "device is lost",
    "device lost",
    "device_lost",  # Vulkan, Level Zero (XPU)
    "gpu is lost",
    "fallen off the bus",
    "no hip gpus are available",
    "hiperrornodevice",
    "hiperrorinvaliddevice",
    "uncorrectable ecc error",
    "cuda error: unknown error",
    "cuda_error_unknown",
)


def says_device_lost(text: str) -> bool:
    """Whether an error's text says that the device is gone."""
    lowered = text.lower()
    return any(words in lowered for words in _WORDS)
