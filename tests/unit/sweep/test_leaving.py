"""Ctrl-C finishes the run under way, a second one does not; a scheduler's signal leaves at once; a budget ends runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from bench.sweep.leaving import Leaving, Left, Why, one_run


@pytest.fixture(autouse=True)
def signals_are_given_back() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


def test_ctrl_c_lets_the_run_under_way_finish(capfd: pytest.CaptureFixture[str]) -> None:
    finished = False
    with Leaving(), pytest.raises(Left) as left, one_run():  # noqa: PT012
        send(signal.SIGINT)
        finished = True
    assert finished
    assert (left.value.code, left.value.at_once) == (130, False)
    assert "Ctrl-C again stops now" in capfd.readouterr().err


def test_a_second_one_does_not_wait() -> None:
    finished = False
    with Leaving(), pytest.raises(Left) as left, one_run():  # noqa: PT012
        send(signal.SIGINT)
        send(signal.SIGINT)
        finished = True
    assert not finished
    assert (left.value.code, left.value.at_once) == (130, True)


def test_between_two_runs_there_is_nothing_to_wait_for() -> None:
    with Leaving():
        with one_run():
            pass
        with pytest.raises(Left) as left:
            send(signal.SIGINT)
        assert not left.value.at_once  # a report is wanted still
        with pytest.raises(Left) as left:
            send(signal.SIGINT)
        assert left.value.at_once


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP"])
def test_a_schedulers_signal_leaves_in_the_middle_of_a_run(name: str) -> None:
    finished = False
    with Leaving(), pytest.raises(Left) as left, one_run():  # noqa: PT012
        send(signal.Signals[name])
        finished = True
    assert not finished
    assert left.value.code == 143


def test_what_somebody_has_a_program_ignore_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Leaving(), one_run():
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_spent_budget_begins_no_further_run_and_ends_none() -> None:
    now_s = 100.0
    with Leaving(10.0, clock=lambda: now_s):
        with one_run():
            now_s = 111.0
        with pytest.raises(Left) as left, one_run():
            raise AssertionError("begun")
    assert left.value.why is Why.BUDGET
    assert left.value.code == 124


def test_without_a_sweep_to_leave_a_run_is_a_run() -> None:
    with one_run():
        ran = True
    assert ran


def test_the_words_tell_how_to_go_on() -> None:
    left = Left(Why.TERMINATED)
    left.resume = "bench sweep --resume results/mine"
    assert str(left) == "terminated: what was measured is kept; to run the rest: bench sweep --resume results/mine"
