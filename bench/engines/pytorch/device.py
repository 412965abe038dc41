"""Opening a device for PyTorch: the processor, whichever GPU there is, or a TPU through torch-tpu or torch_xla.

PyTorch is built for one kind of GPU at a time, so ``gpu`` is the first kind that answers. Nothing is believed until
something has been computed on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import torch

from bench.engines.processor import processor_name
from bench.errors import Unavailable


def _nothing() -> None:
    """What a device does that has nothing to do."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that tensors can live on.

    Attributes:
        kind: ``cpu``, ``cuda``, ``rocm``, ``xpu``, ``mps``, ``tpu`` (torch-tpu) or ``xla`` (torch_xla).
        torch_device: what tensors are sent to.
        name: the hardware's name.
        synchronize: returns when the device has finished what it was asked.
        end_step: called after every update; torch_xla only records operations until it is told that a step is over.
    """

    kind: str
    torch_device: torch.device
    name: str
    synchronize: Callable[[], None] = _nothing
    end_step: Callable[[], None] = _nothing


def open_device(wanted: str, dtype: torch.dtype) -> Device:
    """Opens ``cpu``, ``gpu`` or ``tpu`` and makes sure that it computes in ``dtype``.

    Raises:
        Unavailable: there is no such device here, or not for this dtype.
    """
    device = {"cpu": _cpu, "gpu": _gpu, "tpu": _tpu}[wanted]()
    if device.kind == "mps" and dtype is torch.float64:
        raise Unavailable("Metal has no float64", "network.dtype must be float32 there", "set network.dtype=float32")
    make_sure_it_computes(device, dtype)
    return device


def kind_of_home(device: torch.device) -> str:
    """``cpu``, ``gpu`` or ``tpu`` of a device that a tensor says it lives on."""
    return {"cpu": "cpu", "tpu": "tpu", "xla": "tpu"}.get(device.type, "gpu")


def set_threads(threads: int) -> None:
    """Compute threads of this process; works in a forked child, where the environment comes too late."""
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != threads:
        torch.set_num_interop_threads(threads)


def make_sure_it_computes(device: Device, dtype: torch.dtype) -> None:
    """Computes on the device and looks where the result lies.

    Raises:
        Unavailable: it raised, or the result lies elsewhere.
    """
    wanted = device.torch_device
    try:
        result = torch.ones(2, 2, dtype=dtype, device=wanted) @ torch.ones(2, 2, dtype=dtype, device=wanted)
        device.synchronize()
    except torch.OutOfMemoryError:
        raise  # the device is there and works: it is full
    except (RuntimeError, AssertionError, TypeError) as error:
        raise Unavailable(f"{device.kind} cannot compute in {dtype}: {error}", "", _ask_doctor()) from error
    if result.device.type != wanted.type:
        raise Unavailable(f"asked for {wanted.type}, tensors landed on {result.device.type}", "", _ask_doctor())


def _cpu() -> Device:
    return Device(kind="cpu", torch_device=torch.device("cpu"), name=processor_name())


def _gpu() -> Device:
    for find in (_cuda, _xpu, _mps):
        if device := find():
            return device
    raise Unavailable(
        f"torch {torch.__version__} finds no GPU",
        f"it is built for {_built_for()}",
        "install a build of torch for this machine's GPU and name its interpreter with framework.python",
    )


def _cuda() -> Device | None:
    if not torch.cuda.is_available():
        return None
    return Device(
        kind="rocm" if torch.version.hip else "cuda",
        torch_device=torch.device("cuda", 0),
        name=torch.cuda.get_device_name(0),
        synchronize=torch.cuda.synchronize,
    )


def _xpu() -> Device | None:
    if not torch.xpu.is_available():
        return None
    name = torch.xpu.get_device_name(0)
    return Device(kind="xpu", torch_device=torch.device("xpu", 0), name=name, synchronize=torch.xpu.synchronize)


def _mps() -> Device | None:
    if not torch.backends.mps.is_available():
        return None
    name = f"{processor_name()} GPU (Metal)"
    return Device(kind="mps", torch_device=torch.device("mps", 0), name=name, synchronize=torch.mps.synchronize)


def _tpu() -> Device:
    if find_spec("torch_tpu") is not None:
        return _torch_tpu()
    if find_spec("torch_xla") is not None:
        return _torch_xla()
    raise Unavailable(
        "pytorch reaches a TPU through torch-tpu or torch_xla, neither is installed",
        "",
        "install torch-tpu in an environment of its own and name its interpreter with framework.python",
    )


def _torch_tpu() -> Device:
    """torch-tpu registers the device type ``tpu``; it is imported here where autoloading was switched off."""
    try:
        import_module("torch_tpu")
        count = torch.get_device_module("tpu").device_count()
        name = torch.get_device_module("tpu").get_device_name() if count else ""
        device = torch.device("tpu", 0)
    except (ImportError, OSError, RuntimeError) as error:
        raise Unavailable(f"torch-tpu does not start: {error}", "", _ask_doctor()) from error
    if not count:
        raise Unavailable("torch-tpu finds no TPU", "", "run on a TPU machine")
    return Device(kind="tpu", torch_device=device, name=name, synchronize=torch.accelerator.synchronize)


def _torch_xla() -> Device:
    """torch_xla falls back to the processor without a word, so its runtime is asked what it drives."""
    try:
        xla = import_module("torch_xla")
        hardware = import_module("torch_xla.runtime").device_type()
        import_module("torch_xla.backends").set_mat_mul_precision("highest")
        device = xla.device()
    except (ImportError, OSError, RuntimeError) as error:
        raise Unavailable(f"torch_xla does not start: {error}", "", _ask_doctor()) from error
    if hardware != "TPU":
        raise Unavailable(f"torch_xla drives a {hardware}, not a TPU", "", "run on a TPU machine")
    return Device(
        kind="xla",
        torch_device=device,
        name="TPU (torch_xla)",
        synchronize=lambda: xla.sync(wait=True),
        end_step=xla.sync,
    )


def _built_for() -> str:
    if torch.version.hip:
        return f"ROCm {torch.version.hip}"
    return f"CUDA {torch.version.cuda}" if torch.version.cuda else "the CPU"


def _ask_doctor() -> str:
    return "bench doctor tells what this machine and its packages offer"
