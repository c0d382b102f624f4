"""What this server answers when it will not do something: AMQP error conditions, and the exception that carries one.

Condition names: OASIS AMQP 1.0 part 2, 2.8.15 to 2.8.18; those of ``com.microsoft`` are Service Bus's own, as
azure-servicebus reads them.
"""

NOT_FOUND = "amqp:not-found"
NOT_ALLOWED = "amqp:not-allowed"
NOT_IMPLEMENTED = "amqp:not-implemented"
DECODE_ERROR = "amqp:decode-error"
INVALID_FIELD = "amqp:invalid-field"
ILLEGAL_STATE = "amqp:illegal-state"
FRAMING_ERROR = "amqp:connection:framing-error"
FORCED = "amqp:connection:forced"
SIZE_EXCEEDED = "amqp:link:message-size-exceeded"
UNATTACHED_HANDLE = "amqp:session:unattached-handle"
HANDLE_IN_USE = "amqp:session:handle-in-use"
UNAUTHORIZED = "amqp:unauthorized-access"

DEAD_LETTER = "com.microsoft:dead-letter"
MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
SESSION_LOCK_LOST = "com.microsoft:session-lock-lost"
SESSION_CANNOT_BE_LOCKED = "com.microsoft:session-cannot-be-locked"
TIMEOUT = "com.microsoft:timeout"

# Status codes of management replies, after HTTP's.
_STATUS = {
    NOT_FOUND: 404,
    MESSAGE_NOT_FOUND: 404,
    MESSAGE_LOCK_LOST: 410,
    SESSION_LOCK_LOST: 410,
    UNAUTHORIZED: 401,
    NOT_IMPLEMENTED: 501,
}


class RefusedError(Exception):
    """The server will not do what was asked; the client is told why by ``condition``. Its caller puts it right.

    ``condition`` is an AMQP error condition, ``description`` a sentence that names what was refused, without message
    content.
    """

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(f"{condition}: {description}")
        self.condition = condition
        self.description = description

    @property
    def status(self) -> int:
        """The status code of a management reply."""
        return _STATUS.get(self.condition, 400)
