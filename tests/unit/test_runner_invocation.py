"""One call of a function: its outcome, and a log line without any text that could quote a message."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from local.runner.app import Function, Timer
from local.runner.invocation import invoke
from local.runner.schedule import Schedule

SECRET = "name@example.org"


def function(handler: Callable[..., Any]) -> Function:
    trigger = Timer(schedule=Schedule("0 * * * * *"), monitored=False)
    return Function(name="handler", handler=handler, parameter="value", trigger=trigger)


async def _succeeds(value: object) -> None: ...


def _succeeds_in_a_thread(value: object) -> None: ...


async def _returns(value: object) -> str:
    return SECRET


async def _raises(value: object) -> None:
    raise ValueError(SECRET)


async def _raises_from_another(value: object) -> None:
    try:
        await _raises(value)
    except ValueError as error:
        raise RuntimeError(SECRET) from error


async def _raises_a_group(value: object) -> None:
    raise ExceptionGroup(SECRET, [ValueError(SECRET), KeyError(SECRET)])


async def _leaks_a_cancellation(value: object) -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    task.cancel()
    await task


@pytest.mark.parametrize("handler", [_succeeds, _succeeds_in_a_thread])
async def test_a_handler_that_returns_nothing_succeeds(handler: Callable[..., Any]) -> None:
    assert await invoke(function(handler), lambda: 1)


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (_returns, "ReturnedValueError at invocation.py:"),
        (_raises, "ValueError at test_runner_invocation.py:"),
        (_raises_from_another, "RuntimeError at test_runner_invocation.py:"),
        (_raises_from_another, "caused by ValueError at test_runner_invocation.py:"),
        (_raises_a_group, "of (ValueError at unknown place; KeyError at unknown place)"),
    ],
)
async def test_a_failure_is_told_by_types_and_places_alone(
    handler: Callable[..., Any], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert not await invoke(function(handler), lambda: 1)
    assert told in caplog.text
    assert SECRET not in caplog.text


async def test_a_cancellation_inside_the_handler_is_its_failure_and_not_our_end() -> None:
    assert not await invoke(function(_leaks_a_cancellation), lambda: 1)


async def test_a_call_that_is_cut_off_ends_by_cancellation() -> None:
    entered = asyncio.Event()

    async def hangs(value: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    call = asyncio.ensure_future(invoke(function(hangs), lambda: 1))
    await entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_value_that_cannot_be_built_is_a_failed_call(caplog: pytest.LogCaptureFixture) -> None:
    assert not await invoke(function(_succeeds), lambda: {}["missing"])
    assert "KeyError" in caplog.text
