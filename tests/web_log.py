"""A web server's log in blobs, and a visit of which lines are in it: what the tests of lines in a log share."""

import json
from datetime import UTC, datetime, timedelta

from shared.model import Scope, ScopeKind

DAY = datetime(2026, 3, 1, tzinfo=UTC)
ME, OTHER = "192.0.2.7", "198.51.100.1"


def a_visit(since: datetime, until: datetime, ip: str = ME) -> Scope:
    said = {"ip": ip, "since": since.isoformat(), "until": until.isoformat()}
    return Scope(kind=ScopeKind.VISIT, id=json.dumps(said, sort_keys=True, separators=(",", ":")))


def lines(*entries: tuple[datetime, str]) -> bytes:
    """Lines of these times and addresses."""
    return b"".join(json.dumps({"at": at.isoformat(), "ip": ip, "path": "/"}).encode() + b"\n" for at, ip in entries)


def named(hour: datetime) -> str:
    return f"{hour:%Y-%m-%d/%H}.jsonl"


def at(hour: float, minute: float = 0) -> datetime:
    return DAY + timedelta(hours=hour, minutes=minute)


VISIT = a_visit(at(10), at(12))
