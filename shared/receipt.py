"""The receipt: what a person gets when their request closes. No Azure SDK: an auditor reads one on a laptop.

It holds what was done with how many records of each category, what was not and why, both dates (of the erasure, and of
the last older backup's end), every event of the request with its place in the log, and the key that makes the log's
pseudonyms of the person in them: with it the events can be told to be the person's, and without it nobody can.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AwareDatetime

from shared.documents import Form
from shared.model import ScopeKind

NAME = "{request}.json"


class ReceiptEvent(Form):
    """An event of the request: in which year's log, at which index (from 0), and the event itself (CloudEvents)."""

    log: str
    index: int
    event: Mapping[str, Any]


class ReceiptSubject(Form):
    """The name that the request's events have for whom it was about, and the key (hex) that it is made with."""

    kind: ScopeKind
    id: str
    pseudonym: str
    key: str


class Receipt(Form):
    """The receipt's JSON object. `origin` is the logs' name without the year; `state` is done or rejected.

    `outcomes` counts by category and outcome, `retained` says until when a law keeps records, `not_reached` what may
    hold more and why it was not searched. `backups_gone_at` is when no backup was left that began before the end of
    the erasure.
    """

    v: int = 1
    request: str
    type: str
    state: str
    organisation: str
    policy: str
    received_at: AwareDatetime
    requested_by: str
    identity_verified_by: str
    finished_at: AwareDatetime
    backups_gone_at: AwareDatetime
    outcomes: Mapping[str, Mapping[str, int]]
    retained: Mapping[str, AwareDatetime | None]
    not_reached: Mapping[str, str]
    strange: Mapping[str, int]
    subjects: tuple[ReceiptSubject, ...]
    origin: str
    events: tuple[ReceiptEvent, ...]


def is_about(event: Mapping[str, Any], request: str) -> bool:
    """Whether an event of the log belongs to the request: one of its steps, or an outcome that it caused."""
    data = event.get("data", {})
    cause = data.get("cause")
    return data.get("request") == request or (isinstance(cause, Mapping) and cause.get("request") == request)
