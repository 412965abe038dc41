"""What holds for every test: examples that repeat, no network, and one folder of compiled programs."""

from __future__ import annotations

import ipaddress
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
    """Settles the folder before xdist starts its workers, which inherit the variable that names it."""
    stack = ExitStack()
    stack.enter_context(kept_for_this_session())
    config.add_cleanup(stack.close)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One test worker runs what imports a framework; what is slow here starts processes of its own and may be apart."""
    for item in items:
        folder = item.path.parent
        if folder.parent.name == "engines" and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.xdist_group(folder.name))


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
