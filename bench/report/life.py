"""How a sweep came about where it was not in one go: its calls, and what of it was run again. Else there is nothing."""

from __future__ import annotations

from collections import Counter
from itertools import starmap

from bench.report import format as fmt
from bench.report.completeness import missing_runs
from bench.report.view import View
from bench.store.sessions import FINISHED, Call, calls_of

_ENDS = {
    FINISHED: "finished",
    "interrupted": "interrupted by the user",
    "terminated": "ended by a signal",
    "budget": "ended by its time budget",
}
_CUT = "ended from outside, or under way"


def to_finish(view: View) -> str:
    """The command that runs what is missing; empty where nothing is."""
    return f"bench sweep --resume results/{fmt.one_line(view.sweep.name)}" if missing_runs(view) else ""


def history(view: View) -> str:
    """The calls that the sweep took and the records that were set aside; empty for one call that ran to its end."""
    calls = calls_of(view.folder)
    aside = len(view.folder.records_set_aside())
    told = []
    if len(calls) == 1 and calls[0].end != FINISHED:
        told.append(f"Its call was {_end(calls[0])}.")
    elif len(calls) > 1:
        ends = Counter(map(_end, calls))
        told.append(f"It was run in {len(calls)} calls: {', '.join(starmap(_counted, ends.items()))}.")
    if aside:
        told.append(f"Set aside and run again: {fmt.plural(aside, 'record')}, kept under aside/ beside the new ones.")
    return " ".join(told)


def _end(call: Call) -> str:
    return _ENDS.get(str(call.end), _CUT)


def _counted(end: str, calls: int) -> str:
    return f"{calls} {end}"
