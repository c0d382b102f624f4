"""What is stored while the processes die: each record, what must become of it, and whose it may be called in the log.

Records are put in and changed by the vendor's SDKs, as a company's own programs would. A change is on condition of the
version that was read, so that no record comes again that is gone. What is written to Cosmos DB is written while nobody
kills it (`steady`): else nobody could say whether it was.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal
from uuid import UUID

from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.cosmos.exceptions import CosmosAccessConditionFailedError, CosmosResourceNotFoundError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from shared import messages
from shared.model import Locator, Scope, ScopeKind, utc_text
from shared.wiring import Product

Fate = Literal["due", "asked", "kept", "held", "left"]
NEIGHBOUR = "neighbour"
HELD_HOME = "home-held"
HOMES = tuple(f"home-{n}" for n in range(8))
PARTITIONS = {"users": "userId", "homes": "homeId", "devices": "homeId", "operation-log": "homeId"}
SNAPSHOTS = "camera-snapshots"


@dataclass(kw_only=True)
class Thing:
    """A record: what must become of it, the scopes under whose keys it may be told of, its latest version.

    `left` is of a home that stays, and names the person no more. `changed`: somebody else than the product wrote it anew.
    """

    locator: Locator
    fate: Fate
    scopes: set[Scope]
    etag: str = ""
    changed: bool = False


@dataclass(kw_only=True)
class Company:
    """Everything that was ever put in, the requests that were sent, and whose erasure the policy asks for."""

    product: Product
    chance: Random
    things: dict[str, Thing] = field(default_factory=dict)
    asked: list[UUID] = field(default_factory=list)
    by_policy: list[Scope] = field(default_factory=list)
    own_homes: list[Scope] = field(default_factory=list)
    people: int = 0
    steady: asyncio.Lock = field(default_factory=asyncio.Lock)
    _number: int = 0

    # ------------------------------------------------------------ what stays, from the beginning

    async def begin(self) -> None:
        """What no sweep and no request may take: a home under a hold, and what is too young."""
        now = datetime.now(UTC)
        items: dict[str, list[dict[str, Any]]] = defaultdict(list)
        items["users"].append(self._user(NEIGHBOUR, now))
        self._note("users", NEIGHBOUR, NEIGHBOUR, "kept", {_person(NEIGHBOUR)})
        for home in HOMES:
            await self._snapshot(home, 2, "kept", set())
            self._row(items, home, days=3, fate="kept")
        for _ in range(3):
            await self._snapshot(HELD_HOME, 9, "held", set())
            self._row(items, HELD_HOME, days=40, fate="held")
        await self._create(items)

    async def hold(self) -> None:
        """Have the hold placed, by a message."""
        body = messages.compose(
            "hold", id=str(self._uuid()), home_id=HELD_HOME, owner="legal", reason="a dispute", by="legal"
        )
        await self.send(body)

    # ------------------------------------------------------------ what goes

    async def add_due(self, snapshots: int, rows: int) -> None:
        """Pictures and rows whose period is over."""
        items: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for _ in range(rows):
            self._row(items, self.chance.choice(HOMES), days=self.chance.randint(31, 60), fate="due")
        await asyncio.gather(
            self._create(items),
            *(
                self._snapshot(self.chance.choice(HOMES), self.chance.randint(8, 10), "due", set())
                for _ in range(snapshots)
            ),
        )

    async def add_person(self) -> None:
        """Somebody with a home of their own and a shared one, whose erasure is asked for: by message, or by policy."""
        self.people += 1
        user, own, shared = (f"{what}-{self.people}" for what in ("user", "own", "shared"))
        asks = self.chance.random() < 0.7
        now = datetime.now(UTC)
        mine = {_person(user)}
        self.own_homes.append(_home(own))
        items: dict[str, list[dict[str, Any]]] = defaultdict(list)
        items["users"].append(self._user(user, now) | ({} if asks else {"contractEndedAt": utc_text(now)}))
        self._note("users", user, user, "asked", mine)
        for home, members, fate in ((own, [user], "asked"), (shared, [user, NEIGHBOUR], "left")):
            items["homes"].append({"id": home, "homeId": home, "members": members})
            self._note("homes", home, home, fate, {_home(home), *mine})
            items["devices"].append({"id": f"{home}-gw", "homeId": home})
            self._note("devices", f"{home}-gw", home, "asked" if home == own else "kept", {_home(home), *mine})
        for days in (1, 2, 40):
            self._row(items, own, days=days, user=user, fate="asked", more=mine)
            self._row(items, shared, days=days, user=user, fate="asked", more=mine)
        self._row(items, shared, days=3, fate="kept", more=mine)
        await asyncio.gather(
            self._create(items),
            *(self._snapshot(own, days, "asked", mine) for days in (1, 2, 8, 9)),
            self._snapshot(shared, 3, "kept", mine),
        )
        if not asks:
            self.by_policy.append(_person(user))
            return
        subject = {"user_id": user} if self.chance.random() < 0.5 else {"email": f"{user}@example.test"}
        request = self._uuid()
        self.asked.append(request)
        await self.send(
            messages.erase(
                request=request,
                subject=subject,
                requested_by="the customer, by phone",
                identity_verified_by="customer service",
                received_at=now,
            )
        )

    async def renew(self, number: int) -> None:
        """Change some that are due: a row becomes young, and stays; a picture is another version, and goes all the same."""
        due = [thing for thing in self.things.values() if thing.fate == "due"][-300:]
        for thing in self.chance.sample(due, min(number, len(due))):
            if thing.locator.container == SNAPSHOTS:
                await self._overwrite(thing)
            else:
                await self._make_young(thing)

    async def _overwrite(self, thing: Thing) -> None:
        blob = self.product.blobs("BLOB_DATA").get_blob_client(SNAPSHOTS, thing.locator.key)
        try:
            answer = await blob.upload_blob(
                b"another picture", overwrite=True, etag=thing.etag, match_condition=MatchConditions.IfNotModified
            )
        except (ResourceModifiedError, ResourceNotFoundError):
            return  # it is gone
        thing.etag, thing.changed = answer["etag"], True

    async def _make_young(self, thing: Thing) -> None:
        proxy = self._items(thing.locator.container)
        where = thing.locator
        async with self.steady:
            try:
                item = await proxy.read_item(where.key, where.partition)
                young = item | {"at": utc_text(datetime.now(UTC))}
                item = await proxy.replace_item(
                    where.key, young, etag=item["_etag"], match_condition=MatchConditions.IfNotModified
                )
            except (CosmosResourceNotFoundError, CosmosAccessConditionFailedError):
                return
        thing.fate, thing.etag, thing.changed = "kept", item["_etag"], True

    # ------------------------------------------------------------ what is there

    async def left_to_do(self) -> list[Thing]:
        """What must go and is still there."""
        stored = await self.stored()
        return [
            thing
            for text, thing in self.things.items()
            if text in stored
            and (thing.fate in ("due", "asked") or (thing.fate == "left" and _names_others(stored[text][1])))
        ]

    async def stored(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Version and body of everything stored, by locator, read by the vendor's SDKs in full."""
        container = self.product.blobs("BLOB_DATA").get_container_client(SNAPSHOTS)
        found: dict[str, tuple[str, Mapping[str, Any]]] = {
            _blob(blob.name).text(): (f'"{blob.etag.strip(chr(34))}"', {}) async for blob in container.list_blobs()
        }
        async with self.steady:
            for name, partition in PARTITIONS.items():
                async for item in self._items(name).read_all_items():
                    found[_item(name, item["id"], item[partition]).text()] = (item["_etag"], item)
        return found

    # ------------------------------------------------------------ writing

    async def send(self, body: bytes) -> None:
        """Send to queue `requests`, again until the broker has acknowledged it."""
        name = str(self._uuid())
        for _ in range(60):
            try:
                async with (
                    asyncio.timeout(20),
                    ServiceBusClient.from_connection_string(
                        self.product.config.text("ServiceBus"), retry_total=0
                    ) as client,
                    client.get_queue_sender("requests") as sender,
                ):
                    await sender.send_messages(ServiceBusMessage(body, message_id=name))
            except Exception:  # noqa: BLE001 - the SDK raises many kinds when a broker dies; all mean: again
                await asyncio.sleep(0.3)
            else:
                return
        raise AssertionError("the broker takes no message for a minute")

    async def _snapshot(self, home: str, days: int, fate: Fate, more: set[Scope]) -> None:
        self._number += 1
        day = datetime.now(UTC) - timedelta(days=days)
        taken = day.replace(hour=self.chance.choice((3, 4)), minute=self.chance.randrange(60), second=7)
        locator = _blob(f"{taken:%Y-%m-%d}/{taken:%H}/{home}/hall/{taken:%H%M%S}-{self._number}.jpg")
        blob = self.product.blobs("BLOB_DATA").get_blob_client(SNAPSHOTS, locator.key)
        answer = await blob.upload_blob(b"picture")
        self.things[locator.text()] = Thing(
            locator=locator, fate=fate, scopes={_home(home), *more}, etag=answer["etag"]
        )

    def _row(
        self,
        items: Mapping[str, list[dict[str, Any]]],
        home: str,
        *,
        days: int,
        user: str = NEIGHBOUR,
        fate: Fate,
        more: Iterable[Scope] = (),
    ) -> None:
        self._number += 1
        key, at = f"row-{self._number}", datetime.now(UTC) - timedelta(days=days)
        items["operation-log"].append({"id": key, "homeId": home, "userId": user, "at": utc_text(at)})
        self._note("operation-log", key, home, fate, {_home(home), *more})

    def _note(self, container: str, key: str, partition: str, fate: Fate, scopes: set[Scope]) -> None:
        locator = _item(container, key, partition)
        self.things[locator.text()] = Thing(locator=locator, fate=fate, scopes=scopes)

    async def _create(self, items: Mapping[str, list[dict[str, Any]]]) -> None:
        together: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for container, bodies in items.items():
            for body in bodies:
                together[container, body[PARTITIONS[container]]].append(body)
        order = ("operation-log", "devices", "homes", "users")  # a person's records before the person
        async with self.steady:
            for (container, partition), bodies in sorted(together.items(), key=lambda each: order.index(each[0][0])):
                batch = [("create", (body,)) for body in bodies]
                answers = await self._items(container).execute_item_batch(batch, partition_key=partition)
                for body, answer in zip(bodies, answers, strict=True):
                    self.things[_item(container, body["id"], partition).text()].etag = answer["eTag"]

    def _items(self, container: str) -> Any:
        return self.product.stores["cosmos/main"].database.get_container_client(container)  # type: ignore[attr-defined]

    def _user(self, user: str, now: datetime) -> dict[str, Any]:
        return {"id": user, "userId": user, "email": f"{user}@example.test", "lastActiveAt": utc_text(now)}

    def _uuid(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128), version=4)


def _names_others(home: Mapping[str, Any]) -> bool:
    return home["members"] != [NEIGHBOUR]


def _blob(name: str) -> Locator:
    return Locator(store="blob", account="data", container=SNAPSHOTS, key=name)


def _item(container: str, key: str, partition: str) -> Locator:
    return Locator(store="cosmos", account="main", container=container, key=key, partition=partition)


def _home(home: str) -> Scope:
    return Scope(kind=ScopeKind.HOME, id=home)


def _person(user: str) -> Scope:
    return Scope(kind=ScopeKind.PERSON, id=user)
