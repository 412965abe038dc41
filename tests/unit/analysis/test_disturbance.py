"""What counts as a disturbance of a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bench.analysis.disturbance import disturbance
from tests.synthetic import QUIET_NOISE

OLD: dict[str, Any] = {"others_processors": None, "steal_processors": None}


@pytest.mark.parametrize(
    ("changes", "threads", "disturbed"),
    [
        ({}, 1, None),
        ({"others_processors": 0.21}, 1, "others"),
        ({"others_processors": 0.19}, 1, None),
        ({"others_processors": 0.11}, 2, "others"),  # its threads need both processors
        ({"steal_processors": 0.021}, 1, "steal"),
        # Shares of the whole machine say more or less than the processors that the run may use.
        ({"others_share": 0.9, "steal_share": 0.9}, 1, None),
        ({"processors": 64, "others_share": 0.016, "others_processors": 1.0}, 1, "others"),
        # Of an old record nothing else is known.
        (OLD | {"others_share": 0.11}, 1, "others"),
        (OLD | {"others_share": 0.09}, 2, None),
        (OLD | {"steal_share": 0.011}, 1, "steal"),
        ({"thermal_throttles": 1, "limit_throttles": 2}, 1, "thermal, limit"),
        # Load is asked only where nobody counts processor time, and our own threads are no disturbance.
        ({"load_before": 9.0}, 1, None),
        (OLD | {"load_before": 9.0}, 1, None),
        (OLD | {"load_before": 9.0, "others_share": None}, 1, "load"),
        (OLD | {"load_before": 2.0, "others_share": None}, 2, None),
        (OLD | {"load_before": None, "others_share": None, "steal_share": None, "thermal_throttles": None}, 1, None),
    ],
)
def test_what_disturbs_a_run(changes: dict[str, Any], threads: int, disturbed: str | None) -> None:
    assert disturbance(dataclasses.replace(QUIET_NOISE, **changes), threads) == disturbed
