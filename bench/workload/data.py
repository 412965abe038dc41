"""The data of a workload: generated from its spec, or read from the arrays the parent has prepared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bench.cell import DataSpec
from bench.errors import BenchError
from bench.workload.network import CHUNK_ROWS, FloatArray, Weights, forward
from bench.workload.seeds import generator

GENERATED = ("teacher", "tutorial")

# The teacher is small against the student (H = 64), so that a thousand rows are enough to learn from.
TEACHER_HIDDEN = 8

_PROBE_ROWS = 4096


class Split(NamedTuple):
    """Training and validation rows: x (n, F) and y (n,) of 0 and 1, one float dtype for all four."""

    x_train: FloatArray
    y_train: FloatArray
    x_val: FloatArray
    y_val: FloatArray


class TeacherBest(NamedTuple):
    """The least expected loss and the greatest expected accuracy that any classifier can have on ``teacher`` data."""

    loss: float
    accuracy: float


def validation_rows(n_train: int, fraction: float) -> int:
    """Rows to add to ``n_train`` so that validation makes up ``fraction`` of all rows."""
    return round(n_train * fraction / (1 - fraction))


def split_rows(n: int, fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of the training and of the validation split, each in rising order; ``seed`` alone decides."""
    shuffled = generator(seed, 0, "split").permutation(n).astype(np.int64, copy=False)
    n_val = round(n * fraction)
    return np.sort(shuffled[n_val:]), np.sort(shuffled[:n_val])


def load(spec: DataSpec, seed: int, data_file: Path | None, dtype: DTypeLike = "float32") -> Split:
    """The split that ``spec`` describes: generated, or read from ``data_file`` (``.npz``, never unpickled).

    Raises:
        BenchError: the file does not hold the arrays that the spec describes.
    """
    if spec.name in GENERATED:
        return generate(spec, seed, dtype)
    if data_file is None:
        raise BenchError(f"data {spec.name} has no file", "only generated data can do without one")
    with np.load(data_file, allow_pickle=False) as arrays:
        missing = [name for name in Split._fields if name not in arrays]
        if missing:
            raise BenchError(f"{data_file} has no array {missing[0]}", f"it must hold {', '.join(Split._fields)}")
        split = Split(*(arrays[name].astype(dtype, copy=False) for name in Split._fields))
    _check_shapes(spec, split, data_file)
    return split


def generate(spec: DataSpec, seed: int, dtype: DTypeLike = "float32") -> Split:
    """``teacher`` or ``tutorial`` data. Drawn in float32 and then cast: both dtypes see the same numbers."""
    teacher = teacher_weights(spec.features, seed, spec.distribution) if spec.name == "teacher" else None
    arrays: list[FloatArray] = []
    for part, rows in (("train", spec.n_train), ("validation", spec.n_val)):
        x = _features(spec, seed, part, rows)
        y = _random_labels(seed, part, rows) if teacher is None else _teacher_labels(teacher, spec, seed, part, x)
        arrays += [x.astype(dtype, copy=False), y.astype(dtype, copy=False)]
    return Split(*arrays)


def teacher_best(spec: DataSpec) -> TeacherBest:
    """The best there is on ``teacher`` data: where labels flip with probability q, entropy of q and max(q, 1 - q)."""
    q = spec.noise or 0.0
    entropy = 0.0 if q in (0.0, 1.0) else -q * math.log(q) - (1 - q) * math.log1p(-q)
    return TeacherBest(loss=entropy, accuracy=max(q, 1 - q))


def teacher_weights(features: int, seed: int, distribution: str | None = "normal") -> Weights:
    """The fixed random network behind ``teacher`` labels, float32.

    Its output bias is set to minus the median logit of a probe sample, so that the two classes are equally frequent.
    """
    rng = generator(seed, 0, "teacher")
    weights = Weights(
        hidden_kernel=rng.normal(0, 1 / math.sqrt(features), size=(features, TEACHER_HIDDEN)),
        hidden_bias=rng.normal(0, 0.5, size=TEACHER_HIDDEN),
        output_kernel=rng.normal(0, 1, size=(TEACHER_HIDDEN, 1)),
        output_bias=np.zeros(1),
    ).astype("float32")
    probe = np.empty((_PROBE_ROWS, features), dtype=np.float32)
    _draw(generator(seed, 0, "teacher.probe"), distribution, probe)
    # Not np.median: it imports numpy.ma, which costs every run more than all its data.
    middle = np.sort(forward(weights, probe))[_PROBE_ROWS // 2]
    return weights._replace(output_bias=np.array([-middle], dtype=np.float32))


def _features(spec: DataSpec, seed: int, part: str, rows: int) -> NDArray[np.float32]:
    """Drawn in chunks from one stream: a longer data set begins with the shorter one's rows."""
    rng = generator(seed, 0, f"features.{part}")
    x = np.empty((rows, spec.features), dtype=np.float32)
    for low in range(0, rows, CHUNK_ROWS):
        _draw(rng, spec.distribution, x[low : low + CHUNK_ROWS])
    return x


def _draw(rng: np.random.Generator, distribution: str | None, out: NDArray[np.float32]) -> None:
    if distribution == "uniform":
        rng.random(out=out, dtype=np.float32)
    else:
        rng.standard_normal(out=out, dtype=np.float32)


def _teacher_labels(
    teacher: Weights, spec: DataSpec, seed: int, part: str, x: NDArray[np.float32]
) -> NDArray[np.float32]:
    flips = generator(seed, 0, f"flips.{part}")
    y = np.empty(len(x), dtype=np.float32)
    for low in range(0, len(x), CHUNK_ROWS):
        chunk = slice(low, low + CHUNK_ROWS)
        flipped = flips.random(len(x[chunk]), dtype=np.float32) < (spec.noise or 0.0)
        y[chunk] = (forward(teacher, x[chunk]) > 0) ^ flipped
    return y


def _random_labels(seed: int, part: str, rows: int) -> NDArray[np.float32]:
    return generator(seed, 0, f"labels.{part}").integers(0, 2, size=rows).astype(np.float32)


def _check_shapes(spec: DataSpec, split: Split, data_file: Path) -> None:
    expected = {
        "x_train": (spec.n_train, spec.features),
        "y_train": (spec.n_train,),
        "x_val": (spec.n_val, spec.features),
        "y_val": (spec.n_val,),
    }
    for name, shape in expected.items():
        found = getattr(split, name).shape
        if found != shape:
            raise BenchError(f"{data_file}: {name} has shape {found}", f"the cell was planned with {shape}")
