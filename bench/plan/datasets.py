"""Data the parent prepares: what a data config resolves to, and the arrays of data that is not generated."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.cell import DataSpec
from bench.config.schema import DataConfig
from bench.errors import UsageError
from bench.plan.datafile import read_table
from bench.plan.room import require_room
from bench.workload.data import GENERATED, Split, split_rows, validation_rows

FloatArray = NDArray[np.float64]

_FLOAT32_BYTES = 4


@lru_cache(maxsize=4)  # every point of the grid asks; the arrays of a large file take seconds to hash
def data_spec(config: DataConfig, seed: int) -> DataSpec:
    """What the config resolves to: sizes known, stored data known by its content.

    Raises:
        UsageError: a file cannot be used.
    """
    if config.name in GENERATED:
        return _generated_spec(config)
    split = stored_split(config, seed)
    return DataSpec(
        name=config.name,
        n_train=len(split.x_train),
        n_val=len(split.x_val),
        features=split.x_train.shape[1],
        shuffle=config.shuffle,
        sha256=_fingerprint(split),
        path=config.path,
        target=config.target,
    )


@lru_cache(maxsize=4)
def stored_split(config: DataConfig, seed: int) -> Split:
    """The arrays of ``breast_cancer`` or of the user's file: split by seed, standardised where asked, float32.

    Raises:
        UsageError: the file cannot be used.
    """
    x, y = _breast_cancer() if config.name == "breast_cancer" else read_table(_path(config), config.target or "")
    train, validation = split_rows(len(x), config.validation, seed)
    if not len(train):
        raise UsageError(f"{_named(config)}: {len(x)} rows leave nothing to train on", "lower data.validation")
    x_train, x_val = x[train], x[validation]
    if config.standardise:
        x_train, x_val = _standardised(x_train, x_val)
    return _as_float32(config, x_train, y[train], x_val, y[validation])


def planned_split(spec: DataSpec, config: DataConfig, seed: int) -> Split:
    """The arrays that were planned with.

    Raises:
        UsageError: the file holds others by now.
    """
    split = stored_split(config, seed)
    if _fingerprint(split) != spec.sha256:
        raise UsageError(
            f"{_named(config)}: changed since the sweep was planned",
            "all runs of a sweep train on the same data",
            "run the sweep again once the file stays as it is",
        )
    return split


def _path(config: DataConfig) -> Path:
    path = Path(config.path or "")
    try:
        return path.expanduser()
    except RuntimeError:  # ~somebody who has no home here
        return path


def _generated_spec(config: DataConfig) -> DataSpec:
    n_val = validation_rows(config.n, config.validation)
    rows = config.n + n_val
    what = f"data.n={config.n} data.features={config.features}: {rows:,} rows of {config.features:,} columns"
    require_room(what, rows * config.features * _FLOAT32_BYTES)
    teacher = config.name == "teacher"
    return DataSpec(
        name=config.name,
        n_train=config.n,
        n_val=n_val,
        features=config.features,
        noise=config.noise if teacher else None,
        distribution=config.distribution,
        shuffle=config.shuffle,
    )


def _breast_cancer() -> tuple[FloatArray, FloatArray]:
    # Lazily: scikit-learn takes a second to import, and only this data needs it.
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)


def _standardised(x_train: FloatArray, x_val: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both splits by the training split's mean and deviation: validation rows must not be seen. Constants become 0."""
    mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return (x_train - mean) / scale, (x_val - mean) / scale


def _as_float32(
    config: DataConfig, x_train: FloatArray, y_train: FloatArray, x_val: FloatArray, y_val: FloatArray
) -> Split:
    """Networks of either dtype then see the same numbers, as they do with generated data."""
    with np.errstate(over="ignore"):
        split = Split(*(np.ascontiguousarray(a, dtype=np.float32) for a in (x_train, y_train, x_val, y_val)))
    if not (np.isfinite(split.x_train).all() and np.isfinite(split.x_val).all()):
        raise UsageError(f"{_named(config)}: values too large for float32", "features must fit float32", "rescale them")
    return split


def _fingerprint(split: Split) -> str:
    digest = hashlib.sha256()
    for name, array in split._asdict().items():
        digest.update(f"{name} {array.shape} ".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _named(config: DataConfig) -> str:
    return config.path if config.name == "file" and config.path else config.name
