"""The display, driven by a real journal and read back as text."""

import io
import json
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from bench.cell import Cell, DataSpec
from bench.run.progress import Progress, added_text, duration_text, eta_text, percent_text, rate_text
from bench.run.tally import expected_runs
from bench.store import journal
from bench.store.layout import SweepFolder

CELL = "pytorch-eager-cpu-b32-0123456789"
LONGER = "keras-tensorflow-compiled-cpu-b1024-0123456789"
NEVER_S = 3600.0  # only the final look, at the block's end, shows anything


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return SweepFolder(tmp_path)


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def terminal(width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shows(console: Console, text: str) -> bool:
    """Whether the text appears before long."""
    for _ in range(1000):
        if text in text_of(console):
            return True
        time.sleep(0.01)
    return False


def finish(
    folder: SweepFolder, cell_id: str = CELL, round_: int = 0, status: str = "ok", reason: str | None = None
) -> None:
    samples_per_s = 213_987.2 if status == "ok" else None
    journal.append(
        folder, "run_finished", cell_id=cell_id, round=round_, status=status, reason=reason, wall_s=1.23,
        samples_per_s=samples_per_s,
    )  # fmt: skip


def test_each_finished_run_is_one_plain_line(folder: SweepFolder) -> None:
    folder.sweep_json.write_text(json.dumps({"rounds": [[CELL, LONGER]] * 110}))
    console = plain()
    with Progress(folder, 220, console, poll_s=NEVER_S):
        journal.append(folder, "run_started", cell_id=CELL, round=0)
        finish(folder)
        finish(
            folder,
            LONGER,
            status="crashed",
            reason="SIGKILL: a reason much longer than the eighty columns of this console",
        )
    assert text_of(console).splitlines() == [
        "[  1/220] r0 pytorch eager cpu b32                ok  1.2 s  214k samples/s  ETA 4 min",
        "[  2/220] r0 keras tensorflow compiled cpu b1024  crashed  1.2 s  "
        "SIGKILL: a reason much longer than the eighty columns of this console  ETA 4 min",
    ]


def test_the_last_run_leaves_no_time(folder: SweepFolder) -> None:
    console = plain()
    with Progress(folder, 1, console, poll_s=NEVER_S):
        finish(folder)
    assert text_of(console) == "[1/1] r0 pytorch eager cpu b32  ok  1.2 s  214k samples/s\n"


def add_round(folder: SweepFolder, round_: int, *cells: str, **told: object) -> None:
    usual = {"too_wide": 1, "judged": 2, "widest": [CELL], "half_width": 0.0312, "precision": 0.02, "max_rounds": 30}
    journal.append(folder, journal.ROUND_ADDED, round=round_, cells=list(cells), **(usual | told))


def test_an_added_round_is_a_line_that_says_why_and_its_runs_count(folder: SweepFolder) -> None:
    folder.sweep_json.write_text(json.dumps({"rounds": [[CELL, LONGER]]}))
    console = plain()
    with Progress(folder, 2, console, poll_s=NEVER_S):
        finish(folder)
        finish(folder, LONGER)
        add_round(folder, 1, CELL)
        finish(folder, round_=1)
    lines = text_of(console).splitlines()
    assert [line[:6] for line in lines] == ["[1/2] ", "[2/2] ", "r1: ro", "[3/3] "]
    assert lines[2] == "r1: round 2 of at most 30, 1 of 2 wider than 2%, widest: pytorch eager cpu b32 3.2%"


def test_the_time_left_counts_the_round_that_was_added(folder: SweepFolder) -> None:
    folder.sweep_json.write_text(json.dumps({"rounds": [[CELL]]}))
    console = terminal()
    with Progress(folder, 1, console, poll_s=NEVER_S):
        finish(folder)
        add_round(folder, 1, CELL, LONGER)
    assert "1/3" in text_of(console)
    assert "ETA under 5 s" in text_of(console)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            {"round": 9, "too_wide": 3, "judged": 4, "widest": [CELL, LONGER], "half_width": None, "precision": 0.015},
            "r9: round 10, 3 of 4 wider than 1.5%, widest: pytorch eager cpu b32 : keras tensorflow compiled cpu b1024 "
            "no interval yet",
        ),
        ({}, "a round more"),
        ({"round": "x", "widest": 7, "half_width": "wide"}, "a round more"),
    ],
)
def test_an_added_round_in_words_also_where_its_event_is_odd(event: dict[str, object], text: str) -> None:
    assert added_text(event) == text


def test_unavailable_cells_are_one_line_before_the_first_run(folder: SweepFolder) -> None:
    console = plain()
    with Progress(folder, 1, console, poll_s=NEVER_S):
        for device, count in (("gpu", 3), ("tpu", 2)):
            for number in range(count):
                cell_id, reason = f"pytorch-eager-{device}-b{number}-x", f"no {device} driver; buy one"
                journal.append(folder, "run_unavailable", cell_id=cell_id, round=0, reason=reason)
        journal.append(folder, "run_started", cell_id=CELL, round=0)
        finish(folder)
    first, *rest = text_of(console).splitlines()
    assert first == "5 cells unavailable: gpu: no gpu driver (3); tpu: no tpu driver (2)"
    assert len(rest) == 1


def test_a_sweep_in_which_nothing_can_run_says_so(folder: SweepFolder) -> None:
    console = plain()
    with Progress(folder, 0, console, poll_s=NEVER_S):
        journal.append(folder, "run_unavailable", cell_id="pytorch-eager-gpu-b1-x", round=0, reason="no driver")
    assert text_of(console) == "1 cell unavailable: gpu: no driver (1)\n"


def test_runs_of_an_earlier_call_count_and_are_not_shown_again(folder: SweepFolder) -> None:
    finish(folder, round_=0)
    console = plain()
    with Progress(folder, 2, console, poll_s=NEVER_S):
        finish(folder, round_=1)
    assert text_of(console).splitlines() == ["[2/2] r1 pytorch eager cpu b32  ok  1.2 s  214k samples/s"]


def skip(folder: SweepFolder, cell_id: str = LONGER, round_: int = 0) -> None:
    reason = "skipped after oom at batch 512"
    journal.append(folder, "run_unavailable", cell_id=cell_id, round=round_, reason=reason, skipped=True)


def test_a_skipped_run_is_a_line_that_says_why_and_no_failure(folder: SweepFolder) -> None:
    console = plain()
    with Progress(folder, 3, console, poll_s=NEVER_S):
        finish(folder, status="oom", reason="MemoryError")
        skip(folder)
    assert (
        text_of(console)
        .splitlines()[1]
        .startswith("[2/3] r0 keras tensorflow compiled cpu b1024  unavailable  skipped after oom at batch 512")
    )


def test_a_terminal_counts_what_was_skipped_beside_the_failures(folder: SweepFolder) -> None:
    console = terminal()
    with Progress(folder, 3, console, poll_s=NEVER_S):
        finish(folder, status="oom", reason="MemoryError")
        skip(folder)
        skip(folder, round_=1)
    assert "3/3" in text_of(console)
    assert "1 oom, 2 skipped" in text_of(console)


def test_what_is_there_from_before_is_said_with_how_it_ended(folder: SweepFolder) -> None:
    finish(folder, status="oom", reason="MemoryError")
    finish(folder, round_=1)
    skip(folder)
    add_round(folder, 2, CELL)
    console = plain()
    with Progress(folder, 10, console, poll_s=NEVER_S):
        pass
    assert text_of(console) == "[ 3/11] from before: 1 oom, 1 skipped\n"


def test_the_plan_of_the_record_speaks_before_the_first_run_has_ended(folder: SweepFolder) -> None:
    cell = Cell(
        framework="pytorch", loop="eager", device="cpu", batch_size=32, batch_size_label="32",
        data=DataSpec(name="teacher", n_train=1000, n_val=200, features=20),
    )  # fmt: skip
    planned = {"id": cell.id, "cell": cell.to_plain(), "unavailable_reason": None}
    folder.sweep_json.write_text(json.dumps({"rounds": [[cell.id]] * 10_000, "cells": [planned]}))
    console = terminal()
    with Progress(folder, 10_000, console, poll_s=NEVER_S):
        pass
    assert " h " in text_of(console)


@pytest.mark.parametrize("cells", [None, 7, [7], [{"id": "x"}], [{"id": "x", "cell": {}, "unavailable_reason": None}]])
def test_a_record_of_another_kind_expects_nothing(folder: SweepFolder, cells: object) -> None:
    folder.sweep_json.write_text(json.dumps({"rounds": [], "cells": cells}))
    assert expected_runs(folder) == {}


def test_lines_appear_while_the_sweep_runs(folder: SweepFolder) -> None:
    console = plain()
    with Progress(folder, 2, console, poll_s=0.01):
        finish(folder)
        assert shows(console, "[1/2] ")


def test_an_exception_passes_after_everything_was_shown(folder: SweepFolder) -> None:
    console = plain()

    def interrupted() -> None:
        with Progress(folder, 2, console, poll_s=NEVER_S):
            finish(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert text_of(console).startswith("[1/2] ")
    assert "progress" not in [thread.name for thread in threading.enumerate()]


def test_a_display_that_cannot_be_written_does_not_end_the_sweep(
    folder: SweepFolder, caplog: pytest.LogCaptureFixture
) -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    with Progress(folder, 1, Console(file=Closed(), force_terminal=False), poll_s=NEVER_S):
        finish(folder)
    assert "the sweep goes on" in caplog.text


def test_a_terminal_gets_a_bar_with_what_runs_now_and_what_failed(folder: SweepFolder) -> None:
    console = terminal()
    with Progress(folder, 4, console, poll_s=NEVER_S):
        finish(folder)
        finish(folder, round_=1, status="oom", reason="the kernel ended it")
        journal.append(folder, "run_started", cell_id=LONGER, round=1)
    shown = text_of(console)
    assert "2/4" in shown
    assert "ETA under 5 s" in shown
    assert "1 oom" in shown
    assert "r1 keras tensorflow compiled cpu b1024" in shown
    assert "oom  1.2 s  the kernel ended it" in shown
    assert "214k samples/s" not in shown


def test_a_narrow_terminal_keeps_the_count_and_the_time_left_on_one_line(folder: SweepFolder) -> None:
    console = terminal(width=40)
    with Progress(folder, 4, console, poll_s=NEVER_S):
        finish(folder)
        journal.append(folder, "run_started", cell_id=LONGER, round=1)
    last = text_of(console).replace("\x1b[?25h", "").rstrip().rpartition("\x1b[2K")[2]
    assert "1/4 ETA under 5 s" in last
    assert "r1 k" in last
    assert "…" in last
    assert "\n" not in last


def test_a_terminal_is_drawn_again_only_when_something_changed(folder: SweepFolder) -> None:
    console = terminal()
    with Progress(folder, 4, console, poll_s=0.01):
        finish(folder)
        assert shows(console, "1/4")
        drawn = text_of(console).count("1/4")
        time.sleep(0.2)
        assert text_of(console).count("1/4") == drawn


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (0.0, ""), (3.0, "ETA under 5 s"), (7.0, "ETA 5 s"), (54.0, "ETA 55 s"), (55.0, "ETA 1 min"),
        (240.0, "ETA 4 min"), (3600.0, "ETA 1 h 00 min"), (3900.0, "ETA 1 h 05 min"),
    ],
)  # fmt: skip
def test_the_time_left_is_as_coarse_as_it_is_uncertain(seconds: float | None, text: str) -> None:
    assert eta_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, ""), (7.0, "7.00 samples/s"), (999.6, "1.00k samples/s"), (1234.0, "1.23k samples/s"),
        (99_960.0, "100k samples/s"), (213_987.2, "214k samples/s"), (25.44e6, "25.4M samples/s"),
        (1.5e9, "1.50G samples/s"),
    ],
)  # fmt: skip
def test_throughput_has_three_digits(rate: float | None, text: str) -> None:
    assert rate_text(rate) == text


def test_durations_have_tenths() -> None:
    assert [duration_text(seconds) for seconds in (None, 0.04, 12.34)] == ["", "0.0 s", "12.3 s"]


def test_half_widths_have_two_digits_and_are_rounded_up() -> None:
    widths = (0.629, 0.02, 0.0201, 0.0005, 0.0, 1.2)
    assert [percent_text(width) for width in widths] == ["63%", "2.0%", "2.1%", "0.050%", "0%", "120%"]
