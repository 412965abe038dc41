"""The machine, software and source that a sweep records."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from bench.plan.gpus import Nvidia, NvidiaGpu
from bench.plan.host import Finished, Host
from bench.plan.machine import git_state, installed_version, machine, processor_name, software
from bench.plan.system import SystemFiles


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(
        system="Linux",
        architecture="x86_64",
        files=SystemFiles(tmp_path),
        nvidia=lambda: Nvidia(reason="no NVIDIA driver"),
    )


def test_every_value_is_there_or_has_its_reason(host: Host) -> None:
    told = machine(host)
    absent = [name for name, value in told.items() if value is None]
    assert {"processor", "governor", "turbo", "nvidia_gpus"} <= set(absent)
    assert all(told[f"{name}_reason"] for name in absent)
    assert told["logical_cores"] >= 1
    assert told["memory_bytes"] > 2**20
    assert len(told["load_average"]) == 3
    assert told["nvidia_gpus_reason"] == "no NVIDIA driver"


def test_the_description_is_plain_json(host: Host) -> None:
    told = machine(host)
    assert json.loads(json.dumps(told, allow_nan=False)) == told


def test_gpus_are_listed(host: Host) -> None:
    gpu = NvidiaGpu(name="NVIDIA H200", driver="580.95", memory_bytes=2**37)
    told = machine(replace(host, nvidia=lambda: Nvidia((gpu,))))
    assert told["nvidia_gpus"] == [{"name": "NVIDIA H200", "driver": "580.95", "memory_bytes": 2**37}]
    assert "nvidia_gpus_reason" not in told


def test_a_mac_names_its_processor_through_sysctl(host: Host) -> None:
    mac = replace(host, system="Darwin", run=lambda *_: Finished(0, "Apple M4\n"))
    assert processor_name(mac).value == "Apple M4"
    silent = replace(host, system="Darwin", run=lambda *_: Finished(1, "", "unknown oid\n"))
    assert "unknown oid" in (processor_name(silent).reason or "")


def test_installed_versions_are_those_of_the_metadata() -> None:
    assert installed_version("numpy") == metadata.version("numpy")
    assert installed_version("no-such-distribution") is None


def test_software_lists_our_own_interpreter_once() -> None:
    told = software([sys.executable])
    assert told["packages"]["numpy"] == metadata.version("numpy")
    assert "interpreters" not in told


def test_software_asks_other_interpreters(host: Host) -> None:
    answer = {"python": "3.12.1", "packages": {"torch": "2.13.0+cu130"}}
    told = software(["/bin/sh"], replace(host, run=lambda *_: Finished(0, json.dumps(answer))))
    assert told["interpreters"] == {"/bin/sh": answer}


def test_an_interpreter_that_does_not_answer_has_a_reason(host: Host) -> None:
    told = software(["/bin/sh"], replace(host, run=lambda *_: Finished(None)))
    assert told["interpreters"]["/bin/sh"]["python"] is None
    assert "did not answer" in told["interpreters"]["/bin/sh"]["reason"]


def test_the_question_for_versions_works_in_a_real_interpreter() -> None:
    real = Host(system="Linux", architecture="x86_64")
    other = str(Path(sys.executable).with_name("..")) + f"/bin/{Path(sys.executable).name}"
    told = software([other], real)["interpreters"][other]
    assert told["packages"]["numpy"] == metadata.version("numpy")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_state_of_a_checkout(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "untracked").write_text("no matter")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}


def test_outside_a_checkout_there_is_none(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None


def test_without_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None
