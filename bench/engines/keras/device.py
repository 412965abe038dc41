"""Opening a device for Keras, through whichever backend computes: TensorFlow, JAX or PyTorch.

Each backend falls back to the processor without a word where it finds nothing better, so a variable is made and asked
where it lives before anything is believed. Nothing here runs at import: a template process must be able to import this
module and fork.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import keras

from bench.cell import Cell
from bench.engines.processor import processor_name
from bench.errors import Unavailable


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that Keras' variables live on.

    Attributes:
        kind: ``cpu``, ``gpu`` or ``tpu``.
        name: the hardware's name.
        synchronize: returns when the device has finished what it was asked.
    """

    kind: str
    name: str
    synchronize: Callable[[], None]


def open_device(cell: Cell) -> Device:
    """Opens the cell's device through the cell's backend, with its threads and full float32 precision.

    Raises:
        Unavailable: there is no such device for this backend here, or variables land elsewhere.
    """
    backend = keras.backend.backend()
    if backend != cell.backend:
        raise Unavailable(
            f"Keras was imported on {backend}, not on {cell.backend}",
            "its backend is settled by KERAS_BACKEND before the import",
            "see what sets KERAS_BACKEND",
        )
    opener = {"tensorflow": open_tensorflow, "jax": open_jax, "torch": open_torch}[backend]
    device = opener(import_module(backend), cell)
    make_sure_of(cell.device, where_a_variable_lives(backend))
    return device


def make_sure_of(wanted: str, found: str) -> None:
    """Compares the kind of device asked for with the one that a variable was found on.

    Raises:
        Unavailable: they differ.
    """
    if found != wanted:
        raise Unavailable(f"asked for {wanted}, Keras' variables landed on {found}", "", _ask_doctor())


def where_a_variable_lives(backend: str) -> str:
    """Makes a variable and tells the kind of its device."""
    return kind_of_home(backend, keras.Variable([0.0], trainable=False).value)


def kind_of_home(backend: str, value: Any) -> str:
    """``cpu``, ``gpu`` or ``tpu`` of the device that a backend's own array says it lives on."""
    if backend == "tensorflow":
        return str(value.device).rpartition("device:")[2].partition(":")[0].lower()
    if backend == "jax":
        return "/".join(sorted({device.platform for device in value.devices()}))
    return {"cpu": "cpu", "xla": "tpu"}.get(value.device.type, "gpu")


def open_tensorflow(tf: Any, cell: Cell) -> Device:
    """Shows TensorFlow the one device asked for, with memory growth, before its runtime starts."""
    wanted = cell.device
    if wanted == "tpu":
        raise Unavailable("TensorFlow has no TPU any more", "its last release for it was 2.19.1", _use_jax())
    _set_tensorflow_threads(tf, cell.protocol.threads)
    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "gpu" and not gpus:
        raise Unavailable(
            f"tensorflow {tf.__version__} finds no GPU",
            "it needs a build for this machine's GPU, and its driver",
            "install one in an environment of its own and name its interpreter with framework.python",
        )
    visible = gpus[:1] if wanted == "gpu" else []
    _show_gpus(tf, visible)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return Device(
        kind=wanted,
        name=_tensorflow_gpu_name(tf, visible[0]) if visible else processor_name(),
        synchronize=tf.test.experimental.sync_devices,
    )


def open_jax(jax: Any, cell: Cell) -> Device:
    """Asks JAX for the device; threads were set by the environment (NPROC), the only way JAX has."""
    wanted = cell.device
    jax.config.update("jax_enable_x64", cell.network.dtype == "float64")
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        found, devices = jax.default_backend(), jax.devices()
    except RuntimeError as error:
        raise Unavailable(f"jax cannot start on {wanted}: {error}", "", _ask_doctor()) from error
    if found != wanted:
        raise Unavailable(
            f"jax {jax.__version__} runs on {found}, not on {wanted}",
            f"it needs the packages of jax[{'tpu' if wanted == 'tpu' else 'cuda'}] and the hardware",
            "install them in an environment of its own and name its interpreter with framework.python",
        )
    return Device(
        kind=wanted,
        name=processor_name() if wanted == "cpu" else str(devices[0].device_kind),
        synchronize=lambda: jax.block_until_ready(jax.live_arrays()),
    )


def open_torch(torch: Any, cell: Cell) -> Device:
    """PyTorch takes the device that Keras chose at import (KERAS_TORCH_DEVICE, else the first GPU there is)."""
    wanted = cell.device
    if wanted == "tpu":
        raise Unavailable("Keras on PyTorch has no TPU", "Keras reaches a TPU through JAX", _use_jax())
    torch.set_num_threads(cell.protocol.threads)
    torch.set_float32_matmul_precision("highest")
    if wanted == "cpu":
        return Device(kind="cpu", name=processor_name(), synchronize=lambda: None)
    if not torch.accelerator.is_available():
        raise Unavailable(
            f"torch {torch.__version__} finds no GPU",
            "it needs a build for this machine's GPU",
            "install one in an environment of its own and name its interpreter with framework.python",
        )
    kind = torch.accelerator.current_accelerator().type
    if kind == "mps" and cell.network.dtype == "float64":
        raise Unavailable("Metal has no float64", "network.dtype must be float32 there", "set network.dtype=float32")
    name = torch.cuda.get_device_name(0) if kind == "cuda" else f"{processor_name()} GPU ({kind})"
    return Device(kind="gpu", name=name, synchronize=torch.accelerator.synchronize)


def _set_tensorflow_threads(tf: Any, threads: int) -> None:
    """TensorFlow refuses any change once its runtime has started, even to the same number."""
    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() != threads:
        threading.set_intra_op_parallelism_threads(threads)
    if threading.get_inter_op_parallelism_threads() != threads:
        threading.set_inter_op_parallelism_threads(threads)


def _show_gpus(tf: Any, gpus: list[Any]) -> None:
    if tf.config.get_visible_devices("GPU") != gpus:
        tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        if not tf.config.experimental.get_memory_growth(gpu):
            tf.config.experimental.set_memory_growth(gpu, True)


def _tensorflow_gpu_name(tf: Any, gpu: Any) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))


def _use_jax() -> str:
    return "set framework.backend=jax"


def _ask_doctor() -> str:
    return "bench doctor tells what this machine and its packages offer"
