"""Every store of the policy is deployed as the code assumes it: containers, partition keys, indexes, no expiry, WORM.

Asked of the resources that main.bicep makes of its parameters, not of its text; each rule is seen to fail on a changed
copy of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from stages import (
    CONTAINER,
    INFRA,
    STORAGE,
    TRIALS,
    Deployment,
    Rule,
    account_of,
    changed,
    containers_of,
    deployed,
    settings_of,
)

from shared.containers import OWN_CONTAINERS
from shared.model import Locator, Record, Scope
from shared.policy import Category
from shared.policy_file import load
from shared.policy_terms import BlobStore, CosmosStore, FieldIs, OwnStore
from shared.stores.cosmos_records import CosmosRecords

POLICY = load(INFRA.parent / "policy.yaml")
ACCOUNTS = json.loads((INFRA / "data" / "accounts.json").read_text())
COSMOS = "Microsoft.DocumentDB/databaseAccounts"
IN_COSMOS = f"{COSMOS}/sqlDatabases/containers"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = {"data": "BLOB_DATA", "backup": "BLOB_BACKUP", "state": "BLOB_STATE", "ledger": "BLOB_LEDGER"}


# ---------------------------------------------------------------- which paths the code's own queries read


class Asked:
    """Stands for a database: notes the queries that the adapter sends, and to which partition; finds nothing."""

    def __init__(self) -> None:
        self.queries: list[tuple[str, bool]] = []

    def get_container_client(self, _: str) -> Asked:
        return self

    async def read_feed_ranges(self) -> AsyncIterator[dict[str, Any]]:
        yield {}

    def query_items(self, text: str, *, parameters: object, **target: Any) -> Pages:
        if unknown := target.keys() - {"partition_key", "feed_range", "max_item_count"}:
            raise AssertionError(f"query_items with {unknown} is not modelled here")
        self.queries.append((text, "partition_key" in target))
        return Pages()


class Pages:
    """No items, in no pages."""

    continuation_token = None

    def by_page(self) -> Pages:
        return self

    def __aiter__(self) -> Pages:
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


async def queries(category: Category) -> list[tuple[str, bool]]:
    """Every query that the adapter sends for a category, with whether it names a partition."""
    asked = Asked()
    store = CosmosRecords(database=asked, account="main")  # type: ignore[arg-type]
    for rule in category.rules:
        division = await store.divide(category, rule, now=NOW, most=1)
        assert division.parts == []
    for kind in category.find:
        scope = Scope(kind=kind, id="somebody")
        assert [page async for page in store.of_scope(category, scope, size=10) if page.records] == []
        if any(each.by == "member" for each in category.find.values()) and category.find[kind].by == "partition":
            await store.empty(category, scope)
    if category.identifies is not None:
        await store.find(category, category.identifies.email, "a@example.test")
    if category.rules:
        await store.there([record_of(category)])
    return asked.queries


def record_of(category: Category) -> Record:
    place = category.store
    locator = Locator(store="cosmos", account="main", container=place.container, key="k", partition="p")
    return Record(
        locator=locator, etag='"1"', category=category.id, rule=None, scope=None, starting_point=None, due=None
    )


def paths(text: str) -> set[str]:
    """The index paths that a query's conditions and order read. What every container has indexed counts for none."""
    condition = text.partition(" WHERE ")[2]
    lists = set(re.findall(r"(?:ARRAY_CONTAINS|ARRAY_LENGTH)\(c\.(\w+)", condition))
    fields = set(re.findall(r"\bc\.(\w+)", condition)) - lists - {"id", "_ts"}
    return {f"/{name}/[]/?" for name in lists} | {f"/{name}/?" for name in fields}


async def needed() -> dict[str, set[str]]:
    """By container, the paths to index: what is queried, and the key, which a query within one partition reads."""
    found: dict[str, set[str]] = {}
    for category in POLICY.categories:
        if isinstance(category.store, CosmosStore):
            mine = found.setdefault(category.store.container, {f"{category.store.partition_key}/?"})
            for text, _ in await queries(category):
                mine |= paths(text)
    return found


async def test_the_paths_are_read_from_the_queries_themselves() -> None:
    found = await needed()
    assert found["operation-log"] == {"/homeId/?", "/at/?", "/userId/?"}
    assert found["homes"] == {"/homeId/?", "/members/[]/?"}
    assert found["web-statistics"] == {"/day/?"}


async def test_a_person_s_field_is_queried_in_every_partition() -> None:
    category = next(c for c in POLICY.categories if any(isinstance(f, FieldIs) for f in c.find.values()))
    assert any("@id" in text and not targeted for text, targeted in await queries(category))


# ---------------------------------------------------------------- rules


def governed_blobs_have_their_containers(deployment: Deployment) -> Iterator[object]:
    for category in POLICY.categories:
        place = category.store
        if isinstance(place, BlobStore):
            account = account_of(deployment, f"BLOB_{place.account.upper()}")
            if place.container not in containers_of(deployment, account):
                yield category.id


def own_containers_are_in_their_accounts(deployment: Deployment) -> Iterator[object]:
    for own in OWN_CONTAINERS:
        if own.name not in containers_of(deployment, account_of(deployment, own.account)):
            yield own.name
    made = {name for each in deployment.of(STORAGE) for name in containers_of(deployment, each.id)}
    for category in POLICY.categories:
        if isinstance(category.store, OwnStore) and category.store.container not in made:
            yield category.id


def accounts_have_no_other_containers(deployment: Deployment) -> Iterator[object]:
    for key, setting in SETTINGS.items():
        found = containers_of(deployment, account_of(deployment, setting))
        if found != sorted(ACCOUNTS[key]["containers"]):
            yield key, found
    named = {account_of(deployment, setting) for setting in SETTINGS.values()}
    if len(named) != len(SETTINGS) or "" in named:
        yield "two settings lead to one account, or one to none", named
    rest = [each for each in deployment.of(STORAGE) if each.id not in named]
    others = sorted(name for each in rest for name in containers_of(deployment, each.id) if name != "app-package")
    if others != sorted(ACCOUNTS["exports"]["containers"]):
        yield "others", others


def governed_items_have_their_containers(deployment: Deployment) -> Iterator[object]:
    made = {each.name: each for each in deployment.of(IN_COSMOS)}
    for category in POLICY.categories:
        if isinstance(category.store, CosmosStore):
            container = made.get(category.store.container)
            if container is None:
                yield category.id
                continue
            resource = container.properties["resource"]
            if resource["partitionKey"]["paths"] != [category.store.partition_key]:
                yield category.id, resource["partitionKey"]
            if resource["partitionKey"]["kind"] != "Hash" or resource["id"] != container.name:
                yield category.id, resource
    if surplus := made.keys() - {c.store.container for c in POLICY.categories if isinstance(c.store, CosmosStore)}:
        yield "nobody's", surplus


def the_settings_lead_to_that_database(deployment: Deployment) -> Iterator[object]:
    settings = settings_of(deployment, "pipeline")
    database = f"/sqlDatabases/{settings['COSMOS_MAIN_DATABASE']}/"
    (account,) = deployment.of(COSMOS)
    if account.name not in settings["COSMOS_MAIN__accountEndpoint"]:
        yield settings["COSMOS_MAIN__accountEndpoint"]
    for container in deployment.of(IN_COSMOS):
        if not container.id.startswith(account.id) or database not in container.id:
            yield container.id


def nothing_has_a_time_to_live(deployment: Deployment) -> Iterator[object]:
    for each in deployment.resources:
        for key, found in leaves(each.body):
            if key.lower() in {"defaultttl", "analyticalstoragettl", "ttl"}:
                yield each.id, key, found
            if key == "enableAnalyticalStorage" and found is not False:
                yield each.id, key, found


def leaves(body: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of an object, however deep, with its value."""
    if isinstance(body, dict):
        for name, inner in body.items():
            yield name, inner
            yield from leaves(inner, name)
    if isinstance(body, list):
        for inner in body:
            yield from leaves(inner, key)


def the_log_and_it_alone_is_immutable(deployment: Deployment) -> Iterator[object]:
    policies = deployment.of(f"{CONTAINER}/immutabilityPolicies")
    wanted = f"{account_of(deployment, 'BLOB_LEDGER')}/blobServices/default/containers/audit-log"
    if [each.id.rpartition("/immutabilityPolicies/")[0] for each in policies] != [wanted]:
        yield [each.id for each in policies]
    for each in policies:
        if each.properties.get("allowProtectedAppendWrites") or each.properties.get("allowProtectedAppendWritesAll"):
            yield "an append would change what is written"
    for each in deployment.of(STORAGE):
        if "immutableStorageWithVersioning" in each.properties:
            yield each.id


def youngest_when_dropped() -> int:
    """The age in days, at the end of its period, of what was written in the last moment of its year: the least there is."""
    (rule,) = POLICY.category("audit-log").rules
    years, rest = divmod(rule.period.months, 12)
    assert (rest, rule.period.time) == (0, timedelta(0))
    return min((date(year + years, 1, 1) - date(year, 1, 1)).days for year in range(2026, 2066))


def immutability_ends_before_the_log_is_dropped(deployment: Deployment) -> Iterator[object]:
    for each in deployment.of(f"{CONTAINER}/immutabilityPolicies"):
        days = each.properties["immutabilityPeriodSinceCreationInDays"]
        if days != youngest_when_dropped():  # more would keep the log too long, less would let its end be altered
            yield days


def test_the_policy_keeps_the_log_for_1095_days_at_least() -> None:
    assert youngest_when_dropped() == 1095


RULES: tuple[Rule, ...] = (
    governed_blobs_have_their_containers,
    own_containers_are_in_their_accounts,
    accounts_have_no_other_containers,
    governed_items_have_their_containers,
    the_settings_lead_to_that_database,
    nothing_has_a_time_to_live,
    the_log_and_it_alone_is_immutable,
    immutability_ends_before_the_log_is_dropped,
)


@pytest.mark.parametrize("choice", TRIALS)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_holds(rule: Rule, choice: str) -> None:
    assert list(rule(deployed(choice))) == []


def indexed(deployment: Deployment) -> dict[str, set[str]]:
    found = {}
    for container in deployment.of(IN_COSMOS):
        policy = container.properties["resource"]["indexingPolicy"]
        assert policy["indexingMode"] == "consistent"
        assert policy["excludedPaths"] == [{"path": "/*"}]
        assert not policy.keys() & {"compositeIndexes", "spatialIndexes"}
        found[container.name] = {each["path"] for each in policy["includedPaths"]}
    return found


async def test_what_the_code_queries_is_indexed_and_nothing_else() -> None:
    assert indexed(deployed("dev")) == await needed()


async def test_an_index_too_few_or_too_many_is_seen() -> None:
    without = changed("dev", r"union\(\['\$\{each.partitionKey\}/\?'\], each.indexed\)", "each.indexed")
    assert indexed(without) != await needed()
    more = changed("dev", r"\['\$\{each.partitionKey\}/\?'\]", "['/name/?', '${each.partitionKey}/?']")
    assert indexed(more) != await needed()


MISTAKES = [
    (governed_blobs_have_their_containers, r"for each in containers:", "for each in skip(containers, 1):"),
    (own_containers_are_in_their_accounts, r"for each in containers:", "for each in skip(containers, 1):"),
    (accounts_have_no_other_containers, r"name: each\n", "name: '${each}-x'\n"),
    (governed_items_have_their_containers, r"\n +each\.partitionKey\n", "\n'/id'\n"),
    (governed_items_have_their_containers, r"for each in containers:", "for each in skip(containers, 1):"),
    (the_settings_lead_to_that_database, r"\bname: database\n", "name: 'other'\n"),
    (nothing_has_a_time_to_live, r"\bid: each\.name\n", "id: each.name\n defaultTtl: -1\n"),
    (nothing_has_a_time_to_live, r"enableAnalyticalStorage: false", "enableAnalyticalStorage: true"),
    (the_log_and_it_alone_is_immutable, r"'audit-log'", "'audit-state'"),
    (the_log_and_it_alone_is_immutable, r"allowProtectedAppendWritesAll: false", "allowProtectedAppendWritesAll: true"),
    (immutability_ends_before_the_log_is_dropped, r"\.immutableDays\b", ".immutableDays + 1"),
    (immutability_ends_before_the_log_is_dropped, r"loadJsonContent\('\.\./data/log\.json'\)\.immutableDays", "30"),
]


@pytest.mark.parametrize(("rule", "old", "new"), MISTAKES)
def test_the_rule_sees_a_mistake(rule: Rule, old: str, new: str) -> None:
    assert list(rule(changed("dev", old, new)))
