"""What must hold around every fault: records as they were, tables as if nothing had been, and nothing left behind."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from bench.analysis.tables import build_tables
from bench.errors import BenchError
from bench.store.layout import RunFolder, SweepFolder
from tests.faults.sweeping import MARK, Scene

GONE_WITHIN_S = 5.0
"""From the parent's end."""

_LEFTOVERS = ("outcome.json", "trace.npz", "heartbeat", "memory")
_RECORD = ("result.json", "trace.parquet", "request.json", "worker.log")
_HASH = 11
"""Characters of a cell's id that are its hash: it covers the interpreter, which a faulty one changes."""

_CELL = ("framework", "backend", "loop", "device", "batch_size", "batch_size_label", "n_train", "n_val", "lr", "seed")
_TRAINED = (
    "updates", "epochs", "initial_train_loss", "final_train_loss", "final_train_accuracy", "final_val_loss",
    "final_val_accuracy", "steps_to_target", "epochs_to_target",
)  # fmt: skip
SAME_COLUMNS = {
    "runs": ("cell_id", *_CELL, "target_loss", "round", "order_in_round", "status", "reason", "isolation", *_TRAINED),
    "cells": (
        "cell_id", *_CELL, "n_planned", "n_runs", "n_ok", "n_measured", "status", "reason", *_TRAINED,
        "n_reached", "n_censored",
    ),
    "epochs": (
        "cell_id", "round", "phase", "epoch", "samples", "updates", "train_loss", "train_accuracy", "val_loss",
        "val_accuracy",
    ),
    "steps": ("cell_id", "round", "step", "epoch", "batch_samples", "loss"),
}  # fmt: skip
"""What training determines and time does not."""

Hashes = dict[str, str]
"""Files below a sweep's folder and the hash of their bytes."""


# --- records ----------------------------------------------------------------------------------------------------------


def acknowledged(folder: SweepFolder) -> Hashes:
    """Every file of every run that has its record, and ``sweep.json``."""
    runs = [path.parent for path in folder.runs.glob("*/r*/result.json")] if folder.runs.is_dir() else []
    files = [run / name for run in runs for name in _RECORD if (run / name).is_file()]
    if folder.sweep_json.is_file():
        files.append(folder.sweep_json)
    return {str(path.relative_to(folder.path)): _hash(path) for path in files}


def changed(before: Hashes, folder: SweepFolder, *, may_be_aside: bool) -> list[str]:
    """What was acknowledged and is not there any more as it was: in its place or, where it may be, set aside."""
    return [
        name for name, was in before.items()
        if not _is_still(folder.path / name, was) and not (may_be_aside and _is_aside(folder.path / name, was))
    ]  # fmt: skip


def _is_still(path: Path, was: str) -> bool:
    return path.is_file() and _hash(path) == was


def _is_aside(path: Path, was: str) -> bool:
    return any(_hash(other) == was for other in path.parent.glob(f"aside/*/{path.name}"))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- tables -----------------------------------------------------------------------------------------------------------


def tables_of(folder: SweepFolder) -> dict[str, list[dict[str, Any]]]:
    """The columns that do not depend on time, as plain rows."""
    tables = build_tables(folder)
    training = replace(tables, epochs=tables.epochs[tables.epochs["phase"] == "training"])  # how many others depends
    return {name: _rows(getattr(training, name), list(columns)) for name, columns in SAME_COLUMNS.items()}


def _rows(table: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    plain = table[columns].astype(object).where(table[columns].notna(), None)
    rows = [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
    # Not by the whole id, of whose hash two interpreters have two.
    return sorted(({**row, "cell_id": row["cell_id"][:-_HASH]} for row in rows), key=_place)


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row["cell_id"], *(row.get(name) or 0 for name in ("round", "epoch", "step")))


def first_difference(ours: dict[str, list[dict[str, Any]]], twin: dict[str, list[dict[str, Any]]]) -> str | None:
    """Where two sweeps' tables part; None where they are equal."""
    for name in SAME_COLUMNS:
        if len(ours[name]) != len(twin[name]):
            return f"{name}: {len(ours[name])} rows, undisturbed {len(twin[name])}"
        for mine, other in zip(ours[name], twin[name], strict=True):
            for column, value in mine.items():
                if value != other[column]:
                    return (
                        f"{name}.{column} of {mine['cell_id']} r{mine.get('round', '')}: {value}, not {other[column]}"
                    )
    return None


def ends_of(folder: SweepFolder) -> list[tuple[str, str]]:
    """Status and reason of every run, as the tables have them; nothing where the plan cannot be read."""
    try:
        runs = build_tables(folder).runs[["status", "reason"]]
    except BenchError:
        return []
    return [(str(status), "" if pd.isna(reason) else str(reason)) for status, reason in runs.itertuples(index=False)]


# --- what is left behind ----------------------------------------------------------------------------------------------


def survivors(scene: Scene) -> list[psutil.Process]:
    """Processes of the scene that are alive although every parent of it has ended."""
    return [process for process in psutil.process_iter() if _is_of(process, scene)]


def _is_of(process: psutil.Process, scene: Scene) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.pid in scene.pids or process.environ().get(MARK) == scene.mark
    except psutil.Error:
        return False


def wait_until_gone(scene: Scene) -> tuple[list[str], float]:
    """What is still alive when time is up, and how long it took them to end."""
    began_s = time.monotonic()
    while (alive := survivors(scene)) and time.monotonic() - began_s < 2 * GONE_WITHIN_S:
        time.sleep(0.05)
    said = [f"{process.pid} {' '.join(_command(process))[:60]}" for process in alive]
    for process in alive:
        _kill(process)
    return said, time.monotonic() - began_s


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()


def left_behind(scene: Scene) -> list[str]:
    """Files that no finished sweep leaves: locks, halves, a worker's words, temporary files."""
    return [str(path.relative_to(scene.root)) for path in _leftovers(scene)]


def _leftovers(scene: Scene) -> Iterator[Path]:
    results = scene.folder.path.parent
    yield from scene.temporary.rglob("*")
    yield from results.glob(".latest.*")
    if scene.folder.path.is_dir():
        yield from (path for path in (scene.folder.lock, scene.folder.holder) if path.exists())
        yield from scene.folder.path.rglob("*.part")
        yield from (run.path / name for run in _runs(scene.folder) for name in _LEFTOVERS if (run.path / name).exists())
        if scene.has_happened("sweep_finished") and scene.folder.cache.exists():
            yield scene.folder.cache


def _runs(folder: SweepFolder) -> list[RunFolder]:
    return [run for run in folder.run_folders() if run.result.exists()] if folder.runs.is_dir() else []


def shared_memory() -> set[str]:
    """What lies in /dev/shm."""
    path = Path("/dev/shm")
    return {entry.name for entry in path.iterdir()} if path.is_dir() else set()


def left_in_shared_memory(before: set[str]) -> list[str]:
    """What is there that was not, once it has had time to go, and that no process of this machine has in use."""
    deadline_s = time.monotonic() + GONE_WITHIN_S
    while (new := shared_memory() - before) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    in_use = _mapped() if new else ""
    return sorted(name for name in new if f"/dev/shm/{name}" not in in_use)


def _mapped() -> str:
    text = []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            text.append(maps.read_text(errors="replace"))
    return "".join(text)


# --- the journal ------------------------------------------------------------------------------------------------------


def twice_recorded(scene: Scene) -> list[str]:
    """Runs whose end the journal tells more often than their records, those set aside included, can explain.

    That a record was set aside is seen from the folder: a crash may come between that and the journal's line.
    """
    finished = Counter(
        (str(event.get("cell_id")), event.get("round"))
        for event in scene.events()
        if event.get("event") == "run_finished"
    )
    return [
        f"{cell_id} r{round_}"
        for (cell_id, round_), times in finished.items()
        if times > 1 + len(list(scene.folder.runs.glob(f"{cell_id}/r{round_}/aside/*/result.json")))
    ]
