"""The settings of accounts that decide how long deleted data stays, as values. Pure: no I/O, no clock.

What could not be read is an Unknown, and never taken as fine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

FOR_EVER = None
"""Days of a change feed that nobody limited."""


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A setting that could not be read: why, and what to grant, install or name so that it can."""

    why: str
    remedy: str


Whether = bool | Unknown
Days = int | None | Unknown
"""Whole days; None where the setting is off."""


@dataclass(frozen=True, kw_only=True)
class LifecycleRule:
    """A rule of the account that deletes: `prefixes` begin with a container's name, none means everything.

    `deletes` holds what it deletes, of "base", "version" and "snapshot".
    """

    name: str
    prefixes: tuple[str, ...]
    deletes: frozenset[str]

    def covers(self, container: str) -> bool:
        """Whether the rule reaches blobs of the container."""
        begin = f"{container}/"
        return not self.prefixes or any(p.startswith(begin) or begin.startswith(p) for p in self.prefixes)


@dataclass(frozen=True, kw_only=True)
class ChangeFeed:
    """A change feed that is on; it keeps the names of changed blobs for `days`, None: for ever."""

    days: int | None


@dataclass(frozen=True, kw_only=True)
class Immutability:
    """A container's time-based policy: nothing goes before its blob is `days` old; None: nobody could tell how many."""

    days: int | None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a listing of a container met among its first `entries`; `complete` when that was all there is.

    `versions` are previous ones; `orphans` are the names among them that have no current blob: no sweep sees them.
    """

    entries: int
    versions: int = 0
    orphans: int = 0
    snapshots: int = 0
    deleted: int = 0
    complete: bool = True


@dataclass(frozen=True, kw_only=True)
class BlobContainer:
    """One container. `version_level`: its blobs can have immutability policies of their own."""

    immutability: Immutability | Unknown | None
    legal_hold: Whether
    version_level: Whether
    seen: Seen | Unknown


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """What the management API alone tells of a storage account. `immutable` is by container, None: it has no policy."""

    versioning: Whether
    permanent_delete: Whether
    restore: Days
    change_feed: ChangeFeed | Unknown | None
    container_soft_delete: Days
    lifecycle: tuple[LifecycleRule, ...] | Unknown
    soft_delete: Days
    immutable: Mapping[str, Immutability | Unknown | None] = field(default_factory=dict)

    @classmethod
    def unknown(cls, why: Unknown) -> StorageSettings:
        """Nothing of it could be read."""
        return cls(
            versioning=why,
            permanent_delete=why,
            restore=why,
            change_feed=why,
            container_soft_delete=why,
            lifecycle=why,
            soft_delete=why,
        )

    @classmethod
    def emulator(cls) -> StorageSettings:
        """Azurite: it has none of this, and deletes for good."""
        return cls(
            versioning=False,
            permanent_delete=False,
            restore=None,
            change_feed=None,
            container_soft_delete=None,
            lifecycle=(),
            soft_delete=None,
        )


@dataclass(frozen=True, kw_only=True)
class BlobAccount:
    """A storage account: `settings` for the account, `containers` by name."""

    name: str
    settings: StorageSettings
    containers: Mapping[str, BlobContainer | Unknown]


@dataclass(frozen=True, kw_only=True)
class Continuous:
    """Cosmos DB can be restored to any moment of the last `days`."""

    days: int


@dataclass(frozen=True, kw_only=True)
class Periodic:
    """Cosmos DB is copied every `interval`, and each copy is kept for `retention`."""

    interval: timedelta
    retention: timedelta


@dataclass(frozen=True, kw_only=True)
class CosmosContainer:
    """One container: `default_ttl` in seconds, -1: on without a default, None: off. `own_ttl`: items have a ttl."""

    default_ttl: int | None
    own_ttl: Whether


@dataclass(frozen=True, kw_only=True)
class CosmosAccount:
    """A Cosmos DB account and the containers of its database, by name. `backup` is None of an emulator alone."""

    name: str
    backup: Continuous | Periodic | Unknown | None
    containers: Mapping[str, CosmosContainer | Unknown]


Account = BlobAccount | CosmosAccount
