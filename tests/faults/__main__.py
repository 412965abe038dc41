"""``make faults``: tries every fault and prints what came of it, a row each; exit code 1 where a check failed.

Two lanes try them side by side, each with a scratch folder and a warm process of its own. Nothing is written into the
repository.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue

from rich.console import Console
from rich.table import Table

from tests.faults.fault import Fault, Row
from tests.faults.groups.killing import KILLS
from tests.faults.matrix import matrix, named
from tests.faults.sweeping import Warm, scratch
from tests.faults.trying import Trial

LANES = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries the faults asked for; 1 where a check failed."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="faults or groups")
    parser.add_argument("--list", action="store_true", help="name them all and try none")
    parser.add_argument("--kills", type=int, default=KILLS, metavar="N", help="random SIGKILLs of the parent")
    parser.add_argument("--lanes", type=int, default=LANES, help="how many are tried side by side")
    asked = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    try:
        faults = named(matrix(asked.kills), asked.only)
    except KeyError as unknown:
        parser.error(f"there is no fault {unknown}; --list names them all")
    if asked.list:
        for fault in faults:
            console.print(f"{fault.group:10} {fault.name:24} {fault.what}")
        return 0
    began_s = time.monotonic()
    rows = list(_try(faults, asked.lanes, console))
    rows.sort(key=lambda row: [fault.name for fault in faults].index(row.fault))
    show(rows, console, time.monotonic() - began_s)
    return int(any(row.failures for row in rows))


def _try(faults: Sequence[Fault], lanes: int, console: Console) -> Iterator[Row]:
    """Each row as it comes, with a line of its own: minutes without a word are hard to believe."""
    with _trials(lanes) as free, ThreadPoolExecutor(lanes) as pool:

        def in_a_lane(fault: Fault) -> Row:
            trial = free.get()
            try:
                return trial.run(fault)
            finally:
                free.put(trial)

        for done in as_completed([pool.submit(in_a_lane, fault) for fault in faults]):
            row = done.result()
            console.print(f"{_verdict(row):8} {row.fault:24} {row.seconds:5.1f} s  {row.seen}")
            for check in row.failures:
                console.print(f"         {check.name}: {check.failure}")
            yield row


@contextmanager
def _trials(lanes: int) -> Iterator[SimpleQueue[Trial]]:
    free: SimpleQueue[Trial] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(lanes):
            root = stack.enter_context(scratch())
            warm = Warm()
            stack.callback(warm.close)
            free.put(Trial(root, warm))
        yield free


def show(rows: Sequence[Row], console: Console, seconds: float) -> None:
    """The matrix and its counts."""
    table = Table(title="Faults")
    for column in ("group", "fault", "expected", "seen", "checks", "failed", "s"):
        table.add_column(column, overflow="fold")
    for row in rows:
        failed = ", ".join(check.name for check in row.failures) or (row.not_here or "")
        passed = f"{len(row.checks) - len(row.failures)}/{len(row.checks)}"
        table.add_row(row.group, row.fault, row.expected, row.seen, passed, failed, f"{row.seconds:.1f}")
    console.print(table)
    tried = [row for row in rows if row.not_here is None]
    checks, failures = (
        sum(len(found) for found in each) for each in zip(*((r.checks, r.failures) for r in rows), strict=True)
    )
    console.print(
        f"{len(tried)} faults tried, {len(rows) - len(tried)} not possible here; {checks} checks, {failures} failed, "
        f"of {sum(bool(row.failures) for row in rows)} faults; {seconds:.0f} s"
    )


def _verdict(row: Row) -> str:
    return "not here" if row.not_here is not None else "FAILED" if row.failures else "passed"


if __name__ == "__main__":
    sys.exit(main())
