"""How fast every loop of every framework is: against the framework's own idiomatic loop, and against the floor.

Run with ``make bench-loops``; ``ARGS="--batch-sizes 1,32 --only pytorch,keras-jax"`` measures less. Keras settles its
backend when it is imported, so each framework on its backend is a process of its own (``loops_bench.py``, under
pytest-benchmark), with one compute thread, on one processor. Their files are merged into one, which
``pytest-benchmark compare`` reads. Exit code 1 where a bar is missed or a loop failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.engines import catalogue
from bench.plan.host import clean_environment
from tests.benchmarks.floor import compiler
from tests.benchmarks.loop_rows import FULL, Row, bars, lines, matrix
from tests.benchmarks.loops_bench import ASKED_VARIABLE
from tests.benchmarks.timing import Family, missing_packages, name_of, variants

ROOT = Path(__file__).resolve().parents[2]
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, FULL)
SECONDS = 2.0
NOTHING_COLLECTED = 5
"""pytest's exit code where every benchmark was deselected."""


def main(arguments: Sequence[str]) -> int:
    """Measures, prints tables and bars, writes the JSON."""
    asked = _parser().parse_args(arguments)
    if compiler() is None:
        print("There is no C compiler here: nothing will be held to the floor.\n")
    chosen = [variant for variant in variants() if not asked.only or name_of(*variant) in asked.only]
    absent = {family: why for variant in chosen for family, why in _absent(*variant)}
    parts: list[dict[str, Any]] = []
    failed = False
    for framework, backend in chosen:
        if missing_packages(framework, backend):
            continue
        print(f"{name_of(framework, backend)}: takes minutes ...", flush=True)
        question = {name: getattr(asked, name) for name in ("batch_sizes", "seconds", "cpu")} | {"rivals": True}
        part, code = measure(framework, backend, question)
        failed |= code != 0
        parts += [part] if part else []
        print("\n".join(lines(_rows(part))), end="\n\n", flush=True)
    merged = merge(parts)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(merged, indent=4))
    return _conclude(_rows(merged), absent, asked.json, failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-loops", description=__doc__.splitlines()[0])
    parser.add_argument("--batch-sizes", type=sizes, default=BATCH_SIZES, metavar="1,32,...")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="pytorch,keras-jax,...")
    parser.add_argument("--json", type=Path, default=ROOT / ".benchmarks" / "loops.json", metavar="PATH")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="spent on each loop at each batch size")
    parser.add_argument("--cpu", type=processor, default=last_processor(), help="the one to stay on, or any")
    return parser


def sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def processor(text: str) -> int | None:
    return None if text == "any" else int(text)


def last_processor() -> int | None:
    """The first one serves most interrupts; None where the system cannot pin a process."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _absent(framework: str, backend: str | None) -> Iterator[tuple[Family, str]]:
    """Loops that will have no rows, and why."""
    missing = missing_packages(framework, backend)
    for loop in catalogue.LOOPS:
        why = catalogue.why_not(framework, backend, loop, "cpu")
        if why or missing:
            yield Family(framework, backend, loop), why or f"{', '.join(missing)} not installed"


def measure(
    framework: str, backend: str | None, question: dict[str, Any], options: Sequence[str] = ()
) -> tuple[dict[str, Any] | None, int]:
    """One pytest process; what it wrote (None: nothing) and its exit code.

    Args:
        framework: what it shall measure.
        backend: of Keras.
        question: the rest of what ``loops_bench`` is asked, see ``ASKED_VARIABLE``.
        options: more options of pytest and pytest-benchmark.
    """
    asked = json.dumps(question | {"framework": framework, "backend": backend})
    variables = catalogue.environment_variables(framework, backend, 1) | {ASKED_VARIABLE: asked}
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = clean_environment(ours, variables) | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "part.json"
        command = [sys.executable, "-m", "pytest", "tests/benchmarks/loops_bench.py", *_PYTEST, *options]
        done = subprocess.run(
            [*command, f"--benchmark-json={written}"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode not in (0, NOTHING_COLLECTED):
            print(done.stdout[-4000:], flush=True)
        return (json.loads(written.read_text()) if written.exists() else None), done.returncode


# Warnings of a framework's compiler are no failure of a benchmark.
_PYTEST = ("-q", "--no-header", "-p", "no:cacheprovider", "-W", "default", "--benchmark-enable", "--benchmark-quiet")


def merge(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One pytest-benchmark file of several: machine and commit are those of the first, benchmarks those of all."""
    if not parts:
        return {"benchmarks": []}
    return parts[0] | {"benchmarks": [benchmark for part in parts for benchmark in part["benchmarks"]]}


def _rows(file: dict[str, Any] | None) -> list[Row]:
    return [Row.of_benchmark(benchmark) for benchmark in (file or {"benchmarks": []})["benchmarks"]]


def _conclude(rows: list[Row], absent: dict[Family, str], path: Path, failed: bool) -> int:
    tables = (
        matrix(rows, "us a step", lambda row: row.step_us.median, absent),
        matrix(rows, "x idiomatic", lambda row: row.x_idiomatic and row.x_idiomatic.median, {}),
        matrix(rows, "x floor", lambda row: row.x_floor and row.x_floor.median, {}),
    )
    for table in tables:
        print("\n".join(table), end="\n\n")
    held = bars(rows)
    print("\n".join(map(str, held)))
    print(f"written to {path}")
    return 1 if failed or any(bar.met is False for bar in held) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
