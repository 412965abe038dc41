"""The real frameworks: killed, broken, out of memory, and told another number format by a file in the user's home."""

from __future__ import annotations

import signal
import sys
import time
from importlib.util import find_spec

import psutil

from tests.faults import interpreters
from tests.faults.checks import survivors
from tests.faults.fault import Fault, NotHere
from tests.faults.groups.workers import is_forked
from tests.faults.sweeping import Ended, Scene

GROUP = "real"
PYTORCH = ("framework=pytorch", "batch_size=full", "protocol.steady_min_s=1")
KERAS = ("framework=keras_jax", "loop=compiled", "batch_size=full", "protocol.parity_steps=5")
LARGE = (
    "framework=pytorch", "batch_size=full", "protocol.rounds=1", "data.n=400000", "network.hidden=2048",
    "budget.epochs=1", "budget.target_epochs=1", "budget.target_batch_size=10000",
)  # fmt: skip


def _killed_in_training(scene: Scene) -> Ended:
    parent = scene.begin()
    deadline_s = time.monotonic() + 60
    workers: list[psutil.Process] = []
    scene.wait_until(lambda: scene.folder.runs.is_dir() and [*scene.folder.runs.glob("*/r0/heartbeat")], parent)
    while not workers and time.monotonic() < deadline_s:
        workers = [process for process in survivors(scene) if is_forked(process)]
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
    ended = parent.wait()
    scene.observe("one worker was there", len(workers) == 1, f"{len(workers)}")
    return ended


def _broken_jax(scene: Scene) -> Ended:
    """An installation of JAX that raises on import, before the real one on the path."""
    _need("keras")
    broken = scene.root / "broken" / "jax"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libjax is of another version')\n")
    path = interpreters.script(
        scene.root / "python-of-its-own",
        f'#!/bin/sh\nPYTHONPATH={broken.parent} exec {sys.executable} "$@"\n',
    )
    return scene.sweep(f"framework.python={path}")


def _out_of_memory(scene: Scene) -> Ended:
    """A hidden layer of 3 GB for an interpreter that may address 2.5 GB more than its libraries take."""
    path = interpreters.script(scene.root / "limited", f'#!/bin/sh\nulimit -v 6000000\nexec {sys.executable} "$@"\n')
    return scene.sweep(f"framework.python={path}")


def _other_dtype(scene: Scene) -> Ended:
    """A ``keras.json`` that asks for double precision and another backend."""
    _need("jax")
    home = scene.root / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras" / "keras.json").write_text('{"floatx": "float64", "backend": "torch", "epsilon": 0.5}')
    scene.environment = {"HOME": str(home), "KERAS_HOME": str(home / ".keras")}
    ended = scene.sweep()
    flags = [result.parity for result in scene.results()]
    scene.observe("trained as the reference", all(flags) and bool(flags), f"{flags}")
    return ended


def _need(module: str) -> None:
    if find_spec(module) is None:
        raise NotHere(f"{module} is not installed")


FAULTS = [
    Fault(
        name="pytorch-killed",
        group=GROUP,
        what="PyTorch is killed in training",
        settings=PYTORCH,
        strike=_killed_in_training,
        code=3,
        status="crashed",
        reason="SIGKILL",
        words=("pytorch", "crashed", "--retry crashed"),
        resume=("--retry", "crashed"),
    ),
    Fault(
        name="keras-broken-jax",
        group=GROUP,
        what="Keras' JAX backend cannot be imported",
        settings=KERAS,
        strike=_broken_jax,
        code=0,
        status="unavailable",
        reason="libjax is of another version",
        words=("keras", "libjax is of another version"),
        resume=None,
    ),
    Fault(
        name="pytorch-oom",
        group=GROUP,
        what="PyTorch at a batch that does not fit under ulimit -v",
        settings=LARGE,
        strike=_out_of_memory,
        code=3,
        status="oom",
        reason="memory",
        words=("pytorch", "oom", "--retry oom"),
        resume=None,
    ),
    Fault(
        name="keras-json",
        group=GROUP,
        what="keras.json asks for float64 and another backend",
        settings=KERAS,
        strike=_other_dtype,
        code=0,
        same_tables=True,
    ),
]
