"""What tests move: the clock and injected faults. Answered to loopback only, without a signature.

    GET  /_local/ready    {"ready": true}
    GET  /_local/clock    {"offset_seconds": 0.0, "now": 1767225600}
    POST /_local/clock    {"offset_seconds": 604800}
    POST /_local/faults   {"status": 429, "count": 3, "retry_after_ms": 50, "method": "DELETE",
                           "path_contains": "/docs", "skip": 0, "applied": false}
    GET  /_local/faults   {"to_come": 3}, the number of requests that faults are still to hit
    DELETE /_local/faults

A fault answers the next ``count`` requests that match with ``status`` (400 to 599), or with status 0 drops their
connection without an answer; the first ``skip`` of them pass unharmed. With ``applied`` the operation is carried out
first: the client cannot know.
Only ``status`` is required. Faults are forgotten at a restart, the clock's offset is not.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.cosmos.clock import Clock
from local.cosmos.errors import bad_request, not_found

PREFIX = "_local"
_FURTHEST = 50 * 365 * 86_400  # seconds that the clock can be moved, either way: 50 years


class Fault(BaseModel):
    """One injected fault.

    :param status: the HTTP status to answer; 0 drops the connection.
    :param count: how many requests it hits.
    :param retry_after_ms: ``x-ms-retry-after-ms`` of the answer, milliseconds.
    :param method: only requests with this method, in upper case; None for all.
    :param path_contains: only requests whose path contains this; None for all.
    :param skip: how many matching requests pass before it begins to hit.
    :param applied: carry the operation out before failing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    status: int = Field(ge=0, le=599)
    count: int = Field(default=1, ge=1)
    retry_after_ms: int | None = Field(default=None, ge=0)
    method: str | None = None
    path_contains: str | None = None
    skip: int = Field(default=0, ge=0)
    applied: bool = False

    def hits(self, method: str, path: str) -> bool:
        """Whether a request is one that this fault is for."""
        return self.method in {None, method} and (self.path_contains is None or self.path_contains in path)


class _ClockOrder(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    offset_seconds: float = Field(ge=-_FURTHEST, le=_FURTHEST, allow_inf_nan=False)


@dataclass(kw_only=True)
class Levers:
    """The clock, and the faults that are still to come."""

    clock: Clock
    _faults: list[tuple[Fault, int]] = field(default_factory=list)

    def take_fault(self, method: str, path: str) -> Fault | None:
        """The fault that hits a request, used up once; None when there is none."""
        for index, (fault, left) in enumerate(self._faults):
            if fault.hits(method, path):
                if left > fault.count:
                    self._faults[index] = (fault, left - 1)
                    continue
                self._faults[index : index + 1] = [(fault, left - 1)] if left > 1 else []
                return fault
        return None

    def handle(self, method: str, name: str, body: bytes) -> dict[str, Any]:
        """Answer a request below ``/_local/``.

        :raises RefusedError: 400, 404.
        """
        try:
            match method, name:
                case "GET", "ready":
                    return {"ready": True}
                case "GET", "clock":
                    pass
                case "POST", "clock":
                    self.clock.move(_ClockOrder.model_validate_json(body).offset_seconds)
                case "POST", "faults":
                    fault = Fault.model_validate_json(body)
                    if 0 < fault.status < HTTPStatus.BAD_REQUEST:
                        message = "status must be 0 or 400 to 599"
                        raise bad_request(message)
                    self._faults.append((fault, fault.count + fault.skip))
                case "DELETE", "faults":
                    self._faults.clear()
                case "GET", "faults":
                    pass
                case _:
                    what = "there is no such lever"
                    raise not_found(what)
        except ValidationError as error:
            raise bad_request(str(error)) from error
        if name == "faults":
            return {"to_come": sum(min(left, fault.count) for fault, left in self._faults)}
        return {"offset_seconds": self.clock.offset_seconds, "now": self.clock.now()}
