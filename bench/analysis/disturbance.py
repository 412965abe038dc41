"""What disturbed a run: other programs, the machine's host, heat and limits, from what was recorded beside it."""

from __future__ import annotations

import pandas as pd

from bench.records import NoiseRecord

STEAL_LIMIT = 0.02
"""Processors' worth of time that the host may take of the processors that a run may use."""
OTHERS_LIMIT = 0.2
"""Processors' worth of time that other programs may use of those; half of it where the run's threads need them all.

Neither limit grows with the threads or the processors: a step ends when its last thread does, so what one of them loses
all may lose.
"""
STEAL_SHARE_LIMIT, OTHERS_SHARE_LIMIT = 0.01, 0.10
"""The same as shares of all processors' time: for runs of which no more was recorded."""
LOAD_LIMIT = 0.25
"""Load beyond our own threads, per processor; looked at only where nobody counts processor time."""

WORDS = {
    "others": "other programs",
    "steal": "the virtual machine's host",
    "thermal": "heat",
    "limit": "the control group's CPU limit",
    "load": "load",
    "gpu_temperature": "GPU: temperature",
    "gpu_power": "GPU: power",
    "gpu_hardware": "GPU: slowed by its hardware",
    "gpu_others": "GPU: other programs",
}
"""What can disturb a run, as the column ``disturbance`` names it and as people do."""


def disturbance(noise: NoiseRecord, threads: int) -> str | None:
    """What disturbed a run, by the names in ``WORDS``; None where nothing known did.

    Args:
        noise: what was seen of the machine meanwhile.
        threads: compute threads of the run itself.
    """
    over = {
        "others": _took_over(
            (noise.others_processors, _others_limit(noise, threads)), (noise.others_share, OTHERS_SHARE_LIMIT)
        ),
        "steal": _took_over((noise.steal_processors, STEAL_LIMIT), (noise.steal_share, STEAL_SHARE_LIMIT)),
        "thermal": _over(noise.thermal_throttles, 0),
        "limit": _over(noise.limit_throttles, 0),
        "load": not _counted(noise) and _over(_foreign_load(noise, threads), LOAD_LIMIT),
    }
    over |= {f"gpu_{what}": what in (noise.gpu_slowed_by or "") for what in ("temperature", "power", "hardware")}
    over |= {"gpu_others": _over(noise.gpu_others, 0)}
    return ", ".join(name for name, holds in over.items() if holds) or None


def _over(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _took_over(processors: tuple[float | None, float], share: tuple[float | None, float]) -> bool:
    """Whether a value exceeds its limit: of the processors' worth where that was recorded, else of the share."""
    return _over(*(processors if processors[0] is not None else share))


def _others_limit(noise: NoiseRecord, threads: int) -> float:
    to_spare = noise.processors is None or noise.processors > threads
    return OTHERS_LIMIT if to_spare else OTHERS_LIMIT / 2


def _counted(noise: NoiseRecord) -> bool:
    """Whether somebody counted other programs' processor time."""
    return noise.others_processors is not None or noise.others_share is not None


def _foreign_load(noise: NoiseRecord, threads: int) -> float | None:
    """The run before ours was ours as well."""
    if noise.load_before is None or not noise.processors:
        return None
    return (noise.load_before - threads) / noise.processors


def looked_at(runs: pd.DataFrame) -> pd.Series[bool]:
    """Which runs have any figure that tells of other programs."""
    return runs[["others_processors", "others_share", "steal_share", "load_before"]].notna().any(axis=1)
