"""A ``keras.json`` of the user's, and Keras' variables in their shell, never change a run, nor does a run write one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.records import RunResult, Status
from bench.run.supervisor import close_templates, run_cell
from bench.store.layout import SweepFolder
from tests.faults.cells import make_cell

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(find_spec("jax") is None or find_spec("keras") is None, reason="needs Keras on JAX"),
]

HOSTILE = {
    "floatx": "float16",
    "epsilon": 0.25,
    "backend": "torch",
    "image_data_format": "channels_first",
    "nnx_enabled": True,
}


@pytest.fixture(autouse=True)
def _templates() -> Iterator[None]:
    yield
    close_templates()


def trained(path: Path, isolation: str) -> tuple[RunResult, list[float]]:
    path.mkdir()
    folder = SweepFolder(path)
    cell = make_cell(framework="keras", backend="jax", loop="idiomatic", protocol={"isolation": isolation})
    result = run_cell(folder, cell, round_=0, order_in_round=0)
    assert (result.status, result.reason) == (Status.OK, None)
    losses = pq.read_table(folder.run(cell.id, 0).trace).column("loss").to_pylist()
    return result, losses


@pytest.mark.parametrize("isolation", ["spawn", "fork"])
@pytest.mark.parametrize("where", ["home", "KERAS_HOME"])
def test_a_keras_json_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolation: str, where: str
) -> None:
    plain, expected = trained(tmp_path / "plain", isolation)
    close_templates()
    home = tmp_path / "home"
    keras_home = home / ".keras"
    keras_home.mkdir(parents=True)
    (keras_home / "keras.json").write_text(json.dumps(HOSTILE))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "1")
    monkeypatch.setenv("KERAS_MAX_STEPS_PER_EPOCH", "1")
    if where == "KERAS_HOME":
        monkeypatch.setenv("KERAS_HOME", str(keras_home))
    result, losses = trained(tmp_path / "hostile", isolation)
    assert losses == expected
    told = ("backend", "floatx", "keras_epsilon")
    assert [result.environment[name] for name in told] == ["jax", "float32", 1e-7]
    assert [plain.environment[name] for name in told] == ["jax", "float32", 1e-7]
    assert [path.name for path in keras_home.iterdir()] == ["keras.json"]


def test_a_run_leaves_no_keras_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    trained(tmp_path / "sweep", "spawn")
    assert not list((tmp_path / "home").rglob("keras.json"))
