"""The count at the end: everything that is stored, against what the seed and the requests say should be.

It shares no code with what it checks: not the policy, not the layout, not the walker, no adapter. The promises stand
here once more, in plain words and numbers, and the stores are read by the vendor's SDKs in full.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from local.demo.records import Blob, Item
from local.demo.seed import Seed

Fate = Literal["kept", "expired", "erased", "blocked"]
Stored = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""What a container holds, by name or partition and id: an item's properties, nothing for a blob."""

_DAYS = {
    "camera-snapshots": 7, "camera-credentials": 7, "operation-log": 30, "backups": 30, "web-access-log": 14,
    "course-registrations": 90, "newsletter": 0,
}  # fmt: skip
_FROM = {
    "operation-log": "at", "camera-credentials": "lastUsedAt", "course-registrations": "courseEndedAt",
    "newsletter": "unsubscribedAt",
}  # fmt: skip
_INVOICE_YEARS = 5  # after the end of the year
_INACTIVE = timedelta(days=731)  # 24 months; nobody in the seed is near it
_GUEST_CART, _USER_CART = timedelta(seconds=60), timedelta(minutes=10)
_BLOBS = {"camera-snapshots": "BLOB_DATA", "web-access-log": "BLOB_DATA", "backups": "BLOB_BACKUP"}
_ITEMS = {  # and the property that the partition key is
    "users": "userId", "homes": "homeId", "devices": "homeId", "camera-credentials": "homeId",
    "operation-log": "homeId", "cart-sessions": "sessionId", "course-registrations": "courseId",
    "newsletter": "subscriberId", "invoices": "userId",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Row:
    """One category's count. `left_over` should be gone and is not; `wrongly_gone` should be there and is not."""

    category: str
    seeded: int
    blocked: int
    gone: int
    present: int
    left_over: int
    wrongly_gone: int


def gone_people(seed: Seed, asked: Collection[str]) -> set[str]:
    """User ids that must be gone: those erased on request, and those whose account outlived its reason."""
    users = [item.body for item in seed.items if item.container == "users"]
    over = {u["userId"] for u in users if "contractEndedAt" in u or seed.now - _time(u["lastActiveAt"]) > _INACTIVE}
    return over | set(asked)


def known_as(seed: Seed, people: Collection[str]) -> set[str]:
    """The user ids and the e-mail addresses of these people: records of theirs name one of the two."""
    users = [item.body for item in seed.items if item.container == "users"]
    return {*people, *(user["email"].lower() for user in users if user["userId"] in people)}


def members_left(seed: Seed, people: Collection[str]) -> dict[str, list[str]]:
    """The members that each home should have when `people` are gone; a home without any must be gone too."""
    homes = [item.body for item in seed.items if item.container == "homes"]
    return {home["homeId"]: [m for m in home["members"] if m not in people] for home in homes}


def due(seed: Seed) -> Counter[str]:
    """How many records of each category outlived their period before the story began."""
    fates = [(_category(record), _fate(record, seed.now, (), ())) for record in seed.records]
    return Counter(category for category, fate in fates if fate in ("expired", "blocked"))


def count(seed: Seed, asked: Collection[str], stored: Stored) -> list[Row]:
    """Compare what is stored with what should be, category by category. `asked` are the user ids erased on request."""
    people = gone_people(seed, asked)
    members = members_left(seed, people)
    empty = {home for home, left in members.items() if not left}
    called = known_as(seed, people)
    tallies: dict[str, Counter[str]] = {}
    known: set[tuple[str, str]] = set()
    for record in seed.records:
        fate = _fate(record, seed.now, called, empty)
        key = record.name if isinstance(record, Blob) else key_of(record.partition, record.body["id"])
        known.add((record.container, key))
        there = key in stored[record.container]
        tally = tallies.setdefault(_category(record), Counter())
        tally["seeded"] += 1
        tally[fate] += 1
        tally["present"] += there
        tally["left over"] += there and fate in ("expired", "erased")
        tally["wrongly gone"] += not there and fate in ("kept", "blocked")
        if there and fate == "kept" and record.container == "homes":
            now_in = stored["homes"][key]["members"]
            home = key.partition("/")[0]
            tally["left over"] += len(set(now_in) - set(members[home]))
            tally["wrongly gone"] += len(set(members[home]) - set(now_in))
    for container, names in stored.items():
        if unknown := sum((container, name) not in known for name in names):  # nothing but the seed may be there
            tallies.setdefault(container, Counter())["left over"] += unknown
    return [
        Row(
            category=category,
            seeded=tally["seeded"],
            blocked=tally["blocked"],
            gone=tally["seeded"] - tally["present"],
            present=tally["present"],
            left_over=tally["left over"],
            wrongly_gone=tally["wrongly gone"],
        )
        for category, tally in tallies.items()
    ]


def _fate(record: Blob | Item, now: datetime, names: Collection[str], empty: Collection[str]) -> Fate:
    """What should become of a record when those with these `names` are gone, and these homes are `empty`."""
    days = timedelta(days=_DAYS.get(record.container, 0))
    if isinstance(record, Blob):
        # A picture dated in the future counts from when it was stored, and that was today.
        if record.taken is not None and now - record.taken >= days:
            return "blocked" if record.leased else "expired"
        return "erased" if record.home in empty else "kept"
    body = record.body
    if record.container == "invoices":  # the law keeps them, whoever asks
        return "expired" if int(body["issuedAt"][:4]) < now.year - _INVOICE_YEARS else "kept"
    if record.container == "cart-sessions":
        return "expired" if record.untouched > (_GUEST_CART if body.get("userId") is None else _USER_CART) else "kept"
    since = body.get(_FROM.get(record.container, ""))
    if since is not None and now - _time(since) >= days:
        return "expired"
    if record.container == "camera-credentials" and since is None and record.untouched >= days:  # never used
        return "expired"
    named = {body.get("userId"), str(body.get("email")).lower()} & set(names)
    return "erased" if named or body.get("homeId") in empty else "kept"


def _category(record: Blob | Item) -> str:
    if record.container != "cart-sessions":
        return record.container
    logged_in = isinstance(record, Item) and record.body.get("userId") is not None
    return "cart-user" if logged_in else "cart-guest"


def key_of(partition: str, item_id: str) -> str:
    """The name of a Cosmos item among all of its container."""
    return f"{partition}/{item_id}"


async def list_everything(settings: Mapping[str, str]) -> Stored:
    """Read the names of all blobs, and all items, of the company's containers."""
    stored: dict[str, dict[str, Mapping[str, Any]]] = {}
    for container, setting in _BLOBS.items():
        async with BlobServiceClient.from_connection_string(settings[setting]) as service:
            names = service.get_container_client(container).list_blob_names()
            stored[container] = {name: {} async for name in names}
    async with CosmosClient.from_connection_string(settings["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
        database = client.get_database_client(settings["COSMOS_MAIN_DATABASE"])
        for container, field in _ITEMS.items():
            items = [item async for item in database.get_container_client(container).read_all_items()]
            stored[container] = {key_of(item[field], item["id"]): item for item in items}
    return stored


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
