"""One step for many items: each has its turn, each failure has its line, and the first is raised."""

from __future__ import annotations

import logging

import pytest

from shared.each import each
from shared.errors import IntegrityError, TransientError

log = logging.getLogger("retention.test")
ERRORS = {"b": TransientError("no answer"), "d": IntegrityError("two heads"), "e": ValueError("kari")}


async def test_every_item_has_its_turn_and_the_first_failure_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[str] = []

    async def step(item: str) -> None:
        taken.append(item)
        if item in ERRORS:
            raise ERRORS[item]

    with pytest.raises(TransientError):
        await each("abcdef", step, log=log, say=lambda item: f"item {item}")
    assert taken == [*"abcdef"]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "item b failed: TransientError: no answer"),
        ("ERROR", "ALARM item d: IntegrityError: two heads"),
        ("WARNING", "item e failed: ValueError"),
    ]


async def test_without_a_failure_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def step(_: str) -> None:
        pass

    await each("abc", step, log=log, say=str)
    assert not caplog.records
