"""Setting up the venv, with interpreters that only pretend: what is tried, when it starts afresh, what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "setup-venv"

TOOLS = ("cat", "cmp", "cp", "date", "dirname", "mkdir", "rm", "sh", "tail", "touch")

# Answers what the script asks of a Python; `-m venv` copies it into the venv, so that it also plays the venv's own.
PRETENDER = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
    *ensurepip*) [ -z "${NO_VENV_MODULE:-}" ] ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *--editable*) [ -z "${NO_NETWORK:-}" ] || { echo "no route to the index"; exit 1; } ;;
    --version) echo "Python 3.12.9" ;;
esac
"""
# A pyenv shim of a version that is not selected.
BROKEN_SHIM = "#!/bin/sh\nexit 127\n"


class Checkout:
    """A folder with the script, and a PATH that holds nothing but the tools it needs and the interpreters given."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.commands = folder / "commands"
        self.calls = folder / "calls"
        (self.project / ".ci").mkdir(parents=True)
        shutil.copy(SCRIPT, self.project / ".ci")
        (self.project / "pyproject.toml").write_text("[project]\n")
        self.constraints = self.project / ".ci" / "constraints.txt"
        self.constraints.write_text("numpy==2.4.6\n")
        self.commands.mkdir()
        for tool in TOOLS:
            (self.commands / tool).symlink_to(str(shutil.which(tool)))

    def add(self, name: str, script: str) -> None:
        """Puts an interpreter on the PATH."""
        (self.commands / name).write_text(script)
        (self.commands / name).chmod(0o755)

    def set_up(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs the script; what it calls is then in ``calls``."""
        self.calls.write_text("")
        return subprocess.run(
            [self.project / ".ci" / "setup-venv", *arguments],
            env={"PATH": str(self.commands), "CALLS": str(self.calls)} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def called(self, words: str) -> bool:
        """Whether the last set-up called an interpreter with these words."""
        return words in self.calls.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path)
    checkout.add("python3.12", PRETENDER)
    return checkout


def test_the_first_call_installs_and_the_second_does_nothing(checkout: Checkout) -> None:
    first = checkout.set_up()
    assert first.returncode == 0, first.stderr
    assert "Setting up .venv with Python 3.12.9" in first.stdout
    assert checkout.called("--editable .[jax] --group dev --constraint .ci/constraints.txt")
    second = checkout.set_up()
    assert (second.returncode, second.stdout) == (0, "")
    assert not checkout.called("pip install")


def test_changed_pins_are_installed_into_the_same_venv(checkout: Checkout) -> None:
    checkout.set_up()
    checkout.constraints.write_text("numpy==2.4.7\n")
    assert checkout.set_up().returncode == 0
    assert checkout.called("--editable")
    assert not checkout.called("-m venv")


def test_a_moved_folder_is_installed_again(checkout: Checkout) -> None:
    checkout.set_up()
    checkout.project = checkout.project.rename(checkout.project.with_name("moved"))
    assert checkout.set_up().returncode == 0
    assert checkout.called("--editable")


def test_a_failed_installation_shows_its_end_and_the_next_call_starts_afresh(checkout: Checkout) -> None:
    failed = checkout.set_up(NO_NETWORK="yes")
    assert failed.returncode == 1
    assert "no route to the index" in failed.stderr
    again = checkout.set_up()
    assert again.returncode == 0
    assert "did not finish: starting afresh" in again.stdout
    assert checkout.called("-m venv")


def test_interpreters_that_do_not_run_are_passed_over(checkout: Checkout) -> None:
    checkout.add("python3.11", BROKEN_SHIM)
    assert checkout.set_up().returncode == 0
    assert checkout.called("-m venv")


def test_no_interpreter_at_all_is_said(checkout: Checkout) -> None:
    checkout.add("python3.12", BROKEN_SHIM)
    result = checkout.set_up()
    assert result.returncode == 2
    assert "No Python 3.11, 3.12 or 3.13 found" in result.stderr


def test_an_interpreter_asked_for_that_does_not_run_is_refused(checkout: Checkout) -> None:
    result = checkout.set_up("python9")
    assert result.returncode == 2
    assert "PYTHON=python9" in result.stderr


def test_an_interpreter_without_venv_is_refused_and_an_old_venv_kept(checkout: Checkout) -> None:
    (checkout.project / ".venv").mkdir()
    result = checkout.set_up(NO_VENV_MODULE="yes")
    assert result.returncode == 2
    assert "python3.12 has no venv module" in result.stderr
    assert (checkout.project / ".venv").exists()


@pytest.mark.parametrize(("code", "words"), [(3, "some runs failed"), (6, "device is missing"), (77, "unexpected")])
def test_exit_codes_are_passed_on_and_said_in_words(tmp_path: Path, code: int, words: str) -> None:
    for folder in (".ci", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    wrapper = Path(shutil.copy(SCRIPT.with_name("bench"), tmp_path / ".ci"))
    bench = tmp_path / ".venv" / "bin" / "bench"
    bench.write_text(f'#!/bin/sh\n[ "$*" = "sweep batch_size=1,2" ] && exit {code}\n')
    bench.chmod(0o755)
    result = subprocess.run(
        [wrapper, "sweep", "batch_size=1,2"], env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert result.returncode == code
    assert f"exit code {code}: " in result.stderr
    assert words in result.stderr
