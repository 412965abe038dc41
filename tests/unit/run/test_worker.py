"""What a worker leaves behind: the columns of its trace, and what an exception means."""

from __future__ import annotations

import errno
import json
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import BudgetSpec, Cell, DataSpec, OptimizerSpec
from bench.engines import catalogue
from bench.engines.reference import ReferenceEager
from bench.errors import Unavailable
from bench.records import EpochRecord, RunRequest, Status, to_plain
from bench.run import measure as measuring
from bench.run import worker
from bench.run.disk import blames_disk
from bench.run.measure import Recorder, step_stride


def make_cell(n_train: int = 10, batch_size: int = 4, epochs: int = 2, **changes: Any) -> Cell:
    data = DataSpec(name="teacher", n_train=n_train, n_val=3, features=2, noise=0.0, distribution="normal")
    plain: dict[str, Any] = dict(
        framework="reference",
        loop="eager",
        device="cpu",
        batch_size=batch_size,
        batch_size_label=str(batch_size),
        data=data,
        budget=BudgetSpec(epochs=epochs),
    )
    return Cell(**(plain | changes))


def test_step_columns_count_the_short_last_batch_with_its_true_size() -> None:
    columns = worker.step_arrays(make_cell(), [np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.5, 0.6])])
    assert columns["step_epoch"].tolist() == [0, 0, 0, 1, 1, 1]
    assert columns["step_step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert columns["step_batch_samples"].tolist() == [4, 4, 2, 4, 4, 2]
    assert columns["step_loss"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_a_run_without_steps_has_empty_columns() -> None:
    assert {len(column) for column in worker.step_arrays(make_cell(), []).values()} == {0}


def test_columns_cost_what_was_kept_and_not_what_was_trained() -> None:
    cell = make_cell(n_train=3_000_000, batch_size=1, epochs=1)
    tracemalloc.start()
    columns = worker.step_arrays(cell, [np.zeros(200_000)])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert columns["step_step"][-1] == 199_999 * step_stride(cell) == 2_999_985
    assert peak_bytes < 20_000_000


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(1, 50))
def test_thinned_losses_stay_with_their_steps(n_train: int, batch_size: int, epochs: int, most: int) -> None:
    cell = make_cell(n_train, min(batch_size, n_train), epochs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "MAX_STEPS_STORED", most)
        recorder = Recorder()
        losses = np.arange(cell.steps_per_epoch * epochs, dtype=np.float64)  # each step's loss is its number
        for epoch in range(epochs):
            taken = measuring.TrainingEpochs.__new__(measuring.TrainingEpochs)
            taken.conditions, taken.epoch = measuring.Conditions(cell=cell, round_=0), epoch
            recorder.step_losses.append(
                taken._thinned(losses[epoch * cell.steps_per_epoch : (epoch + 1) * cell.steps_per_epoch])
            )
        columns = worker.step_arrays(cell, recorder.step_losses)
        assert columns["step_step"].tolist() == columns["step_loss"].tolist()
        assert len(columns["step_step"]) <= most
        assert columns["step_step"][0] == 0
        assert len(columns["step_step"]) == -(-len(losses) // step_stride(cell))


def test_epoch_columns_are_nan_where_nothing_was_evaluated() -> None:
    recorder = Recorder(epochs=[EpochRecord(phase="steady", epoch=3, samples=10, updates=3, window_ns=42)])
    columns = worker.epoch_arrays(recorder)
    assert columns["epoch_window_ns"].tolist() == [42]
    assert columns["epoch_phase"].tolist() == ["steady"]
    assert np.isnan(columns["epoch_val_loss"]).all()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), Status.OOM),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), Status.OOM),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"), Status.OOM),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), Status.OOM),
        (RuntimeError("all elements of input should be between 0 and 1"), Status.DIVERGED),
        (RuntimeError("CUDA error: device-side assert triggered"), Status.DIVERGED),
        (ValueError("shapes do not match"), Status.ERROR),
    ],
)
def test_an_exception_is_judged_by_what_it_says(error: Exception, status: Status) -> None:
    assert worker.status_of(error) is status


def make_request(folder: Path, cell: Cell, **changes: Any) -> RunRequest:
    plain: dict[str, Any] = dict(
        cell_id=cell.id,
        cell=cell.to_plain(),
        round=0,
        order_in_round=0,
        folder=str(folder),
        requested_ns=time.perf_counter_ns(),
    )
    return RunRequest(**(plain | changes))


def test_a_request_reads_back_as_it_was_written(tmp_path: Path) -> None:
    request = make_request(tmp_path, make_cell())
    path = tmp_path / "request.json"
    path.write_text(json.dumps(to_plain(request)))
    assert worker.read_request(path) == request
    assert Cell.from_plain(worker.read_request(path).cell) == make_cell()


def test_the_outcome_of_a_failure_keeps_what_came_before_it(tmp_path: Path) -> None:
    worker.work(make_request(tmp_path, make_cell(optimizer=OptimizerSpec(name="no such"))), isolation="spawn")
    outcome = json.loads((tmp_path / worker.OUTCOME).read_text())
    assert outcome["status"] == "error"
    assert "no such" in outcome["reason"]
    assert outcome["phases"]["start_s"] > 0
    assert outcome["phases"]["training_s"] is None


@pytest.mark.parametrize(
    ("method", "error", "status", "reason"),
    [
        ("step", RuntimeError("CUDA error: no CUDA-capable device is detected"), "error",
         "the device was lost: RuntimeError: CUDA error: no CUDA-capable device is detected"),
        ("step", RuntimeError("CUDA error: uncorrectable ECC error encountered\nCUDA kernel errors"), "error",
         "the device was lost: RuntimeError: CUDA error: uncorrectable ECC error encountered"),
        ("step", RuntimeError("UR_RESULT_ERROR_DEVICE_LOST"), "error",
         "the device was lost: RuntimeError: UR_RESULT_ERROR_DEVICE_LOST"),
        ("step", RuntimeError("CUDA error: device-side assert triggered"), "diverged",
         "RuntimeError: CUDA error: device-side assert triggered"),
        ("open_device", RuntimeError("CUDA error: out of memory"), "oom", "RuntimeError: CUDA error: out of memory"),
        ("open_device", Unavailable("jax cannot start on gpu: RESOURCE_EXHAUSTED: Failed to allocate"), "oom",
         "jax cannot start on gpu: RESOURCE_EXHAUSTED: Failed to allocate"),
        ("open_device", Unavailable("torch 2.13.0 finds no GPU"), "unavailable", "torch 2.13.0 finds no GPU"),
    ],
)  # fmt: skip
def test_a_device_that_fails_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception, status: str, reason: str
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(ReferenceEager, method, fail)
    worker.work(make_request(tmp_path, make_cell()), isolation="spawn")
    outcome = json.loads((tmp_path / worker.OUTCOME).read_text())
    assert (outcome["status"], outcome["reason"]) == (status, reason)
    assert outcome["process_peak_bytes"] > 0


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/elsewhere/x"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EROFS, "Read-only file system"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/results/run/heartbeat"),
        PermissionError(errno.EACCES, "Permission denied", Path("/results/cache/x")),
        RuntimeError("g++: error: error writing to /tmp/x.s: No space left on device"),
    ],
)
def test_the_disk_is_blamed(error: Exception) -> None:
    folders = Path("/results/run"), Path("/results/cache")
    assert blames_disk(error, *folders)
    wrapped = RuntimeError("backend compiler failed")
    wrapped.__cause__ = error
    assert blames_disk(wrapped, *folders)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/usr/lib/libcuda.so"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ValueError("shapes do not match"),
    ],
)
def test_the_disk_is_not_to_blame(error: Exception) -> None:
    assert not blames_disk(error, Path("/results/run"))


@pytest.mark.parametrize(
    ("package", "version", "fits"),
    [
        ("torch", "2.13.0+cpu", True), ("torch", "1.13.1", False), ("keras", "3.15.1", True),
        ("keras", "2.15.0", False), ("keras", None, False),
        ("tensorflow", "1.15.5", False), ("jax", "0.10.2", True), ("scipy", None, True),
    ],
)  # fmt: skip
def test_a_version_that_the_engines_are_not_written_for_is_said(
    package: str, version: str | None, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "required_modules", lambda *_: (package,))
    monkeypatch.setattr(catalogue, "import_module", lambda name: SimpleNamespace(__version__=version, ENGINE=None))
    if fits:
        assert catalogue.engine_class("reference", None, "eager") is None
    else:
        with pytest.raises(Unavailable, match=f"reference cannot be imported by .*: it imports {package}"):
            worker.make_engine(make_cell(), 0)


@pytest.mark.parametrize("error", [ImportError("libfoo"), RuntimeError("bad build"), AttributeError("no attribute")])
def test_whatever_breaks_an_import_makes_its_framework_unavailable(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(catalogue, "import_module", broken)
    with pytest.raises(Unavailable, match=str(error)):
        worker.make_engine(make_cell(), 0)


def test_an_import_that_runs_out_of_memory_is_no_missing_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ImportError("libtorch_cpu.so: failed to map segment: Cannot allocate memory")

    monkeypatch.setattr(catalogue, "import_module", broken)
    with pytest.raises(ImportError) as caught:
        worker.make_engine(make_cell(), 0)
    assert worker.status_of(caught.value) is Status.OOM


def test_a_framework_that_cannot_be_imported_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ImportError("libfoo.so.3: cannot open shared object file")

    monkeypatch.setattr(catalogue, "engine_class", broken)
    with pytest.raises(Unavailable, match=r"libfoo\.so\.3"):
        worker.make_engine(make_cell(), 0)
    worker.work(make_request(tmp_path, make_cell()), isolation="spawn")
    assert json.loads((tmp_path / worker.OUTCOME).read_text())["status"] == "unavailable"


@pytest.mark.parametrize(("compilation", "kept"), [("cached", True), ("anew", False), ("nothing", False)])
def test_only_an_engine_that_keeps_programs_gets_a_folder_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilation: str, kept: bool
) -> None:
    monkeypatch.setattr(ReferenceEager, "compilation", compilation)
    folder = tmp_path / "cache" / "a-cell"
    engine = worker.make_engine(make_cell(), 0, str(folder))
    assert engine.setup.cache_folder == (folder if kept else None)
    assert folder.is_dir() is kept
    assert worker.make_engine(make_cell(), 0).setup.cache_folder is None
