"""One call of one function, told in one log line: name, outcome, milliseconds.

A failure is told by the exceptions' types and places in the code, never by their texts: a text may quote the message
that was being handled, and with it personal data.
"""

import asyncio
import inspect
import logging
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from local.runner.app import Function

_log = logging.getLogger("runner")


class ReturnedValueError(Exception):
    """A function without output binding returned a value: the platform fails such a call."""


async def invoke(function: Function, build: Callable[[], object]) -> bool:
    """Call the function with its trigger's value, as `build` returns it; say whether it succeeded.

    A value that cannot be built is a failed call: it counts, so that a message nobody can read ends in the
    dead-letter queue and not in a loop. A synchronous handler runs in a thread, as in Microsoft's worker; an
    asynchronous one shares our loop.
    """
    begun = time.monotonic()
    try:
        value = build()
        if inspect.iscoroutinefunction(function.handler):
            returned = await function.handler(**{function.parameter: value})
        else:
            returned = await asyncio.to_thread(function.handler, **{function.parameter: value})
        _refuse_value(returned)
    except (Exception, asyncio.CancelledError) as error:  # the platform, too, survives whatever a function raises
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # we are cut off; otherwise something inside the function was, which is its failure
        _log.error("%s failed %d ms %s", function.name, _milliseconds(begun), describe(error))
        return False
    _log.info("%s succeeded %d ms", function.name, _milliseconds(begun))
    return True


def _refuse_value(returned: object) -> None:
    if returned is not None:
        raise ReturnedValueError


def describe(error: BaseException) -> str:
    """Return the chain of exceptions by type and the places where they passed, without any of their texts."""
    return " caused by ".join(_one(link) for link in _chain(error))


def _one(error: BaseException) -> str:
    text = f"{type(error).__name__} at {_places(error)}"
    if isinstance(error, BaseExceptionGroup):
        text += f" of ({'; '.join(describe(member) for member in error.exceptions)})"
    return text


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _places(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames)) or "unknown place"


def _milliseconds(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
