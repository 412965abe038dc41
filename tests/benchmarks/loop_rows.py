"""What ``bench-loops`` makes of its measurements: rows, tables, bars. It knows no framework and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.benchmarks.timing import Family, Spread

FULL = 1000
IDIOMATIC = "idiomatic"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One loop at one batch size.

    Attributes:
        step_us: time per step.
        x_idiomatic: how many times faster than the framework's own idiomatic loop; None for it and where there is none.
        x_floor: how many times slower than the floor; None for the floor.
        first_step_s: trace and compile.
        blocks: interleaved blocks that the quartiles are over.
    """

    family: Family
    batch_size: int
    step_us: Spread
    x_idiomatic: Spread | None
    x_floor: Spread | None
    first_step_s: float
    blocks: int

    @classmethod
    def of_benchmark(cls, benchmark: dict[str, Any]) -> Row:
        """From one entry of a pytest-benchmark file."""
        told = benchmark["extra_info"]
        return cls(
            family=Family(*told["family"]),
            batch_size=told["batch_size"],
            step_us=Spread(*told["step_us"]),
            x_idiomatic=_spread(told["x_idiomatic"]),
            x_floor=_spread(told["x_floor"]),
            first_step_s=told["first_step_s"],
            blocks=benchmark["stats"]["rounds"],
        )


class Bar(NamedTuple):
    """What is asked of the rows, whether it is met (None: no row could tell), and by which figure."""

    demand: str
    met: bool | None
    figure: str

    def __str__(self) -> str:
        return f"{ {True: 'met', False: 'MISSED', None: 'not measured'}[self.met]:12} {self.demand}: {self.figure}"


def _spread(told: Sequence[float] | None) -> Spread | None:
    return None if told is None else Spread(*told)


# --- bars ------------------------------------------------------------------------------------------------------------


def bars(rows: Sequence[Row]) -> list[Bar]:
    """Every demand of the speed section, against these rows."""
    tensorflow, pytorch = Family("keras", "tensorflow", "fused"), Family("pytorch", None, "fused")
    sizes = sorted({row.batch_size for row in rows})
    return [
        *(_speed_up(rows, tensorflow, *demand) for demand in ((1, 200), (32, 30), (FULL, 15))),
        *(_speed_up(rows, pytorch, *demand) for demand in ((1, 15), (32, 12), (FULL, 6))),
        _none_slower(rows),
        *(_close_to_floor(rows, size, 3.0, "the best framework", "pytorch", "keras") for size in sizes),
        *(_close_to_floor(rows, size, times, "pytorch", "pytorch") for size, times in ((1, 20.0), (FULL, 3.0))),
    ]


def _speed_up(rows: Sequence[Row], family: Family, batch_size: int, times: float) -> Bar:
    demand = f"{family} at batch {batch_size} at least {times:g}x idiomatic"
    row = next((row for row in rows if row.family == family and row.batch_size == batch_size), None)
    if row is None or row.x_idiomatic is None:
        return Bar(demand, None, f"no row of {family} at batch {batch_size}")
    return Bar(demand, row.x_idiomatic.median >= times, f"{told(row.x_idiomatic)}x")


def _none_slower(rows: Sequence[Row]) -> Bar:
    """A loop is slower when more than three quarters of its blocks were: ties are no news."""
    seen = [(row, row.x_idiomatic) for row in rows if row.x_idiomatic is not None]
    slower = [(row, times) for row, times in seen if times.high < 1]
    figure = "; ".join(f"{row.family} at batch {row.batch_size} {told(times)}x" for row, times in slower)
    least = min((times.median for _, times in seen), default=None)
    whole = figure or (f"the closest is {number(least)}x" if least is not None else "no rows")
    return Bar("no loop slower than idiomatic", None if not seen else not slower, whole)


def _close_to_floor(rows: Sequence[Row], batch_size: int, times: float, who: str, *frameworks: str) -> Bar:
    demand = f"{who} within {times:g}x of the floor at batch {batch_size}"
    seen = [
        (row.x_floor, row.family)
        for row in rows
        if row.x_floor and row.batch_size == batch_size and row.family.framework in frameworks
    ]
    if not seen:
        return Bar(demand, None, "no rows")
    best, family = min(seen, key=lambda pair: pair[0].median)
    return Bar(demand, best.median <= times, f"{told(best)}x ({family})")


# --- tables ----------------------------------------------------------------------------------------------------------


def lines(rows: Iterable[Row]) -> list[str]:
    """One line per row, with quartiles."""
    head = f"{'loop':26} {'batch':>5} {'us a step':>10}  {'x idiomatic':24}  {'x floor':24} {'first s':>7} blocks"
    return [head, *(_line(row) for row in rows)]


def _line(row: Row) -> str:
    figures = f"{number(row.step_us.median):>10}  {_told(row.x_idiomatic):24}  {_told(row.x_floor):24}"
    return f"{row.family!s:26} {row.batch_size:>5} {figures} {row.first_step_s:>7.2f} {row.blocks:>6}"


def matrix(
    rows: Sequence[Row], title: str, figure: Callable[[Row], float | None], absent: dict[Family, str]
) -> list[str]:
    """Loops down, batch sizes across; what was not measured is told in words."""
    sizes = sorted({row.batch_size for row in rows})
    # The floor has a row from every process; the fastest is the floor.
    slowest_first = sorted(rows, key=lambda row: -row.step_us.median)
    found = {(row.family, row.batch_size): row for row in slowest_first}
    families = list(dict.fromkeys(row.family for row in rows))
    table = [f"{title:26} " + " ".join(f"{size:>7}" for size in sizes)]
    for family in families:
        cells = (found.get((family, size)) for size in sizes)
        table.append(f"{family!s:26} " + " ".join(f"{_cell(row, figure):>7}" for row in cells))
    return table + [f"{family!s:26} {why}" for family, why in absent.items() if family not in families]


def _cell(row: Row | None, figure: Callable[[Row], float | None]) -> str:
    if row is None:
        return "failed"
    seen = figure(row)
    return "-" if seen is None else number(seen)


def _told(spread: Spread | None) -> str:
    return "-" if spread is None else told(spread)


def told(spread: Spread) -> str:
    """Median and quartiles."""
    return f"{number(spread.median)} ({number(spread.low)} to {number(spread.high)})"


def number(value: float) -> str:
    """Three digits, which is more than blocks of a shared machine agree on; never an exponent."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"
