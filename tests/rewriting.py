"""Changes records that were written already, as their writer would have written them: with checksums that fit.

The harness itself never does; tests need runs of every kind without running them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.records import RunResult, SweepRecord, to_plain
from bench.store.layout import RunFolder, SweepFolder
from bench.store.sealing import CHECKSUM, sealed
from bench.store.writer import TRACE_SCHEMA, write_json, write_parquet


def rewrite_sweep(folder: SweepFolder, record: SweepRecord) -> None:
    """Another plan for a sweep."""
    rewrite_json(folder.sweep_json, to_plain(record))


def rewrite_result(run: RunFolder, result: RunResult) -> None:
    """Another record for a run that keeps its trace."""
    rewrite_json(run.result, to_plain(result))


def rewrite_trace(run: RunFolder, trace: pa.Table) -> None:
    """Another trace for a run; one of the wrong columns is written as it is."""
    wanted = trace.cast(TRACE_SCHEMA) if trace.column_names == TRACE_SCHEMA.names else trace
    alter_json(run.result, trace_sha256=write_parquet(run.trace, wanted))


def alter_json(path: Path, **changes: Any) -> None:
    """The same record with other values."""
    rewrite_json(path, json.loads(path.read_bytes()) | changes)


def rewrite_json(path: Path, plain: Mapping[str, Any]) -> None:
    """Another record in the place of one."""
    write_json(path, sealed({name: value for name, value in plain.items() if name != CHECKSUM}))


def downgrade_json(path: Path, version: int, *absent: str) -> None:
    """A record as an earlier version wrote it: without the fields that came later, and without a checksum."""
    plain = json.loads(path.read_bytes()) | {"schema_version": version}
    for name in (CHECKSUM, *absent):
        plain.pop(name, None)
    write_json(path, plain)
