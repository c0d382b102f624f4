"""Requests of ours over the Blob SDK's own pipeline: its connections, credentials, retries, client ids and telemetry.

The SDK takes more than half a millisecond of CPU to list a blob and to delete it in a batch. So `blob_batch` and
`blob_list` write and read those themselves, and send them here.

This is the one place that leans on what the SDK does not document: a client's `_pipeline` and `_credential_policy`, and
that a call without `stream` has the body read, and not decoded. tests/contract/test_blob_batch_wire.py compares what
goes out with the SDK's own, and fails where a new version changes it.
"""

from __future__ import annotations

import re
import uuid
import zlib
from typing import Any
from urllib.parse import quote, urlsplit

from azure.core.exceptions import (
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest
from azure.storage.blob.aio import ContainerClient

_ERRORS: dict[int, type[HttpResponseError]] = {
    401: ClientAuthenticationError,
    404: ResourceNotFoundError,
    409: ResourceExistsError,
    412: ResourceModifiedError,
}
_CODE = re.compile(rb"<Error>\s*<Code>([A-Za-z]+)</Code>")


async def send(container: ContainerClient, request: HttpRequest, *, expected: int, **options: Any) -> Any:
    """Send a request, and return the answer, its body read. Raises AzureError, also for another status than `expected`.

    `options` are the pipeline's, such as `raw_response_hook`.
    """
    request.headers["x-ms-version"] = container.api_version
    pipeline: Any = container._pipeline  # noqa: SLF001 - see the module's docstring
    client_id = str(uuid.uuid4())  # the SDK's own takes a lock of the machine's for each
    try:
        response = (await pipeline.run(request, client_request_id=client_id, **options)).http_response
        content = response.content
    except zlib.error as error:
        raise DecodeError("an answer cannot be decompressed", error=error) from None
    if response.status_code != expected:
        refusal = _ERRORS.get(response.status_code, HttpResponseError)(response=response)
        inside = _CODE.search(content)
        code = response.headers.get("x-ms-error-code") or (inside[1].decode() if inside else None)
        refusal.error_code = code  # type: ignore[attr-defined]
        raise refusal
    return response


def url_of(container: ContainerClient, name: str = "", **query: str) -> str:
    """The URL of a blob, or of the container, with what a SAS adds; of `query` what is not empty."""
    parts = urlsplit(container.url)
    asked = "&".join([*([parts.query] if parts.query else []), *(f"{k}={v}" for k, v in query.items() if v)])
    path = f"{parts.path.rstrip('/')}/{quote(name, safe='/~')}" if name else parts.path
    return f"{parts.scheme}://{parts.netloc}{path}{asked and '?'}{asked}"


async def authorized(container: ContainerClient, request: HttpRequest) -> HttpRequest:
    """What the client's credential makes of a part of a batch: a header, or a query. A shared key signs: see `key_of`.

    Raises AzureError where the credential gives no token.
    """
    policy = container._credential_policy  # noqa: SLF001 - see the module's docstring
    if policy is not None:
        made = policy.on_request(PipelineRequest(request, PipelineContext(None, enforce_https=False)))
        if made is not None:
            await made
    return request


def key_of(container: ContainerClient) -> tuple[str, str] | None:
    """The account's name and its key in base64, where the client has a shared key."""
    credential = container.credential
    name, key = getattr(credential, "account_name", None), getattr(credential, "account_key", None)
    return (name, key) if name and key else None
