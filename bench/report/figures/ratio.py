"""PyTorch's speed over Keras', loop by batch size: who is faster where, by how much, and where that cannot be said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.analysis.compare import TIE_MARGIN
from bench.report import format as fmt
from bench.report import style
from bench.report.figures.base import DataTable, FigureKind, figure_with_title, row_of_least, row_of_most
from bench.report.figures.datatables import MOST_ROWS
from bench.report.view import View, conditions, framework_label

_TITLE = "PyTorch over Keras: ratio of throughputs"
_MOST_ROWS = 10
_MOST_COLUMNS = 14
_MOST_SENTENCES = 4
_ROW_IN = 0.62
# Below this, both colours would be nearly white and the scale would dramatise noise.
_LEAST_LOG2 = 1
_MARKS = {"tie": "tie", "inconclusive": "open", "faster": "", "slower": ""}
# Keras' blue over a light grey to PyTorch's vermillion: the families' own colours, safe for every colour blindness.
# One step beside them, because a page in the dark lightens the families' colours and must leave these squares alone.
_DIVERGING = LinearSegmentedColormap.from_list("blue_vermillion", ["#0071b1", "#f2f2f2", "#d45d00"], N=65)
# Relative luminance at which dark and white text are equally readable.
_EQUAL_CONTRAST = 0.22


def _draw(view: View) -> SubFigure | str:
    shown = _shown(view)
    if shown.empty:
        return "PyTorch and Keras were not both measured in any loop at any batch size, so there is no ratio to show."
    ratios = _grid(shown, "ratio")
    figure = figure_with_title(_TITLE, _subtitle(view), height=1.15 + _ROW_IN * len(ratios))
    axes = figure.subplots()
    _draw_squares(axes, ratios.astype("float64").map(math.log2), _annotations(shown, ratios), view)
    return figure


def _draw_squares(axes: Axes, logs: pd.DataFrame, texts: pd.DataFrame, view: View) -> None:
    # Symmetric limits put 1 in the middle; seaborn's own `center` calls what this matplotlib deprecates.
    limit = max(_LEAST_LOG2, math.ceil(float(np.nanmax(logs.abs().to_numpy(np.float64)))))
    sns.heatmap(
        logs, ax=axes, cmap=_DIVERGING, vmin=-limit, vmax=limit, annot=texts, fmt="", linewidths=1.5,
        linecolor=style.CARD, annot_kws={"fontsize": style.TEXT_PT, "linespacing": 1.15}, rasterized=False,
        cbar_kws={"pad": 0.015, "aspect": 9},
    )  # fmt: skip
    axes.set(xlabel=f"batch size (samples per step{_full_size(view)})", ylabel="")
    axes.tick_params(length=0)
    axes.set_yticklabels(logs.index, rotation=0)
    axes.set_xticklabels([_size_label(view, int(size)) for size in logs.columns], rotation=0)
    axes.grid(visible=False)
    _readable_texts(axes)
    _label_scale(axes.collections[0].colorbar, limit)


def _power_of_two(power: float) -> str:
    """``4×``, ``1/4×``."""
    return f"{fmt.setting(2.0**power)}×" if power >= 0 else f"1/{fmt.setting(2.0**-power)}×"


def _readable_texts(axes: Axes) -> None:
    colours = np.asarray(axes.collections[0].get_facecolor(), dtype=np.float64)
    filled = [text for text in axes.texts if text.get_text()]
    for text in filled:
        column, row = (int(place) for place in text.get_position())
        square = row * len(axes.get_xticklabels()) + column
        text.set_color("#1a1a1a" if relative_luminance(colours[square].tolist()) > _EQUAL_CONTRAST else "#ffffff")


def relative_luminance(colour: Sequence[float]) -> float:
    """Of an sRGB colour with components from 0 to 1, as WCAG 2 defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _label_scale(scale: Colorbar | None, limit: int) -> None:
    if scale is None:
        return
    step = max(1, math.ceil(limit / 2))
    ticks = [power for power in range(-limit, limit + 1) if power % step == 0]
    scale.locator = FixedLocator(ticks)
    scale.formatter = FuncFormatter(lambda power, _position: _power_of_two(power))
    scale.ax.yaxis.set_minor_locator(NullLocator())
    scale.set_label("PyTorch / Keras (ratio of samples/s)\nKeras faster  ←  1×  →  PyTorch faster", fontsize=9)
    # As drawn by default it is a raster image, which scales badly and would be a second file inside the page.
    scale.solids.set(rasterized=False, edgecolor="face")  # type: ignore[union-attr]
    scale.outline.set_visible(False)
    scale.update_ticks()


def _shown(view: View) -> pd.DataFrame:
    """The comparisons of the fullest setting, rows named, where there is a ratio at all."""
    comparisons = view.tables.comparisons
    if comparisons.empty or not view.panels:
        return comparisons.iloc[:0]
    panel_of = view.cells.set_index("cell_id")["panel"]
    placed = comparisons.assign(panel=comparisons["numerator_cell_id"].map(panel_of))
    known = placed[placed["ratio"].notna()]
    fullest = known[known["panel"] == known["panel"].mode().iloc[0]] if len(known) else known
    several = fullest["denominator"].nunique() > 1
    return fullest.assign(row=[_row_label(row, several) for _, row in fullest.iterrows()])


def _row_label(row: pd.Series[Any], several: bool) -> str:
    framework, _, backend = str(row["denominator"]).partition("-")
    against = f" / {framework_label(framework, backend or None)}" if several else ""
    loop = "fastest of each" if row["loop"] == "fastest" else fmt.one_line(row["loop"], 24)
    return f"{loop}{against}"


def _grid(shown: pd.DataFrame, column: str) -> pd.DataFrame:
    grid = shown.pivot_table(index="row", columns="batch_size", values=column, aggfunc="first", sort=True)
    ordered = sorted(grid.index, key=lambda label: (label.startswith("fastest"), label))
    return grid.reindex(index=ordered[:_MOST_ROWS], columns=_spread([int(size) for size in grid.columns]))


def _spread(sizes: list[int]) -> list[int]:
    if len(sizes) <= _MOST_COLUMNS:
        return sizes
    places = np.linspace(0, len(sizes) - 1, _MOST_COLUMNS).round().astype(int)
    return [sizes[place] for place in places]


def _annotations(shown: pd.DataFrame, ratios: pd.DataFrame) -> pd.DataFrame:
    texts = shown.assign(text=[_square_text(row) for _, row in shown.iterrows()])
    grid = texts.pivot_table(index="row", columns="batch_size", values="text", aggfunc="first")
    return grid.reindex(index=ratios.index, columns=ratios.columns).fillna("")


def _square_text(row: pd.Series[Any]) -> str:
    mark = _MARKS.get(str(row["verdict"]), "")
    if not fmt.is_missing(row["more_rounds"]):
        # A square is as wide as nine characters.
        space = " " if row["more_rounds"] < 100 else "\n"
        mark = f"{mark}{space}+{fmt.rough_count(row['more_rounds'])}"
    value = fmt.ratio(row["ratio"], row["low"], row["high"])
    value = fmt.marked(value, row["unsteady"])
    return f"{value}\n{mark}" if mark else value


def _subtitle(view: View) -> str:
    margin = fmt.stated_percent(TIE_MARGIN)
    marks = f"tie: within {margin} of 1 for certain · open: neither a difference nor a tie is certain"
    marks += ", +12: about 12 more rounds would settle it" if _shown(view)["more_rounds"].notna().any() else ""
    marks += f" · {fmt.UNSTEADY_NOTE}" if (_shown(view)["unsteady"] > 0).any() else ""
    return f"{conditions(view, view.panels[0])} · {marks}"


def _size_label(view: View, size: int) -> str:
    return view.panels[0].size_label(size)


def _full_size(view: View) -> str:
    full = [size for size in view.panels[0].batch_sizes if _size_label(view, size) == "full"]
    return f"; full = {full[0]:,}" if full else ""


def _finding(view: View) -> str:
    rows = list(_shown(view).groupby("row", sort=False))
    ordered = sorted(rows, key=lambda pair: (not str(pair[0]).startswith("fastest"), str(pair[0])))
    sentences = [_row_finding(str(label), row) for label, row in ordered[:_MOST_SENTENCES]]
    return " ".join([*sentences, *_unsteady(_shown(view))])


def _unsteady(shown: pd.DataFrame) -> list[str]:
    marked = int((shown["unsteady"] > 0).sum())
    of = f"{fmt.count(marked)} of {fmt.plural(len(shown), 'ratio')}"
    return [f"{fmt.UNSTEADY} {of}: a run of either side slows down or has no steady state."] if marked else []


def _row_finding(label: str, row: pd.DataFrame) -> str:
    verdicts = row["verdict"].value_counts()
    parts = [
        f"{words} at {fmt.plural(int(verdicts[name]), 'batch size')}"
        for name, words in (
            ("faster", "PyTorch is faster"), ("slower", "Keras is faster"), ("tie", "they tie"),
            ("inconclusive", "the rounds do not settle it"),
        )
        if name in verdicts
    ]  # fmt: skip
    if row["more_rounds"].notna().any():
        parts[-1] += f" ({fmt.more_rounds(*row['more_rounds'])} would)"
    head = label.replace("fastest of each", "Each framework's fastest loop against the other's")
    return f"{head[:1].upper()}{head[1:]}: {fmt.listed(parts)}. {_extremes(row)}"


def _extremes(judged: pd.DataFrame) -> str:
    low, high = row_of_least(judged, "ratio"), row_of_most(judged, "ratio")
    if len(judged) == 1:
        return f"The ratio is {_ratio(low)}."
    return (
        f"The ratio runs from {_ratio(low)} at batch {fmt.count(low['batch_size'])} "
        f"to {_ratio(high)} at batch {fmt.count(high['batch_size'])}."
    )


def _ratio(row: pd.Series[Any]) -> str:
    return fmt.ratio_interval(row["ratio"], row["low"], row["high"])


def _verdict(row: pd.Series[Any]) -> str:
    missing = fmt.more_rounds(row["more_rounds"])
    return f"{row['verdict']}: {missing}" if missing else str(row["verdict"])


def _table(view: View) -> DataTable:
    shown = _shown(view)
    rows = [
        [
            str(row["row"]), f"{row['numerator_loop']} / {row['denominator_loop']}", fmt.count(row["batch_size"]),
            fmt.marked(_ratio(row), row["unsteady"]), fmt.p_value(row["p_holm"]), _verdict(row),
            fmt.count(row["n_pairs"]),
        ]
        for _, row in shown.head(MOST_ROWS).iterrows()
    ]  # fmt: skip
    headers = ["row", "loops", "batch size", "PyTorch / Keras", "p (Holm)", "verdict", "rounds"]
    return DataTable(headers, rows, text_columns=2, left_out=max(0, len(shown) - MOST_ROWS))


RATIO = FigureKind("speed_ratio", _TITLE, _draw, _finding, _table)
