"""What holds for every test: who runs it, examples that repeat, no network, and one folder of compiled programs."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings

from tests.contract.programs import kept_for_this_session

# The same examples on every machine and every run; `--hypothesis-profile=explore` looks for new ones.
# No deadlines: the machine is shared with the other test workers.
settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Settles the folder before xdist starts its workers, which inherit the variable that names it, and their order."""
    # Inductor's wrapper around its kernels takes longer to compile than they do; here nothing depends on its speed.
    os.environ.setdefault("AOT_INDUCTOR_COMPILE_WRAPPER_OPT_LEVEL", "O0")
    config.option.loadscopereorder = False  # groups of many tests first, whatever they take: ours are in order already
    stack = ExitStack()
    stack.enter_context(kept_for_this_session())
    config.add_cleanup(stack.close)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Which test worker runs what: a group's tests are one worker's, and whole groups and long tests start early.

    What is left are many short tests, so that no worker is left alone at the end.
    """
    for item in items:
        _join_the_group_of_its_folder(item)
    yield  # pytest itself puts first what shares a fixture of the session
    if hasattr(config, "workerinput"):  # this is one of several workers
        items.sort(key=lambda item: (item.get_closest_marker("slow") is None, not _groups_of(item)))
        for item in items:
            _show_its_group(item)


def _join_the_group_of_its_folder(item: pytest.Item) -> None:
    """What shares an expensive thing: an imported framework with its compiled engines, a sweep with its report."""
    folder = item.path.parent
    if folder.parent.name == "engines" or folder.name in ("analysis", "report", "golden"):
        item.add_marker(pytest.mark.xdist_group(folder.name))


def _show_its_group(item: pytest.Item) -> None:
    """In the test's id, where the scheduler looks for it.

    To do so is pytest-xdist's work, but 3.8 writes it where pytest 9.2 does not read it, and nothing fails: every
    worker imports every framework (https://github.com/pytest-dev/pytest-xdist/issues/1386).
    """
    if groups := _groups_of(item):
        item._id = type(item._id).parse(f"{item.nodeid}@{'_'.join(groups)}")


def _groups_of(item: pytest.Item) -> list[str]:
    return sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before fixtures, which compile as well."""
    _let_pytorch_compile_untold()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Before the test."""
    _let_pytorch_compile_untold()


def _let_pytorch_compile_untold() -> None:
    """Its compiler writes out every graph it makes as soon as anyone listens, and pytest does: up to half of the time.

    Pytest's logging hands a handler of its own to each logger that does not propagate, once for every phase of a test.
    """
    logging.getLogger("torch.__trace").handlers.clear()


@pytest.fixture(autouse=True, scope="session")
def _can_be_interrupted() -> None:
    """A shell in the background has Ctrl-C ignored, and nohup SIGHUP; so would every process that a test starts."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


class NetworkForbidden(Exception):
    """A test tried to leave this machine."""


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Sockets of this process reach this machine only."""
    with pytest.MonkeyPatch.context() as patch:
        for verb in ("connect", "connect_ex"):
            patch.setattr(socket.socket, verb, _local_only(getattr(socket.socket, verb)))
        yield


def _local_only(verb: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_local(address[0]):
            raise NetworkForbidden(f"tests must not connect to {address[0]}")
        return verb(self, address)

    return guarded


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
