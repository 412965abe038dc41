"""A comparison on a terminal or in a log: a line per cell, the verdict, what was lost, where the page is."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report import format as fmt
from bench.report.comparison import gate, story
from bench.report.comparison.folder import ComparisonFolder
from bench.report.comparison.page import verdict_text
from bench.report.comparison.view import CompareView, once, size_label
from bench.report.view import family_of

_MOST_ROWS = 60


def print_comparison(view: CompareView, folder: ComparisonFolder, console: Console) -> None:
    """Prints a comparison so that it reads well without colour and in 80 columns."""
    if len(view.cells):
        console.print(_cells_table(view))
    # Text, never markup: names and reasons are foreign and may hold square brackets.
    for side in view.across.others:
        console.print(Text(f"{story.headline(view, side.letter)} {story.details(view, side.letter)}".rstrip()))
    for sentence in [*gate.sentences(view), *_apart(view)]:
        console.print(Text(sentence))
    console.print(Text(f"Comparison: {folder.html}"), soft_wrap=True)


def _cells_table(view: CompareView) -> Table:
    ordered = view.cells.sort_values(["sweep", "panel", "family", "batch_size", "cell_id"])
    more = len(ordered) - _MOST_ROWS
    caption = f"{fmt.plural(more, 'more cell')} in compare.html" if more > 0 else None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, caption=caption, caption_justify="left")
    several = view.cells["panel"].nunique() > 1
    for header in [*(["sweep"] if view.several else []), "loop", *(["on"] if several else [])]:
        table.add_column(header, overflow="fold")
    for header in ("batch", "speed-up", "A: samples/s"):
        table.add_column(header, justify="right")
    table.add_column("verdict", overflow="fold")
    for _, row in ordered.head(_MOST_ROWS).iterrows():
        which = [*([str(row["sweep"])] if view.several else []), family_of(row).label]
        rate = fmt.samples_per_s(
            row["samples_per_s_base"], row["samples_per_s_base_low"], row["samples_per_s_base_high"]
        )
        texts = [*which, *([str(row["panel"])] if several else []), size_label(row),
                 fmt.ratio_interval(row["ratio"], row["low"], row["high"]), rate.removesuffix(" samples/s"),
                 verdict_text(row)]  # fmt: skip
        table.add_row(*map(Text, texts))
    return table


def _apart(view: CompareView) -> list[str]:
    """How many cells were set apart, by their reason."""
    apart = once(view.across.apart, view.across.base.letter)
    lines = []
    for side in view.across.others:
        kinds = apart.loc[apart["sweep"] == side.letter, "kind"].value_counts(sort=True)
        if len(kinds):
            said = [
                f"{fmt.plural(int(n), 'cell')} {kind}" for kind, n in sorted(kinds.items(), key=lambda k: (-k[1], k[0]))
            ]
            lines.append(f"Not compared with {view.name(side.letter)}: {fmt.listed(said)}.")
    return lines
