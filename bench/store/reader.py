"""Reads records back, checked: the damaged becomes a row that says so, what is newer than we are is refused.

A run folder without ``result.json`` is a run that has not happened yet. A record that cannot be trusted (cut short,
altered, in the wrong folder) is never skipped: its run is there with status ``invalid`` and the reason. Records of
earlier versions are lifted to today's (``bench.store.migration``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.cell import Cell, flattened
from bench.errors import StorageError, UsageError
from bench.records import MOST_ROUNDS, SCHEMA_VERSION, PlannedCell, RunResult, Status, SweepRecord, to_plain
from bench.store import journal
from bench.store.content import content_of
from bench.store.layout import RunFolder, SweepFolder
from bench.store.migration import FIRST_WITH_CHECKSUM, lifted_result, lifted_sweep
from bench.store.sealing import CHECKSUM, checksum, opened
from bench.store.writer import unreadable

_CELL = TypeAdapter(Cell)
_ROUND_FOLDER = re.compile(r"r(0|[1-9][0-9]{0,8})")
# Ids become folders.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")

_ALTERED = "its checksum does not match: it was altered after it was written"
_LONG_NUMBER = re.compile(rb"[0-9]{19}")

Record = TypeVar("Record", SweepRecord, RunResult)


@dataclass(frozen=True)
class _Kind(Generic[Record]):
    """One kind of record: its fields, and what lifts it from earlier versions."""

    adapter: TypeAdapter[Record]
    lifted: Callable[[dict[str, Any]], dict[str, Any]]


_SWEEP = _Kind(TypeAdapter(SweepRecord), lifted_sweep)
_RESULT = _Kind(TypeAdapter(RunResult), lifted_result)


class DamagedRecordError(ValueError):
    """What is wrong with one record, in one line without its path."""


class NewerRecordError(UsageError):
    """A later version of this harness wrote the record."""


def read_sweep(folder: SweepFolder) -> SweepRecord:
    """The plan and circumstances of a sweep, with the rounds that were added to it.

    Raises:
        UsageError: the folder holds no sweep, or one written by a newer version.
        StorageError: ``sweep.json`` cannot be read or is damaged, or the journal cannot be read.
    """
    _refuse_links(folder)
    try:
        return _with_added_rounds(_consistent(_parse(_SWEEP, folder.sweep_json)), folder)
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder.path} holds no sweep: there is no sweep.json",
            "a sweep's folder lies under results/ and holds sweep.json",
            "name such a folder, or run one with: bench sweep",
        ) from error
    except DamagedRecordError as error:
        raise StorageError(
            f"{folder.sweep_json} is damaged: {error}",
            "without the plan its runs cannot be told apart",
            "restore the file from a copy, or run the sweep again",
        ) from error


def _consistent(plan: SweepRecord) -> SweepRecord:
    """The plan, if its ids are the names of folders and its rounds are of its cells."""
    ids = [cell.id for cell in plan.cells]
    known = set(ids)
    if len(known) < len(ids):
        raise DamagedRecordError("two of its cells have one id")
    for id_ in ids:
        if not _ID.fullmatch(id_):
            raise DamagedRecordError(f"the id {id_!r} of a cell names no folder")
    if any(id_ not in known for round_ in plan.rounds for id_ in round_):
        raise DamagedRecordError("a round has a cell that is not of the plan")
    return plan


def _refuse_links(folder: SweepFolder) -> None:
    """Of a sweep from elsewhere: what is written into a linked folder is written outside."""
    for path in (folder.runs, folder.tables, folder.figures, folder.data, folder.cache, *folder.cell_folders()):
        if path.is_symlink():
            raise StorageError(
                f"{path} is a link",
                "a sweep's folder holds what it measured, and links lead out of it",
                "put the folder itself in the link's place",
            )


def _with_added_rounds(planned: SweepRecord, folder: SweepFolder) -> SweepRecord:
    """A round whose announcement was lost is there without cells, so that later ones keep their numbers."""
    first, known = len(planned.rounds), {cell.id for cell in planned.cells}
    added = {
        round_: [cell_id for cell_id in cells if cell_id in known]
        for round_, cells in journal.added_rounds(folder).items()
        if first <= round_ < MOST_ROUNDS
    }
    rounds = [added.get(round_, []) for round_ in range(first, max(added, default=-1) + 1)]
    return replace(planned, rounds=[*planned.rounds, *rounds])


def read_cell(planned: PlannedCell) -> Cell:
    """The cell in a plan, its types checked.

    Raises:
        StorageError: the plan does not describe a cell.
    """
    try:
        cell = _CELL.validate_json(json.dumps(planned.cell), strict=True)
    except ValidationError as error:
        raise _no_cell(planned, first_error(error)) from error
    if (objection := _objection(cell)) is not None:
        raise _no_cell(planned, objection)
    return cell


def _no_cell(planned: PlannedCell, why: str) -> StorageError:
    return StorageError(
        f"sweep.json describes no cell under the id {planned.id}: {why}",
        "every cell of the plan has the fields of bench.cell.Cell",
        "restore the file from a copy, or run the sweep again",
    )


_WORDS = {
    "network.dtype": ("float32", "float64"),
    "optimizer.name": ("sgd", "momentum", "adam"),
    "lr_policy.name": ("constant", "linear", "sqrt"),
}
_COUNTS = (
    "batch_size",
    "data.n_train",
    "data.features",
    "network.hidden",
    "budget.epochs",
    "lr_policy.base_batch_size",
)
_LARGEST_COUNT = 2**53
_RATES = ("optimizer.lr",)


def _objection(cell: Cell) -> str | None:
    """What nothing could be computed from; names that are only shown may be anything."""
    plain = flattened(cell.to_plain())
    for name, words in _WORDS.items():
        if plain[name] not in words:
            return f"{name} is {plain[name]!r}, not one of {', '.join(words)}"
    for name in _COUNTS:
        if not 1 <= plain[name] <= _LARGEST_COUNT:
            return f"{name} is {plain[name]}, not a count of at least 1"
    if not 0 <= cell.data.n_val <= _LARGEST_COUNT:
        return f"data.n_val is {cell.data.n_val}, not a count"
    for name in _RATES:
        if not (math.isfinite(plain[name]) and plain[name] > 0):
            return f"{name} is {plain[name]}, not a finite number above 0"
    return None


def read_results(folder: SweepFolder) -> list[RunResult]:
    """Every run that has ended, ordered by cell id and round; a damaged record is a run of status ``invalid``.

    Raises:
        UsageError: a record was written by a newer version.
        StorageError: the folder cannot be read.
    """
    results = [read_result(run) for run in folder.run_folders() if _ROUND_FOLDER.fullmatch(run.path.name)]
    ended = [result for result in results if result is not None]
    return sorted(ended, key=lambda result: (result.cell_id, result.round))


def read_result(run: RunFolder) -> RunResult | None:
    """One run's record, None where it has not ended.

    Raises:
        UsageError: it was written by a newer version.
        StorageError: it cannot be read.
    """
    cell_id, round_ = run_of(run)
    try:
        return trusted_result(run)
    except DamagedRecordError as error:
        return invalid(cell_id, round_, f"result.json {error}")


def run_of(run: RunFolder) -> tuple[str, int]:
    """Cell and round that a folder's name tells."""
    return run.path.parent.name, int(run.path.name[1:])


def trusted_result(run: RunFolder) -> RunResult | None:
    """One run's record, None where it has not ended.

    Raises:
        DamagedRecordError: it cannot be trusted.
        UsageError: it was written by a newer version.
        StorageError: it cannot be read.
    """
    try:
        result = _parse(_RESULT, run.result)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except NewerRecordError:
        if _altered(run.result):
            raise DamagedRecordError(f"is damaged: {_ALTERED}") from None
        raise
    except DamagedRecordError as error:
        raise DamagedRecordError(f"is damaged: {error}") from error
    if (result.cell_id, result.round) != run_of(run):
        raise DamagedRecordError(f"tells of another run: {result.cell_id} round {result.round}")
    return result


def invalid(cell_id: str, round_: int, reason: str) -> RunResult:
    """The row of a run whose record cannot be trusted."""
    return RunResult(
        cell_id=cell_id, round=round_, order_in_round=None, status=Status.INVALID, reason=reason, started_at=""
    )


def _parse(kind: _Kind[Record], path: Path) -> Record:
    content = _bytes(path)
    try:
        plain = opened(content)
        version = _version(plain, path)
        _compare_checksum(plain, version)
        if version < SCHEMA_VERSION:
            content = json.dumps(kind.lifted(plain), allow_nan=False).encode()
        record = kind.adapter.validate_json(content, strict=True)
    except ValidationError as error:
        raise DamagedRecordError(first_error(error)) from error
    except ValueError as error:
        raise DamagedRecordError(str(error)) from error
    except RecursionError as error:
        raise DamagedRecordError("it is nested too deeply") from error
    if _LONG_NUMBER.search(content) and (where := next(_beyond_64_bits(to_plain(record)), None)):
        raise DamagedRecordError(f"{where}: a whole number beyond 64 bits")
    return record


def _version(plain: dict[str, Any], path: Path) -> int:
    version = plain.get("schema_version")
    if type(version) is not int or version < 1:
        raise DamagedRecordError(f"schema_version is {version!r:.20}, the first one was 1")
    if version > SCHEMA_VERSION:
        raise NewerRecordError(
            f"{path} has schema_version {version}, this bench reads up to {SCHEMA_VERSION}",
            "a newer version wrote it, and may mean something else by the same words",
            "install that version of bench to read it",
        )
    return version


def _compare_checksum(plain: dict[str, Any], version: int) -> None:
    """A checksum that is there is compared, in records of any version."""
    if CHECKSUM not in plain and version < FIRST_WITH_CHECKSUM:
        return
    if CHECKSUM not in plain:
        raise DamagedRecordError("its checksum is missing")
    if plain.pop(CHECKSUM) != checksum(plain):
        raise DamagedRecordError(_ALTERED)


def _altered(path: Path) -> bool:
    """Whether a record that claims to be a newer version's has a checksum that does not match."""
    plain = opened(_bytes(path))
    try:
        return CHECKSUM in plain and bool(plain[CHECKSUM] != checksum(plain))
    except (ValueError, RecursionError):
        return True


def _beyond_64_bits(plain: Any, where: str = "") -> Iterator[str]:
    """Where there are whole numbers that no table could hold."""
    if isinstance(plain, dict | list):
        for name, value in plain.items() if isinstance(plain, dict) else enumerate(plain):
            yield from _beyond_64_bits(value, f"{where}.{name}" if where else str(name))
    elif isinstance(plain, int) and not -(2**63) <= plain < 2**63:
        yield where


def _bytes(path: Path) -> bytes:
    try:
        return content_of(path)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise unreadable(path, error) from error


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, and where, in one line."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])
