"""A user's table is read as it stands or refused with file, column and row."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from bench.cell import DataSpec
from bench.config.schema import DataConfig
from bench.errors import UsageError
from bench.plan.datafile import read_table
from bench.plan.datasets import data_spec, stored_split
from bench.store.data import data_file, write_split
from bench.store.layout import SweepFolder
from bench.workload.data import load

TABLE = pd.DataFrame({"a": [0.5, 1.5, -2.0, 4.0], "label": [0, 1, 1, 0], "b": [1, 2, 3, 4]})


def write(path: Path, table: pd.DataFrame) -> Path:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        np.savez(path, allow_pickle=False, **{str(name): column.to_numpy() for name, column in table.items()})
    return path


def csv(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".npz"])
def test_every_kind_gives_the_same_numbers(kind: str, tmp_path: Path) -> None:
    x, y = read_table(write(tmp_path / f"mine{kind}", TABLE), "label")
    np.testing.assert_array_equal(x, [[0.5, 1], [1.5, 2], [-2, 3], [4, 4]])
    np.testing.assert_array_equal(y, [0, 1, 1, 0])
    assert (x.dtype.name, y.dtype.name) == ("float64", "float64")


def test_an_npz_may_hold_a_matrix_and_labels_as_a_column(tmp_path: Path) -> None:
    x = np.arange(12.0).reshape(4, 3)
    np.savez(tmp_path / "mine.npz", x=x, y=np.array([[0], [1], [0], [1]]))
    read_x, read_y = read_table(tmp_path / "mine.npz", "y")
    np.testing.assert_array_equal(read_x, x)
    np.testing.assert_array_equal(read_y, [0, 1, 0, 1])


def test_booleans_count_as_0_and_1(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,label\n1,True\n2,False\n")
    np.testing.assert_array_equal(read_table(path, "label")[1], [1, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,label\n1,0\ntwo,1\n3,1\n", r"column 'a', row 2: 'two' is no number"),
        ("a,label\n1,0\n,1\n3,1\n", r"column 'a', row 2: 'nan' marks a missing value"),
        ("a,label\n1,0\ninf,1\n3,1\n", r"column 'a', row 2: 'inf' is infinite"),
        ("a,label\n1,0\n2,2\n3,7\n", r"column 'label', row 2 \(and 1 more\): '2' is no label"),
        ("a,label\n1,0.5\n2,1\n", r"row 1: '0.5' is no label"),
        ("a,label\n1,yes\n2,no\n", r"column 'label', row 1 \(and 1 more\): 'yes' is no number"),
        ("a,label\n1,0\n2,0\n", r"every label in column 'label' is 0"),
        ("label\n1\n0\n", r"no column besides 'label'"),
        ("a,lable\n1,0\n2,1\n", r"no column 'label'\n.*a, lable\ndid you mean data.target=lable"),
        ("a,label\n1,0\n", r"1 rows"),
        ("a,label\n", r"0 rows"),
        ("", r"not a readable \.csv file"),
        ("a,label\n1,0\n2,1,3\n", r"not a readable \.csv file"),
        ("a,label\n1,0,9\n2,1,9\n", r"more fields than the first line has names"),
        ("a,label\n1,0\n2", r"column 'label', row 2: 'nan' marks a missing value"),
        ("a,label\n1,0\n1" + "0" * 400 + ",1\n", r"column 'a'.* (too large|is infinite|no number)"),
    ],
)
def test_what_is_wrong_in_a_csv_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        read_table(csv(tmp_path, text), "label")
    assert "mine.csv" in str(refusal.value)
    assert refusal.value.exit_code == 2


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".npz"])
def test_binary_noise_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine{kind}"
    path.write_bytes(np.random.default_rng(0).bytes(2000))
    with pytest.raises(UsageError, match=rf"mine\{kind}: not a readable"):
        read_table(path, "label")


@pytest.mark.parametrize("kind", [".parquet", ".npz"])
def test_a_truncated_file_is_refused_at_every_length(kind: str, tmp_path: Path) -> None:
    whole = write(tmp_path / f"whole{kind}", TABLE).read_bytes()
    cut = tmp_path / f"cut{kind}"
    for length in range(0, len(whole), 97):
        cut.write_bytes(whole[:length])
        with pytest.raises(UsageError, match=rf"cut\{kind}"):
            read_table(cut, "label")


def test_a_flipped_byte_never_passes_for_other_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.npz", TABLE)
    whole = path.read_bytes()
    at = whole.index(np.float64(1.5).tobytes())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    with pytest.raises(UsageError, match="not a readable"):
        read_table(path, "label")


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", a=np.array([object(), None], dtype=object), label=np.array([0, 1]))
    with pytest.raises(UsageError, match=r"not a readable \.npz"):
        read_table(tmp_path / "mine.npz", "label")
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((3, 3)))
    (tmp_path / "mine.npz").write_bytes(buffer.getvalue())
    with pytest.raises(UsageError, match="one array without a name"):
        read_table(tmp_path / "mine.npz", "label")
    with pytest.raises(UsageError, match=r"must end in \.csv, \.parquet, \.npz"):
        read_table(tmp_path / "mine.pkl", "label")


@pytest.mark.parametrize(
    "arrays",
    [
        {"a": np.zeros(3), "label": np.zeros(4)},
        {"a": np.zeros((4, 2, 2)), "label": np.zeros(4)},
        {"a": np.float64(1), "label": np.zeros(4)},
        {"a": np.float64(1)},
        {},
    ],
)
def test_arrays_that_do_not_fit_together(arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(UsageError, match="do not fit together"):
        read_table(tmp_path / "mine.npz", "label")


@pytest.mark.parametrize(
    "column", [pd.to_datetime(["2026-01-01"] * 4), pd.array([1 + 2j] * 4), pd.to_timedelta([1, 2, 3, 4], unit="s")]
)
def test_dates_and_complex_numbers_are_no_features(column: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, a=np.asarray(column), label=[0, 1, 0, 1])
    with pytest.raises(UsageError, match="column 'a' holds"):
        read_table(path, "label")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UsageError, match=r"no such file|unknown kind"):
            read_table(path, "label")


def config(path: Path, **settings: Any) -> DataConfig:
    return DataConfig(name="file", path=str(path), target="label", **settings)


def test_rows_are_split_by_seed_and_none_is_lost(tmp_path: Path) -> None:
    n = 50
    table = pd.DataFrame({"a": np.arange(n), "label": np.arange(n) % 2})
    path = write(tmp_path / "mine.csv", table)
    split = stored_split(config(path, standardise=False, validation=0.2), seed=3)
    assert (len(split.x_train), len(split.x_val)) == (40, 10)
    assert sorted([*split.x_train[:, 0], *split.x_val[:, 0]]) == list(range(n))
    np.testing.assert_array_equal(split.y_train, split.x_train[:, 0] % 2)
    again, other = (stored_split(config(path, standardise=False, validation=0.2), seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(split.x_val, again.x_val)
    assert not np.array_equal(split.x_val, other.x_val)


@given(st_numpy.arrays(np.float64, (20, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_standardising_looks_at_the_training_split_alone(x: np.ndarray[Any, Any]) -> None:
    from bench.plan.datasets import _standardised

    train, validation = _standardised(x[:15], x[15:])
    constant = x[:15].std(axis=0) == 0
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0)[~constant], 1, rtol=1e-6)
    assert np.isfinite(train).all()
    assert np.isfinite(validation).all()


def test_what_is_stored_is_what_a_worker_loads_and_the_spec_knows_its_content(tmp_path: Path) -> None:
    chosen = config(write(tmp_path / "mine.csv", TABLE), validation=0.25)
    spec = data_spec(chosen, seed=0)
    path = data_file(SweepFolder(tmp_path), spec)
    assert path is not None
    write_split(path, stored_split(chosen, 0))
    loaded = load(spec, 0, path)
    for stored, read in zip(stored_split(chosen, 0), loaded, strict=True):
        np.testing.assert_array_equal(stored, read)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_same_content_elsewhere_is_the_same_data(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    specs = [data_spec(config(write(folder / "mine.csv", TABLE)), 0) for folder in (tmp_path, tmp_path / "there")]
    changed = data_spec(config(write(tmp_path / "other.csv", TABLE.assign(a=[1, 2, 3, 5]))), 0)
    assert specs[0].sha256 == specs[1].sha256 != changed.sha256


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.csv", TABLE.assign(a=[1e300, 1, 2, 3]))
    with pytest.raises(UsageError, match="too large for float32"):
        data_spec(config(path, standardise=False, validation=0), 0)


def test_breast_cancer_is_the_bundled_data(tmp_path: Path) -> None:
    spec = data_spec(DataConfig(name="breast_cancer"), seed=0)
    assert (spec.n_train, spec.n_val, spec.features) == (455, 114, 30)
    split = stored_split(DataConfig(name="breast_cancer"), 0)
    assert abs(float(split.x_train.mean())) < 1e-5
    assert int(split.y_train.sum() + split.y_val.sum()) == 357  # benign rows, as scikit-learn's description says


def test_generated_data_is_not_stored() -> None:
    assert data_file(SweepFolder(Path("x")), DataSpec(name="teacher", n_train=1, n_val=0, features=1)) is None
