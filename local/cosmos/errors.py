"""What the local Cosmos DB server answers when it does not carry out a request.

Status and sub-status codes: https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
"""

from http import HTTPStatus

_CODES = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.CONFLICT: "Conflict",
    HTTPStatus.GONE: "Gone",
    HTTPStatus.PRECONDITION_FAILED: "PreconditionFailed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RequestEntityTooLarge",
    HTTPStatus.FAILED_DEPENDENCY: "FailedDependency",
    HTTPStatus.TOO_MANY_REQUESTS: "TooManyRequests",
    HTTPStatus.NOT_IMPLEMENTED: "NotModelled",
}

PARTITION_KEY_MISMATCH = 1001
PARTITION_KEY_RANGE_GONE = 1002
CROSS_PARTITION_QUERY_NOT_SERVABLE = 1004
COLLECTION_RID_MISMATCH = 1024


class RefusedError(Exception):
    """A request that is answered with an error status; nothing of it was carried out.

    :param status: the HTTP status, 400 to 501.
    :param message: what is wrong, for the person who reads the SDK's exception.
    :param substatus: Cosmos DB's sub-status, 0 for none.
    """

    def __init__(self, status: HTTPStatus, message: str, *, substatus: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.substatus = substatus

    @property
    def code(self) -> str:
        """The word that stands for the status in the error's body."""
        return _CODES.get(self.status, self.status.phrase.replace(" ", ""))


class NotModelledError(RefusedError):
    """The real service may answer this request, this server does not: use Microsoft's emulator or Azure for it.

    :param what: the feature, as a noun phrase.
    """

    def __init__(self, what: str) -> None:
        super().__init__(HTTPStatus.NOT_IMPLEMENTED, f"not modelled by the local Cosmos DB server: {what}")


def bad_request(message: str, *, substatus: int = 0) -> RefusedError:
    """400 with a message."""
    return RefusedError(HTTPStatus.BAD_REQUEST, message, substatus=substatus)


def not_found(what: str) -> RefusedError:
    """404, naming the kind of resource that does not exist."""
    return RefusedError(HTTPStatus.NOT_FOUND, f"Resource Not Found: {what}")
