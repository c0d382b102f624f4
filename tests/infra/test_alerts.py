"""Alerts, workbook and runbook say the same as the code: names of metrics and attributes, tables, sections.

The queries do not run here: no program on this side of Azure runs them. What is held is what would go wrong in silence:
a metric that nobody watches, a name that nobody sends, an alert on silence that is silent itself, a text that leads nowhere.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.liveness import TIMERS
from shared.metrics import METRICS
from shared.period import Period
from shared.posture.watch import EVERY

ROOT = Path(__file__).parents[2]
ALERTS = json.loads((ROOT / "infra" / "data" / "alerts.json").read_text(encoding="utf-8"))
WORKBOOK = json.loads((ROOT / "infra" / "data" / "workbook.json").read_text(encoding="utf-8"))
BICEP = (ROOT / "infra" / "modules" / "alerts.bicep").read_text(encoding="utf-8")
RUNBOOK = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
ATTRIBUTES = {metric.name: set(metric.attributes) for metric in METRICS}

# The columns that the queries may use, of the tables as Azure Monitor's reference has them.
TABLES = {
    "AppMetrics": {"TimeGenerated", "Name", "Sum", "Min", "Max", "ItemCount", "Properties"},
    "AppRequests": {"TimeGenerated", "Name", "Success", "AppRoleName", "ItemCount", "DurationMs"},
    "AppTraces": {"TimeGenerated", "Message", "AppRoleName"},
    "AZKVAuditLogs": {"OperationName", "HttpStatusCode", "Identity"},
    "StorageBlobLogs": {"Category", "_ResourceId", "ObjectKey", "RequesterObjectId", "StatusText"},
    "Usage": {"TimeGenerated", "DataType", "Quantity", "IsBillable"},
}
OPERATORS = {"where", "summarize", "project", "order", "take"}
LANGUAGE = set(
    re.findall(
        r"\w+",
        "let toscalar where summarize project order by asc desc take in has has_any startswith and not iff coalesce"
        " count sum sumif min max round bin ago tostring arg_max isnotnull extract union true false",
    )
)
# What Azure Monitor takes: learn.microsoft.com, scheduled query rules; REST, "evaluationFrequency" and "windowSize".
FREQUENCIES = {"PT5M", "PT10M", "PT15M", "PT30M", "PT45M", "PT1H", "PT2H", "PT3H", "PT4H", "PT5H", "PT6H", "P1D"}
WINDOWS = FREQUENCIES | {"P2D"}
OF_METRICS = {"PT1M", "PT5M", "PT15M", "PT30M", "PT1H"}
WINDOWS_OF_METRICS = OF_METRICS | {"PT6H", "PT12H", "P1D"}
NEVER = ("AggregatedValue", "bag_unpack", "pivot(", "narrow(", "externaldata", "search ")


def sections(text: str) -> dict[str, str]:
    """The runbook's sections of the second level, by their anchors."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {title.lower().replace(" ", "-"): body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def every(alerts: dict[str, Any]) -> list[dict[str, Any]]:
    return [*alerts["queries"], *alerts["metrics"], *alerts["activities"]]


def span(text: str) -> timedelta:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Period.parse(text).after(start) - start


def without_texts(query: str) -> str:
    return re.sub(r"'[^']*'", "''", query)


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"'(retention\.[a-z_.]+)'", query))


def wrong_with_query(query: str) -> Iterator[str]:
    """What is wrong with a query in itself."""
    plain = without_texts(query)
    if plain.count("'") % 2 or any(plain.count(a) != plain.count(b) for a, b in ("()", "[]", "{}")):
        yield "its brackets or quotes do not close"
    heads = re.findall(r"(?:^|toscalar\(|let \w+ = )\s*([A-Z]\w+)\s*(?=\n\||$)", plain, re.MULTILINE)
    if not heads or set(heads) - set(TABLES):
        yield f"it reads {heads}, which are not known tables"
        return
    if set(re.findall(r"\|\s*(\w+)", plain)) - OPERATORS:
        yield f"it uses an operator besides {sorted(OPERATORS)}"
    made = set(re.findall(r"(\w+)\s*=(?![=~])", plain))
    known = LANGUAGE | made | set(heads) | set.union(*(TABLES[head] for head in heads))
    said = re.sub(r"Properties\.\w+", "Properties", plain)
    unknown = set(re.findall(r"(?<![\w.])[A-Za-z_]\w*", said)) - known
    if unknown:
        yield f"it names {sorted(unknown)}, which its tables do not have"
    for metric in metrics_in(query):
        if metric not in ATTRIBUTES:
            yield f"nobody sends {metric}"
    sent = set.union(set(), *(ATTRIBUTES.get(metric, set()) for metric in metrics_in(query)))
    for attribute in set(re.findall(r"Properties\.(\w+)", plain)) - sent:
        yield f"none of its metrics has the attribute {attribute}"
    yield from (f"a rule may not use {each}" for each in NEVER if each in plain)


def wrong_with_rule(alert: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a rule over a query."""
    query = "\n".join(alert["query"])
    yield from wrong_with_query(query)
    if alert["frequency"] not in FREQUENCIES or alert["window"] not in WINDOWS:
        yield "Azure does not take its frequency or window"
    elif span(alert["window"]) < span(alert["frequency"]):
        yield "it looks at less than the time between two looks"
    last = alert["query"][-1] if "Value" in alert["query"][-1] else alert["query"][-2]
    for column in ("Value", *(each["name"] for each in alert["dimensions"])):
        if not re.search(rf"\b{column}\b", last):
            yield f"its result has no column {column}"
    if metrics_in(query) != set(alert["metrics"]):
        yield "its list of metrics is not what it reads"
    for minutes in re.findall(r"ago\((\d+)m\)", query):
        if timedelta(minutes=int(minutes)) > span(alert["window"]):
            yield "it asks for more than its window holds"
    if alert["operator"] == "LessThan" and not re.fullmatch(r"\| summarize Value = count\(\)", alert["query"][-1]):
        yield "an empty table must give it a row with 0: count() without `by` does"
    if set(re.findall(r"\{(\w+)\}", query)) - set(re.findall(r"'\{(\w+)\}'", BICEP)):
        yield "it has a placeholder that the Bicep does not fill"


def problems(alerts: dict[str, Any], runbook: str = RUNBOOK) -> list[str]:
    """Everything that is wrong with the alerts."""
    found = [f"{alert['name']}: {wrong}" for alert in alerts["queries"] for wrong in wrong_with_rule(alert)]
    found += [
        f"{alert['name']}: Azure does not take its frequency or window"
        for alert in alerts["metrics"]
        if alert["frequency"] not in OF_METRICS or alert["window"] not in WINDOWS_OF_METRICS
    ]
    parts, names = sections(runbook), [alert["name"] for alert in every(alerts)]
    found += [f"{name}: two alerts have this name" for name in set(names) if names.count(name) > 1]
    for alert in every(alerts):
        if f"`{alert['name']}`" not in parts.get(alert["anchor"], ""):
            found.append(f"{alert['name']}: no section #{alert['anchor']} of docs/operate.md names it")
        if not re.fullmatch(r"[A-Z].+\.", alert["text"]) or alert["title"].endswith("."):
            found.append(f"{alert['name']}: its text is no sentence, or its title is one")
        if alert.get("severity", 0) not in range(4):
            found.append(f"{alert['name']}: its severity is none of 0 to 3")
    watched = {metric for alert in alerts["queries"] for metric in alert["metrics"]}
    for metric in ATTRIBUTES:
        if (metric in watched) == (metric in alerts["unwatched"]):
            found.append(f"{metric}: needs an alert, or a reason to have none, and not both")
    found += [f"{metric}: nobody sends it" for metric in set(alerts["unwatched"]) - set(ATTRIBUTES)]
    return found


def rule(name: str, alerts: dict[str, Any] = ALERTS) -> dict[str, Any]:
    return next(alert for alert in every(alerts) if alert["name"] == name)


def test_every_metric_is_watched_and_every_alert_is_about_something_that_is_sent_and_has_its_section():
    assert problems(ALERTS) == []


def change(alert: str, /, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda alerts: rule(alert, alerts).update(fields)


def replaced(name: str, old: str, new: str) -> Callable[[dict[str, Any]], None]:
    def apply(alerts: dict[str, Any]) -> None:
        lines = rule(name, alerts)["query"]
        assert any(old in line for line in lines), "the query has changed: choose another mutation"
        lines[:] = [line.replace(old, new) for line in lines]

    return apply


def dropped(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda alerts: alerts["queries"].remove(rule(name, alerts))


@pytest.mark.parametrize(
    ("mutation", "said"),
    [
        (dropped("parked"), "retention.parked: needs an alert"),
        (replaced("parked", "retention.parked", "retention.parkd"), "nobody sends retention.parkd"),
        (replaced("overdue", "Properties.category", "Properties.container"), "attribute container"),
        (replaced("overdue", "tostring(", "tostring(("), "do not close"),
        (replaced("overdue", "AppMetrics", "customMetrics"), "not known tables"),
        (replaced("overdue", "arg_max(TimeGenerated, Sum)", "arg_max(timestamp, Sum)"), "'timestamp'"),
        (replaced("overdue", "summarize arg_max", "mv-expand arg_max"), "an operator besides"),
        (replaced("overdue", "Value = Sum", "Total = Sum"), "no column Value"),
        (change("overdue", dimensions=[{"name": "rule", "operator": "Include", "values": ["*"]}]), "no column rule"),
        (change("overdue", anchor="overdu"), "no section #overdu"),
        (change("overdue", anchor="requests"), "no section #requests of docs/operate.md names it"),
        (change("overdue", name="parked"), "two alerts"),
        (change("overdue", metrics=[]), "its list of metrics"),
        (change("overdue", frequency="PT20M"), "frequency or window"),
        (change("dead-letters", window="PT20M"), "frequency or window"),
        (change("overdue", window="PT5M"), "less than the time between two looks"),
        (change("overdue", text="Records are overdue"), "no sentence"),
        (change("overdue", severity=5), "severity"),
        (replaced("silent-metrics", "count()", "count() by Name"), "an empty table"),
        (replaced("silent-metrics", "20m", "40m"), "more than its window"),
        (replaced("silent-ledger", "{ledgerApp}", "{ledgerName}"), "placeholder"),
        (lambda alerts: alerts["unwatched"].update({"retention.parked": "why not"}), "and not both"),
        (lambda alerts: alerts["unwatched"].update({"retention.nothing": "why not"}), "nobody sends it"),
    ],
)
def test_a_fault_in_the_alerts_is_found(mutation: Callable[[dict[str, Any]], None], said: str):
    alerts = copy.deepcopy(ALERTS)
    mutation(alerts)
    assert any(said in each for each in problems(alerts)), problems(alerts)


def test_a_section_that_is_gone_from_the_runbook_is_found():
    assert problems(ALERTS, RUNBOOK.replace("## Silence\n", "## Quiet\n"))


def test_silence_is_told_by_what_azure_received_and_of_each_app_and_of_the_metrics():
    silent = [alert for alert in ALERTS["queries"] if alert["operator"] == "LessThan"]
    assert {alert["anchor"] for alert in silent} == {"silence"}
    texts = {alert["name"]: "\n".join(alert["query"]) for alert in silent}
    assert "{pipelineApp}" in texts.pop("silent-pipeline")
    assert "{ledgerApp}" in texts.pop("silent-ledger")
    assert metrics_in(texts.pop("silent-metrics")) == {"retention.heartbeat.age"}
    assert texts == {}
    for alert in silent:
        assert alert["frequency"] == "PT5M"
        assert (alert["threshold"], alert["severity"]) == (1, 1)


def test_an_old_look_is_told_after_some_missed_looks_and_not_between_two():
    assert 3 * TIMERS["watch_overdue"] <= timedelta(seconds=rule("look-old")["threshold"]) <= timedelta(hours=2)
    assert EVERY < timedelta(seconds=rule("posture-old")["threshold"]) <= 3 * EVERY
    assert 3 * TIMERS["watch_metrics"] < timedelta(minutes=20)  # what silent-metrics waits for


def test_a_gauge_is_told_several_times_within_the_window_of_its_alert():
    for alert in ALERTS["queries"]:
        if alert["metrics"]:
            assert span(alert["window"]) >= 3 * TIMERS["watch_metrics"], alert["name"]


def test_only_events_stay_until_somebody_closes_them():
    assert {alert["name"] for alert in ALERTS["queries"] if not alert["resolves"]} == {
        "alarm",
        "seed-read",
        "seed-changed",
        "ledger-written",
    }


def test_alerts_on_service_bus_name_entities_that_there_are():
    (namespace,) = json.loads((ROOT / "local" / "entities.json").read_text(encoding="utf-8"))["UserConfig"][
        "Namespaces"
    ]
    entities = {each["Name"] for each in (*namespace["Queues"], *namespace["Topics"])}
    of_bus = [alert for alert in ALERTS["metrics"] if alert["resource"] == "serviceBus"]
    assert {alert["metric"] for alert in of_bus} >= {
        "DeadletteredMessages",
        "ActiveMessages",
        "Size",
        "ThrottledRequests",
    }
    for alert in of_bus:
        for dimension in alert["dimensions"]:
            assert dimension["name"] == "EntityName"
            assert dimension["values"] == ["*"] or set(dimension["values"]) <= entities


def test_an_alarm_is_looked_for_in_the_words_in_which_it_is_raised():
    (line,) = (line for line in rule("alarm")["query"] if "Message" in line)
    start = re.search(r"startswith '(\w+)'", line)
    assert start is not None
    raised = [
        said
        for folder in ("shared", "functions")
        for path in (ROOT / folder).rglob("*.py")
        for said in re.findall(r"log\.error\(\s*\"(\w+)", path.read_text(encoding="utf-8"))
    ]
    assert raised.count(start[1]) > 10
    assert {said for said in raised if said.isupper()} == {start[1]}


def test_the_bicep_makes_one_rule_of_each_row_and_gives_each_its_section():
    for kind in ("queries", "metrics", "activities"):
        assert BICEP.count(f"[for alert in alerts.{kind}: {{") == 1
    assert set(ALERTS) == {"queries", "metrics", "activities", "unwatched"}
    assert BICEP.count("description: '") == BICEP.count("${alert.text} ${runbookUrl}#${alert.anchor}'") == 3
    # Else the first deployment, which comes before the first row, is refused.
    assert "skipQueryValidation: true" in BICEP
    wanted = {alert["resource"] for alert in (*ALERTS["metrics"], *ALERTS["activities"])}
    resources = re.search(r"var resources = \{(.*?)\n\}", BICEP, re.DOTALL)
    assert resources is not None
    assert wanted == set(re.findall(r"^  (\w+):", resources[1], re.MULTILINE))


def test_every_row_of_a_kind_has_the_same_fields_because_the_bicep_reads_them_all():
    for kind in ("queries", "metrics", "activities"):
        fields = {tuple(alert) for alert in ALERTS[kind]}
        assert len(fields) == 1, kind
        assert set(re.findall(r"alert\.(\w+)", BICEP)) >= set(*fields) - {"metrics"}


def test_what_a_thief_would_do_first_is_told_of():
    operations = {each["equals"] for alert in ALERTS["activities"] for each in alert["operations"]}
    assert operations >= {
        "Microsoft.Storage/storageAccounts/delete",
        "Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies/delete",
        "Microsoft.Authorization/locks/delete",
        "Microsoft.Authorization/roleAssignments/write",
        "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments/write",
        "Microsoft.Insights/scheduledQueryRules/disable/action",
        "Microsoft.Insights/scheduledQueryRules/delete",
        "Microsoft.OperationalInsights/workspaces/delete",
    }
    assert "not(tostring(Identity) has '{ledgerIdentity}')" in "\n".join(rule("seed-read")["query"])
    assert rule("seed-read")["severity"] == 0


# ---------------------------------------------------------------- the workbook


def shown() -> dict[str, str]:
    return {item["name"]: item["content"]["query"] for item in WORKBOOK["items"] if item["type"] == 3}


@pytest.mark.parametrize("name", shown())
def test_a_part_of_the_workbook_asks_for_what_is_sent(name: str):
    assert list(wrong_with_query(shown()[name])) == []


def test_the_workbook_shows_every_metric():
    assert set(ATTRIBUTES) - set.union(*map(metrics_in, shown().values())) == set()


def test_the_workbook_is_bound_to_the_workspace_and_to_the_time_that_is_chosen():
    module = (ROOT / "infra" / "modules" / "workbook.bicep").read_text(encoding="utf-8")
    assert WORKBOOK["fallbackResourceIds"] == ["__WORKSPACE__"]
    assert "replace(content, '__WORKSPACE__', workspaceId)" in module
    chosen = [item for item in WORKBOOK["items"] if item["type"] == 9]
    assert [each["name"] for item in chosen for each in item["content"]["parameters"]] == ["TimeRange"]
    for item in WORKBOOK["items"]:
        if item["type"] == 3:
            assert item["content"]["timeContextFromParameter"] == "TimeRange", item["name"]
