"""The worker: reads a request, trains and measures, and leaves ``outcome.json`` and ``trace.npz`` behind.

It never "returns" anything: what it has to say is written aside and renamed, so a worker that dies at any moment leaves
either nothing or everything. An exception is an outcome too; what ends the process without one is judged by the
supervisor.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bench.cell import Cell
from bench.engines import catalogue
from bench.engines.base import Engine, Setup
from bench.errors import Unavailable, UsageError
from bench.records import MemoryRecord, RunRequest, Status, WorkerOutcome, to_plain
from bench.run.disk import blames_disk
from bench.run.environment import describe_process
from bench.run.heartbeat import Heartbeat
from bench.run.lost import says_device_lost
from bench.run.measure import Conditions, Recorder, measure, step_stride
from bench.run.memory import measure_memory
from bench.run.oom import says_out_of_memory
from bench.run.room import describe_room
from bench.run.usage import own_peak_rss_bytes
from bench.workload.data import load
from bench.workload.schedule import learning_rate

OUTCOME, TRACE, HEARTBEAT = "outcome.json", "trace.npz", "heartbeat"
CANNOT_WRITE = 74
"""Exit code of a worker that could not write what it has to say (EX_IOERR of sysexits.h)."""
CANNOT_WRITE_MARK = "bench-worker: cannot write "
# What torch's BCELoss says of a NaN: on the processor, and on a GPU, where no other check of these loops can fail.
_NO_PROBABILITY = ("all elements of input should be between 0 and 1", "device-side assert triggered")


def main(arguments: list[str]) -> int:
    """The life of a fresh interpreter: one request, whose path is the only argument."""
    work(read_request(Path(arguments[0])), isolation="spawn")
    sys.stdout.flush()
    sys.stderr.flush()
    # The record is on disk; a framework that crashes in its own tear-down must not put that in doubt.
    os._exit(0)


def read_request(path: Path) -> RunRequest:
    """The request in a file."""
    return RunRequest(**json.loads(path.read_text()))


def work(request: RunRequest, *, isolation: str) -> None:
    """Does what is asked and writes the outcome, whatever it is."""
    recorder = Recorder()
    memory: MemoryRecord | None = None
    environment: dict[str, Any] = {}
    folder = Path(request.folder)
    try:
        cell = Cell.from_plain(request.cell)
        engine = make_engine(cell, request.round, request.cache_folder)
        recorder.phases["start_s"] = (time.perf_counter_ns() - request.requested_ns) / 1e9
        heartbeat = Heartbeat(folder / HEARTBEAT, describe_room())
        memory = _pass(request, cell, engine, recorder, isolation, heartbeat)
        environment = engine.environment()
    except Unavailable as error:
        # A device that is full already refuses to be opened.
        recorder.status = Status.OOM if says_out_of_memory(str(error)) else Status.UNAVAILABLE
        recorder.reason = str(error)
    except Exception as error:  # every failure of a framework is this run's outcome, never lost
        traceback.print_exc()
        if blames_disk(error, folder, *([Path(request.cache_folder)] if request.cache_folder else [])):
            leave_for_want_of_disk(folder, error)
        recorder.status, recorder.reason = status_of(error), reason_of(error)
    try:
        write_outcome(folder, request, recorder, memory, environment)
    except OSError as error:
        leave_for_want_of_disk(folder, error)


def _pass(
    request: RunRequest, cell: Cell, engine: Engine, recorder: Recorder, isolation: str, heartbeat: Heartbeat
) -> MemoryRecord | None:
    data_file = None if request.data_file is None else Path(request.data_file)
    split = load(cell.data, cell.seed, data_file, cell.network.dtype)
    conditions = Conditions(
        cell=cell, round_=request.round, target_loss=request.target_loss, alive=heartbeat, entered=heartbeat.enter
    )
    if request.kind == "memory":
        return measure_memory(engine, split, conditions, recorder, isolation=isolation)
    measure(engine, split, conditions, recorder)
    return None


def make_engine(cell: Cell, round_: int, cache_folder: str | None = None) -> Engine:
    """The engine of a cell; the folder for its compiled programs is made where it keeps any.

    Raises:
        Unavailable: its framework cannot be imported.
    """
    try:
        engine_class = catalogue.engine_class(cell.framework, cell.backend, cell.loop)
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # whatever an import raises is why this framework is unavailable
        if says_out_of_memory(str(error)):
            raise
        said = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise Unavailable(f"{cell.framework} cannot be imported by {sys.executable}: {said}") from error
    lr = learning_rate(cell.optimizer, cell.lr_policy, cell.batch_size)
    cache = Path(cache_folder) if cache_folder is not None and engine_class.compilation == "cached" else None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    return engine_class(Setup(cell=cell, lr=lr, native_seed=cell.seed * 1_000_003 + round_, cache_folder=cache))


def leave_for_want_of_disk(folder: Path, error: BaseException) -> NoReturn:
    """Ends the worker without an outcome: the supervisor stops the sweep, and the run is done again another time."""
    where = (isinstance(error, OSError) and error.filename) or folder
    what = (isinstance(error, OSError) and error.strerror) or _first_line(error)
    with suppress(OSError):  # the log lies on the same disk
        print(f"{CANNOT_WRITE_MARK}{where}: {what}", flush=True)
    os._exit(CANNOT_WRITE)


def reason_of(error: Exception) -> str:
    """An exception as a run's reason."""
    said = f"{type(error).__name__}: {_first_line(error)}"
    return f"the device was lost: {said}" if says_device_lost(str(error)) else said


def status_of(error: Exception) -> Status:
    """``oom`` or ``diverged`` for an exception that says so, in any framework's words; else ``error``."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or says_out_of_memory(text):
        return Status.OOM
    return Status.DIVERGED if any(words in text for words in _NO_PROBABILITY) else Status.ERROR


def write_outcome(
    folder: Path, request: RunRequest, recorder: Recorder, memory: MemoryRecord | None, environment: dict[str, Any]
) -> None:
    """Writes the trace and then the outcome, each aside and renamed."""
    cell = Cell.from_plain(request.cell)
    if request.kind == "timing":
        buffer = io.BytesIO()
        np.savez(buffer, **step_arrays(cell, recorder.step_losses), **epoch_arrays(recorder))  # type: ignore[arg-type]
        _write(folder / TRACE, buffer.getvalue())
    outcome = WorkerOutcome(
        status=recorder.status,
        reason=recorder.reason,
        device_name=recorder.device_name,
        phases=recorder.phase_times(),
        compile_cache=recorder.compile_cache,
        initial_train_loss=_finite(recorder.initial_train_loss),
        initial_val_loss=_finite(recorder.initial_val_loss),
        step_stride=step_stride(cell),
        environment=describe_process() | environment,
        memory=memory,
        parity=recorder.parity,
        process_peak_bytes=own_peak_rss_bytes(),
    )
    _write(folder / OUTCOME, json.dumps(to_plain(outcome), allow_nan=False).encode())


def step_arrays(cell: Cell, losses: list[NDArray[np.float64]]) -> dict[str, NDArray[Any]]:
    """The step columns of the trace, for the steps whose losses were kept."""
    kept = np.concatenate(losses) if losses else np.empty(0)
    step = np.arange(len(kept), dtype=np.int64) * step_stride(cell)
    epoch, step_of_epoch = np.divmod(step, cell.steps_per_epoch)
    left = cell.data.n_train - step_of_epoch * cell.batch_size
    return {
        "step_epoch": epoch.astype(np.int32),
        "step_step": step,
        "step_batch_samples": np.minimum(left, cell.batch_size).astype(np.int32),
        "step_loss": kept,
    }


def epoch_arrays(recorder: Recorder) -> dict[str, NDArray[Any]]:
    """The epoch columns of the trace; an evaluation that was not made is NaN."""
    epochs = recorder.epochs
    exact = {"phase": np.str_, "epoch": np.int32, "samples": np.int64, "updates": np.int64, "window_ns": np.int64}
    columns: dict[str, NDArray[Any]] = {
        f"epoch_{name}": np.array([getattr(e, name) for e in epochs], dtype) for name, dtype in exact.items()
    }
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        columns[f"epoch_{name}"] = np.array([getattr(epoch, name) for epoch in epochs], dtype=np.float64)
    return columns


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f".{path.name}.part")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
