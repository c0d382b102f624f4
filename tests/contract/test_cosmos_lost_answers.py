"""Cosmos DB's answers that are lost or are none: nothing is concluded from them, and no batch is sent twice unseen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient
from cosmos_faults import BATCHES
from record_stores import DATABASE, PERSON, CosmosShelf, Governed, item_category, members

from local import servers
from shared.errors import TransientError
from shared.stores.blob import seconds_to_wait
from shared.stores.cosmos_records import CosmosRecords
from shared.stores.cosmos_transport import PatientTransport
from shared.stores.interface import NoAnswer

pytest_plugins = ["record_store_fixture"]

SESSION = "0:-1#7"


class Seen(PatientTransport):
    """The product's transport; keeps what queries ask, and alters answers as something between might."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: list[str | None] = []
        self.of_batch: Callable[[Any], Any] | None = None
        self.of_query: Callable[[Any], Any] | None = None
        self.date: str | None = None

    async def send(self, request: Any, **config: Any) -> Any:
        names = {name.lower(): value for name, value in request.headers.items()}
        answer = await super().send(request, **config)
        batch, query = "x-ms-cosmos-is-batch-request" in names, "x-ms-documentdb-isquery" in names
        if query:
            self.sessions.append(names.get("x-ms-session-token"))
        if batch:
            answer.headers["x-ms-session-token"] = SESSION  # the local server has one replica, and gives none
        if self.date is not None:
            answer.headers["Date"] = self.date
        change = self.of_batch if batch else self.of_query if query else None
        if change is not None:
            answer._content = json.dumps(change(json.loads(answer.body()))).encode()
        return answer


@dataclass(kw_only=True)
class Asked:
    """A store as the product has it, and a shelf to look at what it does."""

    shelf: CosmosShelf
    store: CosmosRecords
    transport: Seen


@pytest.fixture
async def asked(cosmos_items: CosmosShelf) -> AsyncIterator[Asked]:
    transport = Seen()
    async with CosmosClient(
        cosmos_items.url,
        credential=servers.COSMOS_KEY,
        enable_endpoint_discovery=False,
        transport=transport,
        consistency_level="Session",  # an account's usual one
    ) as client:
        store = replace(cosmos_items.records, database=client.get_database_client(DATABASE))
        yield Asked(shelf=cosmos_items, store=store, transport=transport)


async def three(asked: Asked) -> tuple[Governed, list[Any]]:
    governed = Governed(shelf=asked.shelf, category=item_category(asked.shelf.container))
    await governed.write(range(3))
    return governed, await governed.listed()


async def test_a_batch_whose_answer_was_lost_is_not_sent_again_unseen(asked: Asked) -> None:
    governed, records = await three(asked)
    asked.shelf.fault(status=0, applied=True, **BATCHES)
    assert await asked.store.delete(records) == [NoAnswer()] * 3
    assert await governed.left() == []
    assert await asked.store.delete(records) == ["missing"] * 3


async def test_leaving_whose_answer_was_lost_is_never_told_as_changed_by_somebody(asked: Asked) -> None:
    _, records = await members(asked.shelf, ["u0", "u1"])
    asked.shelf.fault(status=0, skip=1, applied=True, **BATCHES)  # the item is read first
    assert await asked.store.delete(records, leaver=PERSON) == [NoAnswer()]
    assert await asked.store.delete(records, leaver=PERSON) == ["missing"]


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda done: done[:1],
        lambda done: [*done, done[0]],
        lambda done: [each | {"statusCode": 200} for each in done],
        lambda done: [*done[:2], done[2] | {"statusCode": 304}],
        lambda done: [{"statusCode": 412}],
        lambda done: [*done, {"statusCode": 404}],
        lambda done: [{} for _ in done],
        lambda done: [each | {"statusCode": "done"} for each in done],
        lambda done: [None for _ in done],
        lambda _: {"message": "a proxy's own"},
        lambda _: None,
    ],
)
async def test_an_answer_to_a_batch_that_does_not_say_of_each_item_that_it_went_says_of_none(
    asked: Asked, change: Callable[[Any], Any]
) -> None:
    _, records = await three(asked)
    asked.transport.of_batch = change
    assert await asked.store.delete(records) == [NoAnswer()] * 3


@pytest.mark.parametrize(
    "change",
    [lambda _: [], lambda done: [*done, *done], lambda done: [done[0] | {"statusCode": 204}], lambda _: None],
)
async def test_leaving_with_such_an_answer_has_none(asked: Asked, change: Callable[[Any], Any]) -> None:
    _, records = await members(asked.shelf, ["u0", "u1"])
    asked.transport.of_batch = change
    assert await asked.store.delete(records, leaver=PERSON) == [NoAnswer()]


async def test_after_a_refusal_the_others_are_looked_at_in_the_session_of_what_refused(asked: Asked) -> None:
    governed, records = await three(asked)
    await governed.write([0])
    assert await asked.store.delete(records) == ["changed", "deleted", "deleted"]
    assert asked.transport.sessions[-1] == SESSION


async def test_items_without_an_etag_have_no_answer(asked: Asked) -> None:
    governed, records = await three(asked)
    _, leaving = await members(asked.shelf, ["u0", "u1"])

    def without(found: Any) -> Any:
        return found | {"Documents": [{k: v for k, v in each.items() if k != "_etag"} for each in found["Documents"]]}

    await governed.write([0])
    asked.transport.of_query = without
    assert await asked.store.delete(records) == ["changed", NoAnswer(), NoAnswer()]
    assert await asked.store.there(records[1:2]) == [NoAnswer()]
    assert await asked.store.delete(leaving, leaver=PERSON) == [NoAnswer()]


@pytest.mark.parametrize("date", ["", "yesterday"])
async def test_an_answer_that_does_not_say_when_it_was_given_tells_no_time(asked: Asked, date: str) -> None:
    asked.transport.date = date
    with pytest.raises(TransientError):
        await asked.store.now(item_category(asked.shelf.container))


@pytest.mark.parametrize("said", ["nan", "inf", "-inf", "-1", "soon", ""])
def test_no_wait_that_cannot_be_waited_is_taken_from_an_answer(said: str) -> None:
    assert seconds_to_wait({"Retry-After": said}) is None
    assert seconds_to_wait({"x-ms-retry-after-ms": said}) is None
