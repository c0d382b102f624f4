"""Deleting in Cosmos DB: each item on condition of its ETag, or leaving a shared item likewise.

Items of one partition go in transactional batches of up to 100: one refusal undoes a batch (424 for the others), so the
refused item is taken out, one query finds the others that would be refused, and the rest is sent again; several batches
at once. A single item goes as a batch too: there its id stands in the body; in a URL the client would make the
container's own address of an id of two dots. An error that proves nothing of an item is NoAnswer; where the service is
busy, so is what fell with it: to go on at once would make it busier. So is a batch whose answer is no whole one: what
went is counted, one status for each item.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from azure.core.exceptions import AzureError
from azure.cosmos import exceptions
from azure.cosmos.aio import DatabaseProxy

from shared.errors import PermanentError
from shared.model import Action, Record, Scope
from shared.stores.blob import Replies, asked_to_wait
from shared.stores.concurrency import bounded
from shared.stores.interface import Answer, NoAnswer, There

BATCH = 100
_UNREADABLE = (AzureError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""No answer, or one that is not as the service answers: the client reads it without a look at its form."""


@dataclass(frozen=True, kw_only=True)
class CosmosDeletes:
    """One database's deletes; at most `concurrency` calls at once."""

    database: DatabaseProxy
    concurrency: int

    async def delete(self, records: Sequence[Record], leaver: Scope | None) -> list[Answer]:
        """Carry out each record's action; answers are in the order of `records`."""
        answers: list[Answer] = [NoAnswer()] * len(records)
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        jobs = []
        for number, record in enumerate(records):
            if record.action is Action.LEAVE:
                jobs.append(self._leave(number, record, leaver, answers))
            else:
                groups[record.locator.container, record.locator.partition].append(number)
        for numbers in groups.values():
            chunks = [numbers[n : n + BATCH] for n in range(0, len(numbers), BATCH)]
            jobs += [self._batch(chunk, records, answers) for chunk in chunks]
        await bounded(jobs, self.concurrency)
        return answers

    async def there(self, records: Sequence[Record], leaver: Scope | None) -> list[There | NoAnswer]:
        """Whether each record is there (for a `leave`: names the person), and in the version that was listed."""
        return await bounded([self._there(record, leaver) for record in records], self.concurrency)

    async def _batch(self, numbers: Sequence[int], records: Sequence[Record], answers: list[Answer]) -> None:
        left = list(numbers)
        where = records[left[0]].locator
        container = self.database.get_container_client(where.container)
        once = True
        while left:
            operations = [("delete", (records[n].locator.key,), {"if_match_etag": records[n].etag}) for n in left]
            replied = Replies()
            try:
                done = await container.execute_item_batch(
                    operations, partition_key=where.partition, raw_response_hook=replied
                )
                sure = _all(done, HTTPStatus.NO_CONTENT, len(left))
            except exceptions.CosmosBatchOperationError as error:
                once = once and replied.count == 1
                said = _said(int(error.status_code or 0), once=once)
                if isinstance(said, NoAnswer) or len(error.operation_responses) != len(left):
                    for number in left:
                        answers[number] = NoAnswer(retry_after=asked_to_wait(error))
                    return
                answers[left.pop(error.error_index)] = said
                session = (error.headers or {}).get("x-ms-session-token")
                left = await self._not_refused(left, records, answers, once=once, session=session)
            except _UNREADABLE as error:
                for number in left:
                    answers[number] = _no_answer(error)
                return
            else:
                for number in left:
                    answers[number] = "deleted" if sure else NoAnswer()
                return

    async def _not_refused(
        self,
        numbers: Sequence[int],
        records: Sequence[Record],
        answers: list[Answer],
        *,
        once: bool,
        session: str | None,
    ) -> list[int]:
        """Of a partition's items those that are there as listed; the others' answers are filled in.

        Asked in the refused batch's `session`: no replica answers that is behind what refused it.

        Else each would cost a batch of its own, of which any may get no answer: where all are gone, as after a crash,
        that came to no end while the service was busy.
        """
        if not numbers:
            return []
        where = records[numbers[0]].locator
        found = self.database.get_container_client(where.container).query_items(
            "SELECT c.id, c._etag FROM c WHERE ARRAY_CONTAINS(@ids, c.id)",
            parameters=[{"name": "@ids", "value": [records[n].locator.key for n in numbers]}],
            partition_key=where.partition,
            session_token=session,
        )
        try:
            there = {item["id"]: item["_etag"] async for item in found}
        except _UNREADABLE as error:
            for number in numbers:
                answers[number] = _no_answer(error)
            return []
        left = []
        for number in numbers:
            etag = there.get(records[number].locator.key)
            if etag == records[number].etag:
                left.append(number)
            else:
                answers[number] = _said(HTTPStatus.PRECONDITION_FAILED if etag else HTTPStatus.NOT_FOUND, once=once)
        return left

    async def _leave(self, number: int, record: Record, leaver: Scope | None, answers: list[Answer]) -> None:
        """Take the person out of every list property that names them, on condition of the ETag.

        Nobody's name left in it, or no record: "missing", as after an attempt whose answer was lost.
        """
        if leaver is None:
            raise PermanentError("a record cannot be left by nobody: the cause of the deletion names no person")
        where = record.locator
        container = self.database.get_container_client(where.container)
        replied = Replies()
        try:
            item = await self._item(record)
            lists = _naming(item, leaver) if item else {}
            if item is None or not lists:
                answers[number] = "missing"
                return
            if item["_etag"] != record.etag:  # the lists are of another version than the one the patch would change
                answers[number] = "changed"
                return
            changes = [
                {"op": "set", "path": _pointer(name), "value": [m for m in members if m != leaver.id]}
                for name, members in lists.items()
            ]
            operation = ("patch", (where.key, changes), {"if_match_etag": record.etag})
            done = await container.execute_item_batch(
                [operation], partition_key=where.partition, raw_response_hook=replied
            )
            answers[number] = "left" if _all(done, HTTPStatus.OK, 1) else NoAnswer()
        except exceptions.CosmosBatchOperationError as error:
            said = _said(int(error.status_code or 0), once=replied.count == 1)
            if said == "replaced":  # by this very patch, perhaps: the next try sees whether they have left
                said = NoAnswer()
            answers[number] = NoAnswer(retry_after=asked_to_wait(error)) if isinstance(said, NoAnswer) else said
        except _UNREADABLE as error:
            answers[number] = _no_answer(error)

    async def _there(self, record: Record, leaver: Scope | None) -> There | NoAnswer:
        try:
            item = await self._item(record)
            if item is None or (record.action is Action.LEAVE and leaver is not None and not _naming(item, leaver)):
                return "missing"
            return "same" if item["_etag"] == record.etag else "another"
        except _UNREADABLE as error:
            return _no_answer(error)

    async def _item(self, record: Record) -> dict[str, Any] | None:
        where = record.locator
        found = self.database.get_container_client(where.container).query_items(
            "SELECT * FROM c WHERE c.id = @id",
            parameters=[{"name": "@id", "value": where.key}],
            partition_key=where.partition,
        )
        return await anext(aiter(found), None)


def _all(done: Sequence[Mapping[str, Any]], status: HTTPStatus, number: int) -> bool:
    """Whether a batch's answer says this of each of its operations, and of no other."""
    return [each["statusCode"] for each in done] == [status] * number


def _no_answer(error: Exception) -> NoAnswer:
    return NoAnswer(retry_after=asked_to_wait(error) if isinstance(error, AzureError) else None)


def _pointer(name: str) -> str:
    """A property's JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _naming(item: Mapping[str, Any], leaver: Scope) -> dict[str, list[Any]]:
    """The item's list properties that name the person."""
    return {name: value for name, value in item.items() if isinstance(value, list) and leaver.id in value}


def _said(status: int, *, once: bool) -> Answer:
    """What the status of one operation in a batch says, that the client asked for `once`, or more often.

    A missing container is no such status: it fails the batch.
    """
    match status:
        case HTTPStatus.NOT_FOUND:
            return "missing"
        case HTTPStatus.PRECONDITION_FAILED:
            return "changed" if once else "replaced"
        case _:
            return NoAnswer()
