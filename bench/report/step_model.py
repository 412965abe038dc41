"""The step-time model in words: what a step costs, where half of it is arithmetic, where two curves change places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.compare import FASTER, MIN_PAIRS, SLOWER, TIE
from bench.analysis.crossings import AGAIN, CROSSES, MODEL, NOWHERE
from bench.analysis.curves import CURVE
from bench.analysis.models import MIN_BATCH_SIZES, TOLERANCE
from bench.report import format as fmt
from bench.report.figures.base import DataTable
from bench.report.view import Family, Panel, View, device_label

Row = Mapping[str, Any]
"""A row of the models or the crossings table."""

NO_MODEL = f"No loop has {MIN_BATCH_SIZES} batch sizes, which a model of step times takes."
_MOST_ROWS = 40
_MOST_CROSSINGS = 12
_MOST_ADVICE = 8
_HEADERS = ("model", "dispatch cost", "rate of large batches", "half-throughput batch", "furthest off", "rounds")


@dataclass(frozen=True)
class StepModel:
    """What the report says of the step-time model.

    Attributes:
        table: one row per curve; none where no curve has batch sizes enough.
        crossings: a sentence for every pair of curves that is likely to be asked for.
        arithmetic: from which batch size on steps are arithmetic rather than dispatch.
        left_out: crossings that are in the table only.
        absence: what is said where the table has no rows.
    """

    table: DataTable
    crossings: Sequence[str]
    arithmetic: Sequence[str]
    left_out: int
    absence: str = NO_MODEL


def step_model(view: View) -> StepModel | None:
    """What there is to say; None where nothing was measured."""
    if not view.panels:
        return None
    pairs = asked_for(view)
    said = [said_of(view, row) for row in pairs]
    return StepModel(
        table=_table(view),
        crossings=said[:_MOST_CROSSINGS],
        arithmetic=_arithmetic(view),
        left_out=len(view.tables.crossings) - min(len(said), _MOST_CROSSINGS),
    )


def models_of(view: View, panel: Panel) -> list[tuple[Family, Row]]:
    """The families of a panel with their rows of the models table."""
    rows = {_key(row): row for row in _records(view.tables.models)}
    found = ((curve, rows.get(_key(_record(cells.iloc[0])))) for curve, cells in panel.families())
    return [(curve, row) for curve, row in found if row is not None]


def _records(table: pd.DataFrame) -> list[Row]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _record(row: pd.Series[Any]) -> Row:
    return {str(name): value for name, value in row.items()}


def _key(row: Row, prefix: str = "") -> tuple[str, ...]:
    """Which curve; of a pair the other one has a prefix to its names, but shares workload and setting."""
    names = [*(f"{prefix}{name}" for name in CURVE[:4]), *CURVE[4:]]
    return tuple("" if fmt.is_missing(row[name]) else str(row[name]) for name in names)


def asked_for(view: View) -> list[Row]:
    """The crossings that readers ask for: PyTorch : Keras loop by loop, and a loop on two devices.

    Loops that only one of two frameworks has are weighed against each other.
    """
    rows = _records(view.tables.crossings)
    loops: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        for prefix in ("", "other_"):
            loops.setdefault(_side(row, prefix), set()).add(str(row[f"{prefix}loop"]))
    return [row for row in rows if _between_devices(row) or _between_frameworks(row, loops)]


def _side(row: Row, prefix: str) -> tuple[str, ...]:
    """A curve but for its loop."""
    key = _key(row, prefix)
    return (*key[:2], *key[3:])


def _between_devices(row: Row) -> bool:
    return row["device"] != row["other_device"] and _key(row)[:3] == _key(row, "other_")[:3]


def _between_frameworks(row: Row, loops: Mapping[tuple[str, ...], set[str]]) -> bool:
    if row["device"] != row["other_device"] or (row["framework"], row["other_framework"]) != ("pytorch", "keras"):
        return False
    shared = loops[_side(row, "")] & loops[_side(row, "other_")]
    return row["loop"] == row["other_loop"] or not {row["loop"], row["other_loop"]} & shared


def said_of(view: View, row: Row) -> str:
    """One crossing as a sentence."""
    one, other = _name(view, row), _name(view, row, "other_")
    if row["verdict"] == CROSSES:
        return _where(row, one, other)
    if fmt.is_missing(row["smallest_batch_size"]):
        return f"{one} and {other} share no batch size."
    if row["n_rounds"] < MIN_PAIRS:
        return f"Whether {one} or {other} is faster is open, in too few rounds to say ({row['n_rounds']})."
    span = f"at every batch size from {fmt.count(row['smallest_batch_size'])} to {fmt.count(row['largest_batch_size'])}"
    if row["verdict"] == NOWHERE:
        first, second = (one, other) if row["at_smallest"] == FASTER else (other, one)
        return f"{first} is faster than {second} {span}."
    if row["verdict"] == TIE:
        return f"{one} and {other} tie {span}."
    if row["verdict"] == AGAIN:
        return f"{one} and {other} change places more than once."
    return f"Where {one} and {other} change places, if they do, is open: {_ends(row, one, other)}."


def _where(row: Row, one: str, other: str) -> str:
    """Who is faster before is said where an end tells it, and of every larger batch size only where both do."""
    ends = row["at_smallest"], row["at_largest"]
    below, above = (other, one) if ends[0] == SLOWER or ends[1] == FASTER else (one, other)
    low, high = row["at_batch_size_low"], row["at_batch_size_high"]
    place = f"between batch {fmt.count(low)} and batch {fmt.count(high)}"
    if row["said_by"] == MODEL:
        at = fmt.with_interval(row["at_batch_size"], low, high)
        if set(ends) == {FASTER, SLOWER}:
            return f"{below} is the faster below batch {at}, {above} above it."
        place = f"at batch {at}"
    before = f": {below} is the faster before" if {FASTER, SLOWER} & set(ends) else ""
    return f"{below} and {above} change places {place}{before}."


def _ends(row: Row, one: str, other: str) -> str:
    parts = []
    for end, size in (("at_smallest", "smallest_batch_size"), ("at_largest", "largest_batch_size")):
        words = {FASTER: f"{one} is faster", SLOWER: f"{other} is faster", TIE: "they tie"}
        parts.append(f"at batch {fmt.count(row[size])} {words.get(str(row[end]), 'neither is clearly faster')}")
    return fmt.listed(parts)


def family(row: Row, prefix: str = "") -> Family:
    """The family of a row of the models table, or of one side of a row of the crossings table."""
    backend = row[f"{prefix}backend"]
    known = None if fmt.is_missing(backend) else str(backend)
    return Family(str(row[f"{prefix}framework"]), known, str(row[f"{prefix}loop"]))


def _name(view: View, row: Row, prefix: str = "") -> str:
    """``PyTorch fused``, with device and setting where the sweep has several."""
    places = [device_label(str(row[f"{prefix}device"]))] if view.tables.models["device"].nunique() > 1 else []
    settings = _setting(view, row)
    where = ", ".join([*places, *([settings] if settings else [])])
    label = family(row, prefix).label
    return f"{label} ({where})" if where else label


def _setting(view: View, row: Row) -> str:
    cells = view.cells
    same = (cells["workload"] == row["workload"]) & (cells["setting"] == row["setting"])
    return view.setting_of(str(cells.loc[same, "cell_id"].iloc[0]))


def dispatch(row: Row) -> str:
    """The dispatch cost with its interval."""
    return fmt.microseconds_interval(row["dispatch_us"], row["dispatch_us_low"], row["dispatch_us_high"])


def rate(row: Row) -> str:
    """The rate with its interval; where it has no upper end, what it is more than."""
    name = "asymptotic_samples_per_s"
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if fmt.is_missing(high) and not fmt.is_missing(low):
        return f"over {fmt.samples_per_s(low)}"
    return fmt.samples_per_s_interval(value, low, high)


def half_batch(row: Row) -> str:
    """The half-throughput batch with its interval; outside of what was measured only on which side it lies."""
    value, low, high = (row[f"half_batch_size{end}"] for end in ("", "_low", "_high"))
    smallest, largest = row["smallest_batch_size"], row["largest_batch_size"]
    if fmt.is_missing(row["dispatch_us"]):
        return fmt.MISSING
    if fmt.is_missing(value) or value > largest or (fmt.is_missing(high) and not fmt.is_missing(low)):
        return f"over {fmt.count(max(smallest, min(_or(low, largest), largest)))}"
    if value < smallest:
        return f"under {fmt.count(smallest)}"
    return fmt.with_interval(value, low, high)


def _or(value: Any, other: float) -> float:
    return other if fmt.is_missing(value) else float(value)


def _table(view: View) -> DataTable:
    split = len(view.panels) > 1
    models = [(panel, curve, row) for panel in view.panels for curve, row in models_of(view, panel)]
    known = any(not fmt.is_missing(row["deviation"]) for *_, row in models)
    rows = [[*([panel.label] if split else []), curve.label, *_cells(row)] for panel, curve, row in models if known]
    headers = [*(["setting"] if split else []), "loop", *_HEADERS]
    left_out = max(0, len(rows) - _MOST_ROWS)
    return DataTable(headers, rows[:_MOST_ROWS], text_columns=3 if split else 2, left_out=left_out, file="models")


def _cells(row: Row) -> list[str]:
    return [verdict(row), dispatch(row), rate(row), half_batch(row), _off(row), fmt.count(row["n_rounds"])]


def _off(row: Row) -> str:
    """``+28% at 4``: the batch size whose median lies furthest from the model."""
    if fmt.is_missing(row["deviation"]):
        return fmt.MISSING
    return f"{fmt.signed_percent(row['deviation'])} at {fmt.count(row['deviation_batch_size'])}"


def us_per_sample(row: Row) -> float:
    """1 / r of a model that fits, 0 where a step takes as long at every batch size."""
    rate = row["asymptotic_samples_per_s"]
    return 0.0 if fmt.is_missing(rate) else 1e6 / float(rate)


def off_by(row: Row, cell: pd.Series[Any]) -> str:
    """How far a cell's median lies from the model."""
    if not row["fits"]:
        return fmt.MISSING
    rows_per_step = cell["n_train"] / np.ceil(cell["n_train"] / cell["batch_size"])
    modelled = row["dispatch_us"] + rows_per_step * us_per_sample(row)
    return fmt.signed_percent(cell["step_us"] / modelled - 1)


def verdict(row: Row) -> str:
    """``fits``, ``does not fit``, or why nobody can tell."""
    if row["fits"]:
        return "fits"
    return "does not fit" if not fmt.is_missing(row["deviation"]) else fmt.one_line(row["reason"])


def _arithmetic(view: View) -> list[str]:
    """Only what follows from an interval that lies within the measured batch sizes."""
    return [
        f"{curve.label}{f' ({panel.label})' if len(view.panels) > 1 else ''}: {said}."
        for panel in view.panels
        for curve, row in models_of(view, panel)
        if (said := mostly(row))
    ][:_MOST_ADVICE]


def mostly(row: Row) -> str:
    """Where more than half of a step is the one or the other, as far as the interval says so."""
    low, high = row["half_batch_size_low"], row["half_batch_size_high"]
    if fmt.is_missing(low):
        return ""
    smallest, largest = row["smallest_batch_size"], row["largest_batch_size"]
    if low > largest:
        return f"more than half of a step is dispatch at every batch size up to {fmt.count(largest)}"
    parts = []
    if low >= smallest:
        parts.append(f"dispatch up to batch {fmt.count(np.floor(low))}")
    if not fmt.is_missing(high) and high <= largest:
        parts.append(f"arithmetic from batch {fmt.count(np.ceil(max(high, smallest)))} on")
    return f"more than half of a step is {', '.join(parts)}" if parts else ""


def finding(view: View) -> str:
    """What matters about step times: where the model holds, dispatch against dispatch, who changes places."""
    panel = view.panels[0]
    models = models_of(view, panel)
    fitting = [curve.label for curve, row in models if row["fits"]]
    return " ".join([_which_fit(fitting, models), *_costs(view, panel), *_crossings_of(view, panel)]).strip()


def _which_fit(fitting: Sequence[str], models: Sequence[tuple[Family, Row]]) -> str:
    if all(fmt.is_missing(row["deviation"]) for _, row in models):
        return NO_MODEL
    off = [f"{curve.label} ({_off(row)})" for curve, row in models if verdict(row) == "does not fit"]
    few = [curve.label for curve, row in models if fmt.is_missing(row["deviation"])]
    where = "every loop" if len(fitting) == len(models) else fmt.listed(fitting)
    parts = [
        f"To within {fmt.percent(TOLERANCE)}, a step of {where} takes t0 + B / r." if fitting else "",
        f"That does not fit {fmt.listed(off)}: no dispatch cost is given there." if off else "",
        f"Too few batch sizes for it: {fmt.listed(few)}." if few else "",
    ]
    return " ".join(part for part in parts if part)


def _costs(view: View, panel: Panel) -> list[str]:
    """Dispatch of Keras over that of PyTorch, loop by loop; a ratio is said where its interval leaves 1 out."""
    sure, few, alike = list[str](), list[str](), list[str]()
    for row in asked_for_on(view, panel):
        if fmt.is_missing(row["dispatch_ratio"]):
            continue
        ratio, low, high = (row["dispatch_ratio"], row["dispatch_ratio_low"], row["dispatch_ratio_high"])
        one, other = _name(view, row), _name(view, row, "other_")
        if ratio < 1:
            (one, other), (ratio, low, high) = (other, one), (1 / ratio, 1 / high, 1 / low)
        said = f"{fmt.ratio_interval(ratio, low, high)} as much in {one} as in {other}"
        if fmt.is_missing(low):
            few.append(said)
        elif low > 1:
            sure.append(said)
        else:
            alike.append(f"between {one} and {other}")
    return [
        *([f"Dispatch costs {fmt.listed(sure)}."] if sure else []),
        *([f"Dispatch costs about {fmt.listed(few)}, in too few rounds to be sure."] if few else []),
        *([f"What dispatch costs does not clearly differ {fmt.listed(alike)}."] if alike else []),
    ]


def _crossings_of(view: View, panel: Panel) -> list[str]:
    return [said_of(view, row) for row in asked_for_on(view, panel) if row["verdict"] == CROSSES][:_MOST_CROSSINGS]


def asked_for_on(view: View, panel: Panel) -> list[Row]:
    """The same of one panel."""
    keys = {_key(row) for _, row in models_of(view, panel)}
    return [row for row in asked_for(view) if _key(row) in keys and _key(row, "other_") in keys]
