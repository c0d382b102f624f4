"""Loads a Functions v2 app and says what is to run: each function with its checked trigger.

Refused at the start, with the function's name: any binding but one trigger that is a timer or a Service Bus queue;
`data_type` other than binary (the host would merge the keys of a JSON body into the message's properties, which is not
imitated here); sessions in batches; `run_on_startup`; retry policies; parameters other than the trigger's; host.json
options that change what is not modelled. `%setting%` expands; a missing setting is refused.
See https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus-trigger.
"""

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

from azure.functions import FunctionApp, get_binding_registry

from local.runner.schedule import Schedule, ScheduleError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,127}", re.IGNORECASE)
_TIME_SPAN = re.compile(r"(\d{2}):([0-5]\d):([0-5]\d)")
_QUEUE_KEYS = frozenset(
    {
        "type", "direction", "name", "dataType", "connection", "queueName", "cardinality", "isSessionsEnabled",
        "accessRights",
    }
)  # fmt: skip
_TIMER_KEYS = frozenset({"type", "direction", "name", "dataType", "schedule", "runOnStartup", "useMonitor"})


class AppError(Exception):
    """The app, its host.json or its settings hold what the runner does not run. The message says where and what."""


@dataclass(frozen=True, kw_only=True)
class Timer:
    """A timer trigger. `monitored` timers remember their next time, and see after a stop that they missed it."""

    schedule: Schedule
    monitored: bool


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A Service Bus queue trigger: a message per call, a batch per call, or a message per call and session."""

    name: str
    connection: str
    many: bool
    sessions: bool


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function of the app; `handler` takes the trigger's value by the name `parameter`."""

    name: str
    handler: Callable[..., Any]
    parameter: str
    trigger: Timer | Queue


@dataclass(frozen=True, kw_only=True)
class BusOptions:
    """host.json, `extensions.serviceBus`; the defaults are the platform's."""

    max_concurrent_calls: int = 16
    max_concurrent_sessions: int = 8
    max_message_batch_size: int = 1000
    max_lock_renewal: timedelta = timedelta(minutes=5)
    session_idle_timeout: timedelta = timedelta(minutes=1)


def load(project: Path, settings: Mapping[str, str]) -> list[Function]:
    """Import `function_app` from the folder `project` and return what is to run.

    Raises:
        AppError: there is no such app, or it holds what is not run here.
    """
    sys.path.insert(0, str(project))
    if not (project / "function_app.py").is_file():
        message = f"{project / 'function_app.py'} does not exist"
        raise AppError(message)
    app = getattr(importlib.import_module("function_app"), "app", None)
    if app is None:
        message = f"{project / 'function_app.py'} has no `app`"
        raise AppError(message)
    return read(app, settings)


def read(app: FunctionApp, settings: Mapping[str, str]) -> list[Function]:
    """Return what is to run of this app.

    Raises:
        AppError: it holds what is not run here.
    """
    functions = [_function(item, settings) for item in app.get_functions()]
    if not functions:
        raise AppError("the app has no functions: is APP_ROLE right?")
    return functions


def bus_options(project: Path) -> BusOptions:
    """Read the Service Bus options of the folder's host.json.

    Raises:
        AppError: an option is unknown, ill-formed, or changes what is not modelled here.
    """
    path = project / "host.json"
    try:
        text = path.read_text()
        given = dict(json.loads(text).get("extensions", {}).get("serviceBus", {}))
    except (OSError, ValueError) as error:
        message = f"{path}: {error}"
        raise AppError(message) from error
    for key, expected in {
        "prefetchCount": 0,
        "autoCompleteMessages": True,
        "minMessageBatchSize": 1,
        "maxConcurrentCallsPerSession": 1,
    }.items():
        if given.pop(key, expected) != expected:
            message = f"{path}: extensions.serviceBus.{key} is run here only as {expected}"
            raise AppError(message)
    given.pop("maxBatchWaitTime", None)  # means something only with a least batch size
    default = BusOptions()
    options = BusOptions(
        max_concurrent_calls=_count(path, given, "maxConcurrentCalls", default.max_concurrent_calls),
        max_concurrent_sessions=_count(path, given, "maxConcurrentSessions", default.max_concurrent_sessions),
        max_message_batch_size=_count(path, given, "maxMessageBatchSize", default.max_message_batch_size),
        max_lock_renewal=_span(path, given, "maxAutoLockRenewalDuration", default.max_lock_renewal),
        session_idle_timeout=_span(path, given, "sessionIdleTimeout", default.session_idle_timeout),
    )
    if given:
        message = f"{path}: extensions.serviceBus.{min(given)} is not run here"
        raise AppError(message)
    return options


def _function(item: Any, settings: Mapping[str, str]) -> Function:
    name = str(item.get_function_name())
    bindings = [json.loads(text) for text in item.get_raw_bindings()]
    kinds = ", ".join(sorted(str(binding["type"]) for binding in bindings))
    if not _NAME.fullmatch(name):
        message = f"{name!r} is not a function name: a letter, then letters, digits, _ and -"
        raise AppError(message)
    if len(bindings) != 1:
        message = f"{name}: has the bindings {kinds}; the runner runs functions with one trigger and nothing else"
        raise AppError(message)
    if item.get_settings_dict("retry_policy"):
        message = f"{name}: retry policies are not run here"
        raise AppError(message)
    binding, handler = bindings[0], item.get_user_function()
    match binding["type"]:
        case "timerTrigger":
            trigger: Timer | Queue = _timer(name, binding, settings)
        case "serviceBusTrigger":
            trigger = _queue(name, binding, settings)
        case other:
            message = f"{name}: binding {binding['name']!r} of type {other} is not run here"
            raise AppError(message)
    if not _accepted(handler, binding):
        message = f"{name}: the platform refuses the annotation of {binding['name']!r}, and then the whole app"
        raise AppError(message)
    if set(inspect.signature(handler).parameters) != {binding["name"]}:
        message = f"{name}: takes parameters other than {binding['name']!r}, which is all that it is given here"
        raise AppError(message)
    return Function(name=name, handler=handler, parameter=binding["name"], trigger=trigger)


def _accepted(handler: Callable[..., Any], binding: dict[str, Any]) -> bool:
    """Ask Microsoft's converter, as their worker does, whether the parameter may be annotated as it is."""
    annotation = get_type_hints(handler).get(binding["name"])
    if annotation is None:
        return True
    try:
        registry: Any = get_binding_registry()
        return bool(registry.get(binding["type"]).check_input_type_annotation(annotation))
    except TypeError:  # raised by their check for what is not a class at all
        return False


def _timer(name: str, binding: dict[str, Any], settings: Mapping[str, str]) -> Timer:
    _known(name, binding, _TIMER_KEYS)
    if binding.get("runOnStartup"):
        message = f"{name}: run_on_startup fires at every restart and scale-out; it is not run here"
        raise AppError(message)
    try:
        schedule = Schedule(_expand(name, str(binding["schedule"]), settings))
    except ScheduleError as error:
        message = f"{name}: schedule: {error}"
        raise AppError(message) from error
    # As on the platform: what fires more often than every minute is not monitored.
    minute = timedelta(minutes=1).total_seconds()
    monitored = binding.get("useMonitor") is not False and schedule.shortest_interval_seconds >= minute
    return Timer(schedule=schedule, monitored=monitored)


def _queue(name: str, binding: dict[str, Any], settings: Mapping[str, str]) -> Queue:
    if "queueName" not in binding:
        message = f"{name}: only queues are run here, not topics"
        raise AppError(message)
    _known(name, binding, _QUEUE_KEYS)
    if str(binding.get("dataType", "")).upper() != "BINARY":
        message = f"{name}: without data_type=\"binary\" the host mixes the body's keys into the message's; set it"
        raise AppError(message)
    many = str(binding.get("cardinality") or "one").upper() == "MANY"
    sessions = bool(binding.get("isSessionsEnabled"))
    if many and sessions:
        message = f"{name}: batches of a session are not run here"
        raise AppError(message)
    connection = _expand(name, str(binding.get("connection") or ""), settings)
    if not {connection, f"{connection}__fullyQualifiedNamespace"} & settings.keys():
        message = f"{name}: there is neither a setting {connection} nor {connection}__fullyQualifiedNamespace"
        raise AppError(message)
    queue = _expand(name, str(binding["queueName"]), settings)
    return Queue(name=queue, connection=connection, many=many, sessions=sessions)


def _known(name: str, binding: dict[str, Any], keys: frozenset[str]) -> None:
    for key in sorted(set(binding) - keys):
        message = f"{name}: the option {key} of its {binding['type']} is not run here"
        raise AppError(message)


def _expand(name: str, text: str, settings: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in settings:
            message = f"{name}: {match[0]} names no setting"
            raise AppError(message)
        return settings[match[1]]

    return re.sub(r"%([^%]*)%", value, text)


def _count(path: Path, given: dict[str, Any], key: str, default: int) -> int:
    value = given.pop(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        message = f"{path}: extensions.serviceBus.{key} must be a positive integer"
        raise AppError(message)
    return value


def _span(path: Path, given: dict[str, Any], key: str, default: timedelta) -> timedelta:
    text = given.pop(key, None)
    if text is None:
        return default
    match = _TIME_SPAN.fullmatch(str(text))
    if match is None:
        message = f'{path}: extensions.serviceBus.{key} must be a time span such as "00:05:00"'
        raise AppError(message)
    hours, minutes, seconds = map(int, match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)
