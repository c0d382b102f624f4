"""How blobs are deleted: in batches of 256, each blob by its own ETag, with its snapshots and versions.

A blob batch can succeed in part, so every sub-answer is read. 412 alone does not tell a changed blob from a missing one
(seen: Azurite answers 412 for both), so the blob is looked at then. An account with soft delete says of each blob that
it went for good, or did not: `x-ms-delete-type-permanent`
(https://learn.microsoft.com/rest/api/storageservices/delete-blob). Of versions no answer speaks: after each batch one
of its names is looked up, and where a version is found those of every name go too, one by one (`blob_versions`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob.aio import BlobServiceClient

from shared.model import Record
from shared.stores.blob import asked_to_wait, quoted, seconds_to_wait
from shared.stores.blob_versions import Copies, Went
from shared.stores.concurrency import bounded
from shared.stores.interface import Answer, NoAnswer, Recoverable

BATCH = 256
ACCEPTED = 202  # what Delete Blob answers when it has deleted


@dataclass(frozen=True, kw_only=True)
class Deletes:
    """Deletes in one account. `versioned` remembers the containers in which a version was seen: they keep them."""

    service: BlobServiceClient
    concurrency: int
    versioned: set[str]

    async def delete(self, records: Sequence[Record]) -> Sequence[Answer]:
        """Delete each record on condition of its ETag; answers are in the order of `records`."""
        answers: list[Answer] = [NoAnswer()] * len(records)
        by_container: dict[str, list[int]] = {}
        for number, record in enumerate(records):
            by_container.setdefault(record.locator.container, []).append(number)
        jobs = []
        for name, numbers in by_container.items():
            copies = Copies(self.service, self.service.get_container_client(name))
            parts = [numbers[n : n + BATCH] for n in range(0, len(numbers), BATCH)]
            jobs += [self._batch(name, part, records, answers, copies) for part in parts]
        await bounded(jobs, self.concurrency)
        return answers

    async def _batch(
        self,
        container: str,
        numbers: Sequence[int],
        records: Sequence[Record],
        answers: list[Answer],
        copies: Copies,
    ) -> None:
        """Fill in the answers to one batch, once what the account keeps of its blobs is gone too, or cannot go."""
        client = self.service.get_container_client(container)
        wanted = [
            {
                "name": records[n].locator.key,
                "etag": records[n].etag,
                "match_condition": MatchConditions.IfNotModified,
                "delete_snapshots": "include",
            }
            for n in numbers
        ]
        try:
            parts = await client.delete_blobs(
                *wanted, raise_on_any_failure=False, raw_request_hook=_plain_boundary, timeout=60
            )
            replies = [part async for part in parts]
        except AzureError as error:
            for n in numbers:
                answers[n] = NoAnswer(retry_after=asked_to_wait(error))
            return
        went: dict[int, Went] = {}
        for n, reply in zip(numbers, replies, strict=True):
            answer = await _answer(client.get_blob_client(records[n].locator.key), records[n].etag, reply)
            match answer:
                case "deleted" | "missing":
                    went[n] = "kept" if _keeps(reply) else answer
                case _:
                    answers[n] = answer
        for n, answer in (await self._account_for(container, went, records, copies)).items():
            answers[n] = answer

    async def _account_for(
        self, container: str, went: Mapping[int, Went], records: Sequence[Record], copies: Copies
    ) -> Mapping[int, Answer]:
        """What became of blobs that are not there now, their copies included.

        One that was deleted just now has a version if the account makes any: one look tells for all.
        """
        if not went:
            return {}
        probe = min(went, key=lambda n: went[n] == "missing")
        try:
            if container not in self.versioned and await copies.any(records[probe].locator.key):
                self.versioned.add(container)
        except AzureError as error:
            return dict.fromkeys(went, NoAnswer(retry_after=asked_to_wait(error)))
        if container in self.versioned:
            jobs = [_erase(copies, records[n], said) for n, said in went.items()]
            return dict(zip(went, await bounded(jobs, self.concurrency), strict=True))
        kept = Recoverable(until=await copies.kept_until()) if "kept" in went.values() else NoAnswer()
        return {n: kept if said == "kept" else said for n, said in went.items()}


async def look(blob: Any, etag: str) -> Answer:
    """After 412, or 404 that names no blob: is it another version, or gone? The same version there proves nothing."""
    try:
        about = await blob.get_blob_properties()
    except ResourceNotFoundError as error:  # the container's absence, a wrong setting, proves nothing of the blob
        return "missing" if getattr(error, "error_code", None) == "BlobNotFound" else NoAnswer()
    except AzureError:
        return NoAnswer()
    return "changed" if quoted(about.etag) != etag else NoAnswer()


async def _answer(blob: Any, etag: str, reply: Any) -> Answer:
    code = str(reply.headers.get("x-ms-error-code") or "")
    match reply.status_code:
        case 202:
            return "deleted"
        case 404 if code == "BlobNotFound":
            return "missing"
        case 412 if code.startswith("LeaseId"):
            return "lease"
        case 409 if "LegalHold" in code:
            return "legal-hold"
        case 409 if "Immutab" in code:
            return "immutability"
        case 404 | 412:
            return await look(blob, etag)
        case _:
            return NoAnswer(retry_after=seconds_to_wait(reply.headers))


async def _erase(copies: Copies, record: Record, went: Went) -> Answer:
    try:
        return await copies.erase(record.locator.key, record.etag, went)
    except AzureError as error:  # the repeat finds the blob missing, and goes on with its copies
        return NoAnswer(retry_after=asked_to_wait(error))


def _keeps(reply: Any) -> bool:
    """Whether a blob was deleted and can be restored: soft delete keeps it. "true" is a deletion for good."""
    return bool(reply.status_code == ACCEPTED and reply.headers.get("x-ms-delete-type-permanent") == "false")


def _plain_boundary(request: Any) -> None:
    """Give the batch a boundary without `=`: the SDK leaves it unquoted, which Azurite refuses with 400."""
    http = request.http_request
    found = re.search(r"boundary=(\S+)", http.headers.get("Content-Type", ""))
    if found and "=" in found[1]:
        plain = "batch_" + found[1].strip("=")
        http.headers["Content-Type"] = f"multipart/mixed; boundary={plain}"
        http.data = http.data.replace(found[1].encode(), plain.encode())
        http.headers["Content-Length"] = str(len(http.data))
