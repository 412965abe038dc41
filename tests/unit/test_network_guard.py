"""Tests stay on this machine."""

from __future__ import annotations

import socket

import pytest


def test_a_connection_to_another_machine_is_refused() -> None:
    with socket.socket() as client, pytest.raises(Exception, match=r"must not connect to 192\.0\.2\.1"):
        client.connect(("192.0.2.1", 9))


def test_a_connection_to_this_machine_is_made() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        assert client.getpeername() == server.getsockname()
