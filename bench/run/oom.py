"""How frameworks, allocators and the C++ library say that memory ran out; used on exceptions and on logs alike."""

from __future__ import annotations

_WORDS = (
    "out of memory",  # CUDA, HIP, XPU, MPS, XLA ("ran out of memory"), LLVM, g++
    "outofmemory",  # torch.OutOfMemoryError
    "cannot allocate memory",  # ENOMEM
    "can't allocate memory",  # torch's allocator on the processor
    "not enough memory",
    "unable to allocate",  # NumPy's arrays, LLVM's sections
    "failed to allocate",  # XLA and TensorFlow on a device
    "memoryerror",
    "memory allocation still failed",  # OpenBLAS
    "resource_exhausted",
    "resource exhausted",
    "resourceexhaustederror",
    "bad_alloc",
    "oom when allocating",
    "status_alloc_failed",  # cuBLAS, cuDNN, cuSOLVER
    "virtual memory exhausted",
)
# What glibc says where a library was loaded too late; more memory would not help.
_NOT_MEMORY = "cannot allocate memory in static tls block"


def says_out_of_memory(text: str) -> bool:
    """Whether an error's text blames memory."""
    lowered = text.lower().replace(_NOT_MEMORY, "")
    return any(words in lowered for words in _WORDS)
