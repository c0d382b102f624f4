"""Small documents of ours in an object store: read with their version, written over exactly that version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import IntegrityError
from shared.stores.interface import ObjectStore


class Form(BaseModel):
    """The base of every document: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Outgoing(Form):
    """An event that is still to be posted, byte for byte, and the log year it belongs to: see `shared.outbox`."""

    intent: str
    log: str
    event: str


F = TypeVar("F", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Version(Generic[F]):
    """A document and the ETag it was read with; None where it is not there yet."""

    value: F
    etag: str | None


async def read(objects: ObjectStore, name: str, form: type[F]) -> Version[F] | None:
    """Read a document. Raises IntegrityError when it is not of its form: nobody else may write there."""
    stored = await objects.read(name)
    if stored is None:
        return None
    try:
        return Version(value=form.model_validate_json(stored.data), etag=stored.etag)
    except ValidationError as error:
        where = "; ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise IntegrityError(f"a {form.__name__} cannot be read: {where}") from None


async def write(
    objects: ObjectStore, name: str, value: BaseModel, etag: str | None, *, metadata: Mapping[str, str] | None = None
) -> str:
    """Create the document (`etag` None) or replace exactly that version; return the new ETag.

    Raises ExistsError, ChangedError: somebody else was faster.
    """
    data = value.model_dump_json().encode()
    if etag is None:
        return await objects.create(name, data, metadata=metadata)
    return await objects.replace(name, data, etag=etag, metadata=metadata)
