"""Shows a sweep under way from its journal alone, so that it works with every launcher and touches no measured process.

On a terminal: one bar with what runs now, the failures and the time left. Elsewhere: one plain line per finished run,
flushed at once. A thread looks at the journal twice a second and sleeps in between.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from bench.plan.estimate import calibrate
from bench.records import Status
from bench.run.tally import CellName, Event, Tail, Tally, expected_runs, planned_runs
from bench.store.journal import ROUND_ADDED
from bench.store.layout import SweepFolder
from bench.text import for_terminal

POLL_S = 0.5
_CALIBRATION_S = 0.05
_LOG = logging.getLogger(__name__)


class Progress:
    """Follows a sweep's journal while the block runs; every run that ended inside it has been shown when it closes.

    Args:
        folder: the sweep.
        total_runs: runs that ``sweep.json`` plans, those that have ended already included (``--resume``); rounds that
            were added are counted from the journal.
        console: where to; standard output where None.
        poll_s: seconds between two looks at the journal.
    """

    def __init__(
        self, folder: SweepFolder, total_runs: int, console: Console | None = None, *, poll_s: float = POLL_S
    ) -> None:
        self._folder = folder
        self._console = console or Console()
        self._poll_s = poll_s
        self._tally = Tally(total_runs)
        self._tail = Tail(folder.journal)
        self._bar = _make_bar(self._console) if self._console.is_terminal else None
        self._eta = ""
        self._name_width = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> Self:
        """Takes in what the plan expects and what earlier calls did, without showing that run by run."""
        self._tally.durations.expected = expected_runs(self._folder, lambda: calibrate(_CALIBRATION_S))
        for event in self._tail.new_events():
            self._tally.take(event)
        self._tally.forget_running()
        if self._bar is not None:
            self._bar.start()
            self._bar.add_task("", total=self._tally.total, state="", failures="", eta="")
        if endings_text(self._tally):
            self._print(before_text(self._tally))
        self._learn()
        self._draw()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Shows what is still to be shown; an exception of the block passes."""
        self._closing.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.stop()

    def _follow(self) -> None:
        try:
            while not self._closing.wait(self._poll_s):
                self._look()
            self._look()
            self._show_unavailable()
        except OSError as error:  # a closed pipe ends the display, never the sweep
            _LOG.warning("the progress display stopped (%s); the sweep goes on", error)

    def _look(self) -> None:
        shown: list[tuple[str, Event]] = []
        events = self._tail.new_events()
        for event in events:
            if self._tally.take(event) or event.get("event") == ROUND_ADDED:
                shown.append((counter(self._tally.done, self._tally.total), event))
        if self._tally.running or shown:
            self._show_unavailable()
        if shown:
            self._learn()
        for count, event in shown:
            self._show(count, event)
        if events:
            self._draw()

    def _learn(self) -> None:
        """Estimates anew, once per look: the estimate goes through all runs."""
        if not self._tally.planned:
            self._tally.planned = planned_runs(self._folder)
            self._name_width = self._tally.longest_name
        self._eta = eta_text(self._tally.remaining_s())

    def _show(self, count: str, event: Event) -> None:
        if event["event"] == ROUND_ADDED:
            self._print(added_text(event))
            return
        line = f"{count} {run_text(event, self._name_width)}  {self._eta}".rstrip()
        if self._bar is None:
            self._print(line)
        elif status_of(event).failed:
            self._print(line, style="red")

    def _show_unavailable(self) -> None:
        if taken := self._tally.take_unavailable():
            self._print(unavailable_line(taken))

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(Text(for_terminal(line), style=style), soft_wrap=True)

    def _draw(self) -> None:
        if self._bar is None:
            return
        self._bar.update(
            self._bar.task_ids[0],
            total=self._tally.total,
            completed=self._tally.done,
            state=_running_now(self._tally),
            failures=endings_text(self._tally),
            eta=self._eta,
        )
        self._bar.refresh()


class _StateColumn(ProgressColumn):
    """What runs now. On a narrow terminal this and the bar give way, never the count and the time left."""

    def render(self, task: Task) -> Text:
        """One line, cut where the terminal ends."""
        return Text(task.fields["state"], style="dim", no_wrap=True, overflow="ellipsis")


def _make_bar(console: Console) -> Bar:
    return Bar(
        BarColumn(bar_width=24),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[eta]}", markup=False),
        TextColumn("{task.fields[failures]}", style="red", markup=False),
        _StateColumn(table_column=Column()),
        console=console,
        auto_refresh=False,  # we redraw when something has changed: nothing else may run beside a measured child
    )


def _running_now(tally: Tally) -> str:
    names = [f"r{round_} {name}" for (_, round_), name in tally.running.items()]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return names[0] + more if names else ""


def counter(done: int, total: int) -> str:
    """Such as ``[ 12/220]``."""
    return f"[{done:>{len(str(total))}}/{total}]"


def run_text(event: Event, name_width: int = 0) -> str:
    """One finished run, such as ``r0 pytorch eager cpu b32  ok  1.2 s  214k samples/s``, or why it has no figures."""
    status, name = status_of(event), str(CellName.of(event["cell_id"])).ljust(name_width)
    told = rate_text(event.get("samples_per_s")) if status.measured else event.get("reason")
    parts = [f"r{event.get('round', 0)} {name}", status.value, duration_text(event.get("wall_s")), told]
    return "  ".join(part for part in parts if part)


def status_of(event: Event) -> Status:
    """How the run of an event ended; a run that was not started tells of no status."""
    return Status(event.get("status", Status.UNAVAILABLE))


def added_text(event: Event) -> str:
    """An added round, such as ``r6: round 7 of at most 30, 2 of 9 wider than 2%, widest: keras fused cpu b8 3.1%``."""
    try:
        names = " : ".join(str(CellName.of(cell_id)) for cell_id in event["widest"])
        bound = f" of at most {event['max_rounds']}" if event.get("max_rounds") else ""
        reached = "no interval yet" if event["half_width"] is None else percent_text(event["half_width"])
        wide = f"{event['too_wide']} of {event['judged']} wider than {100 * event['precision']:g}%"
        return f"r{event['round']}: round {event['round'] + 1}{bound}, {wide}, widest: {names} {reached}"
    except (KeyError, TypeError):  # written by another version: that there is a round more is all we know
        return "a round more"


def percent_text(fraction: float) -> str:
    """The half-width of an interval in two digits, rounded up as the report does, such as ``3.1%``."""
    percent = 100 * fraction
    decimals = max(0, 1 - math.floor(math.log10(percent))) if percent > 0 else 0
    return f"{math.ceil(percent * 10**decimals - 1e-9) / 10**decimals:.{decimals}f}%"


def unavailable_line(cells: Counter[tuple[str, str]]) -> str:
    """One line for all cells that cannot run; of each reason what is missing, without the advice behind it."""
    causes = Counter[str]()
    for (device, reason), count in cells.items():
        causes[f"{device}: {reason.partition(';')[0]}"] += count
    noun = "cell" if cells.total() == 1 else "cells"
    return f"{cells.total()} {noun} unavailable: " + "; ".join(f"{cause} ({n})" for cause, n in causes.most_common())


def failures_text(failures: Counter[Status]) -> str:
    """Such as ``2 crashed, 1 oom``."""
    return ", ".join(f"{count} {status.value}" for status, count in failures.most_common())


def endings_text(tally: Tally) -> str:
    """Failures and what was skipped, such as ``2 crashed, 1 oom, 4 skipped``."""
    skipped = f"{len(tally.skipped)} skipped" if tally.skipped else ""
    return ", ".join(part for part in (failures_text(tally.failures), skipped) if part)


def before_text(tally: Tally) -> str:
    """How runs of earlier calls ended that have nothing to show for it, ``[ 37/220] from before: 1 oom, 4 skipped``."""
    return f"{counter(tally.done, tally.total)} from before: {endings_text(tally)}"


def eta_text(remaining_s: float | None) -> str:
    """Time left, as coarse as it is uncertain; empty before anything is known and when nothing is left."""
    return f"ETA {_coarse(remaining_s)}" if remaining_s else ""


def _coarse(seconds: float) -> str:
    if seconds < 5:
        return "under 5 s"
    if seconds < 55:
        return f"{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def duration_text(seconds: float | None) -> str:
    """Seconds of one run, to a tenth."""
    return "" if seconds is None else f"{seconds:.1f} s"


def rate_text(samples_per_s: float | None) -> str:
    """Throughput in three digits, such as ``214k samples/s``."""
    if samples_per_s is None:
        return ""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if samples_per_s >= 0.9995 * size:
            return f"{_three_digits(samples_per_s / size)}{suffix} samples/s"
    return f"{_three_digits(samples_per_s)} samples/s"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"
