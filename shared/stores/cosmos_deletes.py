"""Deleting in Cosmos DB: each item on condition of its ETag, or leaving a shared item likewise.

Where items share a partition key they go in transactional batches of up to 100: one refusal undoes a batch (424 for the
others), so the refused item is taken out and the rest is sent again. Others go one by one, several at once. An error
that proves nothing of the item is NoAnswer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.cosmos import exceptions
from azure.cosmos.aio import DatabaseProxy

from shared.errors import PermanentError
from shared.model import Action, Record, Scope
from shared.stores.blob import asked_to_wait
from shared.stores.concurrency import bounded
from shared.stores.interface import Answer, NoAnswer

BATCH = 100


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
            if len(numbers) == 1:
                jobs.append(self._single(numbers[0], records[numbers[0]], answers))
            else:
                chunks = [numbers[n : n + BATCH] for n in range(0, len(numbers), BATCH)]
                jobs += [self._batch(chunk, records, answers) for chunk in chunks]
        await bounded(jobs, self.concurrency)
        return answers

    async def there(self, records: Sequence[Record], leaver: Scope | None) -> list[bool | NoAnswer]:
        """Whether each record is there, in any version; for a `leave`, whether it still names the person."""
        return await bounded([self._there(record, leaver) for record in records], self.concurrency)

    async def _single(self, number: int, record: Record, answers: list[Answer]) -> None:
        where = record.locator
        try:
            await self.database.get_container_client(where.container).delete_item(
                where.key,
                partition_key=where.partition,
                etag=record.etag,
                match_condition=MatchConditions.IfNotModified,
            )
        except AzureError as error:
            answers[number] = await self._refusal(where.container, error)
        else:
            answers[number] = "deleted"

    async def _batch(self, numbers: Sequence[int], records: Sequence[Record], answers: list[Answer]) -> None:
        left = list(numbers)
        where = records[left[0]].locator
        container = self.database.get_container_client(where.container)
        while left:
            operations = [("delete", (records[n].locator.key,), {"if_match_etag": records[n].etag}) for n in left]
            try:
                await container.execute_item_batch(operations, partition_key=where.partition)
            except exceptions.CosmosBatchOperationError as error:
                refused = left.pop(error.error_index)
                answers[refused] = _said(int(error.status_code or 0), None)
            except AzureError as error:
                for number in left:
                    answers[number] = NoAnswer(retry_after=asked_to_wait(error))
                return
            else:
                for number in left:
                    answers[number] = "deleted"
                return

    async def _leave(self, number: int, record: Record, leaver: Scope | None, answers: list[Answer]) -> None:
        """Take the person out of every list property that names them, on condition of the ETag.

        Nobody's name left in it, or no record: "missing", as after an attempt whose answer was lost.
        """
        if leaver is None:
            raise PermanentError("a record cannot be left by nobody: the cause of the deletion names no person")
        where = record.locator
        container = self.database.get_container_client(where.container)
        try:
            item = await container.read_item(where.key, partition_key=where.partition)
            lists = _naming(item, leaver)
            if not lists:
                answers[number] = "missing"
                return
            if item["_etag"] != record.etag:  # the lists are of another version than the one the patch would change
                answers[number] = "changed"
                return
            await container.patch_item(
                where.key,
                partition_key=where.partition,
                patch_operations=[
                    {
                        "op": "set",
                        "path": "/" + name.replace("~", "~0").replace("/", "~1"),
                        "value": [m for m in members if m != leaver.id],
                    }
                    for name, members in lists.items()
                ],
                etag=record.etag,
                match_condition=MatchConditions.IfNotModified,
            )
        except AzureError as error:
            answers[number] = await self._refusal(where.container, error)
        else:
            answers[number] = "left"

    async def _there(self, record: Record, leaver: Scope | None) -> bool | NoAnswer:
        where = record.locator
        try:
            container = self.database.get_container_client(where.container)
            item = await container.read_item(where.key, partition_key=where.partition)
        except AzureError as error:
            answer = await self._refusal(where.container, error)
            return False if answer == "missing" else NoAnswer(retry_after=asked_to_wait(error))
        return record.action is not Action.LEAVE or leaver is None or bool(_naming(item, leaver))

    async def _refusal(self, container: str, error: AzureError) -> Answer:
        """What an error says of one item. 404 may be the container's, for a wrong setting, or a replica's that is late.

        Then it proves nothing: the container is asked for, and the sub-status is looked at.
        """
        status, sub_status = (int(getattr(error, name, None) or 0) for name in ("status_code", "sub_status"))
        if status == HTTPStatus.NOT_FOUND:
            try:
                await self.database.get_container_client(container).read()
            except AzureError as other:
                return NoAnswer(retry_after=asked_to_wait(other))
            if sub_status:
                return NoAnswer()
        return _said(status, asked_to_wait(error))


def _naming(item: Mapping[str, Any], leaver: Scope) -> dict[str, list[Any]]:
    """The item's list properties that name the person."""
    return {name: value for name, value in item.items() if isinstance(value, list) and leaver.id in value}


def _said(status: int, wait: float | None) -> Answer:
    match status:
        case 404:
            return "missing"
        case 412:
            return "changed"
        case _:
            return NoAnswer(retry_after=wait)
