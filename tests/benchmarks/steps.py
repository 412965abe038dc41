"""How long one step takes: every loop at a few batch sizes, under pytest-benchmark.

Run with ``make bench``; ``ARGS="--only pytorch --batch-sizes 1,32 -k fused"`` measures less: what is not an option of
its own goes to pytest. One process for each framework on its backend, all with one compute thread on one processor,
and one file for all of them, which ``pytest-benchmark compare`` reads. ``bench import`` makes a run of a file and,
of several, the rounds of a sweep. A block of one process is no repeat: for an interval, run it several times.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bench
from bench.analysis.benchmarks import source_of
from bench.plan.machine import git_state, machine, software
from bench.records import SweepRecord
from bench.store import journal
from tests.benchmarks.loop_rows import FULL
from tests.benchmarks.loops import NOTHING_COLLECTED, ROOT, last_processor, measure, merge, processor, sizes
from tests.benchmarks.timing import SEED, missing_packages, name_of, variants

BATCH_SIZES = (1, 32, FULL)
SECONDS = 0.5
_TABLE = ("--group-by=group", "--sort=min", "--columns=min,median,max,outliers,rounds")


def main(arguments: Sequence[str]) -> int:
    """Measures, writes the JSON and has pytest-benchmark show it; 1 where a loop failed."""
    asked, for_pytest = _parser().parse_known_args(arguments)
    question = {name: getattr(asked, name) for name in ("batch_sizes", "seconds", "cpu")} | {"rivals": False}
    parts: list[dict[str, Any]] = []
    failed = False
    for framework, backend in variants():
        name = name_of(framework, backend)
        if asked.only and name not in asked.only:
            continue
        if missing := missing_packages(framework, backend):
            print(f"{name}: {', '.join(missing)} not installed", flush=True)
            continue
        print(f"{name} ...", flush=True)
        part, code = measure(framework, backend, question, for_pytest)
        failed |= code not in (0, NOTHING_COLLECTED)
        parts += [part] if part else []
    if not parts:
        print("Nothing was measured.")
        return 1
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(merge(parts) | {"bench": _source()}, indent=4))
    _show(asked.json)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-steps", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--batch-sizes", type=sizes, default=BATCH_SIZES, metavar="1,32,...")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="pytorch,keras-jax,...")
    parser.add_argument("--json", type=Path, default=ROOT / ".benchmarks" / "steps.json", metavar="PATH")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="spent on each loop at each batch size")
    parser.add_argument("--cpu", type=processor, default=last_processor(), help="the one to stay on, or any")
    return parser


def _source() -> dict[str, Any]:
    """Where the numbers come from, as ``bench import`` asks it."""
    return source_of(
        SweepRecord(
            name="steps",
            created_at=journal.now(),
            bench_version=bench.__version__,
            command=["make", "bench"],
            overrides=[],
            seed=SEED,
            rounds=[],
            cells=[],
            config={},
            machine=machine(),
            software=software(),
            git=git_state(ROOT),
        )
    )


def _show(path: Path) -> None:
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path), *_TABLE]
    print(subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.parent).stdout)
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
