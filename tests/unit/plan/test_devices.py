"""What can run here, asked of machines made of a temporary folder and a few lambdas."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bench.engines.probe import ANSWER_MARK
from bench.plan.devices import Availability, availability, gpu_kinds, outlook, probe
from bench.plan.gpus import Nvidia, NvidiaGpu
from bench.plan.host import Finished, Host
from bench.plan.system import SystemFiles

H200 = Nvidia((NvidiaGpu(name="NVIDIA H200", driver="580.1"),))
NO_DRIVER = Nvidia(reason="no NVIDIA driver (its library NVML is not installed)")
OTHER_PYTHON = "/bin/sh"  # exists everywhere; what it answers is faked


@dataclass
class FakeRun:
    """Answers commands from a script and remembers them."""

    answer: Callable[[Sequence[str]], Finished]
    commands: list[list[str]] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def __call__(self, command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Finished:
        self.commands.append(list(command))
        self.environments.append(environment)
        return self.answer(command)


def never(_: Sequence[str]) -> Finished:
    raise AssertionError("nothing may be started for this question")


def answering(device_name: str | None, reason: str | None = None) -> FakeRun:
    answer = json.dumps({"device_name": device_name, "reason": reason})
    return FakeRun(lambda _: Finished(0, f"a greeting\n{ANSWER_MARK}{answer}\n"))


@pytest.fixture
def bare(tmp_path: Path) -> Host:
    """Linux with a processor, every package, and no accelerator."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast CPU 9000\n")
    return Host(
        system="Linux",
        architecture="x86_64",
        files=SystemFiles(tmp_path),
        nvidia=lambda: NO_DRIVER,
        has_module=lambda _: True,
        run=FakeRun(never),
    )


def with_gpu(host: Host, run: FakeRun, **environ: str) -> Host:
    return replace(host, nvidia=lambda: H200, run=run, environ=environ)


def add_file(host: Host, path: str, text: str) -> None:
    target = host.files.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def add_pci(host: Host, vendor: str, kind: str, slot: str = "0000:00:05.0") -> None:
    add_file(host, f"sys/bus/pci/devices/{slot}/vendor", vendor)
    add_file(host, f"sys/bus/pci/devices/{slot}/class", kind)


def reason_of(answer: Availability) -> str:
    assert not answer.ok
    assert answer.device_name is None
    assert answer.reason is not None
    return answer.reason


def test_the_cpu_is_usable_without_starting_anything(bare: Host) -> None:
    assert availability("pytorch", None, "cpu", host=bare) == Availability(ok=True, device_name="Fast CPU 9000")


@pytest.mark.parametrize(("framework", "backend"), [("pytorch", None), ("keras", "tensorflow"), ("keras", "jax")])
def test_a_machine_without_a_gpu_says_what_it_looked_for(bare: Host, framework: str, backend: str | None) -> None:
    reason = reason_of(availability(framework, backend, "gpu", host=bare))
    assert reason == (
        "no NVIDIA driver (its library NVML is not installed), no ROCm (/dev/kfd), no Intel or Apple GPU; "
        "use a machine that has one, or device=cpu"
    )


def test_a_gpu_gets_its_name_from_the_framework_that_opened_it(bare: Host) -> None:
    run = answering("NVIDIA H200")
    answer = availability("pytorch", None, "gpu", host=with_gpu(bare, run))
    assert answer == Availability(ok=True, device_name="NVIDIA H200")
    assert run.commands[0][0] == sys.executable
    assert json.loads(run.commands[0][-1])["device"] == "gpu"


def test_a_device_is_opened_once_per_process(bare: Host) -> None:
    run = answering("NVIDIA H200")
    host = with_gpu(bare, run)
    assert availability("pytorch", None, "gpu", host=host) is availability("pytorch", None, "gpu", host=host)
    assert len(run.commands) == 1


def test_the_outlook_for_a_gpu_opens_nothing(bare: Host) -> None:
    assert outlook("pytorch", None, "gpu", host=with_gpu(bare, FakeRun(never))).ok


def test_a_build_for_the_cpu_on_a_machine_with_a_gpu_is_one_clear_reason(bare: Host) -> None:
    run = answering(None, "torch 2.13.0+cpu has no CUDA; install a CUDA build")
    reason = reason_of(availability("pytorch", None, "gpu", host=with_gpu(bare, run)))
    assert reason == "pytorch cannot use the gpu: torch 2.13.0+cpu has no CUDA; install a CUDA build"


@pytest.mark.parametrize("name", ["cpu", "CPU", "/device:CPU:0", "TFRT_CPU_0 cpu", "Fast CPU 9000", "", None])
def test_a_framework_that_fell_back_to_the_processor_never_gets_a_gpu_row(bare: Host, name: str | None) -> None:
    reason = reason_of(availability("keras", "jax", "gpu", host=with_gpu(bare, answering(name))))
    assert "keras on jax fell back from the gpu to the CPU" in reason


def test_a_probe_that_hangs_is_a_reason(bare: Host) -> None:
    run = FakeRun(lambda _: Finished(None))
    reason = reason_of(availability("pytorch", None, "gpu", host=with_gpu(bare, run)))
    assert "did not open the gpu within 180 s" in reason


def test_a_probe_that_is_killed_is_a_reason_with_its_last_words(bare: Host) -> None:
    run = FakeRun(lambda _: Finished(-11, "half a line", "CUDA init\nFatal: bad driver\n"))
    reason = reason_of(availability("pytorch", None, "gpu", host=with_gpu(bare, run)))
    assert "SIGSEGV: Fatal: bad driver" in reason


def test_a_probe_starts_with_the_engines_variables_and_none_of_a_launchers(bare: Host) -> None:
    run = answering("NVIDIA H200")
    host = with_gpu(bare, run, OMP_NUM_THREADS="7", PYTHONPATH="/elsewhere", KERAS_BACKEND="torch", HOME="/home/me")
    availability("keras", "tensorflow", "gpu", host=host)
    started_with = run.environments[0]
    assert started_with["KERAS_BACKEND"] == "tensorflow"
    assert started_with["OMP_NUM_THREADS"] == "1"
    assert started_with["HOME"] == "/home/me"
    assert "PYTHONPATH" not in started_with


def test_hidden_gpus_are_told_apart_from_absent_ones(bare: Host) -> None:
    reason = reason_of(
        availability("pytorch", None, "gpu", host=with_gpu(bare, FakeRun(never), CUDA_VISIBLE_DEVICES=""))
    )
    assert reason == "CUDA_VISIBLE_DEVICES hides every NVIDIA GPU; unset it"


def test_a_gpu_on_the_bus_without_its_driver_is_told_apart(bare: Host) -> None:
    add_pci(bare, "0x10de", "0x030200")
    assert reason_of(availability("pytorch", None, "gpu", host=bare)).startswith("an NVIDIA GPU is on the PCI bus")


def test_a_driver_without_a_gpu_is_told_apart(bare: Host) -> None:
    host = replace(bare, nvidia=lambda: Nvidia(reason="the NVIDIA driver is loaded but lists no GPU"))
    assert "is loaded but lists no GPU" in reason_of(availability("pytorch", None, "gpu", host=host))


def test_each_kind_of_gpu_is_recognised_by_its_own_sign(bare: Host) -> None:
    assert gpu_kinds(bare) == []
    assert gpu_kinds(replace(bare, nvidia=lambda: H200)) == ["CUDA"]
    assert gpu_kinds(replace(bare, system="Darwin", architecture="arm64")) == ["MPS"]
    assert gpu_kinds(replace(bare, system="Darwin", architecture="x86_64")) == []
    add_file(bare, "sys/class/drm/renderD128/device/vendor", "0x8086\n")
    assert gpu_kinds(bare) == ["XPU"]
    add_file(bare, "dev/kfd", "")
    assert gpu_kinds(bare) == ["ROCm", "XPU"]


def test_rocm_and_metal_are_opened_like_any_gpu(bare: Host) -> None:
    mac = replace(bare, system="Darwin", architecture="arm64", run=answering("Apple M4 Max"))
    assert availability("pytorch", None, "gpu", host=mac).device_name == "Apple M4 Max"
    add_file(bare, "dev/kfd", "")
    amd = replace(bare, run=answering("AMD Instinct MI300X"))
    assert availability("pytorch", None, "gpu", host=amd).device_name == "AMD Instinct MI300X"


def test_a_tpu_is_recognised_by_its_vendor(bare: Host) -> None:
    assert "no Google accelerator" in reason_of(availability("pytorch", None, "tpu", host=bare))
    add_pci(bare, "0x1ae0", "0xff0000")
    tpu = replace(bare, run=answering("TPU v6e"))
    assert availability("pytorch", None, "tpu", host=tpu) == Availability(ok=True, device_name="TPU v6e")


@pytest.mark.parametrize("kind", ["0x020000", "0x010802"], ids=["network card", "disk"])
def test_googles_virtual_network_and_disk_are_no_tpu(bare: Host, kind: str) -> None:
    add_pci(bare, "0x1ae0", kind)
    assert "no Google accelerator" in reason_of(availability("pytorch", None, "tpu", host=bare))


def test_jax_that_falls_back_from_a_tpu_gets_no_row(bare: Host) -> None:
    add_pci(bare, "0x1ae0", "0xff0000")
    reason_of(availability("keras", "jax", "tpu", host=replace(bare, run=answering("TFRT_CPU_0 (cpu)"))))


def test_what_can_run_nowhere_is_said_before_anything_is_looked_for(bare: Host) -> None:
    bare = replace(bare, has_module=lambda _: False)
    assert "NumPy" in reason_of(availability("reference", None, "gpu", host=bare))
    assert "framework.backend=jax" in reason_of(availability("keras", "tensorflow", "tpu", host=bare))
    assert "mxnet" in reason_of(availability("mxnet", None, "cpu", host=bare))
    assert "cntk" in reason_of(availability("keras", "cntk", "cpu", host=bare))
    assert "npu" in reason_of(availability("pytorch", None, "npu", host=bare))


def test_a_missing_package_is_named_with_what_to_do(bare: Host) -> None:
    host = replace(bare, has_module=lambda name: name != "tensorflow")
    reason = reason_of(availability("keras", "tensorflow", "cpu", host=host))
    assert reason == (
        "keras on tensorflow needs tensorflow, not installed in this environment; "
        "install it or name an interpreter with framework.python"
    )


def elsewhere(host: Host, finished: Finished) -> str:
    host = replace(host, run=FakeRun(lambda _: finished), has_module=lambda _: False)
    return reason_of(availability("pytorch", None, "cpu", OTHER_PYTHON, host=host))


def test_another_interpreter_is_asked_instead_of_ours(bare: Host) -> None:
    run = FakeRun(lambda _: Finished(0, 'welcome\n{"python": [3, 12, 1], "missing": []}\n'))
    host = replace(bare, run=run, has_module=lambda _: False)
    assert availability("pytorch", None, "cpu", OTHER_PYTHON, host=host).ok
    assert run.commands[0][0] == OTHER_PYTHON
    assert run.commands[0][-1] == "torch"


def test_another_interpreter_that_lacks_the_package_is_named(bare: Host) -> None:
    said = Finished(0, '{"python": [3, 12, 1], "missing": ["torch"]}')
    assert f"pytorch needs torch, not installed in {OTHER_PYTHON}" in elsewhere(bare, said)


def test_another_interpreter_that_is_too_old_is_named(bare: Host) -> None:
    assert "is Python 3.9.2; name one from 3.11 on" in elsewhere(
        bare, Finished(0, '{"python": [3, 9, 2], "missing": []}')
    )


@pytest.mark.parametrize(
    ("finished", "said"),
    [
        (Finished(1, "", "Fatal Python error: no encodings\n"), "Fatal Python error"),
        (Finished(0, "", ""), "broken or no Python"),
        (Finished(0, "hello", ""), "broken or no Python"),
        (Finished(None), "did not answer within 60 s"),
    ],
)
def test_another_interpreter_that_is_broken_is_a_reason(bare: Host, finished: Finished, said: str) -> None:
    reason = elsewhere(bare, finished)
    assert said in reason
    assert "framework.python" in reason


def test_another_interpreter_that_is_missing_is_a_reason(bare: Host, tmp_path: Path) -> None:
    missing = str(tmp_path / "no/python")
    reason = reason_of(availability("pytorch", None, "cpu", missing, host=bare))
    assert reason == f"the interpreter {missing} does not exist or may not be run; correct framework.python"


def test_another_interpreter_that_cannot_be_started_is_a_reason(bare: Host) -> None:
    def refuse(_: Sequence[str]) -> Finished:
        raise OSError(8, "Exec format error")

    host = replace(bare, run=FakeRun(refuse))
    assert "Exec format error" in reason_of(availability("pytorch", None, "cpu", OTHER_PYTHON, host=host))
    assert "Exec format error" in reason_of(probe("pytorch", None, "gpu", OTHER_PYTHON, host=host))
