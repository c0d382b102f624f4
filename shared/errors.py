"""The three families of error that decide what happens to a message, and the store errors that belong to them.

Nothing foreign escapes an adapter: every SDK exception becomes one of these, raised `from None`, because the platform
logs the whole chain and the SDKs' texts quote records' names. Ours name settings, containers, fields and the service's
error code; never a person, a record's name or a message body.
"""

from __future__ import annotations


class RetentionError(Exception):
    """Base of everything this product raises on purpose."""


def named(error: BaseException) -> str:
    """The error's kind, with its text where it is one of ours: the text of another may quote anything."""
    return f"{type(error).__name__}: {error}" if isinstance(error, RetentionError) else type(error).__name__


class TransientError(RetentionError):
    """The same call may succeed later: no answer, throttled, access refused, a store or the broker away.

    The function raises it, the host redelivers the message. Operators do nothing unless it lasts.
    `retry_after` is the wait in seconds that the store asked for, None when it named none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(RetentionError):
    """The same call can never succeed: a malformed message, an unknown category, a slice that no run has.

    The function records it durably, raises the alarm, and settles the message. Operators correct and send again.
    """


class IntegrityError(RetentionError):
    """Evidence contradicts itself: two events with one id, a tile that changed, a head that left its checkpoint.

    Work on the log halts until an operator has looked. Never retried into silence.
    """


class ConfigError(RetentionError):
    """A setting or the policy is missing or wrong; the text names it and what to put there.

    The function raises it: a message is not to blame for it and must wait, not be parked. Operators mend and redeploy.
    """


class ExistsError(RetentionError):
    """A create-only write found the name taken. The caller decides whether that is its own earlier write."""


class ChangedError(RetentionError):
    """A conditional write found another ETag, or nothing. The caller reads again and decides anew."""


class RefusedError(RetentionError):
    """The store will not delete an object: it is immutable, or under a legal hold of the store's own.

    The caller keeps what it was about to do and tries again; an alarm says so. Operators look at the store's settings.
    """
