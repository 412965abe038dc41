"""Opening devices through backends made of a few attributes: what is there, what is not, what would fall back."""

import dataclasses
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from bench.errors import Unavailable
from tests.contract.case import Kind


@pytest.fixture
def device() -> Any:
    """The module under test; imported late, because it imports Keras."""
    return import_module("bench.engines.keras.device")


def cell(device: str, *, backend: str = "tensorflow", dtype: str = "float32", threads: int = 2) -> Any:
    made = Kind("keras", backend, "idiomatic").cell(32, device=device, dtype=dtype)
    return dataclasses.replace(made, protocol=dataclasses.replace(made.protocol, threads=threads))


class FakeTensorFlow:
    """What ``open_tensorflow`` asks of TensorFlow, and what it did to it."""

    __version__ = "2.21.0"

    def __init__(self, *gpus: str) -> None:
        self.done: dict[str, Any] = {}
        self.gpus = [SimpleNamespace(name=gpu) for gpu in gpus]
        experimental = SimpleNamespace(
            enable_tensor_float_32_execution=lambda on: self.done.update(tf32=on),
            get_memory_growth=lambda gpu: False,
            set_memory_growth=lambda gpu, on: self.done.update(growth=(gpu.name, on)),
            get_device_details=lambda gpu: {"device_name": gpu.name},
        )
        threading = SimpleNamespace(
            get_intra_op_parallelism_threads=lambda: 0,
            get_inter_op_parallelism_threads=lambda: 2,
            set_intra_op_parallelism_threads=lambda n: self.done.update(intra=n),
            set_inter_op_parallelism_threads=lambda n: self.done.update(inter=n),
        )
        self.config = SimpleNamespace(
            list_physical_devices=lambda kind: self.gpus,
            get_visible_devices=lambda kind: self.gpus,
            set_visible_devices=lambda gpus, kind: self.done.update(visible=[gpu.name for gpu in gpus]),
            threading=threading,
            experimental=experimental,
        )
        self.test = SimpleNamespace(experimental=SimpleNamespace(sync_devices=lambda: None))


def test_tensorflow_takes_one_gpu_with_memory_growth_and_without_tf32(device: Any) -> None:
    tf = FakeTensorFlow("NVIDIA H200", "another")
    opened = device.open_tensorflow(tf, cell("gpu"))
    assert (opened.kind, opened.name) == ("gpu", "NVIDIA H200")
    assert tf.done == {"intra": 2, "visible": ["NVIDIA H200"], "growth": ("NVIDIA H200", True), "tf32": False}


def test_tensorflow_on_the_processor_sees_no_gpu(device: Any) -> None:
    tf = FakeTensorFlow("NVIDIA H200")
    assert device.open_tensorflow(tf, cell("cpu")).kind == "cpu"
    assert tf.done["visible"] == []
    assert "growth" not in tf.done


def test_tensorflow_without_a_gpu_is_unavailable(device: Any) -> None:
    with pytest.raises(Unavailable, match=r"tensorflow 2\.21\.0 finds no GPU"):
        device.open_tensorflow(FakeTensorFlow(), cell("gpu"))


def test_tensorflow_sends_a_tpu_to_jax(device: Any) -> None:
    with pytest.raises(Unavailable, match=r"framework\.backend=jax"):
        device.open_tensorflow(FakeTensorFlow(), cell("tpu"))


class FakeJax:
    """JAX that found ``backend``."""

    __version__ = "0.10.2"

    def __init__(self, backend: str | Exception) -> None:
        self.backend = backend
        self.done: dict[str, Any] = {}
        self.config = SimpleNamespace(update=lambda key, value: self.done.update({key: value}))

    def default_backend(self) -> str:
        if isinstance(self.backend, Exception):
            raise self.backend
        return self.backend

    def devices(self) -> list[Any]:
        return [SimpleNamespace(device_kind="TPU v6 lite")]


def test_jax_takes_a_tpu_in_full_float32(device: Any) -> None:
    jax = FakeJax("tpu")
    opened = device.open_jax(jax, cell("tpu", backend="jax"))
    assert (opened.kind, opened.name) == ("tpu", "TPU v6 lite")
    assert jax.done == {"jax_enable_x64": False, "jax_default_matmul_precision": "highest"}


def test_float64_is_switched_on_in_jax(device: Any) -> None:
    jax = FakeJax("cpu")
    device.open_jax(jax, cell("cpu", backend="jax", dtype="float64"))
    assert jax.done["jax_enable_x64"] is True


@pytest.mark.parametrize("wanted", ["gpu", "tpu"])
def test_jax_that_fell_back_to_the_processor_is_unavailable(device: Any, wanted: str) -> None:
    with pytest.raises(Unavailable, match=f"runs on cpu, not on {wanted}"):
        device.open_jax(FakeJax("cpu"), cell(wanted, backend="jax"))


def test_jax_that_cannot_start_says_why(device: Any) -> None:
    with pytest.raises(Unavailable, match=r"libtpu\.so"):
        device.open_jax(FakeJax(RuntimeError("Failed to open libtpu.so")), cell("tpu", backend="jax"))


def fake_torch(accelerator: str | None) -> Any:
    return SimpleNamespace(
        __version__="2.13.0",
        set_num_threads=lambda n: None,
        set_float32_matmul_precision=lambda precision: None,
        cuda=SimpleNamespace(get_device_name=lambda index: "NVIDIA H200"),
        accelerator=SimpleNamespace(
            is_available=lambda: accelerator is not None,
            current_accelerator=lambda: SimpleNamespace(type=accelerator),
            synchronize=lambda: None,
        ),
    )


@pytest.mark.parametrize(("accelerator", "name"), [("cuda", "NVIDIA H200"), ("mps", "GPU (mps)")])
def test_torch_takes_the_gpu_it_has(device: Any, accelerator: str, name: str) -> None:
    assert device.open_torch(fake_torch(accelerator), cell("gpu", backend="torch")).name.endswith(name)


def test_torch_without_a_gpu_is_unavailable_and_has_no_tpu(device: Any) -> None:
    with pytest.raises(Unavailable, match="finds no GPU"):
        device.open_torch(fake_torch(None), cell("gpu", backend="torch"))
    with pytest.raises(Unavailable, match="through JAX"):
        device.open_torch(fake_torch(None), cell("tpu", backend="torch"))


def test_torch_on_metal_has_no_float64(device: Any) -> None:
    wanted = cell("gpu", backend="torch")
    wanted = dataclasses.replace(wanted, network=dataclasses.replace(wanted.network, dtype="float64"))
    with pytest.raises(Unavailable, match="Metal has no float64"):
        device.open_torch(fake_torch("mps"), wanted)
    assert device.open_torch(fake_torch("cuda"), wanted).kind == "gpu"


def test_a_variable_that_landed_elsewhere_is_unavailable(device: Any) -> None:
    device.make_sure_of("cpu", "cpu")
    with pytest.raises(Unavailable, match="asked for gpu, Keras' variables landed on cpu"):
        device.make_sure_of("gpu", "cpu")


@dataclasses.dataclass(frozen=True)
class JaxDevice:
    """A device of JAX's, which come in sets."""

    platform: str


@pytest.mark.parametrize(
    ("backend", "value", "home"),
    [
        ("tensorflow", SimpleNamespace(device="/job:localhost/replica:0/task:0/device:CPU:0"), "cpu"),
        ("tensorflow", SimpleNamespace(device="/job:localhost/replica:0/task:0/device:GPU:1"), "gpu"),
        ("jax", SimpleNamespace(devices=lambda: {JaxDevice("tpu")}), "tpu"),
        ("torch", SimpleNamespace(device=SimpleNamespace(type="cpu")), "cpu"),
        ("torch", SimpleNamespace(device=SimpleNamespace(type="cuda")), "gpu"),
        ("torch", SimpleNamespace(device=SimpleNamespace(type="xla")), "tpu"),
    ],
)
def test_a_backends_array_tells_its_kind_of_device(device: Any, backend: str, value: Any, home: str) -> None:
    assert device.kind_of_home(backend, value) == home
