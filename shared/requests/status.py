"""How one request stands, by its id: its document, and the parked messages that carry the id. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.documents import read
from shared.parking import ParkedMessage, entries
from shared.requests.documents import RequestDocument, State
from shared.stores.interface import ObjectStore


@dataclass(frozen=True, kw_only=True)
class RequestStatus:
    """A request by its id: its document, None where there is none, and the parked messages that carry the id.

    A message that was dismissed carries none any more.
    """

    request: str
    document: RequestDocument | None
    parked: Sequence[ParkedMessage]

    @property
    def state(self) -> str:
        """A State; `parked`: the message could not become a request; or `unknown`."""
        if self.document is not None:
            return self.document.state.value
        return "parked" if self.parked else "unknown"

    @property
    def needs_a_person(self) -> bool:
        """Whether it will not go on by itself, and is not done. A parked message counts until it is dismissed."""
        return bool(self.parked) or self.state in (State.NEEDS_ATTENTION, State.REJECTED)

    @property
    def settled(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.needs_a_person or self.state in (State.DONE, State.CLOSED)


async def request_status(request: str, *, requests: ObjectStore, parking: ObjectStore) -> RequestStatus:
    """Look up a request by its id (a UUID, as text) in the two containers. Raises TransientError."""
    held = await read(requests, f"{request}.json", RequestDocument)
    parked = []
    async for entry in entries(parking):
        if entry.request == request:
            message = await read(parking, entry.name, ParkedMessage)
            parked += [message.value] if message else []
    return RequestStatus(request=request, document=held.value if held else None, parked=tuple(parked))
