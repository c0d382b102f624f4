"""What each setting does to deleted data: one effect each, with how much it adds, why, and the remedy. Pure.

The facts are the vendor's: https://learn.microsoft.com/azure/storage/blobs/soft-delete-blob-overview,
https://learn.microsoft.com/azure/storage/blobs/versioning-overview, https://learn.microsoft.com/azure/cosmos-db/time-to-live,
https://learn.microsoft.com/azure/cosmos-db/continuous-backup-restore-introduction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from shared.posture.settings import (
    BlobAccount,
    BlobContainer,
    ChangeFeed,
    Continuous,
    CosmosAccount,
    CosmosContainer,
    Immutability,
    Periodic,
    StorageSettings,
    Unknown,
)

_SWEPT = ". The pipeline erases the versions of what it deletes, where its identity may; what others delete stays"
_OWNER = "; until then give the pipeline the role Storage Blob Data Owner, to erase them"

NOTHING = timedelta()
END = timedelta.max
"""Added by what no clock ends."""

Kind = Literal["breaks", "unknown", "note"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One setting's effect. `short` fits a table's cell; `adds` is END where nothing ends it.

    `delays`: the deletion itself comes later by that, before what keeps the deleted begins to count. `of` is the
    container, "" for the whole account.
    """

    kind: Kind
    setting: str
    short: str
    text: str
    remedy: str
    adds: timedelta = NOTHING
    delays: bool = False
    of: str = ""


def total(effects: list[Effect]) -> timedelta:
    """How much later than promised deleted data is gone: delays add up, what keeps it runs side by side."""
    if any(effect.adds == END for effect in effects):
        return END
    delays = sum((effect.adds for effect in effects if effect.delays), NOTHING)
    return delays + max((effect.adds for effect in effects if not effect.delays), default=NOTHING)


def days(count: int) -> str:
    """1 day, 7 days."""
    return f"{count} day{'' if count == 1 else 's'}"


# ---------------------------------------------------------------- Blob storage


def of_storage(settings: StorageSettings, *, names_tell: bool = False, swept: bool = True) -> Iterator[Effect]:
    """Yield what the account's settings do.

    `names_tell`: blob names hold the id of a person or home. `swept`: the pipeline deletes here.
    """
    match settings.soft_delete:
        case Unknown() as unknown:
            yield _unknown("soft delete", unknown)
        case int() as count:
            yield Effect(
                kind="breaks",
                setting="soft delete",
                short=f"soft delete {count} d",
                text=f"soft delete keeps what is deleted for {days(count)} more, and anybody who may can restore it",
                remedy="switch soft delete for blobs off (what it keeps by now stays its days), or promise that more",
                adds=timedelta(days=count),
            )
    match settings.versioning:
        case Unknown() as unknown:
            yield _unknown("versioning", unknown)
        case True:
            yield Effect(
                kind="breaks",
                setting="versioning",
                short="versions: no end",
                text="a delete, and each overwrite, leaves a version that no clock removes" + (_SWEPT if swept else ""),
                remedy="switch versioning off, and delete the versions that are left" + (_OWNER if swept else ""),
                adds=END,
            )
    match settings.restore:
        case Unknown() as unknown:
            yield _unknown("point-in-time restore", unknown)
        case int() as count:
            yield Effect(
                kind="breaks",
                setting="point-in-time restore",
                short=f"restore {count} d",
                text=f"the containers can be set back to any moment of the last {days(count)}, erased blobs included",
                remedy="switch point-in-time restore off for the account of governed data",
                adds=timedelta(days=count),
            )
    yield from _around(settings, names_tell=names_tell)


def _around(settings: StorageSettings, *, names_tell: bool) -> Iterator[Effect]:
    match settings.change_feed:
        case Unknown() as unknown:
            yield _unknown("change feed", unknown)
        case ChangeFeed(days=count):
            kept = "for ever" if count is None else f"for {days(count)}"
            yield Effect(
                kind="breaks" if names_tell else "note",
                setting="change feed",
                short=f"names kept {kept}",
                text=f"the change feed keeps the names of blobs {kept}"
                + (", and the names hold the id of a person or home" if names_tell else ""),
                remedy="switch the change feed off, or limit its days, or keep ids of people out of the names",
            )
    match settings.container_soft_delete:
        case Unknown() as unknown:
            yield _unknown("soft delete of containers", unknown)
        case int() as count:
            yield Effect(
                kind="note",
                setting="soft delete of containers",
                short="",
                text=f"a whole container that is deleted can be restored for {days(count)}; no sweep deletes one",
                remedy="remember it on the day that you remove a container by hand",
            )
    if isinstance(settings.lifecycle, Unknown):
        yield _unknown("lifecycle rules", settings.lifecycle)


def of_blob_container(account: BlobAccount, name: str, *, least: timedelta, swept: bool = True) -> Iterator[Effect]:
    """Yield what the container's own settings do to a promise of at least `least`. `swept`: the policy governs it."""
    container = account.containers.get(name, Unknown(why="it was not looked at", remedy="look again"))
    if isinstance(container, Unknown):
        yield _unknown("container", container, of=name)
        return
    if not isinstance(account.settings.lifecycle, Unknown):
        for rule in account.settings.lifecycle:
            if rule.covers(name) and "base" in rule.deletes:
                yield Effect(
                    kind="breaks" if swept else "note",
                    setting="lifecycle rule",
                    short="lifecycle rule",
                    text=f'lifecycle rule "{rule.name}" deletes here: days late, without an event, whatever is held',
                    remedy="take the rule off the governed container: the sweep deletes in its place"
                    if swept
                    else "promise its days and some more: a run begins once a day, and may take days",
                    of=name,
                )
    yield from _immutable(container, name, least)
    yield from _copies(container, name, account.settings)


def _immutable(container: BlobContainer, name: str, least: timedelta) -> Iterator[Effect]:
    match container.immutability:
        case Unknown() as unknown:
            yield _unknown("immutability", unknown, of=name)
        case Immutability(days=None):
            why = "it has a time-based immutability policy, of how many days the data plane does not tell"
            remedy = "name the subscription (--subscription), so that the days can be read"
            yield _unknown("immutability", Unknown(why=why, remedy=remedy), of=name)
        case Immutability(days=int() as count):
            late = timedelta(days=count) - least
            yield Effect(
                kind="breaks" if late > NOTHING else "note",
                setting="immutability",
                short=f"immutable {count} d",
                text=f"nothing can be deleted before it is {days(count)} old",
                remedy="shorten the policy to the promised period (an unlocked one only), or move the data",
                adds=max(late, NOTHING),
                delays=True,
                of=name,
            )
    match container.legal_hold:
        case Unknown() as unknown:
            yield _unknown("legal hold", unknown, of=name)
        case True:
            text = (
                "the container is under the store's own legal hold: nothing in it can be deleted until that is cleared"
            )
            remedy = "clear it, and hold single records with `retention hold`: such a hold has an owner and an end"
            yield Effect(
                kind="breaks", setting="legal hold", short="legal hold", text=text, remedy=remedy, adds=END, of=name
            )
    if container.version_level is True:
        why = "blobs here can have immutability policies of their own, which no setting tells"
        remedy = "look for outcomes `blocked`, and `erased_recoverable` without an end, in the log"
        yield _unknown("immutability of versions", Unknown(why=why, remedy=remedy), of=name)


def _copies(container: BlobContainer, name: str, settings: StorageSettings) -> Iterator[Effect]:
    seen = container.seen
    if isinstance(seen, Unknown):
        yield _unknown("versions", seen, of=name)
        return
    among = f"among the first {seen.entries:,} entries" if not seen.complete else "in the container"
    if seen.versions:
        text = f"{seen.versions:,} previous versions were seen {among}, {seen.orphans:,} of blobs that are gone"
        yield Effect(
            kind="breaks",
            setting="versions",
            short="versions: no end",
            text=f"{text}: no clock removes them, and no sweep sees those of blobs that are gone",
            remedy="delete them once, by hand or by a lifecycle rule on versions alone",
            adds=END,
            of=name,
        )
    if seen.deleted and settings.soft_delete is None:
        text = f"{seen.deleted:,} soft-deleted blobs were seen {among}, from when soft delete was on"
        remedy = "nothing: each goes at the end of its days"
        yield Effect(kind="note", setting="soft delete", short="", text=text, remedy=remedy, of=name)


# ---------------------------------------------------------------- Cosmos DB


def of_backup(account: CosmosAccount, *, allowed: timedelta) -> Iterator[Effect]:
    """Yield what the account's backup does; `allowed` is how long the policy lets backups keep what was erased."""
    match account.backup:
        case None:
            return
        case Unknown() as unknown:
            yield _unknown("backup", unknown)
            return
        case Continuous(days=count):
            kept, short = timedelta(days=count), f"backup {count} d"
            text = f"continuous backup can restore erased items for {days(count)}"
        case Periodic(interval=interval, retention=retention):
            kept, short = retention, f"backup {span(retention)}"
            text = f"a backup every {span(interval)}, kept {span(retention)}, can restore erased items for that long"
    fits = kept <= allowed
    yield Effect(
        kind="note" if fits else "breaks",
        setting="backup",
        short="" if fits else short,
        text=f"{text}; the policy allows backups {span(allowed)}" if allowed else text,
        remedy="nothing: the policy says so"
        if fits
        else "choose the shorter tier, or write a row for backups into the policy that allows it",
        adds=NOTHING if fits else kept,
    )


def of_cosmos_container(account: CosmosAccount, name: str) -> Iterator[Effect]:
    """Yield what time to live does in the container."""
    container = account.containers.get(name, Unknown(why="it was not looked at", remedy="look again"))
    remedy = "switch time to live off for the container; what it hides unpurged comes back, for the sweep to delete"
    match container:
        case Unknown() as unknown:
            yield _unknown("container", unknown, of=name)
        case CosmosContainer(default_ttl=None):
            pass
        case CosmosContainer(default_ttl=-1, own_ttl=Unknown() as unknown):
            yield _unknown("time to live of items", unknown, of=name)
        case CosmosContainer(default_ttl=-1, own_ttl=False):
            text = "time to live is on without a default: an item written with a ttl would go without an event"
            yield Effect(kind="note", setting="time to live", short="", text=text, remedy=remedy, of=name)
        case CosmosContainer(default_ttl=seconds):
            which = "items that have a ttl" if seconds == -1 else f"each item {span(timedelta(seconds=seconds or 0))}"
            text = f"time to live deletes {which} after its last write, without an event, whatever is held"
            yield Effect(kind="breaks", setting="time to live", short="TTL", text=text, remedy=remedy, of=name)


# ---------------------------------------------------------------- text


def span(length: timedelta) -> str:
    """A span of time in all its units, such as "14 d 10 min"; "no end" for END."""
    if length == END:
        return "no end"
    seconds = int(length.total_seconds())
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def _unknown(setting: str, unknown: Unknown, *, of: str = "") -> Effect:
    return Effect(kind="unknown", setting=setting, short=f"{setting}?", text=unknown.why, remedy=unknown.remedy, of=of)
