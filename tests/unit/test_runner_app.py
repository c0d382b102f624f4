"""What the runner makes of an app, and what it refuses at the start."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, List  # noqa: UP035 - the platform accepts typing.List for a batch, and not list

import azure.functions as func
import pytest

from local.runner.app import AppError, BusOptions, Queue, Timer, bus_options, read

SETTINGS = {"ServiceBus": "Endpoint=sb://127.0.0.1", "QUEUE": "work", "EVERY": "0 */5 * * * *"}


def queue(app: func.FunctionApp, **options: Any) -> Callable[..., Any]:
    given: dict[str, Any] = {
        "arg_name": "msg", "queue_name": "%QUEUE%", "connection": "ServiceBus", "data_type": "binary", **options
    }  # fmt: skip
    return app.service_bus_queue_trigger(**given)


def test_a_timer_and_the_three_kinds_of_queue_are_read_with_their_settings_expanded() -> None:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", schedule="%EVERY%")
    async def tick(timer: func.TimerRequest) -> None: ...

    @queue(app)
    async def single(msg: func.ServiceBusMessage) -> None: ...

    @queue(app, cardinality="many")
    async def batch(msg: List[func.ServiceBusMessage]) -> None: ...  # noqa: UP006 - see the import

    @queue(app, is_sessions_enabled=True)
    def session(msg: func.ServiceBusMessage) -> None: ...

    triggers = {function.name: function.trigger for function in read(app, SETTINGS)}

    assert isinstance(triggers["tick"], Timer)
    assert (triggers["tick"].schedule.text, triggers["tick"].monitored) == ("0 */5 * * * *", True)
    assert triggers["single"] == Queue(name="work", connection="ServiceBus", many=False, sessions=False)
    assert triggers["batch"] == Queue(name="work", connection="ServiceBus", many=True, sessions=False)
    assert triggers["session"] == Queue(name="work", connection="ServiceBus", many=False, sessions=True)


@pytest.mark.parametrize("options", [{"schedule": "*/5 * * * * *"}, {"schedule": "0 * * * * *", "use_monitor": False}])
def test_timers_below_a_minute_or_unwatched_by_choice_are_not_monitored(options: dict[str, Any]) -> None:
    app = func.FunctionApp()

    @app.timer_trigger(arg_name="timer", **options)
    def tick(timer: func.TimerRequest) -> None: ...

    [function] = read(app, SETTINGS)
    assert isinstance(function.trigger, Timer)
    assert not function.trigger.monitored


def _text_body(app: func.FunctionApp) -> None:
    @queue(app, data_type=None)
    def handler(msg: func.ServiceBusMessage) -> None: ...


def _output_binding(app: func.FunctionApp) -> None:
    @app.service_bus_queue_output(arg_name="out", queue_name="q", connection="ServiceBus")
    @queue(app)
    def handler(msg: func.ServiceBusMessage, out: func.Out[str]) -> None: ...


def _http(app: func.FunctionApp) -> None:
    @app.route(route="x")
    def handler(req: func.HttpRequest) -> None: ...


def _topic(app: func.FunctionApp) -> None:
    @app.service_bus_topic_trigger(arg_name="msg", topic_name="t", subscription_name="s", connection="ServiceBus")
    def handler(msg: func.ServiceBusMessage) -> None: ...


def _session_batch(app: func.FunctionApp) -> None:
    @queue(app, cardinality="many", is_sessions_enabled=True)
    def handler(msg: List[func.ServiceBusMessage]) -> None: ...  # noqa: UP006 - see the import


def _unknown_setting(app: func.FunctionApp) -> None:
    @queue(app, queue_name="%NOWHERE%")
    def handler(msg: func.ServiceBusMessage) -> None: ...


def _unknown_connection(app: func.FunctionApp) -> None:
    @queue(app, connection="Elsewhere")
    def handler(msg: func.ServiceBusMessage) -> None: ...


def _context(app: func.FunctionApp) -> None:
    @queue(app)
    def handler(msg: func.ServiceBusMessage, context: func.Context) -> None: ...


def _wrong_annotation(app: func.FunctionApp) -> None:
    @queue(app)
    def handler(msg: str) -> None: ...


def _builtin_list(app: func.FunctionApp) -> None:
    @queue(app, cardinality="many")
    def handler(msg: list[func.ServiceBusMessage]) -> None: ...


def _run_on_startup(app: func.FunctionApp) -> None:
    @app.timer_trigger(arg_name="timer", schedule="%EVERY%", run_on_startup=True)
    def handler(timer: func.TimerRequest) -> None: ...


def _bad_schedule(app: func.FunctionApp) -> None:
    @app.timer_trigger(arg_name="timer", schedule="0 0 0 * * 7")
    def handler(timer: func.TimerRequest) -> None: ...


def _retry(app: func.FunctionApp) -> None:
    @app.timer_trigger(arg_name="timer", schedule="%EVERY%")
    @app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:01")
    def handler(timer: func.TimerRequest) -> None: ...


def _nothing(app: func.FunctionApp) -> None: ...


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (_text_body, 'handler: .*data_type="binary"'),
        (_output_binding, "handler: .*serviceBus, serviceBusTrigger"),
        (_http, "handler: .*http"),
        (_topic, "handler: .*not topics"),
        (_session_batch, "handler: .*batches of a session"),
        (_unknown_setting, "handler: %NOWHERE% names no setting"),
        (_unknown_connection, "handler: .*Elsewhere"),
        (_context, "handler: takes parameters other than 'msg'"),
        (_wrong_annotation, "handler: .*annotation of 'msg'"),
        (_builtin_list, "handler: .*annotation of 'msg'"),
        (_run_on_startup, "handler: run_on_startup"),
        (_bad_schedule, "handler: schedule: weekday"),
        (_retry, "handler: retry policies"),
        (_nothing, "no functions"),
    ],
)
def test_what_is_not_run_is_refused_at_the_start_by_name(
    define: Callable[[func.FunctionApp], None], message: str
) -> None:
    app = func.FunctionApp()
    define(app)
    with pytest.raises(AppError, match=message):
        read(app, SETTINGS)


def host(folder: Path, bus: dict[str, Any]) -> Path:
    (folder / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"serviceBus": bus}}))
    return folder


def test_host_json_options_are_read_and_have_the_platforms_defaults(tmp_path: Path) -> None:
    assert bus_options(host(tmp_path, {})) == BusOptions()
    given = {"maxConcurrentCalls": 3, "sessionIdleTimeout": "00:00:02", "prefetchCount": 0}
    assert bus_options(host(tmp_path, given)) == BusOptions(
        max_concurrent_calls=3, session_idle_timeout=timedelta(seconds=2)
    )


@pytest.mark.parametrize(
    "bus",
    [
        {"prefetchCount": 10},
        {"autoCompleteMessages": False},
        {"minMessageBatchSize": 5},
        {"maxConcurrentCalls": 0},
        {"maxConcurrentCalls": "4"},
        {"sessionIdleTimeout": "2s"},
        {"transportType": "amqpWebSockets"},
    ],
)
def test_host_json_options_that_are_not_modelled_are_refused_by_name(tmp_path: Path, bus: dict[str, Any]) -> None:
    with pytest.raises(AppError, match=next(iter(bus))):
        bus_options(host(tmp_path, bus))
