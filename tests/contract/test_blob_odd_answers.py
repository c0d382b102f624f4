"""Answers that the Blob service does not give, or that do not say what they seem to: nothing is concluded from them.

A gateway's or a proxy's own 404 is no blob that is not there, and its 202 no deletion for good.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace

import pytest
from azure.storage.blob.aio import BlobServiceClient, ContainerClient
from blob_stand_in import served

from local.azure.account import Account, Settings
from local.azure.blob_server import Answer, BlobServer
from shared.errors import ChangedError, TransientError
from shared.model import Locator, Record
from shared.stores import blob_batch, blob_list
from shared.stores.blob import BlobObjects, client_options, quoted, service_clock
from shared.stores.blob_deletes import Deletes
from shared.stores.blob_versions import Versions
from shared.stores.interface import Answer as Said
from shared.stores.interface import NoAnswer, Recoverable

Change = Callable[[Answer], Answer]
ERROR = b'<?xml version="1.0" encoding="utf-8"?><Error><Code>%b</Code><Message>it says</Message></Error>'
PERMANENT = b"x-ms-delete-type-permanent: true"


class Odd(BlobServer):
    """Alters the answers to what a rule of (method, part of the target) meets."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self.rules: dict[tuple[str, str], Change] = {}

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        answer = super()._answer(method, target, headers, body)
        for (of, part), change in self.rules.items():
            if of == method and part in target:
                answer = change(answer)
        return answer


@dataclass(kw_only=True)
class World:
    server: Odd
    service: BlobServiceClient
    client: ContainerClient

    async def records(self, *names: str) -> list[Record]:
        """Blobs of these names, as a listing finds them."""
        made = []
        for name in names:
            await self.client.upload_blob(name, b"x", overwrite=True)
            etag = quoted((await self.client.get_blob_client(name).get_blob_properties()).etag)
            where = Locator(store="blob", account="data", container=self.client.container_name, key=name)
            made.append(Record(locator=where, etag=etag, category="x", alone=True))
        return made

    async def delete(self, records: list[Record]) -> list[Said]:
        return list(await Deletes(service=self.service, concurrency=2, versions=Versions()).delete(records))


@pytest.fixture
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    server = Odd(Account(settings=getattr(request, "param", Settings())))
    async with served(server, **client_options()) as service:
        yield World(server=server, service=service, client=await service.create_container("records"))


versioned = pytest.mark.parametrize("world", [Settings(versioning=True)], indirect=True, ids=["versioned"])


def as_error(status: int, code: str = "", body: bytes = b"nothing here") -> Change:
    headers = {"Content-Type": "application/xml" if body.startswith(b"<?xml") else "text/plain"}
    headers |= {"x-ms-error-code": code} if code else {}
    return lambda _: Answer(status=status, headers=headers, body=body)


def without(*names: str) -> Change:
    return lambda answer: replace(answer, headers={k: v for k, v in answer.headers.items() if k.lower() not in names})


# ---------------------------------------------------------------- objects


NOT_OURS = [
    as_error(404),
    as_error(404, "ResourceNotFound"),
    as_error(404, "ContainerNotFound"),
    as_error(404, body=ERROR % b"ContainerNotFound"),
]


@pytest.mark.parametrize("change", NOT_OURS)
async def test_a_404_that_does_not_speak_of_a_blob_is_no_object_that_is_not_there(world: World, change: Change) -> None:
    objects = BlobObjects(world.client)
    etag = await objects.create("a", b"x")
    world.server.rules = {("GET", "/a"): change, ("DELETE", "/a"): change}
    with pytest.raises(TransientError):
        await objects.read("a")
    with pytest.raises(TransientError):
        await objects.delete("a")
    with pytest.raises(TransientError):
        await objects.delete("a", etag=etag)


@pytest.mark.parametrize("change", [as_error(404, "BlobNotFound"), as_error(404, body=ERROR % b"BlobNotFound")])
async def test_a_404_that_speaks_of_a_blob_is_one_by_its_header_or_its_text(world: World, change: Change) -> None:
    objects = BlobObjects(world.client)
    world.server.rules = {("GET", "/a"): change, ("DELETE", "/a"): change}
    assert await objects.read("a") is None
    await objects.delete("a")
    with pytest.raises(ChangedError):
        await objects.delete("a", etag='"0x1"')


@pytest.mark.parametrize("name", ["etag", "last-modified"])
async def test_an_object_without_its_etag_or_its_time_is_a_transient_error(world: World, name: str) -> None:
    objects = BlobObjects(world.client)
    await objects.create("a", b"x")
    world.server.rules = {("GET", "/a"): without(name)}
    with pytest.raises(TransientError):
        await objects.read("a")


# ---------------------------------------------------------------- deletes


def told(text: bytes) -> Change:
    return lambda answer: replace(answer, body=answer.body.replace(PERMANENT, text))


async def test_a_blob_of_which_no_answer_says_that_it_went_for_good_has_none(world: World) -> None:
    records = await world.records("a", "b")
    world.server.rules = {("POST", "comp=batch"): told(b"x-ms-version: 1")}
    assert await world.delete(records) == [NoAnswer()] * 2
    records = await world.records("a", "b")
    world.server.rules = {("POST", "comp=batch"): told(b"x-ms-delete-type-permanent: perhaps")}
    assert await world.delete(records) == [NoAnswer()] * 2


@pytest.mark.parametrize("said", [b"False", b"FALSE"])
async def test_what_soft_delete_keeps_is_so_however_it_is_written(world: World, said: bytes) -> None:
    world.server.rules = {("POST", "comp=batch"): told(b"x-ms-delete-type-permanent: " + said)}
    [answer] = await world.delete(await world.records("a"))
    assert isinstance(answer, Recoverable)


async def test_an_answer_that_cannot_be_decompressed_is_none(world: World) -> None:
    world.server.rules = {
        ("POST", "comp=batch"): lambda answer: replace(
            answer, headers={**answer.headers, "Content-Encoding": "gzip"}, body=b"not packed"
        )
    }
    assert await world.delete(await world.records("a")) == [NoAnswer()]


@pytest.mark.parametrize("etag", ['"1"\r\nx-ms-date: 0', '"1"\n'])
async def test_an_etag_that_no_service_gives_has_no_answer_and_the_others_have_theirs(world: World, etag: str) -> None:
    first, second = await world.records("a", "b")
    assert await world.delete([replace(first, etag=etag), second]) == [NoAnswer(), "deleted"]


def test_an_id_of_thousands_of_digits_was_not_asked_for() -> None:
    text = (
        "--b\r\nContent-Type: application/http\r\nContent-ID: {}\r\n\r\nHTTP/1.1 202 Accepted\r\n"
        "x-ms-delete-type-permanent: true\r\n\r\n"
    )
    both = (text.format(0) + text.format("1" * 5_000) + "--b--\r\n").encode()
    assert blob_batch.read("multipart/mixed; boundary=b", both, 2) == [None, None]


# ---------------------------------------------------------------- versions


@versioned
@pytest.mark.parametrize(
    "change",
    [as_error(400), as_error(409), as_error(409, "ContainerBeingDeleted"), as_error(400, "InvalidHeaderValue")],
)
async def test_a_listing_that_is_refused_for_another_cause_does_not_say_that_there_are_no_versions(
    world: World, change: Change
) -> None:
    records = await world.records("a")
    world.server.rules = {("GET", "versions"): change}
    assert await world.delete(records) == [NoAnswer()]
    versions = Versions()
    with pytest.raises(Exception, match="Operation returned"):
        await versions.page(world.client, "")
    assert not versions.none


@pytest.mark.parametrize(
    "change",
    [
        as_error(409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"),
        as_error(409, "FeatureNotSupportedForAccount"),
        as_error(400, body=ERROR % b"InvalidQueryParameterValue"),
        as_error(400, "UnsupportedQueryParameter"),
    ],
)
async def test_a_listing_that_is_refused_for_its_versions_is_listed_without(world: World, change: Change) -> None:
    records = await world.records("a")
    world.server.rules = {("GET", "versions"): change}
    versions = Versions()
    assert [each.name for each in (await versions.page(world.client, "")).blobs] == ["a"]
    assert versions.none == {"records"}
    assert await world.delete(records) == ["deleted"]


async def test_a_marker_that_is_refused_does_not_say_that_there_are_no_versions(world: World) -> None:
    await world.records("a")
    versions = Versions()
    with pytest.raises(Exception, match="Operation returned"):
        await versions.page(world.client, "", "no marker of this service")
    assert not versions.none


@versioned
@pytest.mark.parametrize("change", [*NOT_OURS, without("x-ms-delete-type-permanent")])
async def test_a_version_is_gone_only_where_the_service_says_so(world: World, change: Change) -> None:
    records = await world.records("a")
    world.server.rules = {("DELETE", "versionid"): change}
    assert await world.delete(records) == [NoAnswer()]


@versioned
async def test_a_version_that_is_not_there_is_gone(world: World) -> None:
    records = await world.records("a")
    world.server.rules = {("DELETE", "versionid"): as_error(404, "BlobNotFound")}
    assert await world.delete(records) == ["deleted"]


# ---------------------------------------------------------------- listings


@pytest.mark.parametrize("said", ["True", "FALSE", "1", "yes", ""])
@pytest.mark.parametrize("flag", ["<Deleted>{}</Deleted>", "<IsCurrentVersion>{}</IsCurrentVersion>"])
def test_a_flag_that_is_neither_true_nor_false_is_refused(flag: str, said: str) -> None:
    with pytest.raises(ValueError, match="flag"):
        blob_list.read(listing("<Name>a</Name>" + flag.format(said)))


@pytest.mark.parametrize("said", ["True", "1", ""])
def test_a_name_that_may_be_encoded_or_not_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="flag"):
        blob_list.read(listing(f'<Name Encoded="{said}">a%2Fb</Name>'))


def listing(inside: str) -> bytes:
    time = "Mon, 05 Jan 2026 00:00:00 GMT"
    about = f"<Creation-Time>{time}</Creation-Time><Last-Modified>{time}</Last-Modified><Etag>0x1</Etag>"
    blob = f"<Blob>{inside}<Properties>{about}</Properties></Blob>"
    return f"<EnumerationResults><Blobs>{blob}</Blobs><NextMarker /></EnumerationResults>".encode()


@pytest.mark.parametrize("asked", ["soon", "Sun, 22 Nov 2026 19:06:24 +99999999999999999", "nan"])
async def test_a_wait_that_is_none_is_not_waited(world: World, asked: str) -> None:
    left = [3]

    def busy(answer: Answer) -> Answer:
        left[0] -= 1
        return Answer(status=503, headers={"Retry-After": asked}) if left[0] >= 0 else answer

    world.server.rules = {("GET", "restype=container"): busy}
    await service_clock(world.client)
    assert left == [-1]


@pytest.mark.parametrize("change", [as_error(409, "ContainerBeingDeleted"), as_error(412, "ConditionNotMet")])
async def test_a_clock_that_is_not_told_is_asked_again_whatever_the_refusal(world: World, change: Change) -> None:
    world.server.rules = {("GET", "restype=container"): change}
    with pytest.raises(TransientError):
        await service_clock(world.client)
