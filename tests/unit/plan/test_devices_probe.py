"""The probe for real: a process that opens the oracle's device, and processes that misbehave."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.engines import catalogue
from bench.engines.probe import probe as probe_here
from bench.errors import Unavailable
from bench.plan.devices import probe
from bench.plan.host import Host, InterpreterError, ask_interpreter, has_module, run_bounded


@pytest.fixture
def host() -> Host:
    return Host(system="Linux", architecture="x86_64", environ=os.environ)


def test_the_probe_opens_the_device_in_another_process(host: Host) -> None:
    answer = probe("reference", None, "cpu", host=host)
    assert answer.ok
    assert answer.device_name


def test_the_probe_carries_the_engines_own_reason(host: Host) -> None:
    answer = probe("reference", None, "gpu", host=host)
    assert not answer.ok
    assert "cannot run on gpu" in (answer.reason or "")


def test_whatever_an_engine_raises_becomes_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(error: Exception) -> None:
        def engine_class(*_: object) -> None:
            raise error

        monkeypatch.setattr(catalogue, "engine_class", engine_class)

    explode(Unavailable("no such device", "", "buy one"))
    assert probe_here("pytorch", None, "eager", "gpu") == {"device_name": None, "reason": "no such device\nbuy one"}
    explode(RuntimeError("\n  CUDA driver too old \nmore"))
    assert probe_here("pytorch", None, "eager", "gpu")["reason"] == "RuntimeError: CUDA driver too old"
    explode(ImportError())
    assert probe_here("pytorch", None, "eager", "gpu")["reason"] == "ImportError: no message"


def test_a_command_in_time_gives_its_code_and_texts() -> None:
    code = "import sys; print('out'); print('first\\nlast', file=sys.stderr); sys.exit(3)"
    finished = run_bounded([sys.executable, "-c", code], os.environ, 30)
    assert (finished.code, finished.output) == (3, "out\n")
    assert finished.last_words == "exit code 3: last"


@pytest.mark.skipif(sys.platform != "linux", reason="orphans of another session are found on Linux only")
def test_what_a_command_leaves_behind_is_ended_though_it_left_its_session(tmp_path: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '3600'], start_new_session=True).pid)"
    finished = run_bounded([sys.executable, "-c", code], os.environ, 30)
    assert finished.code == 0
    assert not psutil.pid_exists(int(finished.output))


def test_a_command_that_cannot_be_executed_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_bounded([str(tmp_path / "none")], os.environ, 30)


def test_a_command_that_hangs_is_ended_with_all_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import pathlib, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    for limit_s in (1.5, 6.0, 24.0):  # on a crowded machine Python alone may take longer than the first to start
        assert run_bounded([sys.executable, "-c", code], os.environ, limit_s).code is None
        if pid_file.exists():
            break
    assert _ends(int(pid_file.read_text()))


def _ends(pid: int) -> bool:
    """Whether the process is gone (or a zombie that nobody collects) before long."""
    for _ in range(600):
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        if not state.strip() or state.startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def test_packages_are_found_without_importing_them() -> None:
    sys.modules.pop("antigravity", None)  # importing it would open a browser
    assert has_module("antigravity")
    assert "antigravity" not in sys.modules
    assert not has_module("no_such_package_anywhere")


def test_an_interpreter_answers_with_its_last_line(host: Host) -> None:
    code = "import json, sys; print('banner'); print(json.dumps({'said': sys.argv[1:]}))"
    assert ask_interpreter(host, sys.executable, code, ["a", "b"]) == {"said": ["a", "b"]}


def test_a_program_that_is_no_python_is_refused(host: Host) -> None:
    with pytest.raises(InterpreterError, match="broken or no Python"):
        ask_interpreter(host, "/bin/echo", "print()", [])
