"""What a report costs: time and peak memory of `bench report` on 1,000 and 10,000 synthetic runs.

Run as `python -m tests.benchmarks.report_10k`. The bars: 10,000 runs in under 30 s and 1 GiB, and linear in runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bench.store.layout import SweepFolder
from tests.synthetic import BATCH_SIZES, make_sweep

SIZES = (1_000, 10_000)
BAR_S, BAR_MIB = 30.0, 1024.0
_ROUNDS, _CURVES_PER_RATE = 5, 4


class Cost(NamedTuple):
    """Runs in the folder, seconds and peak MiB of a process that does nothing but build its report."""

    runs: int
    seconds: float
    peak_mib: float


def main() -> int:
    """Prints both costs and their ratio; 1 where a bar is missed."""
    with tempfile.TemporaryDirectory() as scratch:
        small, large = (measure(make_sweep_of(size, Path(scratch) / f"sweep-{size}")) for size in SIZES)
    for cost in (small, large):
        print(f"{cost.runs:>6} runs: {cost.seconds:6.1f} s, peak {cost.peak_mib:5.0f} MiB")
    runs, seconds = large.runs / small.runs, large.seconds / small.seconds
    print(f"{runs:.1f} times the runs took {seconds:.1f} times as long (linear: at most {runs:.1f})")
    met = large.seconds < BAR_S and large.peak_mib < BAR_MIB
    print(f"bar: {BAR_S:.0f} s and {BAR_MIB:.0f} MiB: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def make_sweep_of(runs: int, path: Path) -> SweepFolder:
    """A sweep of at least so many runs: both frameworks and loops, all batch sizes, enough learning rates."""
    per_rate = len(BATCH_SIZES) * _CURVES_PER_RATE * _ROUNDS
    rates = -(-runs // per_rate)
    return make_sweep(path, learning_rates=[1e-3 * (1 + i / rates) for i in range(rates)], devices=("cpu",))


def measure(folder: SweepFolder) -> Cost:
    """Builds the report in a process of its own, which tells its own highest resident set."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.report_10k", str(folder.path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - began
    return Cost(len(folder.run_folders()), seconds, json.loads(done.stdout.splitlines()[-1])["peak_mib"])


def build(path: Path) -> None:
    """The measured process: builds one report and prints its peak."""
    from bench.report.build import build_report

    build_report(SweepFolder(path))
    print(json.dumps({"peak_mib": peak_mib()}))


def peak_mib() -> float:
    """This process's highest resident set. VmHWM, because `ru_maxrss` would still tell of the parent before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        build(Path(sys.argv[1]))
    else:
        sys.exit(main())
