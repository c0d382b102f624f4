"""Link addresses: which entity, and which of its nodes.

``$cbs`` and ``<entity>/$management`` come bare, entities as a full URI; compared without regard to case, as by the
service. ``queue``, ``topic``, ``topic/Subscriptions/name``, and ``/$DeadLetterQueue`` after a queue or subscription.
"""

import enum
from dataclasses import dataclass

from local.servicebus import faults
from local.servicebus.faults import RefusedError

_MANAGEMENT = "/$management"


class Node(enum.Enum):
    """What stands at an address."""

    TOKENS = enum.auto()
    MANAGEMENT = enum.auto()
    ENTITY = enum.auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A node and, but for tokens, the path of its entity in lower case."""

    node: Node
    path: str


def parse_address(address: object) -> Address:
    """The address in an attach. Raises RefusedError when there is none."""
    if not isinstance(address, str):
        raise RefusedError(faults.NOT_IMPLEMENTED, "links without an address (dynamic nodes) are not modelled")
    path = address.lower()
    if "://" in path:
        path = path.split("://", 1)[1].partition("/")[2]
    path = path.strip("/")
    if path == "$cbs":
        return Address(node=Node.TOKENS, path=path)
    if path.endswith(_MANAGEMENT):
        return Address(node=Node.MANAGEMENT, path=path.removesuffix(_MANAGEMENT))
    return Address(node=Node.ENTITY, path=path)
