"""The synthetic person of the smoke test, invented from the policy, and their records: created, and looked for again.

A user with an address under example.invalid (RFC 2606), a home of theirs and a picture of it, where the policy has such
categories: it says which containers they are in, and which properties tell whose they are. All ids are random. Nothing
is deleted from here: should the erasure never come, the policy's own sweep of users takes them a day later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared.errors import ConfigError, TransientError
from shared.layout import Layout, Token
from shared.model import ScopeKind, utc_text
from shared.policy import Category, Policy
from shared.policy_terms import BlobStore, CosmosStore, Field, FieldIs, Member, NamePart, Partition
from shared.requests.scopes import identifying, shared_category

if TYPE_CHECKING:
    from shared.wiring import Product

LEAVE_OUT = "leave the person out: --no-person"
TOUCH = timedelta(minutes=5)  # a picture's name must not be later than the store's clock when it is stored
GRACE = timedelta(days=1)  # after which the policy's own sweep takes what was left
_WORD = "smoke"


@dataclass(frozen=True, kw_only=True)
class Invented:
    """One record: an item with its body, or a blob. It is nobody's, so its key may be shown."""

    category: str
    store: CosmosStore | BlobStore
    key: str
    body: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.store.container}/{self.key}"


@dataclass(frozen=True, kw_only=True)
class Person:
    """The person by their id, and their records in the order in which they are created.

    `due` is when the policy's own sweep erases the person, should nobody else; None where it has no rule that would.
    """

    user_id: str
    records: tuple[Invented, ...]
    due: datetime | None


# ---------------------------------------------------------------- inventing


def invent(policy: Policy, now: datetime) -> Person:
    """Make up a person whom the policy can erase. Raises ConfigError for a policy without people in Cosmos DB.

    The user comes first: what there is of the others goes with them, whenever a crash ends the creation.
    """
    people = identifying(policy)
    if people is None or people.identifies is None or not isinstance(people.store, CosmosStore) or people.law:
        raise ConfigError(f"the policy has no enforced category of users in Cosmos DB that can be erased: {LEAVE_OUT}")
    user, home = f"{_WORD}-{uuid4()}", f"{_WORD}-{uuid4()}"
    due = _due(people, now + GRACE)
    body = _owned(people, people.store, ScopeKind.PERSON, user)
    body |= {people.identifies.email: f"{user}@example.invalid", **due}
    records = [Invented(category=people.id, store=people.store, key=user, body=body)]
    shared = shared_category(policy)
    if shared is not None and isinstance(shared.store, CosmosStore):
        body = _owned(shared, shared.store, ScopeKind.HOME, home)
        body |= {each.field: [user] for each in shared.find.values() if isinstance(each, Member)}
        records.append(Invented(category=shared.id, store=shared.store, key=home, body=body))
        records += _picture(policy, ScopeKind.HOME, home, now - TOUCH)
    else:
        records += _picture(policy, ScopeKind.PERSON, user, now - TOUCH)
    return Person(user_id=user, records=tuple(records), due=now + GRACE if due else None)


def _owned(category: Category, store: CosmosStore, kind: ScopeKind, scope_id: str) -> dict[str, Any]:
    """An item of the scope's, by the way in which the category's items are found."""
    finder = category.find.get(kind)
    if not isinstance(finder, Partition | FieldIs):
        raise ConfigError(f"category {category.id} does not say which items are one {kind.value}'s: {LEAVE_OUT}")
    body = {"id": scope_id, store.partition_field: scope_id}
    return body | ({finder.field: scope_id} if isinstance(finder, FieldIs) else {})


def _due(people: Category, when: datetime) -> dict[str, str]:
    """The property by which the policy erases the person from `when` on, or a few days later; {} where it has none."""
    for rule in people.rules:
        if rule.action == "erase-subject" and isinstance(rule.start, Field):
            return {rule.start.field: utc_text(rule.period.latest_start(when).replace(microsecond=0))}
    return {}


def _picture(policy: Policy, kind: ScopeKind, scope_id: str, at: datetime) -> list[Invented]:
    for category in policy.enforced():
        store, finder = category.store, category.find.get(kind)
        if isinstance(store, BlobStore) and isinstance(finder, NamePart) and not category.law:
            return [Invented(category=category.id, store=store, key=name(store.layout, finder.field, scope_id, at))]
    return []


def name(layout: Layout, part: str, value: str, at: datetime) -> str:
    """A name of the layout: `value` in its placeholder `part`, a word in the others, all times those of `at`."""

    def text(token: Token) -> str:
        if token.unit:
            return f"{getattr(at, _UNITS[token.unit]):0{4 if token.unit == 'Y' else 2}}"
        return token.text or (value if token.field == part else _WORD)

    return "/".join("".join(text(token) for token in level.tokens) for level in layout.levels)


_UNITS = {"Y": "year", "m": "month", "d": "day", "H": "hour", "M": "minute", "S": "second"}


# ---------------------------------------------------------------- in the stores


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Single records in the stores, as whoever runs the command may reach them: create and read, and no more.

    Every method raises TransientError where a store gives no answer, or refuses.
    """

    app: Product

    async def lacking(self, records: Sequence[Invented]) -> list[str]:
        """The containers that are not there."""
        return [each.store.container for each in records if not await self._answer(each, self._container)]

    async def create(self, record: Invented) -> None:
        """Create the record. One of its random name that is there already is this very one."""
        if not await self._answer(record, self._create):
            raise TransientError(f"{record.store.container}: there is no such container")

    async def there(self, record: Invented) -> bool:
        """Whether the record is there, by reading it."""
        return await self._answer(record, self._read)

    async def _answer(self, record: Invented, ask: Callable[[Invented], Awaitable[None]]) -> bool:
        """Whether what is asked about is there."""
        from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError  # noqa: PLC0415 - slow

        try:
            await ask(record)
        except ResourceNotFoundError:
            return False
        except ResourceExistsError:
            return True
        except AzureError as error:
            service = "Blob storage" if isinstance(record.store, BlobStore) else "Cosmos DB"
            code = getattr(error, "error_code", None) or getattr(error, "status_code", None) or type(error).__name__
            raise TransientError(f"{service} {record.store.container}: {getattr(code, 'value', code)}") from None
        return True

    async def _container(self, record: Invented) -> None:
        if isinstance(record.store, BlobStore):
            await self._blobs(record).get_container_properties()
        else:
            await self._items(record).read()

    async def _create(self, record: Invented) -> None:
        if isinstance(record.store, BlobStore):
            await self._blobs(record).upload_blob(record.key, b"made by the smoke test: nobody's", overwrite=False)
        else:
            await self._items(record).create_item(dict(record.body))

    async def _read(self, record: Invented) -> None:
        if isinstance(record.store, BlobStore):
            await self._blobs(record).get_blob_client(record.key).get_blob_properties()
        else:
            await self._items(record).read_item(record.key, record.body[record.store.partition_field])

    def _blobs(self, record: Invented) -> Any:
        account = self.app.blobs(f"BLOB_{record.store.account.upper()}")
        return account.get_container_client(record.store.container)

    def _items(self, record: Invented) -> Any:
        store: Any = self.app.stores.get(record.store.place)
        if store is None:
            raise ConfigError("setting COSMOS_MAIN is missing: the connection to the users' account")
        return store.database.get_container_client(record.store.container)
