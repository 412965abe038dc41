"""Which device PyTorch opens, decided on fakes: the logic must hold on machines that are not here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from bench.engines.pytorch import device
from bench.engines.pytorch.device import Device, make_sure_it_computes, open_device
from bench.errors import Unavailable


def _answers(value: Any) -> Callable[..., Any]:
    return lambda *_: value


@pytest.fixture
def _computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believes the hardware; whether it computes is another test's business."""
    monkeypatch.setattr(device, "make_sure_it_computes", _answers(None))


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU and no TPU package, whatever the machine of the test has."""
    monkeypatch.setattr(torch.cuda, "is_available", _answers(False))
    monkeypatch.setattr(torch.xpu, "is_available", _answers(False))
    monkeypatch.setattr(torch.backends.mps, "is_available", _answers(False))
    monkeypatch.setattr(device, "find_spec", _answers(None))


def _install(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    """A package that can be found and imported."""
    found = vars(device)["find_spec"]
    module = ModuleType(name)
    module.__dict__.update(attributes)
    monkeypatch.setitem(sys.modules, name, module)
    spec = ModuleSpec(name, None)
    monkeypatch.setattr(device, "find_spec", lambda wanted: spec if wanted == name else found(wanted))


def test_the_cpu_is_always_there() -> None:
    opened = open_device("cpu", torch.float64)
    assert (opened.kind, opened.torch_device.type) == ("cpu", "cpu")
    assert opened.name


def test_no_gpu_names_the_build_and_the_way_out() -> None:
    with pytest.raises(Unavailable) as caught:
        open_device("gpu", torch.float32)
    assert "finds no GPU" in caught.value.thing
    assert "built for" in caught.value.rule
    assert "framework.python" in caught.value.next_step


@pytest.mark.usefixtures("_computes")
@pytest.mark.parametrize(("hip", "kind"), [(None, "cuda"), ("6.4", "rocm")])
def test_cuda_and_rocm_share_a_door(monkeypatch: pytest.MonkeyPatch, hip: str | None, kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", _answers(True))
    monkeypatch.setattr(torch.cuda, "get_device_name", _answers("A card"))
    monkeypatch.setattr(torch.version, "hip", hip)
    opened = open_device("gpu", torch.float64)
    assert (opened.kind, opened.torch_device.type, opened.name) == (kind, "cuda", "A card")
    assert opened.synchronize is torch.cuda.synchronize


@pytest.mark.usefixtures("_computes")
def test_intel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.xpu, "is_available", _answers(True))
    monkeypatch.setattr(torch.xpu, "get_device_name", _answers("Arc"))
    opened = open_device("gpu", torch.float32)
    assert (opened.kind, opened.torch_device.type, opened.name) == ("xpu", "xpu", "Arc")


@pytest.mark.usefixtures("_computes")
def test_metal_computes_in_float32_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", _answers(True))
    assert open_device("gpu", torch.float32).kind == "mps"
    with pytest.raises(Unavailable, match=r"no float64(.|\n)*network\.dtype=float32"):
        open_device("gpu", torch.float64)


def test_a_driver_that_answers_but_cannot_compute_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.version.cuda:
        pytest.skip("this torch can compute on CUDA")
    monkeypatch.setattr(torch.cuda, "is_available", _answers(True))
    monkeypatch.setattr(torch.cuda, "get_device_name", _answers("A card"))
    with pytest.raises(Unavailable, match="cuda cannot compute"):
        open_device("gpu", torch.float32)


def test_a_device_that_falls_back_to_the_cpu_is_found_out() -> None:
    # Looks like another device, computes on the CPU.
    fallen = SimpleNamespace(kind="tpu", torch_device=_Pretender("cpu"), synchronize=_answers(None))
    with pytest.raises(Unavailable, match="asked for tpu, tensors landed on cpu"):
        make_sure_it_computes(fallen, torch.float32)  # type: ignore[arg-type]


class _Pretender(str):
    """Torch reads the string ``cpu``; who asks for the type hears ``tpu``."""

    type = "tpu"


def test_results_on_the_device_asked_for_are_believed() -> None:
    synchronized: list[bool] = []
    meta = Device(
        kind="meta", torch_device=torch.device("meta"), name="meta", synchronize=lambda: synchronized.append(True)
    )
    make_sure_it_computes(meta, torch.float32)
    assert synchronized == [True]


def test_no_tpu_package_says_which_to_install() -> None:
    with pytest.raises(Unavailable, match=r"torch-tpu or torch_xla(.|\n)*framework\.python"):
        open_device("tpu", torch.float32)


@pytest.mark.usefixtures("_computes")
def test_torch_tpu_comes_before_torch_xla(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "torch_xla")
    _install(monkeypatch, "torch_tpu")
    module = SimpleNamespace(device_count=_answers(4), get_device_name=_answers("TPU v6e"))
    monkeypatch.setattr(torch, "get_device_module", _answers(module))
    monkeypatch.setattr(torch, "device", lambda kind, _: SimpleNamespace(type=kind))
    opened = open_device("tpu", torch.float32)
    assert (opened.kind, opened.torch_device.type, opened.name) == ("tpu", "tpu", "TPU v6e")


def test_torch_tpu_without_a_tpu_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "torch_tpu")
    module = SimpleNamespace(device_count=_answers(0), get_device_name=_answers(""))
    monkeypatch.setattr(torch, "get_device_module", _answers(module))
    monkeypatch.setattr(torch, "device", lambda kind, _: SimpleNamespace(type=kind))
    with pytest.raises(Unavailable, match="finds no TPU"):
        open_device("tpu", torch.float32)


def test_torch_tpu_that_cannot_load_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "torch_tpu")
    monkeypatch.setitem(sys.modules, "torch_tpu", None)
    with pytest.raises(Unavailable, match="torch-tpu does not start"):
        open_device("tpu", torch.float32)


def _install_xla(monkeypatch: pytest.MonkeyPatch, hardware: str, calls: list[str]) -> None:
    _install(
        monkeypatch,
        "torch_xla",
        device=lambda: torch.device("meta"),
        sync=lambda wait=False: calls.append(f"sync wait={wait}"),
    )
    _install(monkeypatch, "torch_xla.runtime", device_type=_answers(hardware))
    _install(monkeypatch, "torch_xla.backends", set_mat_mul_precision=lambda level: calls.append(f"matmul {level}"))


def test_torch_xla_ends_every_step_and_waits_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    _install_xla(monkeypatch, "TPU", calls)
    opened = open_device("tpu", torch.float32)
    opened.end_step()
    assert opened.kind == "xla"
    assert calls == ["matmul highest", "sync wait=True", "sync wait=False"]


def test_torch_xla_on_the_cpu_is_no_tpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _install_xla(monkeypatch, "CPU", [])
    with pytest.raises(Unavailable, match="drives a CPU, not a TPU"):
        open_device("tpu", torch.float32)


@pytest.mark.usefixtures("_no_room")
def test_a_gpu_that_is_full_is_there_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", _answers(True))
    monkeypatch.setattr(torch.cuda, "get_device_name", _answers("A card"))
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        open_device("gpu", torch.float32)


@pytest.fixture
def _no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 4.00 MiB free")

    monkeypatch.setattr(torch, "ones", full)


@pytest.mark.parametrize(
    ("tensors", "home"), [("cpu", "cpu"), ("cuda:1", "gpu"), ("xpu", "gpu"), ("mps", "gpu"), ("xla", "tpu")]
)
def test_a_tensors_device_is_a_kind_of_device(tensors: str, home: str) -> None:
    assert device.kind_of_home(torch.device(tensors)) == home
