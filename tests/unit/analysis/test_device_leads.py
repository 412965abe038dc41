"""Devices against each other: the best cell of each, inside rounds, and no more certainty than the runs give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench.analysis.verdict as verdicts
from bench.analysis.compare import FASTER, TIE, Comparisons, compare
from bench.analysis.device_leads import DeviceLead, device_leads
from bench.analysis.tables import Tables, build_tables
from bench.analysis.verdict import FASTEST_PER_SAMPLE, FASTEST_TO_TARGET, Choice, Finding, Verdict, verdict
from bench.cell import Cell
from bench.store.reader import read_sweep
from tests.synthetic import make_sweep


def gpu_takes(times: float) -> Callable[[Cell, float], float]:
    return lambda cell, _passed: times if cell.device == "gpu" else 1.0


def sweep_of(path: Path, **recipe: Any) -> tuple[Verdict, Tables]:
    usual: dict[str, Any] = dict(
        loops=["eager"], batch_sizes=[32, 256], devices=["cpu", "gpu"], available=["cpu", "gpu"], failures=False,
        noise=0.005,
    )  # fmt: skip
    folder = make_sweep(path / "s", **(usual | recipe))
    tables = build_tables(folder)
    return verdict(tables, read_sweep(folder)), tables


def leads_of(path: Path, **recipe: Any) -> dict[str, DeviceLead]:
    found, tables = sweep_of(path, **recipe)
    return {lead.kind: lead for lead in device_leads(found, tables.cells, tables.runs)}


@pytest.mark.parametrize("times", [0.25, 4.0])
def test_the_fastest_device_and_by_how_much(tmp_path: Path, times: float) -> None:
    found = leads_of(tmp_path, slowdown=gpu_takes(times))
    best, other = ("gpu", "cpu") if times < 1 else ("cpu", "gpu")
    assert set(found) == {FASTEST_PER_SAMPLE, FASTEST_TO_TARGET}
    for lead in found.values():
        assert lead.devices == [best, other]
        (rival,) = lead.rivals
        assert rival.verdict == FASTER
        assert rival.ratio == pytest.approx(4.0, rel=0.02)
        assert rival.ratio is not None
        assert rival.low is not None
        assert rival.low < rival.ratio
        assert rival.n == 5


def test_equal_devices_tie(tmp_path: Path) -> None:
    lead = leads_of(tmp_path)[FASTEST_PER_SAMPLE]
    assert [rival.verdict for rival in lead.rivals] == [TIE]


@pytest.mark.parametrize("recipe", [{"devices": ["cpu"]}, {"available": ["cpu"]}, {"devices": []}])
def test_one_device_leads_nothing(tmp_path: Path, recipe: dict[str, Any]) -> None:
    assert leads_of(tmp_path, **recipe) == {}


def test_few_rounds_claim_nothing(tmp_path: Path) -> None:
    (rival,) = leads_of(tmp_path, slowdown=gpu_takes(0.25), rounds=2)[FASTEST_PER_SAMPLE].rivals
    assert rival.low is None
    assert not rival.beaten


def test_three_devices_stand_in_order(tmp_path: Path) -> None:
    takes = {"cpu": 1.0, "gpu": 0.5, "tpu": 0.25}
    three = ["cpu", "gpu", "tpu"]
    lead = leads_of(tmp_path, devices=three, available=three, slowdown=lambda cell, _: takes[cell.device])[
        FASTEST_PER_SAMPLE
    ]
    assert lead.devices == ["tpu", "gpu", "cpu"]
    assert [rival.ratio for rival in lead.rivals] == [pytest.approx(2, rel=0.02), pytest.approx(4, rel=0.02)]


def test_a_device_that_never_gets_to_the_target_is_named_as_such(tmp_path: Path) -> None:
    found, tables = sweep_of(tmp_path)
    findings = tuple(
        replace(f, winner=None) if (f.kind, f.device) == (FASTEST_TO_TARGET, "cpu") else f for f in found.findings
    )
    _, lead = device_leads(replace(found, findings=findings), tables.cells, tables.runs)
    assert (lead.winner.device, lead.rivals, lead.without) == ("gpu", (), ("cpu",))


def test_the_family_is_every_cell_on_any_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = list[int]()

    def counted(values: pd.DataFrame, above: list[str], below: list[str], *, chosen: bool) -> Comparisons:
        sizes.append(len(above))
        assert chosen
        return compare(values, above, below, chosen=chosen)

    found, tables = sweep_of(tmp_path, slowdown=gpu_takes(0.25))
    monkeypatch.setattr(verdicts, "compare", counted)
    device_leads(found, tables.cells, tables.runs)
    reached = int((tables.cells["n_reached"] > 0).sum())
    assert sizes == [len(tables.cells) - 1, reached - 1]


def choice(device: str, value: float) -> Choice:
    return Choice(
        cell_id=device, framework="pytorch", backend=None, loop="eager", device=device, batch_size=32,
        batch_size_label="32", value=value, low=None, high=None, n=5,
    )  # fmt: skip


def test_the_winner_is_never_proven_slower_than_another_device() -> None:
    """Rounds that only the CPU has may spoil its median; beside the GPU it was faster."""
    gpu, cpu = [100.0, 101, 102, 103, 104], [110.0, 111, 113, 113, 115, 60, 60, 61, 61, 62]
    runs = pd.DataFrame(
        {"cell_id": ["gpu"] * 5 + ["cpu"] * 10, "round": [*range(5), *range(10)], "samples_per_s": gpu + cpu}
    ).assign(status="ok", target_loss=np.nan, time_to_target_s=np.nan, training_s=1.0)
    cells = pd.DataFrame(
        {"cell_id": ["gpu", "cpu"], "workload": "w", "n_measured": [5, 10], "samples_per_s": [102.0, 86.0]}
    )
    findings = tuple(
        Finding(kind=FASTEST_PER_SAMPLE, device=device, workload="w", quantity="samples_per_s",
                winner=choice(device, value))
        for device, value in (("cpu", 86.0), ("gpu", 102.0))
    )  # fmt: skip
    (lead,) = device_leads(Verdict(findings=findings, best_per_framework=(), recommendations=()), cells, runs)
    assert lead.devices == ["cpu", "gpu"]
    assert lead.rivals[0].beaten
