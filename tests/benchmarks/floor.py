"""The floor under every loop: the workload's training as a C program of its own, behind the face of an engine.

It is in no catalogue and no report. It says how fast this machine can do the arithmetic at all, so that "the best
framework is within 3x of the floor" means something; hence it must follow the float64 reference like any other engine
(``tests/unit/benchmarks/test_floor.py``). ``floor.c`` is compiled for this processor when it is first needed and kept
in the temporary folder under a hash of everything that went into it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cell import OptimizerSpec
from bench.engines.base import Engine, Epochs, FloatArray, Order
from bench.engines.processor import processor_name
from bench.errors import Unavailable
from bench.workload.network import Weights

SOURCE = Path(__file__).with_name("floor.c")

# -ffast-math lets sums be vectorised and exp and log come from the vector library. It must not reach the linker: there
# it would switch off denormal numbers for the whole process, frameworks included.
_COMPILE = ("-std=gnu11", "-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fPIC", "-c")
_LINK = ("-shared", "-lm")

_OPTIMIZERS = {"sgd": 0, "momentum": 1, "adam": 2}
_ALIGNMENT = 64

Vector = NDArray[np.float32]


class _Training(ctypes.Structure):
    """``Training`` of ``floor.c``."""

    _fields_ = (
        ("optimizer", ctypes.c_int32),
        ("padding", ctypes.c_int32),
        ("batch_size", ctypes.c_int64),
        ("lr", ctypes.c_double),
        ("momentum", ctypes.c_double),
        ("beta1", ctypes.c_double),
        ("beta2", ctypes.c_double),
        ("epsilon", ctypes.c_double),
        ("beta1_power", ctypes.c_double),
        ("beta2_power", ctypes.c_double),
        ("weights", ctypes.c_void_p),
        ("gradients", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
        ("second", ctypes.c_void_p),
    )


def compiler() -> str | None:
    """The machine's C compiler; None where there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


@cache
def compiled(features: int, hidden: int) -> ctypes.CDLL:
    """The program for a network of this shape.

    Raises:
        Unavailable: there is no C compiler, or it refuses.
    """
    command = compiler()
    if command is None:
        raise Unavailable("there is no C compiler", "the floor is compiled for the machine it runs on", "install gcc")
    defines = (f"-DFEATURES={features}", f"-DHIDDEN={hidden}")
    ingredients = (SOURCE.read_text(), _version(command), processor_name(), *_COMPILE, *_LINK, *defines)
    digest = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"bench-floor-{os.getuid()}" / f"{digest}.so"
    if not library.exists():
        _build(command, defines, library)
    return _declared(ctypes.CDLL(str(library)))


def _version(command: str) -> str:
    return subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout


def _build(command: str, defines: tuple[str, ...], library: Path) -> None:
    """Compiles aside and renames: two processes may need the program at the same time."""
    library.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        code, linked = Path(scratch) / "floor.o", Path(scratch) / "floor.so"
        for arguments in ((*_COMPILE, *defines, str(SOURCE), "-o", str(code)), (str(code), *_LINK, "-o", str(linked))):
            done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Unavailable(f"{command} cannot compile {SOURCE.name}: {done.stderr.strip()}")
        linked.replace(library)


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.parameters.restype = library.units.restype = ctypes.c_int64
    pointer = ctypes.c_void_p
    library.train_epoch.argtypes = (pointer, pointer, pointer, pointer, ctypes.c_int64, pointer)
    library.train_epoch.restype = None
    return library


class Floor(Engine):
    """Whole epochs in C, one thread, float32."""

    framework = "floor"
    loop = "fused"
    compilation = "cached"

    x: Vector
    y: Vector

    def open_device(self) -> str:
        """Compiles the program.

        Raises:
            Unavailable: there is no compiler, or the cell asks for what the program cannot do.
        """
        if self.cell.device != "cpu" or self.cell.network.dtype != "float32":
            raise Unavailable("the floor is a float32 program for the processor")
        self._library = compiled(self.cell.data.features, self.cell.network.hidden)
        self._units: int = self._library.units()
        return processor_name()

    def build(self, weights: Weights) -> None:
        """Room for the flat vectors."""
        size = self._library.parameters()
        self._weights, self._gradients, self._first, self._second = (_aligned(size) for _ in range(4))
        self.reset(weights)

    def load(self, x: FloatArray, y: FloatArray) -> None:
        """Keeps the arrays as they are; the program gathers rows itself."""
        self.x, self.y = np.ascontiguousarray(x, np.float32), np.ascontiguousarray(y, np.float32)
        self._losses = np.empty(self.cell.steps_per_epoch, dtype=np.float32)

    def warm_up(self) -> None:
        """One epoch: the program has no first step of its own, but its memory has a first touch."""
        self._train(np.arange(self.cell.data.n_train, dtype=np.int64))

    def homes(self) -> frozenset[str]:
        """The host's memory."""
        return frozenset({"cpu"})

    def reset(self, weights: Weights) -> None:
        """The given weights in the program's layout, and moments of 0."""
        for vector in (self._weights, self._gradients, self._first, self._second):
            vector[:] = 0
        for part, array in zip(self._parts(), weights, strict=True):
            part[:] = array
        self._training = self._fresh_training(self.cell.optimizer)
        self._address = ctypes.addressof(self._training)

    def train(self, epochs: Epochs) -> None:
        """Trains until ``epochs.start()`` answers None."""
        while (order := epochs.start()) is not None:
            steps = self._train(order)
            epochs.finish(lambda steps=steps: self._losses[:steps].copy())  # type: ignore[misc]

    def synchronize(self) -> None:
        """The program has returned: nothing is left to do."""

    def weights(self) -> Weights:
        """A copy of the weights, without the padding."""
        return Weights(*(part.copy() for part in self._parts()))

    def environment(self) -> dict[str, Any]:
        """Compiler and flags."""
        command = compiler() or ""
        return {"compiler": _version(command).splitlines()[0], "flags": " ".join(_COMPILE)}

    def _train(self, order: Order) -> int:
        n = len(order)
        self._library.train_epoch(
            self._address, self.x.ctypes.data, self.y.ctypes.data, order.ctypes.data, n, self._losses.ctypes.data
        )
        return -(-n // self.cell.batch_size)

    def _parts(self) -> tuple[Vector, Vector, Vector, Vector]:
        """Views of the weights as the one layout has them."""
        features, hidden = self.cell.data.features, self.cell.network.hidden
        layers = self._weights[: (features + 2) * self._units].reshape(features + 2, self._units)[:, :hidden]
        bias = self._weights[(features + 2) * self._units :][:1]
        return layers[:features], layers[features], layers[features + 1][:, None], bias

    def _fresh_training(self, spec: OptimizerSpec) -> _Training:
        return _Training(
            optimizer=_OPTIMIZERS[spec.name],
            batch_size=self.cell.batch_size,
            lr=self.setup.lr,
            momentum=spec.momentum,
            beta1=spec.beta1,
            beta2=spec.beta2,
            epsilon=spec.epsilon,
            beta1_power=1.0,
            beta2_power=1.0,
            weights=self._weights.ctypes.data,
            gradients=self._gradients.ctypes.data,
            first=self._first.ctypes.data,
            second=self._second.ctypes.data,
        )


def _aligned(size: int) -> Vector:
    """Zeros that begin at a vector register's alignment."""
    room = np.zeros(size + _ALIGNMENT // 4, dtype=np.float32)
    skip = -room.ctypes.data % _ALIGNMENT // 4
    return room[skip : skip + size]
