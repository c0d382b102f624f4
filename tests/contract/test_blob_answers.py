"""What the Blob service answers, read here and by the SDK: alike where it is whole; nothing concluded where it is not."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import AzureError, DecodeError
from azure.core.pipeline.policies import AsyncHTTPPolicy
from azure.storage.blob.aio import BlobServiceClient, ContainerClient
from record_stores import BlobShelf, blob_category, versions_shelf

from bench.raw_blobs import plain_boundary
from local import servers
from local.azure.account import Settings
from shared.errors import TransientError
from shared.model import Locator, Record
from shared.stores import blob_batch, blob_list
from shared.stores.blob import quoted
from shared.stores.blob_batch import Wanted
from shared.stores.interface import NoAnswer

pytest_plugins = ["record_store_fixture"]

MARK = "batchresponse_1"
KIND = f"multipart/mixed; boundary={MARK}"
HARD_NAMES = ["2026-01-01/å &<x>'\"#?%20+.jpg", "2026-01-01/]]>", "2026-01-01/\u2028😀", "plain", " a b "]


class Altered(AsyncHTTPPolicy[Any, Any]):
    """Alters the answer to batches or listings, as a network or a proxy between might."""

    def __init__(self, where: str, change: Any) -> None:
        super().__init__()
        self.where = where
        self.change = change

    async def send(self, request: Any) -> Any:
        answer = await self.next.send(request)
        if self.where in request.http_request.url:
            self.change(answer.http_response)
        return answer


def part(
    number: object, status: int = 202, headers: str = "x-ms-delete-type-permanent: true\r\n", text: str = ""
) -> str:
    own = f"--{MARK}\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
    return f"{own}HTTP/1.1 {status} Said\r\n{headers}\r\n{text}"


def whole(*parts: str) -> bytes:
    return ("".join(parts) + f"--{MARK}--\r\n").encode()


def statuses(text: bytes, number: int = 3, kind: str = KIND) -> list[int | None]:
    return [each and each.status for each in blob_batch.read(kind, text, number)]


ALL = whole(part(0), part(1, 404, "x-ms-error-code: BlobNotFound\r\n", "<Error/>\r\n"), part(2, 412, ""))
NOTHING = [None, None, None]


def test_a_whole_answer_is_read_part_by_part() -> None:
    read = blob_batch.read(KIND, ALL, 3)
    assert [each and (each.status, dict(each.headers)) for each in read] == [
        (202, {"x-ms-delete-type-permanent": "true"}),
        (404, {"x-ms-error-code": "BlobNotFound"}),
        (412, {}),
    ]


def test_parts_out_of_order_go_by_their_ids() -> None:
    assert statuses(whole(part(2, 412), part(0, 202), part(1, 404))) == [202, 404, 412]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (whole(part(0), part(2, 404)), [202, None, 404]),
        (whole(), NOTHING),
        (b"", NOTHING),
        (ALL[: ALL.index(b"--" + MARK.encode(), 9)], NOTHING),
        (whole(part(0), part(0), part(1)), NOTHING),
        (whole(part(0), part(0, 404), part(1)), NOTHING),
        (whole(part(0), part(3), part(1)), NOTHING),
        (whole(part(0), part(-1), part(1)), [202, 202, None]),
        (whole(part(0), part("one"), part("")), [202, None, None]),
        (whole(part(0), part("\u0661"), part(1)), [202, 202, None]),
        (whole(part(0), part(1).replace("Content-ID: 1\r\n", "")), [202, None, None]),
        (whole(part(0), part(1).replace("application/http", "text/plain")), [202, None, None]),
        (whole(part(0), part(1).replace("HTTP/1.1 202 Said", "202")), [202, None, None]),
        (whole(part(0), part(1).replace("HTTP/1.1 202 Said", "HTTP/1.1 2020 Said")), [202, None, None]),
        (ALL.replace(MARK.encode(), b"batchresponse_2"), NOTHING),
        (b"<html>a proxy's own page</html>", NOTHING),
        (b"a page of somebody's\r\n" + ALL, NOTHING),
        (whole(part(0), part(1)) + whole(part(2)), NOTHING),
    ],
    ids=[
        "a part is missing", "no part", "no body", "cut in its first part", "an id twice", "an id twice, contradicting",
        "an id that was not asked for", "a negative id", "ids that are none", "digits of another script", "no id",
        "a part of another kind", "no HTTP answer", "no status", "another boundary", "no multipart", "text before",
        "two answers",
    ],
)  # fmt: skip
def test_what_an_answer_does_not_cover_has_none(text: bytes, read: list[int | None]) -> None:
    assert statuses(text) == read


@pytest.mark.parametrize(
    "kind",
    ["", "text/html", "multipart/mixed", f"multipart/form-data; boundary={MARK}", "multipart/mixed; boundary=", "å"],
)
def test_an_answer_of_another_kind_concludes_nothing(kind: str) -> None:
    assert statuses(ALL, kind=kind) == NOTHING


def test_a_quoted_boundary_is_read_as_well() -> None:
    assert statuses(ALL, kind=f'Multipart/Mixed; Boundary="{MARK}"') == [202, 404, 412]


def test_an_answer_that_is_cut_anywhere_gives_each_part_its_own_answer_or_none() -> None:
    for end in range(len(ALL)):
        for read, right in zip(statuses(ALL[:end]), [202, 404, 412], strict=True):
            assert read in {None, right}


def test_no_bytes_raise() -> None:
    chance = random.Random(5)
    for _ in range(2_000):
        text = bytearray(ALL)
        for _ in range(chance.randrange(1, 8)):
            text[chance.randrange(len(text))] = chance.randrange(256)
        assert len(blob_batch.read(KIND, bytes(text), 3)) == 3


# ---------------------------------------------------------------- the same by the SDK, from the same server


async def test_every_sub_answer_is_read_as_the_sdk_reads_it(azurite_blobs: BlobShelf) -> None:
    client = azurite_blobs.client
    await client.upload_blob("leased", b"x")
    await client.get_blob_client("leased").acquire_lease()
    etag = quoted((await client.get_blob_client("leased").get_blob_properties()).etag)

    async def wanted() -> list[Wanted]:
        await client.upload_blob("a", b"x", overwrite=True)
        now = quoted((await client.get_blob_client("a").get_blob_properties()).etag)
        return [Wanted(name="a", etag=now), Wanted(name="gone", etag='"0x1"'), Wanted(name="leased", etag='"0x1"'),
                Wanted(name="leased", etag=etag)]  # fmt: skip

    condition = {"match_condition": MatchConditions.IfNotModified, "delete_snapshots": "include"}
    asked = [{"name": each.name, "etag": each.etag, **condition} for each in await wanted()]
    theirs = await client.delete_blobs(*asked, raise_on_any_failure=False, raw_request_hook=plain_boundary)
    sdks = [(each.status_code, {k.lower(): v for k, v in each.headers.items()}) async for each in theirs]
    ours = [each and (each.status, dict(each.headers)) for each in await blob_batch.delete(client, await wanted())]
    varies = {"x-ms-request-id", "x-ms-client-request-id", "date"}
    assert [(s, {k: v for k, v in h.items() if k not in varies}) for s, h in ours] == [
        (s, {k: v for k, v in h.items() if k not in varies}) for s, h in sdks
    ]
    assert [status for status, _ in ours] == [202, 412, 412, 412]


async def compare_listings(client: ContainerClient, **options: Any) -> list[str]:
    """List by the SDK and by ours, page by page of two; return the names."""
    include, prefix = options.get("include", []), options.get("prefix", "")
    theirs = [each async for each in client.list_blobs(name_starts_with=prefix, include=include, results_per_page=2)]
    ours = [
        each
        async for found in blob_list.every(client, prefix, include=include, most=2)
        for each in found.blobs
        if not found.prefixes
    ]
    assert [
        (b.name, b.etag, b.creation_time, b.last_modified, b.size, dict(b.metadata or {}), b.version_id, b.snapshot,
         bool(b.is_current_version), bool(b.deleted), b.remaining_retention_days)
        for b in theirs
    ] == [
        (b.name, b.etag, b.creation_time, b.last_modified, b.size, b.metadata, b.version_id, b.snapshot,
         b.is_current_version, b.deleted, b.remaining_retention_days)
        for b in ours
    ]  # fmt: skip
    return [b.name for b in ours]


async def test_a_listing_is_read_as_the_sdk_reads_it(azurite_blobs: BlobShelf) -> None:
    client = azurite_blobs.client
    for name in HARD_NAMES:
        await client.upload_blob(name, name.encode(), metadata={"closed_at": "2026-01-01T00:00:00Z", "k": "a & <b>"})
    await client.get_blob_client("plain").create_snapshot()
    assert sorted(await compare_listings(client)) == sorted(HARD_NAMES)
    assert await compare_listings(client, include=["metadata"], prefix="2026")
    assert len(await compare_listings(client, include=["snapshots", "deleted", "versions"])) == len(HARD_NAMES) + 1


async def test_versions_and_what_soft_delete_keeps_are_read_as_the_sdk_reads_them() -> None:
    async with AsyncExitStack() as stack:
        shelf = await versions_shelf(stack, Settings(versioning=True, soft_delete_days=7))
        for text in (b"1", b"2"):
            await shelf.client.upload_blob("a", text, overwrite=True)
        await shelf.client.upload_blob("b", b"1")
        await shelf.client.delete_blob("b")
        await compare_listings(shelf.client, include=["versions", "snapshots", "deleted"])


async def test_levels_are_listed_as_the_sdk_lists_them(azurite_blobs: BlobShelf) -> None:
    client = azurite_blobs.client
    for name in ("a/1", "a/b/1", "a/b/2", "a/c & d/1", "a/å/x"):
        await client.upload_blob(name, b"x")
    theirs = [each.name async for each in client.walk_blobs("a/", delimiter="/")]
    found = [each async for each in blob_list.every(client, "a/", delimiter="/", most=1)]
    assert sorted(theirs) == sorted(n for each in found for n in (*each.prefixes, *(b.name for b in each.blobs)))
    assert [n for each in found for n in each.prefixes] == ["a/b/", "a/c & d/", "a/å/"]


# ---------------------------------------------------------------- listings that cannot be read


def listing(inside: str, marker: str = "<NextMarker />") -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{inside}</Blobs>{marker}</EnumerationResults>'.encode()


TIMES = "<Creation-Time>Mon, 05 Jan 2026 00:00:00 GMT</Creation-Time><Last-Modified>Mon, 05 Jan 2026 00:00:00 GMT</Last-Modified>"
BLOB = f"<Blob><Name>a</Name><Properties>{TIMES}<Etag>0x1</Etag></Properties></Blob>"
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'


def test_a_name_that_xml_cannot_hold_comes_percent_encoded() -> None:
    name = '<Name Encoded="true">2026-01-01%2Fline%0Aend%01%C3%A5%25</Name>'
    [blob] = blob_list.read(listing(BLOB.replace("<Name>a</Name>", name))).blobs
    assert blob.name == "2026-01-01/line\nend\x01å%"
    [plain] = blob_list.read(listing(BLOB.replace("<Name>a</Name>", "<Name>100%25</Name>"))).blobs
    assert plain.name == "100%25"
    assert blob_list.read(listing("<BlobPrefix><Name Encoded='true'>a%01%2F</Name></BlobPrefix>")).prefixes == [
        "a\x01/"
    ]


def test_the_times_are_the_stores() -> None:
    [blob] = blob_list.read(listing(BLOB)).blobs
    assert blob.creation_time == blob.last_modified == datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html/>",
        listing(BLOB)[:-1],
        ENTITIES + listing(BLOB.replace("<Name>a<", "<Name>&b;<")).partition(b"?>")[2],
        ENTITIES.replace(b'"aaaa"', b'SYSTEM "file:///etc/passwd"') + listing(BLOB).partition(b"?>")[2],
        listing(BLOB.replace("<Name>a<", "<Name>&b;<")),
        listing(BLOB).decode().replace("utf-8", "utf-16").encode("utf-16"),
        (ENTITIES.decode() + listing(BLOB).decode().partition("?>")[2]).encode("utf-16-le"),
        (ENTITIES.decode() + listing(BLOB).decode().partition("?>")[2]).encode("utf-16-be"),
        listing(BLOB.replace("<Name>a</Name>", "")),
        listing(BLOB.replace("<Name>a<", "<Name><")),
        listing(BLOB.replace("<Name>a<", '<Name Encoded="true">%FF<')),
        listing(BLOB.replace("00:00:00 GMT", "00:00:00 CET")),
        listing(BLOB.replace("05 Jan", "35 Jan")),
        listing(BLOB.replace("Creation-Time", "Created")),
        b"<EnumerationResults><Containers/></EnumerationResults>",
        b"\xff\xfe",
    ],
)
def test_what_is_no_listing_is_refused_and_no_entity_is_expanded(text: bytes) -> None:
    with pytest.raises(ValueError):
        blob_list.read(text)


# ---------------------------------------------------------------- through the adapter


@pytest.fixture
async def three(azurite_blobs: BlobShelf) -> tuple[BlobShelf, list[Record]]:
    names = ["2026-01-01/a", "2026-01-01/b", "2026-01-01/c"]
    await azurite_blobs.put(blob_category(azurite_blobs.container), names)
    found = [each async for each in azurite_blobs.client.list_blobs()]
    records = [
        Record(
            locator=Locator(store="blob", account="data", container=azurite_blobs.container, key=each.name),
            etag=quoted(each.etag),
            category="governed",
        )
        for each in found
    ]
    return azurite_blobs, records


def cut(response: Any) -> None:
    text = response.content
    response._content = text[: text.rindex(b"Content-ID: 2")]


def no_part(response: Any) -> None:
    response._content = b"<html>a proxy's own page</html>"


def another_kind(response: Any) -> None:
    response.headers["Content-Type"] = "text/html"


@pytest.mark.parametrize(("change", "covered"), [(cut, 2), (no_part, 0), (another_kind, 0)])
async def test_a_batch_with_a_broken_answer_concludes_only_what_it_covers_and_the_next_try_tells(
    azurite: Any, three: tuple[BlobShelf, list[Record]], change: Any, covered: int
) -> None:
    shelf, records = three
    connection = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    policies = [Altered("comp=batch", change)]
    async with BlobServiceClient.from_connection_string(connection, _additional_pipeline_policies=policies) as service:
        broken = replace(shelf.records, service=service)
        records = [replace(each, alone=False) for each in records]
        said = await broken.delete(records)
    assert [isinstance(each, NoAnswer) for each in said][covered:] == [True] * (3 - covered)
    assert await shelf.records.delete(records) == ["missing"] * 3


async def test_a_listing_that_cannot_be_read_is_a_transient_error(azurite: Any, azurite_blobs: BlobShelf) -> None:
    def broken(response: Any) -> None:
        response._content = ENTITIES + b"<EnumerationResults><Blobs/></EnumerationResults>"

    connection = servers.settings(servers.Ports(blob=azurite.program.port))["BLOB_DATA"]
    policies = [Altered("comp=list", broken)]
    async with BlobServiceClient.from_connection_string(connection, _additional_pipeline_policies=policies) as service:
        client = service.get_container_client(azurite_blobs.container)
        with pytest.raises(DecodeError):
            await blob_list.page(client)
        category = blob_category(azurite_blobs.container)
        with pytest.raises(TransientError):
            await replace(azurite_blobs.records, service=service).divide(
                category, category.rules[0], now=datetime(2026, 3, 1, tzinfo=UTC), most=1
            )


async def test_a_batch_that_is_refused_as_a_whole_says_why(azurite_blobs: BlobShelf) -> None:
    away = azurite_blobs.records.service.get_container_client(f"away-{uuid4()}")
    with pytest.raises(AzureError) as refused:
        await blob_list.page(away)
    assert refused.value.error_code == "ContainerNotFound"
    assert refused.value.status_code == 404
