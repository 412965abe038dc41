"""The doctor as a whole, on a machine of our own."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import bench
from bench.doctor import noise, run_doctor
from bench.engines.probe import ANSWER_MARK
from bench.plan.gpus import Nvidia, NvidiaGpu
from bench.plan.host import Finished, Host
from bench.plan.system import SystemFiles


def refuse(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Finished:
    raise AssertionError(f"nothing may be started: {command}")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("bench.doctor._WINDOW_S", 0.0)
    monkeypatch.setattr(noise, "measure_jitter", lambda: noise.Jitter(0.001, 0.00101, 0.0012))
    return Host(
        system="Linux",
        architecture="x86_64",
        files=SystemFiles(tmp_path),
        nvidia=lambda: Nvidia(reason="no NVIDIA driver"),
        has_module=lambda _: True,
        run=refuse,
    )


def examine(host: Host, *, probe: bool = False, terminal: bool = False) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=60, color_system="standard" if terminal else None)
    assert run_doctor(console, probe=probe, results=host.files.root, host=host) == 0
    return text.getvalue()


def test_every_section_is_printed_plainly_and_nothing_is_started(host: Host) -> None:
    text = examine(host)
    assert [line for line in text.splitlines() if line and not line.startswith(" ")][:4] == [
        "Installed",
        "Devices",
        "Processor and system",
        "Results folder",
    ]
    assert "\x1b[" not in text
    for topic in ("python", "cpu: pytorch", "gpu: unavailable", "governor", "turbo", "SMT", "steal", "load", "swap",
                  "clock", "timer test", "threads", "CPU limit", "throttling", "disk space", "disk speed"):  # fmt: skip
        assert topic in text


def test_a_terminal_gets_colours(host: Host) -> None:
    assert "\x1b[" in examine(host, terminal=True)


def test_the_severities_are_counted_at_the_end(host: Host) -> None:
    lines = examine(host).splitlines()
    warnings = sum(line.startswith("  warning ") for line in lines)
    notes = sum(line.startswith("  note ") for line in lines)
    counted = [f"{count} {noun}" + "s" * (count != 1) for count, noun in ((warnings, "warning"), (notes, "note"))]
    assert lines[-1] == ", ".join(counted)
    assert notes > 0


def test_a_powersave_governor_is_a_warning_with_its_remedy(host: Host) -> None:
    path = host.files.root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    path.parent.mkdir(parents=True)
    path.write_text("powersave\n")
    text = examine(host)
    assert "powersave: the frequency follows the load" in text
    assert "-> cpupower frequency-set -g performance" in text


def test_probing_opens_only_what_looks_usable(host: Host) -> None:
    asked: list[tuple[str, str]] = []

    def answer(command: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Finished:
        request = json.loads(command[-1])
        asked.append((request["framework"], request["device"]))
        name = "Fast CPU" if request["device"] == "cpu" else "NVIDIA H200"
        return Finished(0, ANSWER_MARK + json.dumps({"device_name": name, "reason": None}))

    gpu = NvidiaGpu(name="NVIDIA H200", driver="580")
    text = examine(replace(host, run=answer, nvidia=lambda: Nvidia((gpu,))), probe=True)
    assert ("pytorch", "gpu") in asked
    assert ("reference", "cpu") in asked
    assert ("reference", "gpu") not in asked
    assert "tpu" not in {device for _, device in asked}
    assert "opened NVIDIA H200" in text


def test_without_a_probe_no_framework_is_imported() -> None:
    code = (
        "import sys; from rich.console import Console; from bench.doctor import run_doctor; run_doctor(Console());"
        "print(sorted({'torch', 'tensorflow', 'keras', 'jax'} & set(sys.modules)))"
    )
    root = Path(bench.__file__).parent.parent
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert finished.stdout.splitlines()[-1] == "[]"


def test_other_processes_that_compute_are_found() -> None:
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        busy = _busy_within(spinning.pid, looks=20)
    finally:
        spinning.kill()
        spinning.wait()
    assert spinning.pid in busy


def _busy_within(pid: int, looks: int) -> set[int]:
    """Busy processes of the first look that has ``pid`` among them; a crowded machine may need several."""
    found: set[int] = set()
    for _ in range(looks):
        found = {process.pid for process in noise.find_busy(lambda: time.sleep(0.1))}
        if pid in found:
            break
    return found
