"""Damaged files for every reader of the store: none may crash it, hold it up, or pass for what was measured.

``python -m tests.fuzz.readers --examples N`` tries N inputs on each and prints how many there were.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bench.analysis.tables import build_tables
from bench.errors import BenchError
from bench.records import SCHEMA_VERSION, Status, to_plain
from bench.store import journal
from bench.store.holder import read_holder, this_process, write_holder
from bench.store.layout import RunFolder, SweepFolder
from bench.store.reader import read_cell, read_result, read_results, read_sweep
from bench.store.sealing import CHECKSUM, checksum
from bench.store.sessions import calls_of, last_resumed
from bench.store.trace_reader import read_traces
from tests.fuzz.damage import altered, as_text, damaged

OLD = Path(__file__).parents[1] / "old_results"
LATEST_WITHOUT_CHECKSUM = 3


@dataclass
class Reader:
    """One reader, the damaged files it is given, and what must hold of what it makes of one.

    Attributes:
        name: of the reader.
        inputs: damaged files.
        check: has one read; raises whatever must not happen, else tells whether it was taken for a whole file.
        cost: inputs of another reader that take as long as one of this; so many times fewer are tried.
        tried: inputs so far.
        accepted: of those, taken for whole.
        slowest_s: that one of them took.
    """

    name: str
    inputs: st.SearchStrategy[bytes]
    check: Callable[[bytes], bool]
    cost: int = 1
    tried: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    slowest_s: float = field(default=0.0, init=False)

    def try_inputs(self, examples: int, **options: Any) -> None:
        """Tries about so many inputs, or fewer where each is dear.

        Raises:
            Exception: what an input did to the reader.
        """

        @settings(
            max_examples=max(1, examples // self.cost),
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            **options,
        )
        @given(content=self.inputs)
        def each(content: bytes) -> None:
            self.tried += 1
            began_s = time.perf_counter()
            self.accepted += self.check(content)
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began_s)

        each()


def readers(scratch: Path) -> list[Reader]:
    """All of them, working on copies in a folder."""
    now, old = (_copied(version, scratch) for version in (SCHEMA_VERSION, LATEST_WITHOUT_CHECKSUM))
    return [
        _results(now),
        _resealed_results(now),
        _old_results(old),
        _plan(now),
        _old_plan(old),
        _journal(scratch / "journal"),
        _traces(now),
        _old_traces(old),
        _tables(_copied(LATEST_WITHOUT_CHECKSUM, scratch / "tables")),
        _tables_of_plans(_copied(LATEST_WITHOUT_CHECKSUM, scratch / "plans")),
        _holder(scratch / "holder.json"),
    ]


def _copied(version: int, scratch: Path) -> SweepFolder:
    return SweepFolder(shutil.copytree(OLD / f"v{version}", scratch / f"v{version}"))


def _measured_run(folder: SweepFolder) -> RunFolder:
    return next(run for run in folder.run_folders() if run.trace.exists())


def _texts(plain: dict[str, Any], content: bytes) -> st.SearchStrategy[bytes]:
    """Damaged files of a record: bytes of any kind, its own bytes damaged, or its values altered."""
    return st.binary(max_size=200) | damaged(content) | altered(plain).flatmap(as_text)


def _results(folder: SweepFolder) -> Reader:
    """Of a record with a checksum no altered value is ever accepted."""
    run = _measured_run(folder)
    content, expected = run.result.read_bytes(), read_result(run)

    def check(changed: bytes) -> bool:
        run.result.write_bytes(changed)
        with suppress(BenchError):
            found = read_result(run)
            assert found is not None
            assert (found.cell_id, found.round) == (run.path.parent.name, int(run.path.name[1:]))
            if found.status is Status.INVALID:
                assert found.reason
                return False
            assert repr(found) == repr(expected)
            return True
        return False

    return Reader("result.json", _texts(json.loads(content), content), check)


def _resealed_results(folder: SweepFolder) -> Reader:
    """Whoever computes the checksum anew gets past it, and no further than the types allow."""
    run = _measured_run(folder)
    plain = json.loads(run.result.read_bytes())

    def check(changed: bytes) -> bool:
        run.result.write_bytes(changed)
        return _is_read(run)

    def sealed_again(text: bytes) -> bytes:
        try:
            changed = json.loads(text)
            return json.dumps(changed | {CHECKSUM: checksum(changed)}).encode()
        except (ValueError, RecursionError):
            return text

    return Reader("result.json, checksum anew", altered(plain).flatmap(as_text).map(sealed_again), check)


def _old_results(folder: SweepFolder) -> Reader:
    run = _measured_run(folder)
    content = run.result.read_bytes()

    def check(changed: bytes) -> bool:
        run.result.write_bytes(changed)
        return _is_read(run)

    return Reader("result.json, version 3", _texts(json.loads(content), content), check)


def _is_read(run: RunFolder) -> bool:
    with suppress(BenchError):
        found = read_result(run)
        assert found is not None
        json.dumps(to_plain(found), allow_nan=False)  # nothing in it that is no JSON
        return found.status is not Status.INVALID
    return False


def _plan(folder: SweepFolder) -> Reader:
    content = folder.sweep_json.read_bytes()
    expected = repr(read_sweep(folder))

    def check(changed: bytes) -> bool:
        folder.sweep_json.write_bytes(changed)
        with suppress(BenchError):
            assert repr(read_sweep(folder)) == expected
            return True
        return False

    return Reader("sweep.json", _texts(json.loads(content), content), check)


def _old_plan(folder: SweepFolder) -> Reader:
    content = folder.sweep_json.read_bytes()

    def check(changed: bytes) -> bool:
        folder.sweep_json.write_bytes(changed)
        with suppress(BenchError):
            sweep = read_sweep(folder)
            for planned in sweep.cells:
                assert folder.run(planned.id, 0).path.resolve().is_relative_to(folder.runs.resolve())
                read_cell(planned)
            return True
        return False

    return Reader("sweep.json, version 3", _texts(json.loads(content), content), check)


def _journal(path: Path) -> Reader:
    """What stands before the damage is read, and so is what is appended after it."""
    folder = SweepFolder(path)
    path.mkdir()
    journal.append(folder, journal.SWEEP_STARTED)
    for round_ in (2, 3):
        journal.append(folder, journal.ROUND_ADDED, round=round_, cells=["a", "b"], why="wide\u2028 é")
        journal.append(folder, "run_finished", cell_id="a", round=round_, status="ok", wall_s=1.5)
    journal.append(folder, journal.SWEEP_FINISHED, stopped="done")
    content = folder.journal.read_bytes()

    def check(changed: bytes) -> bool:
        folder.journal.write_bytes(changed)
        intact = _whole_lines_before_the_damage(content, changed)
        assert [event["event"] for event in journal.events(folder)][: len(intact)] == intact
        for read in (journal.added_rounds, journal.why_finished, calls_of, last_resumed):
            read(folder)
        journal.mend(folder)
        journal.append(folder, "after")
        assert [event["event"] for event in journal.events(folder)][-1] == "after"
        return changed == content

    return Reader("journal.jsonl", st.binary(max_size=200) | damaged(content), check)


def _whole_lines_before_the_damage(content: bytes, changed: bytes) -> list[str]:
    same = next((i for i, (a, b) in enumerate(zip(content, changed, strict=False)) if a != b), None)
    same = min(len(content), len(changed)) if same is None else same
    return [json.loads(line)["event"] for line in content[:same].split(b"\n")[:-1]]


def _traces(folder: SweepFolder) -> Reader:
    """Of a trace whose record knows its hash no altered byte is ever accepted."""
    run = _measured_run(folder)
    content = run.trace.read_bytes()
    result = read_result(run)
    assert result is not None

    def check(changed: bytes) -> bool:
        run.trace.write_bytes(changed)
        found = read_traces(folder, [result])
        assert (found.problems == {}) == (changed == content)
        return changed == content

    return Reader("trace.parquet", st.binary(max_size=200) | damaged(content), check)


def _old_traces(folder: SweepFolder) -> Reader:
    run = _measured_run(folder)
    content = run.trace.read_bytes()
    result = read_result(run)
    assert result is not None

    def check(changed: bytes) -> bool:
        run.trace.write_bytes(changed)
        return read_traces(folder, [result]).problems == {}

    return Reader("trace.parquet, version 3", st.binary(max_size=200) | damaged(content), check)


def _tables(folder: SweepFolder) -> Reader:
    """Whatever is read of an old record, the tables can be built of it."""
    run = _measured_run(folder)
    for other in folder.run_folders():
        if other.path.parent != run.path.parent:
            other.result.unlink()
    content = run.result.read_bytes()

    def check(changed: bytes) -> bool:
        run.result.write_bytes(changed)
        with suppress(BenchError):
            build_tables(folder)
            return read_results(folder)[0].status is not Status.INVALID
        return False

    return Reader("tables of version 3", altered(json.loads(content)).flatmap(as_text), check, cost=10)


def _tables_of_plans(folder: SweepFolder) -> Reader:
    """Whatever is read of an old plan, the tables can be built of it."""
    content = folder.sweep_json.read_bytes()

    def check(changed: bytes) -> bool:
        folder.sweep_json.write_bytes(changed)
        with suppress(BenchError):
            build_tables(folder)
            return True
        return False

    plain = json.loads(content)
    cells = altered({"cells": plain["cells"]}).map(lambda changed: plain | changed)
    return Reader("tables of version 3's plan", cells.flatmap(as_text), check, cost=10)


def _holder(path: Path) -> Reader:
    write_holder(path, this_process())
    content = path.read_bytes()

    def check(changed: bytes) -> bool:
        path.write_bytes(changed)
        holder = read_holder(path)
        assert holder is None or str(holder).isprintable()
        return holder is not None

    return Reader("lock's holder", _texts(json.loads(content), content), check)


def main(arguments: list[str] | None = None) -> int:
    """Tries every reader and prints a line for each; 1 where one failed."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.readers", description=__doc__)
    parser.add_argument("--examples", type=int, default=1000, help="inputs for each reader")
    parser.add_argument("--only", default="", help="readers whose name begins so")
    asked = parser.parse_args(arguments)
    warnings.simplefilter("error")
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        for reader in readers(Path(scratch)):
            if reader.name.startswith(asked.only):
                failed += _try(reader, asked.examples)
    return 1 if failed else 0


def _try(reader: Reader, examples: int) -> int:
    """The number of different failures."""
    failures: list[Exception] = []
    try:
        reader.try_inputs(examples)
    except ExceptionGroup as group:
        failures = list(group.exceptions)
    except Exception as error:
        failures = [error]
    for failure in failures:
        failure.__notes__ = []  # the input again, as Hypothesis would write it
        traceback.print_exception(failure, limit=-4, chain=False)
    told = f"{reader.tried} inputs tried, {len(failures)} failures, {reader.accepted} accepted"
    print(f"{reader.name:28}{told}, slowest {reader.slowest_s * 1e3:.0f} ms", flush=True)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
