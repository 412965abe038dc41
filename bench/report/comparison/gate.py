"""Whether anything was lost: what is proven, what no longer runs, what could not be judged, what would be seen.

To the question whether anything was lost there are three answers: yes (a regression is proven, or a cell no longer
runs), not as far as can be seen, and that nothing can be seen. The second is worth as much as is said of how far that
is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bench.analysis.across.align import Side
from bench.analysis.compare import POWER
from bench.analysis.intervals import MIN_RUNS
from bench.errors import UsageError
from bench.records import Status
from bench.report import format as fmt
from bench.report.comparison.view import CompareView, cell_name

LOST = 3
"""Exit code of a gate that found something."""

_MOST_NAMED = 3
_TIMES_IN_10 = f"{10 * POWER:g} times in 10"


def exit_code(view: CompareView) -> int:
    """0 where nobody asked or nothing was found, ``LOST``, or that of a question that cannot be answered."""
    if not view.asked:
        return 0
    if is_lost(view):
        return LOST
    return UsageError.exit_code if _blind(view) else 0


def is_lost(view: CompareView) -> bool:
    """Whether a regression is proven or a cell no longer runs."""
    return len(view.regressions) > 0 or len(view.lost) > 0


def unanswered(view: CompareView) -> UsageError:
    """What to say where of a sweep no cell could be judged, or of none."""
    names = fmt.listed([view.name(side.letter) for side in _blind(view)])
    return UsageError(
        f"--fail-on-regression {view.margin} cannot be answered: no cell of {names} could be judged",
        f"a cell is judged where the baseline and the other sweep measured it in {MIN_RUNS} runs or more each",
        f"sweep the same settings on both sides with protocol.rounds={MIN_RUNS} or more, then compare again",
    )


def sentences(view: CompareView) -> list[str]:
    """All there is to say, the answer first."""
    return [_regression(view), *_no_longer_run(view), *_not_judged(view), *_would_be_found(view)]


def _regression(view: CompareView) -> str:
    """Whether a regression beyond the margin is proven, and in which cells."""
    judged, found = int(view.cells["verdict"].notna().sum()), view.regressions
    if judged == 0:
        return f"No cell could be judged, so whether any regressed by more than {view.margin} is not known."
    if found.empty:
        return f"No regression beyond {view.margin} is proven in {fmt.plural(judged, 'cell')}."
    named = [
        f"{cell_name(row, view.letter(row))}, {fmt.ratio_interval(row['ratio'], row['low'], row['high'])}"
        for _, row in found.head(_MOST_NAMED).iterrows()
    ]
    more = f"; and {len(found) - len(named)} more" if len(found) > len(named) else ""
    return (
        f"A regression beyond {view.margin} is proven in {len(found)} of {fmt.plural(judged, 'cell')}: "
        f"{'; '.join(named)}{more}."
    )


def _no_longer_run(view: CompareView) -> Iterator[str]:
    """Cells that the baseline measured and in which all runs of another sweep failed: no ratio shows them."""
    for side in view.across.others:
        lost = view.lost[view.lost["sweep"] == side.letter]
        if lost.empty:
            continue
        named = [f"{cell_name(row)} ({row['ended']})" for _, row in lost.head(_MOST_NAMED).iterrows()]
        more = f"; and {len(lost) - len(named)} more" if len(lost) > len(named) else ""
        yield (
            f"No longer runs in {view.name(side.letter)}: {'; '.join(named)}{more}. {view.across.base.letter} measured "
            f"{fmt.plural(len(lost), 'such cell')}; that every run fails now is a loss, whatever the margin."
        )


def _not_judged(view: CompareView) -> Iterator[str]:
    """How many of the baseline's cells have neither a verdict nor failed, and why."""
    base = view.across.base
    measured = set(base.cells.loc[base.cells["samples_per_s"].notna(), "cell_id"])
    for side in view.across.others:
        reasons = [*_with_few_runs(view, side), *_apart_of(view, side, measured)]
        number = sum(n for n, _ in reasons)
        if number:
            said = fmt.listed([f"{fmt.plural(n, 'cell')} {why}" for n, why in reasons])
            yield (
                f"{number} of {fmt.plural(len(measured), 'cell')} measured in {base.letter} could not be judged in "
                f"{view.name(side.letter)}: {said}."
            )


def _with_few_runs(view: CompareView, side: Side) -> Iterator[tuple[int, str]]:
    few = view.of(side.letter)
    few = few[few["verdict"].isna()]
    if few.empty:
        return
    failed = side.runs.loc[side.runs["status"].isin([status.value for status in Status if status.failed]), "cell_id"]
    n_failed = int(few["cell_id"].isin(set(failed)).sum())
    some = "" if n_failed == len(few) else f"in {n_failed} of them "
    because = f" ({some}runs failed in {side.letter})" if n_failed else ""
    yield len(few), f"with fewer than {MIN_RUNS} runs in one of the two{because}"


def _apart_of(view: CompareView, side: Side, measured: set[str]) -> Iterator[tuple[int, str]]:
    """The baseline's measured cells that are set apart, by their reason, without those that no longer run."""
    apart = view.across.apart
    chosen = (apart["sweep"] == side.letter) & (apart["of"] == view.across.base.letter) & apart["ended"].isna()
    kinds = Counter(apart.loc[chosen & apart["cell_id"].isin(measured), "kind"])
    yield from ((n, str(kind)) for kind, n in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))


def _would_be_found(view: CompareView) -> Iterator[str]:
    """The size of loss that is found as often as ``POWER`` says, in half of the cells of a sweep and in all of them."""
    for side in view.across.others:
        judged = view.of(side.letter).dropna(subset="verdict").sort_values(["detectable_loss", "cell_id"])
        if judged.empty:
            continue
        where = f" in {side.letter}" if view.several else ""
        half = _loss(judged["detectable_loss"].iloc[(len(judged) - 1) // 2])
        if len(judged) == 1:
            yield f"What would be seen{where}: {_TIMES_IN_10} a loss of {half}."
            continue
        worst = judged.iloc[-1]
        yield (
            f"What would be seen{where}: {_TIMES_IN_10} a loss of {half} in half of the {len(judged)} cells, "
            f"and of {_loss(worst['detectable_loss'])} in the worst, {cell_name(worst)}."
        )


def _loss(size: float) -> str:
    """``8.3% (0.92×)``: a loss of the margin's kind, and the ratio that it is."""
    return f"{fmt.percent_at_most(size)} ({fmt.ratio(1 / (1 + size))})"


def _blind(view: CompareView) -> list[Side]:
    """The sweeps of which no cell could be judged and none is known to have been lost."""
    told = {*view.cells.loc[view.cells["verdict"].notna(), "sweep"], *view.lost["sweep"]}
    return [side for side in view.across.others if side.letter not in told]
