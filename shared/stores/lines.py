"""The lines of a log that are about a visit: JSON objects that tell an IP address and a time. Pure.

A line that cannot be read stays as it is, byte by byte, and is counted: nobody can say whose it is. An address is
compared as an address, whatever its spelling; both ends of the visit's times belong to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address, ip_address

from shared.errors import PermanentError
from shared.model import Scope, ScopeKind, parse_utc
from shared.policy_terms import Line

UNREADABLE = "line cannot be read"
NOT_OVER = "hour is still being written"
TOO_LARGE = "log is too large to be searched"


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What is searched for: one address, between two times."""

    ip: IPv4Address | IPv6Address
    since: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A log without a visit's lines, how many those are, and how many could not be read."""

    rest: bytes
    taken: int
    unreadable: int


def visit_of(scope: Scope | None) -> Visit:
    """Read a visit's scope, whose id is JSON. Raises PermanentError for any other: lines are a visit's alone."""
    if scope is None or scope.kind is not ScopeKind.VISIT:
        raise PermanentError("lines leave a blob for a visit only: correct the category's finder in the policy")
    try:
        said = json.loads(scope.id)
        return Visit(ip=_address(said["ip"]), since=parse_utc(said["since"]), until=parse_utc(said["until"]))
    except (ValueError, KeyError, TypeError):
        raise PermanentError("the scope of a visit cannot be read: it has an IP address and two times") from None


def search(data: bytes, finder: Line, visit: Visit) -> Searched:
    """Divide a log's lines into the visit's and the rest, whose order and bytes stay."""
    rest: list[bytes] = []
    taken = unreadable = 0
    for line in BytesIO(data):
        mine = _is_of(line, finder, visit) if line.strip() else False
        if mine:
            taken += 1
            continue
        unreadable += mine is None
        rest.append(line)
    return Searched(rest=b"".join(rest), taken=taken, unreadable=unreadable)


def _is_of(line: bytes, finder: Line, visit: Visit) -> bool | None:
    """Whether a line is the visit's; None when it does not tell."""
    try:
        entry = json.loads(line)
        ip, at = _address(entry[finder.ip]), parse_utc(entry[finder.at])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return ip == visit.ip and visit.since <= at <= visit.until


def _address(text: str) -> IPv4Address | IPv6Address:
    """The address; one of IPv4 that IPv6 wraps is the one of IPv4. Raises ValueError, TypeError."""
    if not isinstance(text, str):
        raise TypeError("no text")
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address
