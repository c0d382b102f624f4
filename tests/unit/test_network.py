"""Unit tests run with the network cut (tests/conftest.py)."""

import asyncio
import socket

import pytest
from pytest_socket import SocketBlockedError


def test_a_unit_test_cannot_open_a_socket() -> None:
    with pytest.raises(SocketBlockedError):
        socket.create_connection(("127.0.0.1", 9))


async def test_a_unit_test_can_run_an_event_loop() -> None:
    await asyncio.wait_for(asyncio.to_thread(lambda: None), 5)
