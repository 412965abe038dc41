"""Ten million rows against one million: every loop gets there, as fast per sample, and copies the data at most twice.

Run with ``make bench-scale``; ``ARGS="--only pytorch --rows 1000000 --rounds 1"`` is a quicker look. It is an ordinary
sweep of the harness (workers, timeouts, memory pass, report and all) over both sizes, batch 1,024 and full, one epoch
each; its folder stays and is named at the end. The two sizes are interleaved round by round, and the ratio of their
times per sample is taken within a round.

Memory is told in data sets: how much the resident set grows from the smaller size to the larger, divided by how much
the training split does. "held" is the process with model and data in place, "peak" the highest of an epoch. The bar is
the data and two copies of it; beside them there may be the epoch's order, on the host, on the device and in a shuffle
between them (24 bytes a row), and the harness's validation rows. A full batch is a copy of the data besides, and the
hidden layer of a loop that keeps it is nine times as large: there the bar is for what is held.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.engines import catalogue
from bench.records import Status
from tests.benchmarks.loop_rows import number
from tests.benchmarks.timing import Family, name_of, variants

ROOT = Path(__file__).resolve().parents[2]
ROWS, TIMES_SMALLER = 10_000_000, 10
BATCH_SIZES = ("1024", "full")
VALIDATION = 0.01
FEATURES = 20

# The data, two copies, and what comes with every row: three orders, and its share of validation rows.
_ROW_BYTES = 4 * (FEATURES + 1)
MOST_DATA_SETS = 3 + 3 * 8 / _ROW_BYTES + VALIDATION / (1 - VALIDATION)
MOST_SLOWER = 1.10

# Ends that say what happened; what crashed or raised does not know itself.
CLEAR = {status.value for status in (Status.OK, Status.TARGET_NOT_REACHED, Status.OOM, Status.TIMEOUT)}


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """One loop at one batch size, from the smaller data to the larger.

    Attributes:
        statuses: how its runs ended, without repetition.
        ratio: time per sample at the larger size over that at the smaller, median over rounds; None where not timed.
        held: data sets resident before training; None where the memory pass has no figure.
        peak: the same at the peak.
    """

    family: Family
    batch_size_label: str
    statuses: tuple[str, ...]
    ns_per_sample: float | None
    ratio: float | None
    held: float | None
    peak: float | None

    def faults(self) -> list[str]:
        """The bars it misses, in words."""
        within = self.peak if self.batch_size_label != "full" else self.held
        checks = {
            "no clear status": not set(self.statuses) <= CLEAR,
            "slower": self.ratio is not None and self.ratio > MOST_SLOWER,
            "too many copies": within is not None and within > MOST_DATA_SETS,
        }
        return [fault for fault, found in checks.items() if found]


def main(arguments: Sequence[str]) -> int:
    """Sweeps, prints the table; 1 where a bar is missed, the sweep's own code where it could not be run."""
    asked = _parser().parse_args(arguments)
    name = time.strftime(f"scale-{asked.rows}-%Y%m%d-%H%M%S")
    code = subprocess.run(
        [sys.executable, "-m", "bench", "sweep", *overrides(asked, name)], cwd=ROOT, check=False
    ).returncode
    runs_file = asked.dir / name / "tables" / "runs.parquet"
    if not runs_file.exists():
        return code or 1
    found = list(scalings(pd.read_parquet(runs_file)))
    print("\n".join(table(found)))
    missed = [scaling for scaling in found if scaling.faults()]
    bar = f"at most {MOST_SLOWER:.2f}x the time per sample and {MOST_DATA_SETS:.2f} data sets, every end a clear one"
    print(f"{bar}: {len(missed)} of {len(found)} missed\nthe sweep is in {asked.dir / name}")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    names = [name_of(*variant) for variant in variants()]
    parser = argparse.ArgumentParser(prog="bench-scale", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the larger size; the smaller has 1/{TIMES_SMALLER}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, metavar=",".join(names))
    parser.add_argument("--loops", default=",".join(catalogue.LOOPS), metavar=",".join(catalogue.LOOPS))
    parser.add_argument("--dir", type=Path, default=ROOT / ".benchmarks", metavar="PATH")
    return parser


def overrides(asked: argparse.Namespace, name: str) -> list[str]:
    """The sweep: few epochs, and enough of the smaller ones to time."""
    default = name_of("keras", catalogue.default_backend("keras"))
    groups = ("keras" if framework == default else framework.replace("-", "_") for framework in asked.only)
    return [
        f"framework={','.join(groups)}",
        f"loop={asked.loops}",
        "device=cpu",
        f"batch_size={','.join(BATCH_SIZES)}",
        f"data.n={asked.rows // TIMES_SMALLER},{asked.rows}",
        f"data.features={FEATURES}",
        f"data.validation={VALIDATION}",
        "budget.epochs=1",
        "protocol.steady_min_epochs=1",
        "protocol.steady_min_s=1",
        f"protocol.rounds={asked.rounds}",
        f"sweep.name={name}",
        f"sweep.dir={asked.dir}",
    ]


def scalings(runs: pd.DataFrame) -> Iterator[Scaling]:
    """Each loop at each batch size that could run here, from the table of runs."""
    started = runs[runs["status"] != Status.UNAVAILABLE.value]
    keys = ["framework", "backend", "loop", "batch_size_label"]
    for _, its_runs in started.groupby(keys, dropna=False, sort=False):
        sizes = sorted(its_runs["n_train"].unique())
        if len(sizes) == 2:
            small, large = (its_runs[its_runs["n_train"] == size].set_index("round") for size in sizes)
            yield _scaling(small, large)


def _scaling(small: pd.DataFrame, large: pd.DataFrame) -> Scaling:
    framework, backend, loop, label = large[["framework", "backend", "loop", "batch_size_label"]].iloc[0]
    ratios = (small["samples_per_s"] / large["samples_per_s"]).dropna()
    return Scaling(
        family=Family(framework, backend if isinstance(backend, str) else None, loop),
        batch_size_label=label,
        statuses=tuple(dict.fromkeys([*small["status"], *large["status"]])),
        ns_per_sample=None if ratios.empty else float(1e9 / large["samples_per_s"].median()),
        ratio=None if ratios.empty else statistics.median(ratios),
        held=_data_sets(small, large, "baseline_rss_bytes"),
        peak=_data_sets(small, large, "peak_rss_bytes"),
    )


def _data_sets(small: pd.DataFrame, large: pd.DataFrame, column: str) -> float | None:
    """What a row more costs in resident bytes, in rows of data; the framework itself drops out."""
    before, after = small[column].dropna(), large[column].dropna()
    if before.empty or after.empty:
        return None
    more_rows = int(large["n_train"].iloc[0]) - int(small["n_train"].iloc[0])
    return float(after.iloc[0] - before.iloc[0]) / more_rows / _ROW_BYTES


def table(found: Sequence[Scaling]) -> list[str]:
    """A line for each, with what is wrong with it."""
    head = f"{'loop':26} {'batch':>6} {'ns/sample':>9} {'ratio':>6} {'held':>6} {'peak':>6}  status"
    return [head, *map(_line, found)]


def _line(scaling: Scaling) -> str:
    seen = (scaling.ns_per_sample, scaling.ratio, scaling.held, scaling.peak)
    told = ("-" if figure is None else number(figure) for figure in seen)
    figures = " ".join(f"{text:>{width}}" for text, width in zip(told, (9, 6, 6, 6), strict=True))
    end = "; ".join([", ".join(scaling.statuses), *(f"MISSED: {fault}" for fault in scaling.faults())])
    return f"{scaling.family!s:26} {scaling.batch_size_label:>6} {figures}  {end}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
