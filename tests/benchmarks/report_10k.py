"""What analysis and report cost: time and peak memory on 1,000 and on 10,000 synthetic runs.

Run with ``make bench-report``; ``ARGS=analysis`` or ``ARGS=report`` for one of them. The analysis is everything up to
the verdict: records and traces read and checked, tables, intervals, comparisons. The report is that with its figures
and files. Each is a process that does nothing else. The bars stand in ``BARS``; time must not grow faster than runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from bench.store.layout import SweepFolder
from tests.synthetic import BATCH_SIZES, make_sweep

SIZES = (1_000, 10_000)
_ROUNDS, _CURVES_PER_RATE = 5, 4
_SLACK = 1.2
"""Two runs of the same thing differ; more than this much beyond the growth of the input is no noise."""


class Bar(NamedTuple):
    """The most that the larger sweep may cost."""

    seconds: float
    mib: float


BARS = {"analysis": Bar(60.0, 2048.0), "report": Bar(30.0, 1024.0)}


class Cost(NamedTuple):
    """What one process took for a sweep.

    Attributes:
        rows: of steps and (few) of epochs, in the traces that it read.
        seconds: from its start to its end, interpreter and imports included.
        work_s: the same without those.
        peak_mib: highest resident set.
    """

    runs: int
    rows: int
    seconds: float
    work_s: float
    peak_mib: float

    def __str__(self) -> str:
        return (
            f"{self.runs:>6,} runs, {self.rows:>11,} rows: {self.seconds:6.1f} s"
            f" ({self.work_s:.1f} s without imports), peak {self.peak_mib:5.0f} MiB"
        )


def main(arguments: Sequence[str]) -> int:
    """Prints all costs and their ratios; 1 where a bar is missed."""
    asked = _parser().parse_args(arguments)
    if asked.measure:
        return _measured_process(asked.measure, Path(asked.folder))
    with tempfile.TemporaryDirectory() as scratch:
        folders = [make_sweep_of(size, Path(scratch) / f"sweep-{size}") for size in SIZES]
        held = [hold(what, *(measure(what, folder) for folder in folders)) for what in asked.what or BARS]
    return 0 if all(held) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-report", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", metavar="analysis|report", type=_known, help="default: both")
    parser.add_argument("--measure", choices=BARS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser


def _known(what: str) -> str:
    if what not in BARS:
        raise argparse.ArgumentTypeError(f"{what} is neither of {', '.join(BARS)}")
    return what


def hold(what: str, small: Cost, large: Cost) -> bool:
    """Prints both costs against the bar of ``what``; says whether it is met."""
    bar = BARS[what]
    print(what, small, large, sep="\n  ")
    runs, rows, work = large.runs / small.runs, large.rows / small.rows, large.work_s / small.work_s
    linear = work <= runs * _SLACK
    met = large.seconds < bar.seconds and large.peak_mib < bar.mib and linear
    print(f"  {runs:.1f} times the runs and {rows:.1f} times the rows took {work:.1f} times as long")
    print(f"  {'met' if met else 'MISSED'}: {bar.seconds:.0f} s, {bar.mib:.0f} MiB, linear in runs", flush=True)
    return met


def make_sweep_of(runs: int, path: Path) -> SweepFolder:
    """A sweep of at least so many runs: both frameworks and loops, all batch sizes, enough learning rates."""
    per_rate = len(BATCH_SIZES) * _CURVES_PER_RATE * _ROUNDS
    rates = -(-runs // per_rate)
    return make_sweep(path, learning_rates=[1e-3 * (1 + i / rates) for i in range(rates)], devices=("cpu",))


def measure(what: str, folder: SweepFolder) -> Cost:
    """Does it in a process of its own, which tells its own highest resident set."""
    command = [sys.executable, "-m", "tests.benchmarks.report_10k", "--measure", what, "--folder", str(folder.path)]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - began
    traces = [run.trace for run in folder.run_folders() if run.trace.exists()]
    rows = sum(pq.read_metadata(trace).num_rows for trace in traces)
    told = json.loads(done.stdout.splitlines()[-1])
    return Cost(runs=len(folder.run_folders()), rows=rows, seconds=seconds, **told)


def _measured_process(what: str, path: Path) -> int:
    from bench.analysis.tables import build_tables
    from bench.analysis.verdict import verdict
    from bench.report.build import build_report
    from bench.store.reader import read_sweep

    def analysis(folder: SweepFolder) -> None:
        verdict(build_tables(folder), read_sweep(folder))

    work: Callable[[SweepFolder], object] = {"analysis": analysis, "report": build_report}[what]
    began = time.perf_counter()
    work(SweepFolder(path))
    told = {"work_s": time.perf_counter() - began, "peak_mib": peak_mib()}
    print(json.dumps(told))
    return 0


def peak_mib() -> float:
    """This process's highest resident set. VmHWM, because `ru_maxrss` would still tell of the parent before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
