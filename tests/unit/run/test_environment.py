"""What a worker tells of its own process."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import bench
from bench.run.environment import describe_process


def test_it_tells_the_variables_that_frameworks_read_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.setenv("MY_PASSWORD", "secret")
    variables = describe_process()["variables"]
    assert variables["OMP_NUM_THREADS"] == "3"
    assert variables["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert "MY_PASSWORD" not in variables


def test_terraform_is_not_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "terraform.rc")
    assert "TF_CLI_CONFIG_FILE" not in describe_process()["variables"]


def test_it_is_plain_json_of_this_interpreter() -> None:
    told = describe_process()
    assert json.loads(json.dumps(told)) == told
    assert (told["python"], told["executable"]) == (platform.python_version(), sys.executable)


def test_it_needs_the_standard_library_alone() -> None:
    code = "import bench.run.environment, sys; print(sorted({'numpy', 'psutil', 'pynvml', 'rich'} & set(sys.modules)))"
    root = Path(bench.__file__).parent.parent
    command = [sys.executable, "-S", "-c", code]
    assert subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout == "[]\n"
