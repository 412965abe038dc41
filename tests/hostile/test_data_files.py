"""A data file is believed in nothing: what lies, hides or would not fit is refused before it is loaded."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.config.schema import DataConfig
from bench.errors import UsageError
from bench.plan import room
from bench.plan.datafile import read_table
from bench.plan.datasets import data_spec, planned_split, stored_split

LABELS = np.array([0, 1, 0, 1])


class Trap:
    """Says so where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("sprung",))


def npy(shape: tuple[int, ...], content: bytes, descr: str = "<f8") -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": descr, "fortran_order": False, "shape": shape})
    return header.getvalue() + content


def archive(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "mine.npz"
    with zipfile.ZipFile(path, "w", compression) as written:
        for name, content in members.items():
            written.writestr(name, content)
    return path


def arrays(folder: Path, **named: Any) -> Path:
    path = folder / "mine.npz"
    np.savez(path, label=LABELS, **named)
    return path


def csv(folder: Path, content: str | bytes) -> Path:
    path = folder / "mine.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(folder: Path, table: pa.Table) -> Path:
    path = folder / "mine.parquet"
    pq.write_table(table, path)
    return path


def linked(folder: Path, target: str) -> Path:
    path = folder / "link.csv"
    path.symlink_to(target)
    return path


def pipe(folder: Path) -> Path:
    path = folder / "pipe.csv"
    os.mkfifo(path)
    return path


def wide(columns: int) -> str:
    return "".join(",".join([word] * columns) + ",label\n" for word in ("c", "1", "2"))


LABEL = npy((4,), LABELS.astype("<f8").tobytes())
MADE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "pickle named csv": (lambda at: csv(at, pickle.dumps(Trap())), "NUL bytes|not a readable"),
    "pickle named npz": (lambda at: csv(at, pickle.dumps(Trap())).rename(at / "a.npz"), "not a readable"),
    "pickle named parquet": (lambda at: csv(at, pickle.dumps(Trap())).rename(at / "a.parquet"), "not a readable"),
    "objects in npz": (lambda at: arrays(at, a=np.array([Trap()] * 4, dtype=object)), "only a pickle"),
    "pickle as a member": (
        lambda at: archive(at, {"a.npy": pickle.dumps(Trap()), "label.npy": LABEL}),
        "not a readable",
    ),
    "rows that are not there": (lambda at: archive(at, {"a.npy": npy((10**12,), b"\0" * 80)}), "claims the shape"),
    "negative rows": (lambda at: archive(at, {"a.npy": npy((-4,), b"\0" * 32)}), "claims the shape"),
    "a huge header": (
        lambda at: archive(at, {"a.npy": b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little")}),
        "format 1.0, not 2.0",
    ),
    "a header of brackets": (
        lambda at: archive(at, {"a.npy": b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000}),
        "not a readable",
    ),
    "a zip bomb": (
        lambda at: archive(at, {"a.npy": npy((4, 10**7), bytes(10**7)), "label.npy": LABEL}),
        "claims the shape",
    ),
    "a folder in a zip": (lambda at: archive(at, {"../../a.txt": b"x"}), r"'../../a.txt' is no array"),
    "an encrypted member": (lambda at: encrypted(archive(at, {"a.npy": LABEL})), "not a readable"),
    "text in npz": (lambda at: arrays(at, a=np.array(["1", "2", "3", "4"])), "holds <U1"),
    "a structured array": (lambda at: arrays(at, a=np.zeros(4, dtype=[("x", "f8")])), "column 'a' holds"),
    "a name that hides another": (
        lambda at: arrays(at, **{"x": np.zeros((4, 2)), "x[0]": np.arange(4)}),
        r"column 'x\[0\]' occurs twice",
    ),
    "a name twice": (lambda at: csv(at, "a,a,label\n1,2,0\n3,4,1\n"), "column 'a' occurs twice"),
    "a label twice": (lambda at: csv(at, "label,a,label\n1,2,0\n0,4,1\n"), "column 'label' occurs twice"),
    "row numbers": (lambda at: csv(at, ",a,label\n0,1,0\n1,2,1\n"), "column 1 has no name"),
    "UTF-16": (lambda at: csv(at, "a,label\n1,0\n2,1\n".encode("utf-16")), "NUL bytes"),
    "latin-1": (lambda at: csv(at, "ä,label\n1,0\n2,1\n".encode("latin-1")), "not a readable"),
    "a NUL": (lambda at: csv(at, "a,label\n1\0,0\n2,1\n"), "NUL bytes"),
    "digits of another script": (lambda at: csv(at, "a,label\n٣,0\n2,1\n"), "'٣' is no number"),
    "a number beyond float64": (lambda at: csv(at, "a,label\n1e400,0\n2,1\n"), "is infinite"),
    "a number beyond float32": (lambda at: csv(at, "a,label\n1e300,0\n2,1\n"), "too large for float32"),
    "too many columns": (lambda at: csv(at, wide(100_001)), "first line is too long"),
    "one endless line": (lambda at: csv(at, b"a" * (1 << 25)), "first line is too long"),
    "an escape in a name": (
        lambda at: csv(at, '"a\x1b[31m\n\u202e",label\nx,0\n2,1\n'),
        r"'a\\x1b\[31m \\u202e', row 1",
    ),
    "text in parquet": (lambda at: parquet(at, pa.table({"a": ["1", "2"], "label": [0, 1]})), "holds string"),
    "lists in parquet": (lambda at: parquet(at, pa.table({"a": [[1], [2]], "label": [0, 1]})), "holds list"),
    "a name twice in parquet": (
        lambda at: parquet(at, pa.table([pa.array([1, 2])] * 2 + [pa.array([0, 1])], names=["a", "a", "label"])),
        "column 'a' occurs twice",
    ),
    "a pipe": (pipe, "no such file"),
    "a device": (lambda at: linked(at, "/dev/zero"), "no such file"),
    "a folder": (lambda at: linked(at, "."), "no such file"),
    "a link to itself": (lambda at: linked(at, "link.csv"), "cannot be read"),
    "a name that is too long": (lambda at: at / ("x" * 3000 + ".csv"), "cannot be read"),
}  # fmt: skip


def encrypted(path: Path) -> Path:
    """The archive with the flag of a password on its only member."""
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", MADE)
def test_a_hostile_file_is_refused_in_three_lines(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, message = MADE[kind]
    with pytest.raises(UsageError, match=message) as refusal:
        read_table(make(tmp_path), "label")
    said = str(refusal.value)
    assert 1 < len(said.splitlines()) <= 3
    assert len(said) < 7000
    assert said.replace("\n", "").isprintable()
    assert not (tmp_path / "sprung").exists()


def test_what_needs_more_memory_than_there_is_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten million zeros take a hundred kilobytes of Parquet.
    zeros = pa.array(np.zeros(1_000_000))
    path = parquet(tmp_path, pa.table({f"a{i}": zeros for i in range(20)} | {"label": zeros}))
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(room, "available_bytes", lambda: 500_000_000)
    with pytest.raises(UsageError, match=r"1,000,000 rows of 21 columns need 840 MB of memory\n500 MB are available"):
        read_table(path, "label")
    with pytest.raises(UsageError, match=r"data\.n=10000000 .* need 1\.0 GB"):
        data_spec(DataConfig(name="teacher", n=10_000_000), 0)


def test_a_file_that_changes_after_the_plan_is_noticed(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,label\n1,0\n2,1\n3,0\n4,1\n")
    config = DataConfig(name="file", path=str(path), target="label", validation=0.25)
    spec = data_spec(config, 0)
    planned_split(spec, config, 0)
    csv(tmp_path, "a,label\n1,0\n2,1\n3,0\n5,1\n")
    stored_split.cache_clear()
    with pytest.raises(UsageError, match="changed since the sweep was planned"):
        planned_split(spec, config, 0)


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    csv(tmp_path, "a,label\n1,0\n2,1\n")
    assert data_spec(DataConfig(name="file", path="~/mine.csv", target="label", validation=0), 0).n_train == 2
