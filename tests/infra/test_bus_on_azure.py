"""Service Bus is deployed as local/entities.json says, every property of it, and nothing expires there.

What the code assumes of that file is in `test_queues_and_topic.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from stages import CHOICES, INFRA, Deployment, Rule, changed, deployed

BUS = "Microsoft.ServiceBus/namespaces"
QUEUE, TOPIC, SUBSCRIPTION = f"{BUS}/queues", f"{BUS}/topics", f"{BUS}/topics/subscriptions"
NEVER = "P10675199DT2H48M5.4775807S"  # the longest time that Service Bus knows
NAMESPACE = json.loads((INFRA.parent / "local" / "entities.json").read_text())["UserConfig"]["Namespaces"][0]
OURS = {
    "deadLetteringOnMessageExpiration",
    "deadLetteringOnFilterEvaluationExceptions",
    "maxSizeInMegabytes",
    "enablePartitioning",
    "supportOrdering",
}
"""What may be set besides: none of it drops a message or reorders a session."""


def wanted() -> dict[tuple[str, str], Mapping[str, Any]]:
    """By type and path, what the file says of each entity, as Azure spells it."""
    found = {(QUEUE, each["Name"]): each["Properties"] for each in NAMESPACE["Queues"]}
    for topic in NAMESPACE["Topics"]:
        found[TOPIC, topic["Name"]] = topic["Properties"]
        found |= {(SUBSCRIPTION, f"{topic['Name']}/{s['Name']}"): s["Properties"] for s in topic["Subscriptions"]}
    return {key: {name[0].lower() + name[1:]: value for name, value in each.items()} for key, each in found.items()}


def made(deployment: Deployment) -> dict[tuple[str, str], Mapping[str, Any]]:
    (namespace,) = deployment.of(BUS)
    found = {}
    for kind, word in ((QUEUE, "/queues/"), (TOPIC, "/topics/"), (SUBSCRIPTION, "/topics/")):
        for each in deployment.of(kind):
            found[kind, each.id.removeprefix(namespace.id + word).replace("/subscriptions/", "/")] = each.properties
    return found


def each_entity_is_made_as_the_file_says(deployment: Deployment) -> Iterator[object]:
    entities = made(deployment)
    asked = {key: each for key, each in wanted().items() if key[0] != SUBSCRIPTION or deployment.main.named("siemId")}
    if entities.keys() != asked.keys():  # a subscription that nobody reads would fill the topic up
        yield entities.keys() ^ asked.keys()
    for key, properties in asked.items():
        for name, value in properties.items():
            if entities.get(key, {}).get(name) != value:
                yield key, name
    for key, properties in entities.items():
        if (
            surplus := properties.keys()
            - wanted().get(key, {}).keys()
            - OURS
            - {"defaultMessageTimeToLive", "autoDeleteOnIdle"}
        ):
            yield key, surplus


def nothing_expires(deployment: Deployment) -> Iterator[object]:
    for key, properties in made(deployment).items():
        for name in ("defaultMessageTimeToLive", "autoDeleteOnIdle"):
            if properties.get(name, NEVER) != NEVER:
                yield key, name
        if key[0] != TOPIC and properties.get("deadLetteringOnMessageExpiration") is not True:
            yield key, "a message that a sender gave an end would be lost"


def the_subscription_gets_every_event(deployment: Deployment) -> Iterator[object]:
    return (each for each in deployment.resources if each.type.startswith(f"{SUBSCRIPTION}/"))  # rules are filters


def keys_open_nothing(deployment: Deployment) -> Iterator[object]:
    for each in deployment.of(BUS):
        if each.properties.get("disableLocalAuth") is not True or each.properties.get("minimumTlsVersion") != "1.2":
            yield each.properties
    yield from (each for each in deployment.resources if "authorizationrules" in each.type.lower())


def private_networking_takes_premium_and_nothing_else_does(deployment: Deployment) -> Iterator[object]:
    for each in deployment.of(BUS):
        private = each.properties["publicNetworkAccess"] == "Disabled"
        if each.body["sku"]["name"] != each.body["sku"]["tier"] or (each.body["sku"]["name"] == "Premium") != private:
            yield each.body["sku"]


RULES: tuple[Rule, ...] = (
    each_entity_is_made_as_the_file_says,
    nothing_expires,
    the_subscription_gets_every_event,
    keys_open_nothing,
    private_networking_takes_premium_and_nothing_else_does,
)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule, choice: str) -> None:
    assert list(rule(deployed(choice))) == []


def test_premium_can_be_chosen_without_private_networking() -> None:
    from stages import made as deploy

    (namespace,) = deploy("dev", serviceBusSku="Premium").of(BUS)
    assert namespace.body["sku"] == {"name": "Premium", "tier": "Premium", "capacity": 1}


FILTER = """resource filter 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2024-01-01' = {
  parent: subscription[0]
  name: 'some'
}
"""
PROPERTIES = (
    "lockDuration",
    "maxDeliveryCount",
    "requiresDuplicateDetection",
    "duplicateDetectionHistoryTimeWindow",
    "requiresSession",
)
MISTAKES = [
    *((each_entity_is_made_as_the_file_says, rf"\n +{name}: [\w.]*\n", "\n") for name in PROPERTIES),
    (each_entity_is_made_as_the_file_says, r"\bname: each\.Name\n", "name: toUpper(each.Name)\n"),
    (each_entity_is_made_as_the_file_says, r"for each in wanted\.Queues:", "for each in skip(wanted.Queues, 1):"),
    (each_entity_is_made_as_the_file_says, r"\brequiresSession:", "forwardTo: 'sweeps'\n requiresSession:"),
    (nothing_expires, r"'P10675199DT2H48M5\.4775807S'", "'P14D'"),
    (nothing_expires, r"deadLetteringOnMessageExpiration: true", "deadLetteringOnMessageExpiration: false"),
    (nothing_expires, r"autoDeleteOnIdle: never", "autoDeleteOnIdle: 'P90D'"),
    (the_subscription_gets_every_event, r"(@batchSize\(1\)\nresource subscription)", rf"{FILTER}\1"),
    (keys_open_nothing, r"disableLocalAuth: true", "disableLocalAuth: false"),
    (keys_open_nothing, r"minimumTlsVersion: '1\.2'", "minimumTlsVersion: '1.0'"),
    (private_networking_takes_premium_and_nothing_else_does, r"privateNetworking \? 'Premium' : ", ""),
]


@pytest.mark.parametrize(("rule", "old", "new"), MISTAKES)
def test_the_rule_sees_a_mistake(rule: Rule, old: str, new: str) -> None:
    assert list(rule(changed("private", old, new)))
