"""The entities of the namespace, read from a file in the format of the official emulator's ``Config.json``.

The same file serves both. Refused with ``EntitiesError``, which names the place: unknown properties, values outside
Azure's limits, forwarding, rules other than the default (every message matches), names used twice.

Format: https://learn.microsoft.com/azure/service-bus-messaging/test-locally-with-service-bus-emulator
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SECOND, _DAY = 1_000, 86_400_000
_LOCK_LIMITS = (5 * _SECOND, 300 * _SECOND)
_DUPLICATE_LIMITS = (20 * _SECOND, 7 * _DAY)
_TTL_LIMITS = (_SECOND, 36_500 * _DAY)
_DELIVERY_LIMITS = (1, 2_000)
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,258}[A-Za-z0-9])?")

_QUEUE_PROPERTIES = frozenset(
    {
        "DeadLetteringOnMessageExpiration", "DefaultMessageTimeToLive", "DuplicateDetectionHistoryTimeWindow",
        "ForwardDeadLetteredMessagesTo", "ForwardTo", "LockDuration", "MaxDeliveryCount",
        "RequiresDuplicateDetection", "RequiresSession",
    }
)  # fmt: skip
_DUPLICATE_PROPERTIES = frozenset({"DuplicateDetectionHistoryTimeWindow", "RequiresDuplicateDetection"})
_TOPIC_PROPERTIES = _DUPLICATE_PROPERTIES | {"DefaultMessageTimeToLive"}
_SUBSCRIPTION_PROPERTIES = _QUEUE_PROPERTIES - _DUPLICATE_PROPERTIES


class EntitiesError(Exception):
    """The entities file asks for something that this server has not, or cannot be read. Correct the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueSpec:
    """A queue or subscription; durations in milliseconds, None where there is no limit or the feature is off."""

    name: str
    lock_ms: int = 60 * _SECOND
    max_delivery_count: int | None = 10
    requires_session: bool = False
    duplicate_window_ms: int | None = None
    dead_letter_expired: bool = False
    default_ttl_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicSpec:
    """A topic and its subscriptions; durations in milliseconds."""

    name: str
    duplicate_window_ms: int | None = None
    default_ttl_ms: int | None = None
    subscriptions: tuple[QueueSpec, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Namespace:
    """All entities of one server."""

    queues: tuple[QueueSpec, ...] = ()
    topics: tuple[TopicSpec, ...] = ()


def load_entities(path: Path) -> Namespace:
    """The namespace that a file describes. Raises EntitiesError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EntitiesError(f"{path}: {error}") from error
    try:
        return parse_entities(document)
    except EntitiesError as error:
        raise EntitiesError(f"{path}: {error}") from error


def parse_entities(document: object) -> Namespace:
    """The namespace that a decoded JSON document describes. Raises EntitiesError."""
    root = _object(document, "the file", {"UserConfig"})
    config = _object(root.get("UserConfig"), "UserConfig", {"Namespaces", "Logging"})
    namespaces = _array(config.get("Namespaces"), "UserConfig.Namespaces")
    if len(namespaces) != 1:
        raise EntitiesError("UserConfig.Namespaces: exactly one namespace is served")
    namespace = _object(namespaces[0], "the namespace", {"Name", "Queues", "Topics"})
    queues = tuple(_queue(value) for value in _array(namespace.get("Queues"), "Queues"))
    topics = tuple(_topic(value) for value in _array(namespace.get("Topics"), "Topics"))
    _unique([queue.name for queue in queues] + [topic.name for topic in topics], "the namespace")
    return Namespace(queues=queues, topics=topics)


def _queue(value: object) -> QueueSpec:
    entity = _object(value, "a queue", {"Name", "Properties"})
    name = _name(entity, "a queue")
    return _queue_spec(name, f"queue {name}", entity.get("Properties"), _QUEUE_PROPERTIES)


def _topic(value: object) -> TopicSpec:
    entity = _object(value, "a topic", {"Name", "Properties", "Subscriptions"})
    name = _name(entity, "a topic")
    place = f"topic {name}"
    properties = _object(entity.get("Properties", {}), f"{place}, Properties", _TOPIC_PROPERTIES)
    subscriptions = tuple(
        _subscription(subscription, place)
        for subscription in _array(entity.get("Subscriptions"), f"{place}, Subscriptions")
    )
    _unique([subscription.name for subscription in subscriptions], place)
    return TopicSpec(
        name=name,
        duplicate_window_ms=_duplicate_window(properties, place),
        default_ttl_ms=_duration(properties, "DefaultMessageTimeToLive", place, _TTL_LIMITS),
        subscriptions=subscriptions,
    )


def _subscription(value: object, topic: str) -> QueueSpec:
    entity = _object(value, f"{topic}, a subscription", {"Name", "Properties", "Rules"})
    name = _name(entity, f"{topic}, a subscription")
    if entity.get("Rules"):
        raise EntitiesError(f"{topic}, subscription {name}: Rules are not modelled; leave them out to match everything")
    return _queue_spec(name, f"{topic}, subscription {name}", entity.get("Properties"), _SUBSCRIPTION_PROPERTIES)


def _queue_spec(name: str, place: str, value: object, allowed: frozenset[str]) -> QueueSpec:
    properties = _object(value if value is not None else {}, f"{place}, Properties", allowed)
    for forward in ("ForwardTo", "ForwardDeadLetteredMessagesTo"):
        if properties.get(forward):
            raise EntitiesError(f"{place}: {forward} is not modelled")
    defaults = QueueSpec(name=name)
    count = properties.get("MaxDeliveryCount", defaults.max_delivery_count)
    if type(count) is not int or not _DELIVERY_LIMITS[0] <= count <= _DELIVERY_LIMITS[1]:
        raise EntitiesError(f"{place}: MaxDeliveryCount is a whole number from 1 to 2000")
    return QueueSpec(
        name=name,
        lock_ms=_duration(properties, "LockDuration", place, _LOCK_LIMITS) or defaults.lock_ms,
        max_delivery_count=count,
        requires_session=_flag(properties, "RequiresSession", place),
        duplicate_window_ms=_duplicate_window(properties, place),
        dead_letter_expired=_flag(properties, "DeadLetteringOnMessageExpiration", place),
        default_ttl_ms=_duration(properties, "DefaultMessageTimeToLive", place, _TTL_LIMITS),
    )


def _duplicate_window(properties: Mapping[str, object], place: str) -> int | None:
    window = _duration(properties, "DuplicateDetectionHistoryTimeWindow", place, _DUPLICATE_LIMITS)
    if not _flag(properties, "RequiresDuplicateDetection", place):
        return None
    if window is None:  # Azure's documents disagree about the default, so there is none here
        raise EntitiesError(f"{place}: RequiresDuplicateDetection needs DuplicateDetectionHistoryTimeWindow")
    return window


def _object(value: object, place: str, allowed: frozenset[str] | set[str]) -> dict[str, object]:
    if not isinstance(value, dict):
        raise EntitiesError(f"{place}: an object is expected")
    unknown = sorted(set(value) - set(allowed))
    if unknown:
        raise EntitiesError(f"{place}: unknown {', '.join(unknown)}; known: {', '.join(sorted(allowed))}")
    return value


def _array(value: object, place: str) -> Sequence[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise EntitiesError(f"{place}: an array is expected")
    return value


def _name(entity: Mapping[str, object], place: str) -> str:
    name = entity.get("Name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise EntitiesError(f"{place}: Name is 1 to 260 letters, digits, '.', '_', '-' or '/', not {name!r}")
    return name


def _unique(names: Sequence[str], place: str) -> None:
    lowered = [name.lower() for name in names]
    twice = sorted({name for name in lowered if lowered.count(name) > 1})
    if twice:
        raise EntitiesError(f"{place}: more than one entity is called {', '.join(twice)}")


def _flag(properties: Mapping[str, object], name: str, place: str) -> bool:
    value = properties.get(name, False)
    if not isinstance(value, bool):
        raise EntitiesError(f"{place}: {name} is true or false")
    return value


def _duration(properties: Mapping[str, object], name: str, place: str, limits: tuple[int, int]) -> int | None:
    """Milliseconds of an ISO 8601 duration in days, hours, minutes and seconds; None where it is not given."""
    text = properties.get(name)
    if text is None:
        return None
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None or not any(match.groups()):
        raise EntitiesError(f"{place}: {name} is a duration such as PT5M, not {text!r}")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    value = days * _DAY + (hours * 3600 + minutes * 60 + seconds) * _SECOND
    low, high = limits
    if not low <= value <= high:
        raise EntitiesError(f"{place}: {name} is from {low // _SECOND} to {high // _SECOND} seconds, not {text}")
    return value
