"""local/entities.json has the queues, topic and subscription that the code uses, as the code assumes them.

The local broker, Microsoft's emulator and the Bicep all read that file: `test_bus_on_azure.py` has the last.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest

from functions import ledger, requests, sweeps, watch
from shared import dead_letters
from shared.config import SETTINGS
from shared.connections import TOPIC

ROOT = Path(__file__).parents[2]
NAMESPACE = json.loads((ROOT / "local" / "entities.json").read_text())["UserConfig"]["Namespaces"][0]
QUEUES = {queue["Name"]: queue["Properties"] for queue in NAMESPACE["Queues"]}
HOST = json.loads((ROOT / "host.json").read_text())
BUS = HOST["extensions"]["serviceBus"]
DEAD = "/$deadletterqueue"


def triggers() -> list[dict[str, Any]]:
    """The bindings of every function that takes messages, as the host gets them."""
    app = func.FunctionApp()
    for blueprint in (sweeps.bp, requests.bp, watch.bp, ledger.bp):
        app.register_functions(blueprint)
    bindings = [json.loads(each.get_function_json())["bindings"][0] for each in app.get_functions()]
    return [each for each in bindings if each["type"] == "serviceBusTrigger"]


def sent_to() -> set[str]:
    """Every queue that a line of the product asks a sender for: `queue("name")`."""
    return {
        node.args[0].value
        for folder in ("functions", "shared", "cli")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "queue"
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def duration(text: str) -> timedelta:
    """An ISO 8601 duration of minutes and seconds, or the host's hours:minutes:seconds."""
    if match := re.fullmatch(r"PT(?:(\d+)M)?(?:(\d+)S)?", text):
        return timedelta(minutes=int(match[1] or 0), seconds=int(match[2] or 0))
    hours, minutes, seconds = (int(each) for each in text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def default(name: str) -> timedelta:
    return timedelta(seconds=int(next(s.default for s in SETTINGS if s.name == name) or ""))


def test_the_queues_are_exactly_those_that_functions_listen_to() -> None:
    assert set(QUEUES) == {each["queueName"].removesuffix(DEAD) for each in triggers()}


def test_the_queues_are_exactly_those_that_the_product_sends_to() -> None:
    assert set(QUEUES) == sent_to()


def test_every_queue_s_dead_letters_have_a_function_of_their_own() -> None:
    listened = {each["queueName"] for each in triggers()}
    assert {f"{name}{DEAD}" for name in QUEUES} <= listened
    assert {dead_letters.WORK, dead_letters.SWEEPS} <= listened


def test_the_topic_is_the_one_that_the_ledger_publishes_to_with_one_subscription() -> None:
    (topic,) = NAMESPACE["Topics"]
    assert topic["Name"] == TOPIC
    assert [each["Name"] for each in topic["Subscriptions"]] == ["siem"]


@pytest.mark.parametrize("trigger", triggers(), ids=lambda each: each["queueName"])
def test_sessions_are_enabled_where_the_queue_has_them_and_nowhere_else(trigger: dict[str, Any]) -> None:
    name = trigger["queueName"]
    has = False if name.endswith(DEAD) else QUEUES[name]["RequiresSession"]  # a dead-letter queue has none
    assert trigger.get("isSessionsEnabled", False) == has


def test_one_lock_outlasts_the_time_budget_and_its_renewal_every_function() -> None:
    singles = {t["queueName"].removesuffix(DEAD) for t in triggers() if t.get("cardinality", "ONE").upper() == "ONE"}
    assert singles == {"sweeps", "requests", "requests-work"}
    for name in singles:
        assert duration(QUEUES[name]["LockDuration"]) > default("RETENTION_TIME_BUDGET"), name
    assert duration(BUS["maxAutoLockRenewalDuration"]) >= duration(HOST["functionTimeout"])
    assert duration(HOST["functionTimeout"]) > default("RETENTION_TIME_BUDGET")


def test_a_batch_whose_lock_is_not_renewed_ends_within_half_of_it() -> None:
    batches = {t["queueName"].removesuffix(DEAD) for t in triggers() if t.get("cardinality", "ONE").upper() == "MANY"}
    assert batches == {"ledger"}
    assert duration(QUEUES["ledger"]["LockDuration"]) >= 2 * timedelta(seconds=ledger.RING_SECONDS)


def test_the_pause_before_a_dead_letter_comes_again_is_shorter_than_its_lock() -> None:
    from functions.host import PAUSE_SECONDS

    shortest = min(duration(QUEUES[name]["LockDuration"]) for name in ("sweeps", "requests", "requests-work"))
    assert timedelta(seconds=PAUSE_SECONDS) < shortest


def entities() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from QUEUES.items()
    for topic in NAMESPACE["Topics"]:
        yield topic["Name"], topic["Properties"]
        yield from ((f"{topic['Name']}/{each['Name']}", each["Properties"]) for each in topic["Subscriptions"])


@pytest.mark.parametrize(("name", "properties"), list(entities()))
def test_nothing_expires_is_forwarded_or_deleted_by_itself(name: str, properties: dict[str, Any]) -> None:
    known = {
        "LockDuration",
        "MaxDeliveryCount",
        "RequiresDuplicateDetection",
        "DuplicateDetectionHistoryTimeWindow",
        "RequiresSession",
    }
    assert set(properties) <= known  # no DefaultMessageTimeToLive, no AutoDeleteOnIdle, no ForwardTo


@pytest.mark.parametrize("name", sorted(QUEUES))
def test_a_queue_drops_repeated_messages_and_gives_up_after_ten_deliveries(name: str) -> None:
    assert QUEUES[name]["RequiresDuplicateDetection"] is True
    assert duration(QUEUES[name]["DuplicateDetectionHistoryTimeWindow"]) >= timedelta(seconds=20)  # the least there is
    assert QUEUES[name]["MaxDeliveryCount"] == 10  # the docs say ten, and the alerts
