"""How far the same lay apart inside each sweep: what a difference between two sweeps has to exceed at the least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.analysis.across.align import Side
from bench.report import format as fmt
from bench.report.comparison.view import label

_CONTROL = "control"
_MOST_REASONS = 3
_NO_CONTROL = "no cell ran under two names, so nothing says how far two measurements of the same lie apart."


def noise_sentences(sides: Sequence[Side]) -> list[str]:
    """What the controls of each sweep say, and which of them ran on a disturbed machine; empty where nobody looked."""
    return [sentence for side in sides if not side.noise.empty for sentence in _of(side)]


def _of(side: Side) -> Iterator[str]:
    controls = side.noise[(side.noise["check"] == _CONTROL) & side.noise["value"].notna()]
    if len(controls):
        yield f"{label(side)}: {_controls(controls)}"
    else:
        yield f"{label(side)}: {_NO_CONTROL}"
    if reasons := [fmt.one_line(reason, 200) for reason in side.noise.loc[side.noise["alarm"], "reason"]]:
        yield f"{label(side)} was measured on a disturbed machine: {'; '.join(reasons[:_MOST_REASONS])}."


def _controls(controls: pd.DataFrame) -> str:
    """The control that came out furthest from 1."""
    ratios = controls["value"].to_numpy(np.float64)
    worst = controls.iloc[int(np.argmax(np.abs(np.log(ratios))))]
    said = fmt.ratio_interval(worst["value"], worst["low"], worst["high"])
    if len(controls) == 1:
        return f"the same cell under two names came out at {said} of itself."
    return f"of {len(controls)} cells that ran under two names, the worst came out at {said} of itself."
