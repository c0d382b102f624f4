"""What a batch and a listing of ours say on the wire is what the SDK's own say, and what comes back is read alike.

Both go through the SDK's public transport, here one that notes each request and gives a made answer; nothing of the
SDK is replaced. A new version of the SDK that changes its pipeline or its form is meant to fail here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.parser import BytesParser
from typing import Any, Self

import pytest
from azure.core import MatchConditions
from azure.core.credentials import AccessToken, AzureSasCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from local.servers import AZURITE_KEY
from shared.stores import blob_batch, blob_list
from shared.stores.blob import retry_policy
from shared.stores.blob_batch import Wanted

SAS = "sv=2024-11-04&ss=b&srt=co&sp=rdl&se=2030-01-01T00:00:00Z&sig=c2lnbmF0dXJl%2B%2F%3D"
NAMES = ["a/b/1.jpg", "å space/&<x>'\"#?%20+.jpg", "~tilde/(paren)*!", "line\nend\x01", "plain"]
ETAG = '"0x8D"'
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Token:
    """A credential that gives one token, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        self.asked += 1
        return AccessToken("the-token", 4_102_444_800)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...


class Noting(AioHttpTransport):
    """Sends nothing: notes what it is to send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[str, str, dict[str, str], bytes]] = []

    async def send(self, request: Any, **options: Any) -> Any:
        options.pop("stream", None)
        body = request.body if isinstance(request.body, bytes) else request.content or b""
        self.sent.append((request.method, request.url, dict(request.headers), body))
        raise ConnectionError("noted")


CREDENTIALS: Mapping[str, Any] = {
    "shared key": {"account_name": "records", "account_key": AZURITE_KEY},
    "token": Token(),
    "sas": SAS,
    "sas credential": AzureSasCredential(SAS),
    "nobody's": None,
}
ACCOUNTS = {"azure": "https://records.blob.core.windows.net", "local": "https://127.0.0.1:10000/records"}


async def noted(account: str, credential: str, ask: Any) -> tuple[str, str, dict[str, str], bytes]:
    transport = Noting()
    async with BlobServiceClient(
        ACCOUNTS[account], credential=CREDENTIALS[credential], transport=transport, retry_policy=retry_policy()
    ) as service:
        with pytest.raises(ConnectionError):
            await ask(service.get_container_client("snap-shots"))
    [sent] = transport.sent
    return sent


async def sdk_batch(container: ContainerClient) -> None:
    condition = {"etag": ETAG, "match_condition": MatchConditions.IfNotModified, "delete_snapshots": "include"}
    wanted = [{"name": name, **condition} for name in NAMES]
    await container.delete_blobs(*wanted, raise_on_any_failure=False, timeout=60)


async def our_batch(container: ContainerClient) -> None:
    await blob_batch.delete(container, [Wanted(name=name, etag=ETAG) for name in NAMES])


def parts(headers: Mapping[str, str], body: bytes) -> list[tuple[dict[str, str], str, dict[str, str], str]]:
    """Each part: its own headers, its request line, that request's headers, and what follows."""
    kind = {name.lower(): value for name, value in headers.items()}["content-type"]
    boundary = kind.partition("boundary=")[2].strip('"').encode()
    found = []
    first, *pieces, last = body.split(b"--" + boundary)
    assert (first, last.strip()) == (b"", b"--")
    for piece in pieces:
        outer, _, inner = piece.strip(b"\r\n").partition(b"\r\n\r\n")
        line, _, rest = inner.partition(b"\r\n")
        request = BytesParser().parsebytes(rest + b"\r\n\r\n")
        own = BytesParser().parsebytes(outer + b"\r\n\r\n")
        found.append((lowered(own), line.decode(), lowered(request), str(request.get_payload()).strip()))
    return found


def lowered(message: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in message.items()}


def told(url: str) -> tuple[str, list[str]]:
    """A URL's path, and its query in order."""
    path, _, query = url.partition("?")
    return path, sorted(query.split("&")) if query else []


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_a_batch_says_what_the_sdks_says(account: str, credential: str) -> None:
    theirs = await noted(account, credential, sdk_batch)
    ours = await noted(account, credential, our_batch)
    assert ours[0] == theirs[0] == "POST"
    assert told(ours[1]) == told(theirs[1])
    varies = {"x-ms-date", "x-ms-client-request-id", "content-type", "content-length", "authorization"}
    heads = [{k.lower(): v for k, v in headers.items()} for headers in (ours[2], theirs[2])]
    assert {k: v for k, v in heads[0].items() if k not in varies} == {
        k: v for k, v in heads[1].items() if k not in varies
    }
    assert set(heads[0]) == set(heads[1])
    assert [head["content-length"] for head in heads] == [str(len(sent[3])) for sent in (ours, theirs)]
    assert re.fullmatch(r"multipart/mixed; boundary=[A-Za-z0-9_-]{1,70}", heads[0]["content-type"])
    compare_parts(parts(ours[2], ours[3]), parts(theirs[2], theirs[3]))


def compare_parts(ours: list[Any], theirs: list[Any]) -> None:
    assert len(ours) == len(theirs) == len(NAMES)
    ids = set()
    for mine, sdks in zip(ours, theirs, strict=True):
        assert mine[0] == sdks[0]
        assert told(mine[1].split(" ")[1]) == told(sdks[1].split(" ")[1])
        assert [mine[1].split(" ")[n] for n in (0, 2)] == [sdks[1].split(" ")[n] for n in (0, 2)]
        assert set(mine[2]) == set(sdks[2])
        constant = set(mine[2]) - {"x-ms-date", "x-ms-client-request-id", "authorization"}
        assert {k: mine[2][k] for k in constant} == {k: sdks[2][k] for k in constant}
        assert mine[3] == sdks[3] == ""
        assert _ID.fullmatch(mine[2]["x-ms-client-request-id"])
        ids.add(mine[2]["x-ms-client-request-id"])
    assert len(ids) == len(NAMES)


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_a_shared_key_signs_each_part_as_the_sdk_does(account: str) -> None:
    """The same id and the same second on both sides: then the signatures are the same bytes."""
    theirs = await noted(account, "shared key", sdk_batch)
    written = [part[2] for part in parts(theirs[2], theirs[3])]
    for name, about in zip(NAMES, written, strict=True):
        container = BlobServiceClient(ACCOUNTS[account], credential=CREDENTIALS["shared key"]).get_container_client(
            "snap-shots"
        )
        path = blob_batch.path_of(container, name)
        signed = blob_batch.signed(
            ("records", AZURITE_KEY), path, ETAG, client_id=about["x-ms-client-request-id"], date=about["x-ms-date"]
        )
        assert f"SharedKey records:{signed}" == about["authorization"]


async def test_a_token_stands_in_each_part_and_is_asked_for_as_often_as_by_the_sdk() -> None:
    CREDENTIALS["token"].asked = 0
    await noted("azure", "token", sdk_batch)
    often, CREDENTIALS["token"].asked = CREDENTIALS["token"].asked, 0
    sent = await noted("azure", "token", our_batch)
    assert {part[2]["authorization"] for part in parts(sent[2], sent[3])} == {"Bearer the-token"}
    assert 1 <= CREDENTIALS["token"].asked <= often


async def test_an_etag_that_would_write_another_header_is_refused() -> None:
    async def ask(container: ContainerClient) -> None:
        await blob_batch.delete(container, [Wanted(name="a", etag='"x"\r\nx-ms-other: y')])

    with pytest.raises(ValueError, match="end of a line"):
        await noted("azure", "shared key", ask)


LISTINGS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"prefix": "å &/+?#"}, {"name_starts_with": "å &/+?#"}),
    ({"include": ["versions"], "prefix": "a/"}, {"include": ["versions"], "name_starts_with": "a/"}),
    (
        {"include": ["versions", "snapshots", "deleted"], "prefix": "a", "most": 100},
        {"include": ["versions", "snapshots", "deleted"], "name_starts_with": "a", "results_per_page": 100},
    ),
    ({"marker": "2!76!MDAw="}, {"marker": "2!76!MDAw="}),
    ({"delimiter": "/", "prefix": "a/"}, {"delimiter": "/", "name_starts_with": "a/"}),
]


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("case", range(len(LISTINGS)))
async def test_a_listing_asks_what_the_sdks_asks(account: str, credential: str, case: int) -> None:
    mine, sdks = LISTINGS[case]

    async def their_listing(container: ContainerClient) -> None:
        options = dict(sdks)
        marker = options.pop("marker", None)
        pages = container.walk_blobs(**options) if "delimiter" in options else container.list_blobs(**options)
        async for _ in pages.by_page(continuation_token=marker):
            pass

    async def our_listing(container: ContainerClient) -> None:
        await blob_list.page(container, **mine)

    theirs, ours = await noted(account, credential, their_listing), await noted(account, credential, our_listing)
    assert ours[0] == theirs[0] == "GET"
    assert told(ours[1]) == told(theirs[1])
    varies = {"x-ms-date", "x-ms-client-request-id", "authorization"}
    heads = [{k.lower(): v for k, v in headers.items()} for headers in (ours[2], theirs[2])]
    assert set(heads[0]) == set(heads[1])
    assert {k: v for k, v in heads[0].items() if k not in varies} == {
        k: v for k, v in heads[1].items() if k not in varies
    }
