"""What says that memory ran out, and what only sounds like it."""

from __future__ import annotations

import pytest

from bench.run.oom import says_out_of_memory


@pytest.mark.parametrize(
    "text",
    [
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 9223372036854775804 bytes. Error code 12 (Cannot allocate memory)",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes.",
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "HIP out of memory. Tried to allocate 20.00 MiB",
        "MPS backend out of memory (MPS allocated: 9.05 GB, other allocations: 4.00 KB, max allowed: 9.07 GB)",
        "ResourceExhaustedError: {{function_node __wrapped__MatMul}} OOM when allocating tensor with shape[100000,64]",
        "ResourceExhaustedError: failed to allocate memory [Op:Mul]",
        "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 34359738368 bytes.",
        "JaxRuntimeError: RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 17.2G of 15.7G hbm.",
        "Failed to allocate request for 16.00GiB (17179869184B) on device ordinal 0",
        "MemoryError: std::bad_alloc",
        "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
        "_ArrayMemoryError: Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64",
        "MemoryError: ",
        "OSError: [Errno 12] Cannot allocate memory",
        "OpenBLAS error: Memory allocation still failed after 10 attempts, giving up.",
        "LLVM ERROR: Unable to allocate section memory!",
        "cc1plus: out of memory allocating 65536 bytes after a total of 1056768 bytes",
        "virtual memory exhausted: Cannot allocate memory",
    ],
)
def test_memory_is_blamed(text: str) -> None:
    assert says_out_of_memory(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ValueError: shapes do not match",
        "ImportError: libgomp.so.1: cannot allocate memory in static TLS block",
        "FileNotFoundError: [Errno 2] No such file or directory: 'memory.json'",
        "OSError: [Errno 28] No space left on device",
        "CUDA error: device-side assert triggered",
        "RuntimeError: memory format option is only supported by strided tensors",
    ],
)
def test_something_else_is_blamed(text: str) -> None:
    assert not says_out_of_memory(text)
