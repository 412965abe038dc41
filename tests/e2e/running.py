"""Runs the application as a user does, in a process and a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 100

# The smallest real sweep: the NumPy reference, which needs no framework, and hardly any steady time.
TINY = ("framework=reference", "device=cpu", "loop=eager", "batch_size=32,full", "budget=epochs2", "protocol.rounds=2")
QUICK = ("protocol.steady_min_s=0", "protocol.steady_min_epochs=1", "data.n=100")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m ARGUMENTS`` in ``folder``, where results/ will lie."""
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def start(folder: Path, *arguments: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
    """The same, without waiting for it."""
    return subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=stderr, text=True
    )
