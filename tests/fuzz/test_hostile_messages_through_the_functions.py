"""Hostile messages through the app's own functions, with the vendor's SDKs, on the local servers.

Blob storage is the judge of names and metadata here, Cosmos DB that of queries; no runner stands between.
"""

import json
import logging
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from azure.functions import ServiceBusMessage
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter
from hostile import ADDRESSES, BY_PEOPLE, KANARI, POISON, Maker

from local.prepare import prepare
from local.runner.app import load
from shared import messages
from shared.audit import EventType
from shared.clock import utc_now
from shared.config import Config
from shared.connections import shared
from shared.containers import OWN_CONTAINERS
from shared.documents import read
from shared.ledger.log import years
from shared.ledger.reader import Live, entries
from shared.parking import ParkedMessage
from shared.wiring import Product

NUMBER = int(os.environ.get("RETENTION_MESSAGES", "200")) // (50 if "RETENTION_MESSAGES" in os.environ else 1)
SECRET = re.compile("|".join(map(re.escape, (KANARI, *ADDRESSES))), re.IGNORECASE)
FUNCTIONS = {"requests_intake": 8, "requests_again": 1, "requests_work": 1, "sweep": 1, "ledger_append": 1}
OWN_KIND = {"requests_work": "work", "sweep": "slice", "ledger_append": "doorbell"}
Handler = Callable[..., Awaitable[None]]


@pytest.fixture
async def app(stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Product]:
    for name, value in stack.settings.items():
        monkeypatch.setenv(name, value)
    config = Config(values=stack.settings)
    await prepare(config)
    app = await shared(Product, config)
    yield app
    await app.close()


@pytest.fixture
def handlers(stack) -> dict[str, tuple[str, Handler]]:
    """The functions by name, each with the name of its parameter."""
    found = load(Path(__file__).parents[2], stack.settings)
    return {each.name: (each.parameter, each.handler) for each in found}


def as_delivered(body: bytes, message_id: str) -> ServiceBusMessage:
    """The message as the platform builds it."""
    metadata = {"MessageId": Datum(message_id, "string")}
    return ServiceBusMessageInConverter.decode_single_message(Datum(body, "bytes"), trigger_metadata=metadata)


async def names(app: Product, container: str) -> set[str]:
    return {entry.name async for entry in app.own(container).list()}


async def parking(app: Product, name: str) -> ParkedMessage:
    return (await read(app.own("parking"), name, ParkedMessage)).value


async def test_each_is_recorded_by_the_functions_and_nothing_of_it_gets_out(app, handlers, caplog):
    caplog.set_level(logging.INFO)
    users = app._cosmos.get_database_client(app.config.text("COSMOS_MAIN_DATABASE")).get_container_client("users")
    known = [f"{KANARI}{number}" for number in range(3)]
    for name in known:
        await users.upsert_item({"id": name, "userId": name, "email": f"{name}@kanari.example"})
    maker = Maker(7, {"user_id": [*known, *POISON], "email": [f"{name}@kanari.example" for name in known]})
    sent: dict[str, tuple[str, bytes]] = {}
    for number in range(NUMBER):
        [function] = maker.chance.choices([*FUNCTIONS], [*FUNCTIONS.values()])
        body = maker.body(OWN_KIND.get(function) or maker.chance.choice(BY_PEOPLE))
        sent[f"hostile-{number}"] = (function, body)
        parameter, handler = handlers[function]
        message = as_delivered(body, f"hostile-{number}")
        await handler(**{parameter: [message] if function == "ledger_append" else message})
    for timer in ("ledger_append", "ledger_seal"):
        parameter, handler = handlers[timer]
        await handler(**{parameter: []})
    parked = Counter([(await parking(app, name)).message_id for name in await names(app, "parking")])
    assert set(parked.values()) == {1}
    requests = {name.removesuffix(".json") for name in await names(app, "requests")}
    became = Counter()
    for message_id, (function, body) in sent.items():
        became[function, message_id in parked] += 1
        if function == "ledger_append":
            assert message_id not in parked, "a ring is no message: the journals are read"
        elif message_id not in parked:
            order = messages.parse(body, now=utc_now())  # nothing else may be completed
            assert not isinstance(order, messages.Erase | messages.Restrict) or str(order.id) in requests
    assert became["requests_intake", True] > NUMBER / 4
    assert became["requests_intake", False] > NUMBER / 20
    told = Counter(event["type"] for event in await events(app))
    assert told[EventType.MESSAGE_PARKED] == len(parked)
    assert told[EventType.REQUEST_RECEIVED] == len(requests) > 0
    seen = [json.dumps(event) for event in await events(app)]
    for own in OWN_CONTAINERS:
        seen += [f"{entry.name} {dict(entry.metadata)}" async for entry in app.own(own.name).list()]
    assert not [text for text in [*seen, *caplog.messages] if SECRET.search(text)]


async def events(app: Product) -> list[dict]:
    """The events of the logs."""
    return [event for year in await years(app.ledger) async for _, event in entries(Live(ledger=app.ledger, year=year))]
