"""ObjectStore on one Blob container, and what both Blob adapters share: translation of errors, the retry policy.

The SDK's own storage retry policy ignores Retry-After and gives up on 429 at once; azure-core's honours both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime
from functools import wraps
from math import isfinite
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.request import getproxies

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    DecodeError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.pipeline.policies import AsyncRetryPolicy
from azure.core.rest import HttpRequest
from azure.storage.blob import LocationMode
from azure.storage.blob.aio import ContainerClient

from shared.errors import ChangedError, ExistsError, RefusedError, TransientError
from shared.stores.blob_list import every, http_time
from shared.stores.blob_pipeline import send, url_of
from shared.stores.interface import Entry, Stored

NO_BLOB = "BlobNotFound"
"""What the service says of a blob that is not there, or a version or snapshot of it. Any other 404 proves nothing: the
container may be missing, or it is no answer of the service's.
https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
"""

_META = "x-ms-meta-"

P = ParamSpec("P")
T = TypeVar("T")


class _Retry(AsyncRetryPolicy[Any, Any]):
    """azure-core's policy, with what the SDK expects of a retry policy besides.

    The SDK's own hook policy forgets a `raw_response_hook` when the first try has no answer: kept in the context, it is
    called for the next one's.
    """

    async def send(self, request: Any) -> Any:
        hook = request.context.options.pop("raw_response_hook", None)
        if hook is not None:
            request.context["response_callback"] = hook
        for option in ("hosts", "retry_to_secondary", "location_mode", "retry_hook"):
            request.context.options.pop(option, None)
        response = await super().send(request)
        response.http_response.location_mode = LocationMode.PRIMARY
        return response

    def get_retry_after(self, response: Any) -> float | None:
        """The wait that an answer asks for; what it asks for in no such form is none, where azure-core raises."""
        return seconds_to_wait(response.http_response.headers)


def retry_policy() -> AsyncRetryPolicy[Any, Any]:
    """Five tries more on 408, 429 and 5xx and on lost connections, waiting as the service says, else up to 20 s."""
    return _Retry(retry_total=5, retry_status=5, retry_backoff_factor=0.4, retry_backoff_max=20)


def client_options() -> dict[str, Any]:
    """How a client of an account is built.

    Without a proxy in the environment the transport need not look for one: it does so in two threads for each request.
    """
    return {"retry_policy": retry_policy(), "use_env_settings": bool(getproxies())}


class Replies:
    """A `raw_response_hook` that counts the replies to a batch.

    After one such as 503 the client asks again by itself, and what the first did is not known.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, response: Any) -> None:
        """Called with each reply to one call."""
        self.count += response.http_request.method == "POST"


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What Retry-After or x-ms-retry-after-ms asks for, in seconds."""
    milliseconds = headers.get("x-ms-retry-after-ms")
    plain = headers.get("Retry-After") or headers.get("retry-after")
    try:
        seconds = float(milliseconds) / 1000 if milliseconds is not None else float(plain or "")
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None


def asked_to_wait(error: AzureError) -> float | None:
    """The wait that an answer's headers ask for, in seconds; works for the Cosmos SDK's errors too."""
    headers = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None)
    return seconds_to_wait(headers) if headers else None


def translated(
    call: Callable[Concatenate[BlobObjects, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[BlobObjects, P], Coroutine[Any, Any, T]]:
    """Let no SDK exception escape: conditions become ExistsError or ChangedError, all else TransientError."""

    @wraps(call)
    async def wrapper(self: BlobObjects, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(self, *args, **kwargs)
        except AzureError as error:
            raise translate(error, self.where) from None

    return wrapper


def code_of(error: AzureError) -> str:
    """The service's error code, such as BlobNotFound; the kind of error where there was no answer."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code) or type(error).__name__)


def translate(error: AzureError, where: str = "") -> Exception:
    """The error of ours for an error of the Blob SDK. Its text names `where` and the service's error code, no blob."""
    code = code_of(error)
    if isinstance(error, ResourceExistsError):
        return ExistsError(code)
    if isinstance(error, ResourceModifiedError):
        return ChangedError(code)
    return TransientError(_failed(error, where), retry_after=asked_to_wait(error))


def _failed(error: AzureError, where: str) -> str:
    return f"Blob storage{where and ' '}{where}: {code_of(error)}"


def quoted(etag: str) -> str:
    """An ETag as HTTP writes it: listings give it without its quotation marks."""
    return etag if etag.startswith('"') else f'"{etag}"'


async def service_clock(container: ContainerClient) -> datetime:
    """Ask a container for nothing but the time: the Date header of the service's answer. Raises TransientError."""
    try:
        answer = await send(container, HttpRequest("GET", url_of(container, restype="container")), expected=200)
        return http_time(answer.headers.get("Date"))
    except AzureError as error:
        raise TransientError(_failed(error, _place(container)), retry_after=asked_to_wait(error)) from None
    except ValueError:
        raise TransientError(f"Blob storage {_place(container)}: an answer does not say when it was given") from None


def _place(container: ContainerClient) -> str:
    return f"{container.account_name}/{container.container_name}"


class BlobObjects:
    """One container of small objects."""

    def __init__(self, container: ContainerClient) -> None:
        self._container = container
        self.where = _place(container)

    @translated
    async def read(self, name: str) -> Stored | None:
        """Return the object, or None."""
        try:
            answer = await send(self._container, HttpRequest("GET", url_of(self._container, name)), expected=200)
        except ResourceNotFoundError as error:
            if code_of(error) != NO_BLOB:
                raise
            return None
        headers = answer.headers
        try:
            etag, modified = headers.get("ETag"), http_time(headers.get("Last-Modified"))
        except ValueError:
            etag = None
        if not etag:
            raise DecodeError("an object has no ETag, or no time", response=answer)
        return Stored(
            name=name,
            data=answer.content,
            etag=etag,
            modified=modified,
            metadata={k[len(_META) :]: v for k, v in headers.items() if k.lower().startswith(_META)},
        )

    @translated
    async def create(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> str:
        """Write if the name is free."""
        blob = self._container.get_blob_client(name)
        answer = await blob.upload_blob(data, overwrite=False, metadata=dict(metadata or {}))
        return str(answer["etag"])

    @translated
    async def replace(self, name: str, data: bytes, *, etag: str, metadata: Mapping[str, str] | None = None) -> str:
        """Write over exactly this version."""
        blob = self._container.get_blob_client(name)
        answer = await blob.upload_blob(
            data,
            overwrite=True,
            metadata=dict(metadata or {}),
            etag=etag,
            match_condition=MatchConditions.IfNotModified,
        )
        return str(answer["etag"])

    @translated
    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Delete; nothing there is fine."""
        condition: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        blob = self._container.get_blob_client(name)
        try:
            await blob.delete_blob(delete_snapshots="include", **condition)
        except ResourceExistsError as error:  # 409: immutable, or under a legal hold
            raise RefusedError(f"Blob storage {self.where}: {code_of(error)}") from None
        except ResourceNotFoundError as error:
            if code_of(error) != NO_BLOB:
                raise
            if etag is not None:
                raise ChangedError("the object is gone") from None

    async def list(self, prefix: str = "") -> AsyncIterator[Entry]:
        """Yield the objects in the order of names."""
        try:
            async for found in every(self._container, prefix, include=["metadata"]):
                for about in found.blobs:
                    yield Entry(
                        name=about.name, etag=quoted(about.etag), modified=about.last_modified, metadata=about.metadata
                    )
        except AzureError as error:
            raise translate(error, self.where) from None

    async def now(self) -> datetime:
        """The service's clock."""
        return await service_clock(self._container)
