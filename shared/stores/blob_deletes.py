"""How blobs are deleted: in batches of 256, each blob by its own ETag, with its snapshots and versions.

A blob batch can succeed in part, so every sub-answer is read. 412 alone does not tell a changed blob from a missing one
(seen: Azurite answers 412 for both), so the blob is looked at then. An account with soft delete says of each blob that
it went for good, or did not: `x-ms-delete-type-permanent`. The service says it of every delete since its version
2017-07-29 (https://learn.microsoft.com/rest/api/storageservices/delete-blob, response headers), so that a blob of which
it does not say it has had no answer.

Of versions no answer speaks. Listings look for them in the requests that they make anyway (`blob_versions`), and after
each batch one more request tells whether the account made one of what was deleted just now. So that is all that an
account without versions costs. A name is looked at by itself, and its versions go one by one, where some blob of the
container has any; where the record comes from a journal, of which no listing told; and where the blob was missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient, ContainerClient

from shared.model import Record
from shared.stores import blob_batch
from shared.stores.blob import NO_BLOB, Replies, asked_to_wait, code_of, quoted, seconds_to_wait
from shared.stores.blob_batch import MOST, Part, Wanted, sendable
from shared.stores.blob_versions import Copies, Versions, Went, permanent
from shared.stores.concurrency import bounded
from shared.stores.interface import Answer, NoAnswer, Recoverable, There


@dataclass(frozen=True, kw_only=True)
class Deletes:
    """Deletes in one account. `versions` remembers what was seen of its versions."""

    service: BlobServiceClient
    concurrency: int
    versions: Versions

    async def delete(self, records: Sequence[Record]) -> Sequence[Answer]:
        """Delete each record on condition of its ETag; answers are in the order of `records`."""
        answers: list[Answer] = [NoAnswer()] * len(records)
        by_container: dict[str, list[int]] = {}
        for number, record in enumerate(records):
            if not sendable(record.etag):  # no service gave it
                continue
            by_container.setdefault(record.locator.container, []).append(number)
        jobs = []
        for name, numbers in by_container.items():
            container = self.service.get_container_client(name)
            copies = Copies(self.service, container)
            parts = [numbers[n : n + MOST] for n in range(0, len(numbers), MOST)]
            jobs += [self._batch(container, part, records, answers, copies) for part in parts]
        await bounded(jobs, self.concurrency)
        return answers

    async def _batch(
        self,
        container: ContainerClient,
        numbers: Sequence[int],
        records: Sequence[Record],
        answers: list[Answer],
        copies: Copies,
    ) -> None:
        """Fill in the answers to one batch, once what the account keeps of its blobs is gone too, or cannot go."""
        wanted = [Wanted(name=records[n].locator.key, etag=records[n].etag) for n in numbers]
        replied = Replies()
        try:
            parts = await blob_batch.delete(container, wanted, raw_response_hook=replied)
        except AzureError as error:
            for n in numbers:
                answers[n] = NoAnswer(retry_after=asked_to_wait(error))
            return
        went: dict[int, Went] = {}
        for n, reply in zip(numbers, parts, strict=True):
            if reply is None:
                continue
            answer = await _answer(container, records[n], reply)
            match answer:
                case "deleted" | "missing":
                    went[n] = "kept" if permanent(reply.headers) is False else answer
                case "changed" if replied.count > 1:
                    answers[n] = "replaced"
                case _:
                    answers[n] = answer
        for n, answer in (await self._account_for(container.container_name, went, records, copies)).items():
            answers[n] = answer

    async def _account_for(
        self, container: str, went: Mapping[int, Went], records: Sequence[Record], copies: Copies
    ) -> Mapping[int, Answer]:
        """What became of blobs that are not there now, their copies included.

        Of those that had no version and were deleted just now, each has one now if the account makes any: one look
        tells for all.
        """
        alone = [n for n, said in went.items() if records[n].alone and said != "missing"]
        try:
            if alone and container not in self.versions.seen and await copies.any(records[alone[0]].locator.key):
                self.versions.seen.add(container)
        except AzureError as error:
            return dict.fromkeys(went, NoAnswer(retry_after=asked_to_wait(error)))
        plain = set() if container in self.versions.seen else set(alone)
        others = [n for n in went if n not in plain]
        jobs = [_erase(copies, records[n], went[n]) for n in others]
        answers: dict[int, Answer] = dict(zip(others, await bounded(jobs, self.concurrency), strict=True))
        softly = [n for n in plain if went[n] == "kept"]
        until = await copies.kept_until() if softly else None
        return answers | dict.fromkeys(plain, "deleted") | dict.fromkeys(softly, Recoverable(until=until))


async def look(blob: Any, etag: str) -> There | NoAnswer:
    """Whether the blob is there, and in this version."""
    try:
        about = await blob.get_blob_properties()
    except ResourceNotFoundError as error:  # the container's absence, a wrong setting, proves nothing of the blob
        return "missing" if code_of(error) == NO_BLOB else NoAnswer()
    except AzureError:
        return NoAnswer()
    return "same" if quoted(about.etag) == etag else "another"


async def _answer(container: ContainerClient, record: Record, reply: Part) -> Answer:
    code = reply.headers.get("x-ms-error-code", "")
    match reply.status:
        case 202:
            return "deleted" if permanent(reply.headers) is not None else NoAnswer()
        case 404 if code == NO_BLOB:
            return "missing"
        case 412 if code.startswith("LeaseId"):
            return "lease"
        case 409 if "LegalHold" in code:
            return "legal-hold"
        case 409 if "Immutab" in code:
            return "immutability"
        case 404 | 412:  # 404 may be the container's
            return await _other_version(container.get_blob_client(record.locator.key), record.etag)
        case _:
            return NoAnswer(retry_after=seconds_to_wait(reply.headers))


async def _other_version(blob: Any, etag: str) -> Answer:
    """What a refusal by the condition means. The same version there proves nothing."""
    match await look(blob, etag):
        case "another":
            return "changed"
        case "missing":
            return "missing"
        case _:
            return NoAnswer()


async def _erase(copies: Copies, record: Record, went: Went) -> Answer:
    try:
        return await copies.erase(record.locator.key, record.etag, went)
    except AzureError as error:  # the repeat finds the blob missing, and goes on with its copies
        return NoAnswer(retry_after=asked_to_wait(error))
