"""Generated data is fixed by its seed and has the best it claims; stored data is checked against its spec."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import DataSpec
from bench.errors import BenchError
from bench.workload.data import (
    generate,
    load,
    split_rows,
    teacher_best,
    teacher_weights,
    validation_rows,
)
from bench.workload.network import CHUNK_ROWS, forward, loss_and_accuracy

TEACHER = DataSpec(name="teacher", n_train=1000, n_val=250, features=20, noise=0.1, distribution="normal")
TUTORIAL = DataSpec(name="tutorial", n_train=1000, n_val=250, features=20, distribution="uniform")


@pytest.mark.parametrize("spec", [TEACHER, TUTORIAL], ids=lambda spec: spec.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_generated_data_has_the_shapes_and_labels_of_its_spec(spec: DataSpec, dtype: str) -> None:
    split = generate(spec, 0, dtype)
    assert [array.shape for array in split] == [(1000, 20), (1000,), (250, 20), (250,)]
    assert {str(array.dtype) for array in split} == {dtype}
    assert set(np.unique(split.y_train)) == {0.0, 1.0}


@pytest.mark.parametrize("spec", [TEACHER, TUTORIAL], ids=lambda spec: spec.name)
def test_the_seed_decides(spec: DataSpec) -> None:
    first, again, other = generate(spec, 0), generate(spec, 0), generate(spec, 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.allclose(first.x_train, other.x_train)
    assert not np.allclose(first.x_train[:250], first.x_val)


def test_both_dtypes_see_the_same_numbers() -> None:
    single, double = generate(TEACHER, 0, "float32"), generate(TEACHER, 0, "float64")
    assert all(np.array_equal(a, b) for a, b in zip(single, double, strict=True))


def test_distributions() -> None:
    normal, uniform = generate(TEACHER, 0).x_train, generate(TUTORIAL, 0).x_train
    assert abs(normal.mean()) < 0.05
    assert 0.95 < normal.std() < 1.05
    assert uniform.min() >= 0
    assert uniform.max() < 1


def test_more_rows_begin_with_the_fewer_even_over_chunks() -> None:
    fewer = generate(dataclasses.replace(TEACHER, n_train=100), 0)
    more = generate(dataclasses.replace(TEACHER, n_train=CHUNK_ROWS + 10), 0)
    assert np.array_equal(more.x_train[:100], fewer.x_train)
    assert np.array_equal(more.y_train[:100], fewer.y_train)
    assert np.array_equal(more.x_val, fewer.x_val)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_labels_differ_from_the_teacher_as_often_as_noise_says(noise: float, distribution: str) -> None:
    spec = dataclasses.replace(TEACHER, n_train=20_000, noise=noise, distribution=distribution)
    split = generate(spec, 3)
    teacher = teacher_weights(20, 3, distribution)
    flipped = ((forward(teacher, split.x_train) > 0) != (split.y_train > 0.5)).mean()
    assert flipped == pytest.approx(noise, abs=0.02)
    assert split.y_train.mean() == pytest.approx(0.5, abs=0.03)


def test_the_best_is_reached_by_the_teacher_itself() -> None:
    split = generate(dataclasses.replace(TEACHER, n_train=50_000), 0)
    best = teacher_best(TEACHER)
    teacher = teacher_weights(20, 0)
    # The best classifier answers with log odds of 9 : 1 on the teacher's side.
    side = np.sign(forward(teacher, split.x_train))
    loss = np.log1p(np.exp(-side * np.log(9) * (2 * split.y_train - 1))).mean()
    assert loss == pytest.approx(best.loss, abs=0.01)
    assert loss_and_accuracy(teacher, split.x_train, split.y_train)[1] == pytest.approx(best.accuracy, abs=0.01)


@pytest.mark.parametrize(("noise", "loss", "accuracy"), [(0.0, 0.0, 1.0), (0.5, np.log(2), 0.5), (1.0, 0.0, 1.0)])
def test_the_best_at_the_ends(noise: float, loss: float, accuracy: float) -> None:
    assert teacher_best(dataclasses.replace(TEACHER, noise=noise)) == pytest.approx((loss, accuracy))


def test_validation_rows_are_a_fraction_of_all_rows() -> None:
    assert validation_rows(1000, 0.2) == 250
    assert validation_rows(1000, 0.0) == 0


@given(n=st.integers(2, 300), fraction=st.floats(0, 0.9), seed=st.integers(0, 3))
def test_split_rows_parts_all_rows(n: int, fraction: float, seed: int) -> None:
    train, val = split_rows(n, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([train, val])), np.arange(n))
    assert len(val) == round(n * fraction)


def test_split_rows_follows_the_seed_and_mixes() -> None:
    assert np.array_equal(split_rows(100, 0.2, 1)[1], split_rows(100, 0.2, 1)[1])
    assert not np.array_equal(split_rows(100, 0.2, 1)[1], split_rows(100, 0.2, 2)[1])
    assert split_rows(100, 0.2, 1)[1].max() > 50


FILE = DataSpec(name="file", n_train=4, n_val=2, features=3)


def _store(path: Path, **changes: np.ndarray) -> Path:
    arrays = {"x_train": np.ones((4, 3)), "y_train": np.ones(4), "x_val": np.ones((2, 3)), "y_val": np.zeros(2)}
    np.savez(path, **(arrays | changes))
    return path


def test_stored_data_is_read_in_the_dtype_asked_for(tmp_path: Path) -> None:
    split = load(FILE, 0, _store(tmp_path / "data.npz"), "float32")
    assert [array.shape for array in split] == [(4, 3), (4,), (2, 3), (2,)]
    assert {array.dtype for array in split} == {np.dtype("float32")}


def test_stored_data_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = _store(tmp_path / "data.npz", x_val=np.ones((2, 4)))
    with pytest.raises(BenchError, match="x_val has shape"):
        load(FILE, 0, path)


def test_stored_data_without_an_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x_train=np.ones((4, 3)))
    with pytest.raises(BenchError, match="no array y_train"):
        load(FILE, 0, tmp_path / "data.npz")


def test_stored_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = _store(tmp_path / "data.npz", y_val=np.array([{}, {}], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle"):
        load(FILE, 0, path)


def test_stored_data_needs_its_file() -> None:
    with pytest.raises(BenchError, match="has no file"):
        load(FILE, 0, None)


def test_generated_data_needs_none() -> None:
    assert np.array_equal(load(TEACHER, 0, None).x_train, generate(TEACHER, 0).x_train)
