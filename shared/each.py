"""The same step for many items, of which one that fails stops no other."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from shared.errors import IntegrityError, named

T = TypeVar("T")


async def each(
    items: Iterable[T], step: Callable[[T], Awaitable[object]], *, log: logging.Logger, say: Callable[[T], str]
) -> None:
    """Take the step for every item; log each failure under the name that `say` gives the item, and raise the first.

    An IntegrityError is an alarm; another error may pass, and the caller is repeated for it. Of an error that is not
    ours only the kind is logged: its text may quote anything.
    """
    failed: list[Exception] = []
    for item in items:
        try:
            await step(item)
        except Exception as error:  # noqa: BLE001 - raised below, after the other items
            failed.append(error)
            why = named(error)
            if isinstance(error, IntegrityError):
                log.error("ALARM %s: %s", say(item), why)  # noqa: TRY400 - raised below, and logged where it ends
            else:
                log.warning("%s failed: %s", say(item), why)
    if failed:
        raise failed[0]
