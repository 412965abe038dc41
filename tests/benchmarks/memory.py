"""What every loop holds beyond its framework: the bar is the data set twice and 64 MiB.

Run with ``make bench-memory``; ``ARGS="--only pytorch --rows 1000"`` measures less. Each loop at each size is a process
of its own, taken through the harness's memory pass with one difference: the pass starts from the process with model
and data in place and asks what training adds, this benchmark asks what everything adds. Its baseline is the framework
at rest: imported, and one engine of the same loop has met its first step on a single row, so that what a framework
makes once (thread pools, kernels, compilers) is its own. Then the data is generated, brought to the device, compiled
for, and trained for an epoch, freed memory going back at once; the figure is the highest resident set of all that,
above the baseline.

The data set is the training split, 4 N (F + 1) bytes in float32. The host's array counts as one of the two, and a copy
on the device (which is the same memory here) as the other; the epoch's order, 8 N bytes, and what a step allocates must
fit beside them. The column "step" is what the analytic model gives a step that keeps the batch's hidden layer in full.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.engines import catalogue
from bench.plan.host import clean_environment
from bench.run.measure import Conditions, Recorder, first_step, set_up
from bench.run.memory import OneEpoch, ResidentSet, meet_first_step, return_freed_memory_at_once
from bench.workload.data import load
from bench.workload.footprint import footprint
from tests.benchmarks.timing import Family, cell_of, families, make_engine, missing_packages, name_of

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
ALLOWANCE_BYTES = 64 * MIB
SIZES = {1_000: (32, 1_000), 1_000_000: (1_024, 1_000_000)}
HELD_TO_THE_BAR = "fused"
PASS = "--pass"


def main(arguments: Sequence[str]) -> int:
    """Prints the table; 1 where a fused loop misses the bar or any loop fails."""
    asked = _parser().parse_args(arguments)
    print(f"{'loop':26} {'rows':>9} {'batch':>9} {'framework':>9} {'needs':>9} {'bar':>7} {'data':>6} {'step':>7}  MiB")
    ended = [
        _show(family, rows, batch_size)
        for family in families()
        if not asked.only or name_of(family.framework, family.backend) in asked.only
        for rows in asked.rows
        for batch_size in SIZES[rows]
    ]
    missed = ended.count(False)
    print(f"{HELD_TO_THE_BAR} loops over twice the data and {ALLOWANCE_BYTES // MIB} MiB, or failed: {missed}")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-memory", description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="pytorch,keras-jax,...")
    parser.add_argument("--rows", type=int, nargs="+", choices=list(SIZES), default=list(SIZES))
    return parser


def _show(family: Family, rows: int, batch_size: int) -> bool:
    """Measures one loop at one size and prints its line; whether nothing is wrong with it."""
    head = f"{family!s:26} {rows:>9,} {batch_size:>9,}"
    if missing := missing_packages(family.framework, family.backend):
        print(f"{head} {', '.join(missing)} not installed", flush=True)
        return True
    found = measured(family, rows, batch_size)
    if "reason" in found:
        print(f"{head} {found['reason']}", flush=True)
        return False
    cell = memory_cell(family, rows, batch_size)
    verdict = judge(cell, found["need_bytes"])
    figures = (found["framework_bytes"], found["need_bytes"], bar_bytes(cell), *_model(cell))
    widths = (9, 9, 7, 6, 7)
    told = " ".join(f"{bytes_ / MIB:>{width},.0f}" for bytes_, width in zip(figures, widths, strict=True))
    print(f"{head} {told}  {verdict}", flush=True)
    return verdict != "MISSED"


def judge(cell: Cell, need_bytes: int) -> str:
    """How a loop stands to the bar, which only the fused ones are held to."""
    within = need_bytes <= bar_bytes(cell)
    if cell.loop != HELD_TO_THE_BAR:
        return "within" if within else "over, not held to it"
    return "met" if within else "MISSED"


def bar_bytes(cell: Cell) -> int:
    """Twice the training split and the allowance."""
    return 2 * footprint(cell).data_bytes + ALLOWANCE_BYTES


def _model(cell: Cell) -> tuple[int, int]:
    expected = footprint(cell)
    return expected.data_bytes, expected.step_bytes


def memory_cell(family: Family, rows: int, batch_size: int) -> Cell:
    """A cell whose validation split, which only the harness looks at, is next to nothing."""
    cell = cell_of(*family, batch_size, rows)
    return replace(cell, data=replace(cell.data, n_val=1))


def measured(family: Family, rows: int, batch_size: int) -> dict[str, Any]:
    """``framework_bytes`` and ``need_bytes`` of a process of its own, or the ``reason`` why there are none."""
    variables = catalogue.environment_variables(family.framework, family.backend, 1)
    environment = clean_environment(os.environ, variables) | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.benchmarks.memory", PASS, json.dumps([*family, rows, batch_size])]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        return {"reason": f"ended with {done.returncode}: {last}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def pass_over(cell: Cell) -> dict[str, Any]:
    """The measured process: framework at rest, then data, device, first step and an epoch."""
    rss = ResidentSet()
    if reason := rss.why_not() or return_freed_memory_at_once():
        return {"reason": reason}
    conditions, recorder = Conditions(cell=cell, round_=0), Recorder()
    engine = make_engine(cell)
    one_row = replace(cell.data, n_train=1)
    meet_first_step(engine, load(one_row, cell.seed, None), conditions)
    rss.reset_peak()
    framework_bytes = rss.current_bytes()
    set_up(engine, load(cell.data, cell.seed, None), conditions, recorder)
    first_step(engine, conditions, recorder)
    engine.train(OneEpoch(engine, conditions))
    return {"framework_bytes": framework_bytes, "need_bytes": rss.peak_bytes() - framework_bytes}


if __name__ == "__main__":
    if sys.argv[1:2] == [PASS]:
        (*told, told_rows, told_batch_size) = json.loads(sys.argv[2])
        print(json.dumps(pass_over(memory_cell(Family(*told), told_rows, told_batch_size))))
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
