"""Fuzzes what a user or a stranger hands in: ``python -m tests.fuzz.inputs --examples 500`` prints a line per kind.

For every kind of input: how many were tried, how many of them were taken, and the failures. A failure is a crash (any
exception but the refusal that the input deserves), a refusal that is not readable (more than three lines, or characters
that a terminal obeys), one input that takes longer than it may, or a value that is taken and must not be.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from bench import app
from bench.config import known_keys, read_config
from bench.errors import BenchError, UsageError
from bench.plan.datafile import read_table
from bench.report.exchange import export_benchmarks
from bench.store.benchmarks import read_benchmarks
from bench.store.layout import SweepFolder
from bench.store.reader import read_cell, read_results, read_sweep
from bench.text import one_line
from tests.synthetic import make_sweep

SLOWEST_S = 20.0
MOST = 1e30
_SETTINGS = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
    "print_blob": False,
}
"""Failures are counted and not shrunk: the tests that fail on them are."""


@dataclass
class Tally:
    """What came of one kind of input."""

    kind: str
    tried: int = 0
    taken: int = 0
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.kind:<28} {self.tried:>7,} tried {self.taken:>7,} taken {len(self.failures):>4} failures"


# --- what is tried ----------------------------------------------------------------------------------------------------

HOSTILE = st.sampled_from(
    [
        "../../etc/passwd", "</script><script>alert(1)</script>", "=HYPERLINK(1)", "$\\frac{", "a\nb", "\u202egnitsurt",
        "x" * 300, "\x1b]0;title\x07", "${oc.env:HOME}", "${x}", "${now:%Y}", "${hydra:run.dir}", "_target_", "nan",
        "inf", "-inf", "-0", "1e400", "1e-400", str(10**30), "true", "null", "٣٢", "1_0", "0x10", "32.0", "'", '"', "[",
        "{", "}", "full", "", " ", "\\", "~", "glob(*)", "choice(1,2)", "range(1,5)", "interval(1,2)", "sort(3,2)",
        "a,b",
    ]
)  # fmt: skip
WORDS = st.one_of(HOSTILE, st.text(max_size=20), st.integers().map(str), st.floats().map(repr))
KEYS = st.sampled_from(
    [
        "batch_size", "seed", "framework", "framework.backend", "framework.python", "loop", "device", "data", "data.n",
        "data.path", "data.target", "data.noise", "optimizer", "optimizer.lr", "optimizer.beta1", "network.hidden",
        "network.dtype", "budget.epochs", "lr_policy", "protocol", "protocol.rounds", "protocol.timeout_s",
        "protocol.precision", "sweep.name", "sweep.dir", "sweep.require", "experiment", "hydra.run.dir",
        "hydra.sweep.dir", "hydra.output_subdir", "hydra/launcher", "hydra.launcher", "hydra.callbacks",
        "hydra.sweeper",
        "hydra.job.chdir", "hydra.job.env_set", "hydra/job_logging", "hydra.verbose", "data._target_", "x._target_",
        "job.cell_id", "job.sweep_dir",
    ]
)  # fmt: skip
LEAF_KEYS = st.sampled_from([key for key in known_keys() if not any(k.startswith(f"{key}.") for k in known_keys())])
SIGNS = st.sampled_from(["", "", "", "+", "++", "~"])
ALLOWED = st.sampled_from(
    ["batch_size=8,full", "seed=3", "data.n=50", "optimizer.lr=0.1,0.01", "sweep.name=mine", "protocol.rounds=2"]
)
OVERRIDES = st.one_of(
    ALLOWED,
    st.builds("{}{}={}".format, SIGNS, KEYS, WORDS),
    st.builds("{}{}={{_target_:os.mkdir,path:sprung}}".format, SIGNS, KEYS),
    st.text(max_size=30).filter(lambda text: not text.startswith("-")),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS)
LISTS = st.lists(LEAVES, max_size=3)
VALUES = st.one_of(LEAVES, LISTS, st.dictionaries(WORDS, LEAVES | LISTS, max_size=3), st.lists(LISTS, max_size=3))
NUMBERS = st.one_of(st.integers().map(str), st.floats(width=32).map(repr), st.floats().map(repr))
ROWS = st.builds("{},{}".format, NUMBERS | HOSTILE, st.sampled_from(["0", "1"] * 8 + ["2", "0.5", "x", "", "1,1"]))
LABELLED = st.builds("{},label\n{}".format, WORDS, st.lists(ROWS, max_size=4).map("\n".join))
GOOD_ROWS = st.builds("{},{}".format, NUMBERS, st.sampled_from(["0", "1"]))
PLAUSIBLE = st.builds("{},label\n{}".format, WORDS, st.lists(GOOD_ROWS, max_size=4).map("\n".join))
BYTES = st.binary(max_size=400)


@dataclass(frozen=True)
class Patch:
    """What happens to a healthy file: bytes replaced at a place, or everything from there on cut off."""

    at: int
    content: bytes
    cut: bool

    def of(self, whole: bytes) -> bytes:
        """The damaged file."""
        at = self.at % max(1, len(whole))
        return whole[:at] if self.cut else whole[:at] + self.content + whole[at + len(self.content) :]


PATCHES = st.builds(Patch, st.integers(0, 1 << 16), st.binary(min_size=1, max_size=16), st.booleans())


# --- how it is judged -------------------------------------------------------------------------------------------------


def unreadable(refusal: BenchError) -> str | None:
    """What is wrong with the message of a refusal."""
    said = str(refusal)
    if len(said.splitlines()) > 3:
        return f"a message of {len(said.splitlines())} lines"
    if not said.replace("\n", "").isprintable():
        return "a message that a terminal obeys"
    return None


def out_of_range(config: Any) -> str | None:
    """A number in a config that was taken and must not be."""
    for name, value in vars(config).items():
        if hasattr(value, "__dataclass_fields__"):
            if found := out_of_range(value):
                return f"{name}.{found}"
        elif isinstance(value, int | float) and (not abs(value) <= MOST or str(value) == "-0.0"):
            return f"{name}={value}"
    return None


def _try_value(path: Path, plain: dict[str, Any]) -> str | None:
    return out_of_range(read_config(plain))


def _try_overrides(path: Path, overrides: Sequence[str]) -> str | None:
    """One command line of ``bench plan``: it ends with 0, 2 or 6, and leaves nothing behind."""
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = app.main(
            ["--multirun", "framework=reference", "device=cpu", "loop=eager", *overrides, "sweep.dry_run=true"]
        )
    if left := [entry.name for entry in path.iterdir()]:
        return f"left {left} behind"
    if code == 0:
        return None
    if code not in (2, 6):
        return f"exit code {code}"
    # argparse has words of its own for a line that begins like an option.
    message = said.getvalue().removesuffix("\n")
    if "usage:" in message:
        raise UsageError("refused")
    if problem := unreadable(UsageError(message.removeprefix("bench: "))):
        return problem
    raise UsageError("refused")


def _try_csv(path: Path, content: str | bytes) -> str | None:
    file = path / "mine.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
    return _finite(*read_table(file, "label"))


def _try_npz(path: Path, content: bytes | Patch) -> str | None:
    return _try_file(path, "npz", content)


def _try_parquet(path: Path, content: bytes | Patch) -> str | None:
    return _try_file(path, "parquet", content)


TABLE = pd.DataFrame({"a": [0.5, 1.5, -2.0, 4.0] * 8, "b": range(32), "label": [0, 1, 1, 0] * 8})


def _healthy(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "npz":
        columns: dict[str, Any] = {str(name): column.to_numpy() for name, column in TABLE.items()}
        np.savez_compressed(buffer, **columns)
    else:
        TABLE.to_parquet(buffer, index=False)
    return buffer.getvalue()


HEALTHY = {kind: _healthy(kind) for kind in ("npz", "parquet")}


def _try_file(path: Path, kind: str, content: bytes | Patch) -> str | None:
    file = path / f"mine.{kind}"
    file.write_bytes(content if isinstance(content, bytes) else content.of(HEALTHY[kind]))
    return _finite(*read_table(file, "label"))


def _finite(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> str | None:
    if not (np.isfinite(x).all() and np.abs(x).max(initial=0) < 3.5e38 and set(np.unique(y)) == {0.0, 1.0}):
        return "numbers that are none, or labels that are none, were taken"
    return None


def _try_record(path: Path, patch: Patch) -> str | None:
    """Any damage to any record of a sweep: refused, or a row that says so."""
    folder = SweepFolder(path / "sweep")
    if not folder.path.exists():
        make_sweep(folder.path, batch_sizes=(8, 32), rounds=1, epochs=2)
    records = [folder.sweep_json, folder.journal, *(run.result for run in folder.run_folders())]
    record = records[patch.at % len(records)]
    whole = record.read_bytes()
    try:
        record.write_bytes(patch.of(whole))
        sweep = read_sweep(folder)
        for planned in sweep.cells:
            read_cell(planned)
        read_results(folder)
    finally:
        record.write_bytes(whole)
    return None


def _try_benchmarks(path: Path, patch: Patch) -> str | None:
    """Any damage to a file for ``bench import``."""
    whole = path / "whole.json"
    if not whole.exists():
        list(export_benchmarks(make_sweep(path / "sweep", batch_sizes=(8, 32), rounds=2, epochs=2), whole))
    damaged = path / "damaged.json"
    damaged.write_bytes(patch.of(whole.read_bytes()))
    read_benchmarks(damaged)
    return None


def _try_text(path: Path, text: str) -> str | None:
    shown = one_line(text, 40)
    return None if shown.isprintable() and len(shown) <= 40 else f"shown as {shown!r}"


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in flat.items():
        group, _, leaf = key.partition(".")
        if not leaf:
            plain[group] = value
        elif isinstance(plain.setdefault(group, {}), dict):
            plain[group][leaf] = value
    return plain


Attempt = Callable[[Path, Any], str | None]
KINDS: dict[str, tuple[Attempt, st.SearchStrategy[Any], int]] = {
    "config: one setting": (_try_value, st.dictionaries(LEAF_KEYS, LEAVES, min_size=1, max_size=1).map(_nested), 1),
    "config: anything": (_try_value, st.dictionaries(KEYS, VALUES, max_size=4).map(_nested), 1),
    "hydra overrides": (_try_overrides, st.lists(OVERRIDES, min_size=1, max_size=3), 10),
    "csv: rows": (_try_csv, LABELLED | PLAUSIBLE, 1),
    "csv: bytes": (_try_csv, BYTES, 1),
    "npz: damaged": (_try_npz, PATCHES, 1),
    "npz: bytes": (_try_npz, BYTES, 1),
    "parquet: damaged": (_try_parquet, PATCHES, 1),
    "parquet: bytes": (_try_parquet, BYTES, 1),
    "records: damaged": (_try_record, PATCHES, 1),
    "benchmark files: damaged": (_try_benchmarks, PATCHES, 1),
    "text shown": (_try_text, st.text() | HOSTILE, 1),
}
"""How it is tried, what, and how many times fewer than the others, being slower."""


def fuzz(kind: str, examples: int, folder: Path, *, start: int = 0) -> Tally:
    """Tries so many inputs of a kind in an empty folder, the current one."""
    attempt, inputs, slower = KINDS[kind]
    tally = Tally(kind)

    @seed(start)
    @settings(max_examples=max(1, examples // slower), **_SETTINGS)  # type: ignore[arg-type]
    @given(inputs)
    def tried(value: Any) -> None:
        tally.tried += 1
        began_s = time.monotonic()
        problem = _problem(attempt, folder, value, tally)
        if problem is None and time.monotonic() - began_s > SLOWEST_S:
            problem = "too slow"
        if problem is not None:
            tally.failures.append(f"{problem}: {str(value)[:300]!r}")

    tried()
    return tally


def _problem(attempt: Attempt, folder: Path, value: Any, tally: Tally) -> str | None:
    try:
        problem = attempt(folder, value)
    except BenchError as refusal:
        return unreadable(refusal)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    tally.taken += 1
    return problem


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line per kind of input; 1 where anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--examples", type=int, default=500, help="inputs of each kind; slow kinds take a tenth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, help="one kind")
    asked = parser.parse_args(arguments)
    failed = False
    for kind in [asked.only] if asked.only else KINDS:
        with tempfile.TemporaryDirectory() as folder:
            tally = fuzz_in(Path(folder), kind, asked.examples, asked.seed)
        print(tally, flush=True)
        for failure in tally.failures[:10]:
            print(f"    {failure}")
        failed = failed or bool(tally.failures)
    return int(failed)


def fuzz_in(folder: Path, kind: str, examples: int, start: int) -> Tally:
    """The same with the folder as the current one, because what is written by mistake is written there."""
    with chdir(folder):
        return fuzz(kind, examples, folder, start=start)


if __name__ == "__main__":
    sys.exit(main())
