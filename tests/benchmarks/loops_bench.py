"""The benchmark behind ``bench-loops``: all loops of one framework on one backend, in one process of pytest-benchmark.

A round of a benchmark is a block of whole epochs of one loop, right after a block of each of its rivals: the idiomatic
loop of the same framework and the floor. The benchmark's clock stands still outside the windows of the loop's epochs,
and divides what it has seen by the steps: its seconds are seconds per step, whatever the length of a block, so that
``pytest-benchmark compare`` compares what is comparable. The ratios to the rivals are in ``extra_info``, and with them
the cell and its blocks, which ``bench import`` makes a run of.

Not collected with the tests; ``loops.py`` runs it, once for each framework and backend, and so does ``steps.py``
(``make bench``), without rivals.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from dataclasses import dataclass
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.engines import catalogue
from bench.engines.base import Engine
from bench.store.benchmarks import BLOCKS
from tests.benchmarks.floor import compiler
from tests.benchmarks.loop_rows import IDIOMATIC
from tests.benchmarks.timing import Family, Spread, bare_ns, cell_of, ratios, ready_engine

ASKED_VARIABLE = "BENCH_LOOPS"
"""JSON: framework, backend, batch_sizes, seconds (per benchmark), cpu (the processor to stay on, or null), rivals."""

FLOOR = Family("floor", None, "fused")
BLOCK_S = 0.04
MOST_BLOCKS = 31

_NOTHING: dict[str, Any] = {
    "framework": "reference", "backend": None, "batch_sizes": [], "seconds": 0.0, "cpu": None, "rivals": True,
}  # fmt: skip
_ASKED: dict[str, Any] = json.loads(os.environ.get(ASKED_VARIABLE, json.dumps(_NOTHING)))


class StepClock:
    """Advances by the mean time of a step for every block timed on it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def time(self, contender: Contender) -> int:
        """Lets the contender train a block; returns the nanoseconds in its windows."""
        seen_ns = contender.block_ns()
        self.now_s += contender.per_step_s(seen_ns)
        return seen_ns


_CLOCK = StepClock()


def seconds_per_step() -> float:
    """The clock that pytest-benchmark reads."""
    return _CLOCK.now_s


@dataclass(frozen=True)
class Contender:
    """An engine ready to train, and how many epochs make a block of it.

    Attributes:
        wall_s: what a block takes, with what lies outside its windows.
    """

    engine: Engine
    epochs: int
    wall_s: float
    first_step_s: float
    device_name: str | None

    @classmethod
    def ready(cls, family: Family, batch_size: int) -> Contender:
        """Everything compiled; the length of a block is found by a trial."""
        engine, recorder = ready_engine(cell_of(*family, batch_size))
        began_s = time.perf_counter()
        epoch_s = bare_ns(engine, 1) / 1e9
        wall_s = time.perf_counter() - began_s
        epochs = max(1, round(BLOCK_S / max(epoch_s, BLOCK_S / 1000)))
        return cls(engine, epochs, wall_s * epochs, recorder.phases["first_step_s"], recorder.device_name)

    @property
    def steps(self) -> int:
        """Of a block."""
        return self.epochs * self.engine.cell.steps_per_epoch

    def block_ns(self) -> int:
        """Trains a block; nanoseconds in its windows."""
        return bare_ns(self.engine, self.epochs)

    def per_step_s(self, block_ns: int) -> float:
        """Seconds per step of a block."""
        return block_ns / 1e9 / self.steps

    def filed(self, blocks_ns: list[int]) -> dict[str, Any]:
        """The cell and its run as ``bench.store.benchmarks`` reads them: each block is a window of the only run."""
        cell = self.engine.cell
        run = {
            "round": 0,
            "step_us": statistics.median(self.per_step_s(block_ns) for block_ns in blocks_ns) * 1e6,
            "first_step_s": self.first_step_s,
            "samples": self.epochs * cell.data.n_train,
            "updates": self.steps,
            "windows_ns": blocks_ns,
            "device_name": self.device_name,
        }
        return {"cell_id": cell.id, "cell": cell.to_plain(), "repeats": BLOCKS, "runs": [run]}


class Contenders:
    """The engines of one batch size, each made when it is first asked for."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._made: dict[Family, Contender] = {}

    def __getitem__(self, family: Family) -> Contender:
        if family not in self._made:
            self._made[family] = Contender.ready(family, self.batch_size)
        return self._made[family]


def _families() -> list[Family]:
    """The loops, and among rivals the floor where there is a compiler for it."""
    framework, backend = _ASKED["framework"], _ASKED["backend"]
    loops = [Family(framework, backend, loop) for loop in catalogue.variant(framework, backend).modules]
    return loops + [FLOOR] * (_ASKED["rivals"] and compiler() is not None)


def _rivals(family: Family) -> list[Family]:
    if not _ASKED["rivals"]:
        return []
    idiomatic = family._replace(loop=IDIOMATIC)
    return [rival for rival in (idiomatic, FLOOR) if rival in _families() and family not in (rival, FLOOR)]


def _blocks(wall_s: float) -> int:
    """How many blocks of so many seconds: three quartiles need a few, even of the slowest loops."""
    least = 5 if wall_s < 4 else 3
    return min(MOST_BLOCKS, max(least, int(_ASKED["seconds"] / wall_s)))


def _id(family: Family) -> str:
    """Unique over all processes, each of which has a floor of its own."""
    beside = ("floor", "beside", _ASKED["framework"], _ASKED["backend"])
    return "-".join(part for part in (beside if family == FLOOR else family) if part)


@pytest.fixture(scope="module", autouse=True)
def _one_processor() -> None:
    """Before a framework is imported: its threads inherit it."""
    if _ASKED["cpu"] is not None:
        os.sched_setaffinity(0, {_ASKED["cpu"]})


@pytest.fixture(scope="module", params=_ASKED["batch_sizes"])
def contenders(request: pytest.FixtureRequest) -> Contenders:
    """The engines of a batch size live until the next one."""
    return Contenders(request.param)


@pytest.mark.timeout(600)
@pytest.mark.benchmark(timer=seconds_per_step)
@pytest.mark.parametrize("family", _families(), ids=_id)
def test_time_of_a_step(benchmark: BenchmarkFixture, contenders: Contenders, family: Family) -> None:
    rivals = {rival: contenders[rival] for rival in _rivals(family)}
    own = contenders[family]
    own_ns: list[int] = []
    rivals_s: dict[Family, list[float]] = {rival: [] for rival in rivals}

    def let_rivals_go_first() -> None:
        for rival, contender in rivals.items():
            rivals_s[rival].append(contender.per_step_s(contender.block_ns()))

    rounds = _blocks(own.wall_s + sum(contender.wall_s for contender in rivals.values()))
    benchmark.group = f"batch {contenders.batch_size}"
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda: own_ns.append(_CLOCK.time(own)), setup=let_rivals_go_first, rounds=rounds
    )
    own_s = [own.per_step_s(block_ns) for block_ns in own_ns]
    idiomatic_s, floor_s = rivals_s.get(family._replace(loop=IDIOMATIC)), rivals_s.get(FLOOR)
    benchmark.extra_info.update(
        family=family,
        batch_size=contenders.batch_size,
        epochs_per_block=own.epochs,
        first_step_s=own.first_step_s,
        step_us=Spread.of([seen_s * 1e6 for seen_s in own_s]),
        x_idiomatic=ratios(idiomatic_s, own_s) if idiomatic_s else None,
        x_floor=ratios(own_s, floor_s) if floor_s else None,
        **own.filed(own_ns),
    )
