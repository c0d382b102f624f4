"""What the functions tell of a failure: which function, the kind of error and where; its text only if it is ours."""

import logging
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import NoReturn

import pytest

from functions import pipeline
from functions.host import told
from shared.errors import TransientError
from shared.liveness import Heartbeats
from shared.model import utc_text
from shared.stores.memory import MemoryObjects

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@told("a_function")
async def fail(error: Exception) -> NoReturn:
    raise error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TransientError("Service Bus: ServiceBusError"), "TransientError: Service Bus: ServiceBusError"),
        (ValueError("kari.nordmann@example.test"), "ValueError"),
    ],
)
async def test_a_failure_is_logged_with_its_place_and_raised_for_the_host(
    error: Exception, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(type(error)):
        await fail(error)
    [record] = caplog.records
    assert record.message.startswith(f"function a_function failed: {text}, at test_functions_host.py:")
    assert record.levelno == logging.ERROR
    assert "kari" not in caplog.text


async def test_what_succeeds_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with told("a_function"):
            pass
    assert caplog.records == []


def test_the_host_sees_the_function_as_it_was_written() -> None:
    assert fail.__name__ == "fail"
    assert fail.__wrapped__.__annotations__ == {"error": Exception, "return": NoReturn}


async def test_a_heartbeat_is_told_by_the_stores_clock_whatever_the_machines_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heartbeats = Heartbeats(objects=MemoryObjects(clock=START))

    async def product() -> SimpleNamespace:
        return SimpleNamespace(heartbeats=heartbeats)

    monkeypatch.setattr(pipeline, "product", product)
    async with pipeline.heartbeat("planner"):
        pass
    [entry] = [each async for each in heartbeats.objects.list()]
    assert entry.metadata["last"] == utc_text(START)


async def test_a_wait_that_a_store_asked_for_is_kept_before_the_message_comes_again() -> None:
    began = time.monotonic()
    with pytest.raises(TransientError):
        await fail(TransientError("Cosmos DB: 503", retry_after=0.1))
    assert time.monotonic() - began >= 0.1
