"""How the Cosmos DB client's reads bear with a service that is busy, and its batches with a connection that breaks.

The client repeats 429 by itself, and 503 in another region only: with one region each read of many would fail the work
that it belongs to. Reads alone are repeated here. What deletes is repeated by the gate, which must know of each try.
The client takes a batch whose connection broke for one that was not sent, and would send it again unseen, be it carried
out or not. So such a batch fails here with an error that the client does not repeat.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import ClientConnectorError
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport

from shared.stores.blob import seconds_to_wait

TRIES = 4
FIRST_WAIT = 0.2  # seconds, where the service names no time; doubled each time
LONGEST_WAIT = 5.0  # seconds that it may ask for here; beyond it the caller is told


class PatientTransport(AioHttpTransport):  # type: ignore[misc]  # azure-core gives it no type
    """The client's transport, with patience."""

    async def send(self, request: Any, **config: Any) -> Any:
        """Send; a read that is answered 503 again, after the wait that the answer asks for."""
        answer = await self._once(request, **config)
        for number in range(TRIES - 1):
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or not _reads(request):
                break
            asked = seconds_to_wait(answer.headers)
            wait = FIRST_WAIT * 2**number if asked is None else asked
            if wait > LONGEST_WAIT:
                break
            await asyncio.sleep(wait)
            answer = await self._once(request, **config)
        return answer

    async def _once(self, request: Any, **config: Any) -> Any:
        try:
            return await super().send(request, **config)
        except (ServiceRequestError, ServiceResponseError) as error:
            if not _has(request, "x-ms-cosmos-is-batch-request") or isinstance(
                error.inner_exception, ClientConnectorError
            ):
                raise
            raise AzureError("the answer to a batch was lost", error=error) from error


def _reads(request: Any) -> bool:
    return request.method == "GET" or _has(request, "x-ms-documentdb-isquery")


def _has(request: Any, header: str) -> bool:
    return header in {name.lower() for name in request.headers}
