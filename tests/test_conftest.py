"""The guards around every test do guard."""

import os
import socket

import pytest


def test_a_connection_to_another_machine_fails_loudly() -> None:
    with (
        socket.socket() as outside,
        pytest.raises(AssertionError, match="only loopback is allowed"),
    ):
        outside.connect(("192.0.2.1", 80))


def test_a_connection_to_this_machine_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


def test_no_test_sees_a_key() -> None:
    assert not [name for name in os.environ if name.endswith("_API_KEY")]
