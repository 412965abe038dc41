"""A sweep as its reader sees it: the tables with readable names, grouped into curves and panels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from bench.analysis.device_leads import DeviceLead, device_leads
from bench.analysis.steadiness import UNSTEADY
from bench.analysis.tables import Tables
from bench.analysis.verdict import Verdict, reaches_reliably
from bench.cell import flattened
from bench.records import SweepRecord
from bench.report import format as fmt
from bench.report import style
from bench.store.layout import SweepFolder

MOST_PANELS = 4

_FRAMEWORKS = {"pytorch": "PyTorch", "keras": "Keras", "reference": "NumPy reference"}
_BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
_DEVICES = {"cpu": "CPU", "gpu": "GPU", "tpu": "TPU"}
_OPTIMIZERS = {"sgd": "SGD", "momentum": "SGD with momentum", "adam": "Adam"}
_MEASURED = ("ok", "target_not_reached")


@dataclass(frozen=True, order=True)
class Family:
    """What shares one curve over batch sizes: framework, backend and loop (device and workload are the panel's)."""

    framework: str
    backend: str | None
    loop: str

    @property
    def label(self) -> str:
        """``PyTorch eager``, ``Keras compiled``, ``Keras (JAX) fused``."""
        return f"{framework_label(self.framework, self.backend)} {fmt.one_line(self.loop)}"

    @property
    def look(self) -> style.Look:
        """Its colour, marker and dashes."""
        return style.look(self.framework, self.backend, self.loop)


@dataclass(frozen=True)
class Panel:
    """The cells that may share axes: one device, one workload."""

    label: str
    cells: pd.DataFrame

    @property
    def batch_sizes(self) -> list[int]:
        """The batch sizes there are, ascending."""
        return sorted({int(size) for size in self.cells["batch_size"]})

    def size_label(self, batch_size: int) -> str:
        """``full`` for the whole training split, else the number."""
        return "full" if (self.cells["n_train"] == batch_size).any() else fmt.count(batch_size)

    def families(self) -> Iterator[tuple[Family, pd.DataFrame]]:
        """Every curve with its cells, by ascending batch size."""
        for label in sorted(self.cells["family"].unique()):
            group = self.cells[self.cells["family"] == label].sort_values(["batch_size", "cell_id"])
            yield family_of(group.iloc[0]), group


@dataclass(frozen=True)
class View:
    """Everything the report draws on.

    Attributes:
        folder: where the sweep lies.
        sweep: the sweep's own record.
        tables: the tables of ``bench.analysis``.
        verdict: who won, by how much, and who tied.
        cells: ``tables.cells`` with ``family`` (the curve's label), ``panel``, ``measured``, ``reliable`` (missed
            the target in at most one run) and ``unsteady`` (a run of it slows down or has no steady state).
        runs: ``tables.runs`` with ``family``, ``panel``, ``measured`` and ``unsteady``.
    """

    folder: SweepFolder
    sweep: SweepRecord
    tables: Tables
    verdict: Verdict
    cells: pd.DataFrame
    runs: pd.DataFrame

    @cached_property
    def plans(self) -> dict[str, dict[str, Any]]:
        """Every planned cell in full, by its id; controls repeat one of them."""
        return _plans(self.sweep)

    @cached_property
    def panels(self) -> list[Panel]:
        """One per device and workload that has something measured, the fullest first."""
        measured = self.cells[self.cells["measured"]]
        sizes = measured.groupby("panel", sort=True).size().sort_values(ascending=False, kind="stable")
        return [Panel(str(label), measured[measured["panel"] == label]) for label in sizes.index]

    @cached_property
    def _panel_of(self) -> dict[str, str]:
        return dict(zip(self.cells["cell_id"].astype(str), self.cells["panel"].astype(str), strict=True))

    @cached_property
    def unsteady(self) -> frozenset[str]:
        """Ids of the cells that must be marked: a run of theirs slows down or has no steady state."""
        return frozenset(self.cells.loc[self.cells["unsteady"], "cell_id"].astype(str))

    @cached_property
    def device_leads(self) -> tuple[DeviceLead, ...]:
        """The best device against the others, for every workload and question; empty where one device was measured."""
        return device_leads(self.verdict, self.tables.cells, self.tables.runs)

    @cached_property
    def pay_offs(self) -> dict[tuple[str, str], dict[str, dict[str, Any]]]:
        """The rows of ``payoffs`` by cell and other loop, then by start."""
        rows: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        for row in self.tables.payoffs.to_dict("records"):
            found = rows.setdefault((str(row["cell_id"]), str(row["other_loop"])), {})
            found[str(row["start"])] = {str(name): value for name, value in row.items()}
        return rows

    def setting_of(self, cell_id: str) -> str:
        """What tells the cell from others of its family and batch size; empty where nothing needs to."""
        panel = self._panel_of.get(cell_id, "")
        _, _, settings = panel.partition(" · ")
        return settings

    @property
    def shown_panels(self) -> list[Panel]:
        """As many panels as a figure can hold."""
        return self.panels[:MOST_PANELS]

    @property
    def left_out(self) -> str:
        """A sentence on the panels that figures leave out, empty where there are none."""
        extra = len(self.panels) - MOST_PANELS
        return f"{fmt.plural(extra, 'more setting')} of this sweep are in the tables only." if extra > 0 else ""


def view_of(folder: SweepFolder, sweep: SweepRecord, tables: Tables, verdict: Verdict) -> View:
    """The tables with the labels that figures and pages use."""
    cells = with_labels(tables.cells, _plans(sweep))
    labels = cells[["cell_id", "family", "panel"]].drop_duplicates("cell_id")
    runs = tables.runs.merge(labels, on="cell_id", how="left", validate="many_to_one")
    runs["unsteady"] = runs["steadiness"].isin(UNSTEADY)
    runs["measured"] = runs["status"].astype(str).isin(_MEASURED)
    return View(folder=folder, sweep=sweep, tables=tables, verdict=verdict, cells=cells, runs=runs)


def _plans(sweep: SweepRecord) -> dict[str, dict[str, Any]]:
    return {planned.id: planned.cell for planned in sweep.cells if not planned.cell.get("control")}


def family_of(row: pd.Series[Any]) -> Family:
    """The family of a row of ``cells`` or ``runs``."""
    backend = None if fmt.is_missing(row["backend"]) else str(row["backend"])
    return Family(str(row["framework"]), backend, str(row["loop"]))


def framework_label(framework: str, backend: str | None = None) -> str:
    """``PyTorch``, ``Keras`` (on TensorFlow), ``Keras (JAX)``."""
    name = _FRAMEWORKS.get(framework, fmt.one_line(framework))
    if backend in (None, "tensorflow"):
        return name
    return f"{name} ({_BACKENDS.get(str(backend), fmt.one_line(backend))})"


def device_label(device: str) -> str:
    """``CPU``, ``GPU``, ``TPU``."""
    return _DEVICES.get(device, fmt.one_line(device))


def workload_label(cell: dict[str, Any]) -> str:
    """Data, network and optimizer of a planned cell: ``1,000 × 20 teacher, 20-64-1, Adam``."""
    data = cell["data"]
    name = fmt.one_line(data["name"], 30)
    return (
        f"{name} data, {fmt.count(data['n_train'])} × {fmt.count(data['features'])}, "
        f"{fmt.count(data['features'])}-{fmt.count(cell['network']['hidden'])}-1, "
        f"{_OPTIMIZERS.get(cell['optimizer']['name'], fmt.one_line(cell['optimizer']['name']))}"
    )


def budget_label(cell: dict[str, Any]) -> str:
    """Budget and learning-rate policy of a planned cell: ``10 epochs, learning rate 0.001 constant``."""
    policy, rate = cell["lr_policy"], fmt.setting(cell["optimizer"]["lr"])
    rule = {
        "constant": "at every batch size",
        "linear": f"at batch {policy['base_batch_size']}, growing linearly with the batch size",
        "sqrt": f"at batch {policy['base_batch_size']}, growing with the square root of the batch size",
    }.get(policy["name"], fmt.one_line(policy["name"]))
    return f"{fmt.plural(cell['budget']['epochs'], 'epoch')}, learning rate {rate} {rule}"


def conditions(view: View, panel: Panel, *, budget: bool = False, interval: bool = True) -> str:
    """The line under a figure's title: what was trained, how, and how often."""
    cell = view.plans[str(panel.cells.iloc[0]["cell_id"])]
    parts = [
        workload_label(cell),
        *([budget_label(cell)] if budget else []),
        _threads(cell),
        repeats(panel.cells, interval=interval),
    ]
    return " · ".join(parts)


def repeats(cells: pd.DataFrame, *, interval: bool = True) -> str:
    """How many runs stand behind each point, and what the interval is where the figure shows one."""
    least, most = int(cells["n_measured"].min()), int(cells["n_measured"].max())
    number = str(most) if least == most else f"{least} to {most}"
    shown = ", 95 % interval" if cells["samples_per_s_low"].notna().any() else ", no interval below 5 runs"
    return f"median of {number} {'run' if most == 1 else 'runs'}{shown if interval else ''}"


def _threads(cell: dict[str, Any]) -> str:
    return fmt.plural(cell["protocol"]["threads"], "thread")


def with_labels(cells: pd.DataFrame, plans: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """The cells with ``family``, ``panel``, ``measured`` and ``reliable``, see ``View``."""
    settings = _varying_settings(plans)
    labelled = cells.copy()
    labelled["family"] = [family_of(row).label for _, row in cells.iterrows()]
    labelled["panel"] = [
        " · ".join([device_label(str(device)), *settings.get(str(cell_id), [])])
        for cell_id, device in zip(cells["cell_id"], cells["device"], strict=True)
    ]
    labelled["measured"] = cells["samples_per_s"].notna()
    labelled["unsteady"] = cells["n_unsteady"] > 0
    labelled["reliable"] = reaches_reliably(cells) & cells["time_to_target_s"].notna()
    return labelled


def _varying_settings(plans: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """For every cell, the settings beyond family, device and batch size that tell this sweep's cells apart."""
    flat = {id_: _flattened(plan) for id_, plan in plans.items()}
    names: list[str] = []
    for name in sorted({name for plan in flat.values() for name in plan}, key=_telling):
        # A setting that follows from those already named (the rows of a data set, say) tells nothing more.
        if _distinct(flat, [*names, name]) > _distinct(flat, names):
            names.append(name)
    return {id_: [f"{_short(name)}={fmt.one_line(plan.get(name), 24)}" for name in names] for id_, plan in flat.items()}


def _short(name: str) -> str:
    """``optimizer.lr`` is ``lr`` to its reader, ``data.name`` is ``data``."""
    group, _, last = name.rpartition(".")
    return group if last == "name" else last


def _telling(name: str) -> tuple[bool, str]:
    return not name.endswith(".name"), name


def _distinct(flat: dict[str, dict[str, Any]], names: list[str]) -> int:
    return len({tuple(str(plan.get(name)) for name in names) for plan in flat.values()})


_CURVE_AND_AXIS = {"framework", "backend", "loop", "device", "batch_size", "batch_size_label", "python"}


def _flattened(plan: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flattened(plan).items() if name not in _CURVE_AND_AXIS}
