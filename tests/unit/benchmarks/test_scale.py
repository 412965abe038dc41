"""What the benchmark of scale concludes from a sweep's table of runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.benchmarks.scale import MOST_DATA_SETS, Scaling, overrides, scalings, table

SMALL, LARGE = 1_000_000, 10_000_000
ROW_BYTES = 84


def _runs(label: str = "1024", *, status: str = "ok", data_sets: float = 1.0, times: float = 1.0) -> pd.DataFrame:
    """Two rounds of one loop; the second has no memory pass, and both sizes slow down in it."""
    rows: list[dict[str, Any]] = [
        {
            "framework": "pytorch",
            "backend": None,
            "loop": "eager",
            "batch_size_label": label,
            "n_train": n,
            "round": round_,
            "status": status if n == LARGE else "ok",
            "samples_per_s": 1e6 / (1 + round_) / (times if n == LARGE else 1),
            "baseline_rss_bytes": None if round_ else 3e8 + data_sets * ROW_BYTES * n,
            "peak_rss_bytes": None if round_ else 3e8 + (data_sets + 0.1) * ROW_BYTES * n,
        }
        for round_ in (0, 1)
        for n in (SMALL, LARGE)
    ]
    return pd.DataFrame(rows)


def _only(runs: pd.DataFrame) -> Scaling:
    (scaling,) = scalings(runs)
    return scaling


def test_the_ratio_is_taken_within_a_round_and_the_framework_drops_out_of_memory() -> None:
    scaling = _only(_runs(times=1.05, data_sets=2))
    assert scaling.ratio == pytest.approx(1.05)
    assert scaling.held == pytest.approx(2)
    assert scaling.peak == pytest.approx(2.1)
    assert scaling.faults() == []


def test_more_than_a_tenth_slower_is_a_fault() -> None:
    assert _only(_runs(times=1.2)).faults() == ["slower"]


def test_a_copy_too_many_is_a_fault_where_a_batch_is_small_against_the_data() -> None:
    most = MOST_DATA_SETS - 0.05
    assert _only(_runs(data_sets=most)).faults() == ["too many copies"]
    assert _only(_runs("full", data_sets=most)).faults() == []
    assert _only(_runs("full", data_sets=most + 0.1)).faults() == ["too many copies"]


@pytest.mark.parametrize(("status", "clear"), [("oom", True), ("timeout", True), ("crashed", False), ("error", False)])
def test_an_end_must_say_what_happened(status: str, clear: bool) -> None:
    runs = _runs(status=status)
    runs.loc[runs["n_train"] == LARGE, ["samples_per_s", "baseline_rss_bytes", "peak_rss_bytes"]] = None
    scaling = _only(runs)
    assert (scaling.faults() == []) is clear
    assert (scaling.ratio, scaling.held) == (None, None)
    assert status in table([scaling])[1]


def test_what_cannot_run_here_has_no_line() -> None:
    absent = _runs().assign(status="unavailable", loop="fused")
    assert [scaling.family.loop for scaling in scalings(pd.concat([_runs(), absent]))] == ["eager"]


def test_the_sweep_has_both_sizes_and_keras_groups_by_their_names() -> None:
    asked = argparse.Namespace(rows=500, rounds=1, only=["keras-tensorflow", "keras-jax"], loops="fused", dir=Path("d"))
    settings = overrides(asked, "scale")
    assert "framework=keras,keras_jax" in settings
    assert "data.n=50,500" in settings
