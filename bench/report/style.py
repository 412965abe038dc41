"""Colours, markers and line styles: one look per framework and loop, told apart without colour, in light and in dark.

The framework (with its backend) has the colour and the marker, the loop has the dashes: the same in every figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import seaborn as sns

# Widths of figures in inches; at 72 pt to the inch and 96 px on a screen 10 in are 960 px, so text keeps its size.
FULL_WIDTH = 10.0
TEXT_PT = 9.5

INK = "#1f2328"
MUTED = "#59636e"
GRID = "#d8dee4"
CARD = "#fefefe"

# Okabe and Ito's palette (Color Universal Design, 2008), which stays distinct under every common colour blindness.
VERMILLION = "#d55e00"
BLUE = "#0072b2"
GREEN = "#009e73"
PURPLE = "#cc79a7"
ORANGE = "#e69f00"
SKY = "#56b4e9"
GREY = "#7a828a"
PALETTE = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, GREY)

# Every colour of a figure has a variable in the page, so that a page in the dark can lighten it.
CSS_VARIABLES: Mapping[str, str] = {
    INK: "--ink", MUTED: "--muted", GRID: "--rule", CARD: "--card",
    VERMILLION: "--vermillion", BLUE: "--blue", GREEN: "--green", PURPLE: "--purple",
    ORANGE: "--orange", SKY: "--sky", GREY: "--grey",
}  # fmt: skip

_FRAMEWORKS = {
    ("pytorch", None): (VERMILLION, "o"),
    ("keras", "tensorflow"): (BLUE, "s"),
    ("keras", "jax"): (GREEN, "^"),
    ("keras", "torch"): (PURPLE, "D"),
    ("reference", None): (GREY, "v"),
}
_SPARE_FRAMEWORKS = ((ORANGE, "P"), (SKY, "X"), (ORANGE, "p"), (SKY, "h"))
_LOOPS: Mapping[str, tuple[float, ...]] = {
    "idiomatic": (),
    "eager": (5, 2),
    "compiled": (6, 2, 1, 2),
    "fused": (1, 1.4),
}
_SPARE_LOOPS = ((3, 1, 1, 1, 1, 1), (8, 2), (2, 2))


@dataclass(frozen=True)
class Look:
    """How a family is drawn: ``dashes`` as matplotlib and seaborn take them, empty for a solid line."""

    colour: str
    marker: str
    dashes: tuple[float, ...]

    @property
    def linestyle(self) -> Any:
        """The dashes in the form that matplotlib's own lines take."""
        return (0, self.dashes) if self.dashes else "-"


def look(framework: str, backend: str | None, loop: str) -> Look:
    """The look of a family; what has no look of its own yet gets a spare one by its name."""
    colour, marker = _FRAMEWORKS.get((framework, backend)) or _spare(_SPARE_FRAMEWORKS, f"{framework} {backend}")
    dashes = _LOOPS[loop] if loop in _LOOPS else _spare(_SPARE_LOOPS, loop)
    return Look(colour, marker, dashes)


@contextmanager
def drawing() -> Iterator[None]:
    """The settings every figure is drawn and saved under; nothing of the caller's own settings leaks in or out."""
    with mpl.rc_context(), sns.axes_style("ticks"):
        for name, value in _settings().items():
            mpl.rcParams[name] = value
        yield


def _spare(choices: tuple[Any, ...], name: str) -> Any:
    # Not hash(): Python salts it per process and the figures would differ from build to build.
    return choices[sum(name.encode()) % len(choices)]


def _settings() -> dict[Any, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "bench",
        "text.parse_math": False,
        "axes.formatter.use_mathtext": False,
        "font.family": ["DejaVu Sans"],
        "font.size": TEXT_PT,
        "axes.titlesize": TEXT_PT,
        "axes.labelsize": TEXT_PT,
        "xtick.labelsize": TEXT_PT - 0.5,
        "ytick.labelsize": TEXT_PT - 0.5,
        "legend.fontsize": TEXT_PT,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.edgecolor": MUTED,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.grid": True,
        "grid.color": GRID,
        "grid.linewidth": 0.7,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "xtick.major.width": 0.8,
        "ytick.major.width": 0.8,
        "lines.linewidth": 1.8,
        "lines.markersize": 5.5,
        "legend.frameon": False,
        "figure.facecolor": CARD,
        "axes.facecolor": CARD,
        "savefig.facecolor": CARD,
        "figure.dpi": 72,
    }
