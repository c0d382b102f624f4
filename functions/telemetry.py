"""Telemetry: the product's metrics and log lines to Azure Monitor, as OpenTelemetry, and nothing that others would add.

Only where APPLICATIONINSIGHTS_CONNECTION_STRING is set; elsewhere nothing is imported, sent or slower. The worker does
not configure it (PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY stays unset: with it, requests that SDKs make would become
spans with their URLs, and so with blobs' names and items' ids). This file does, with traces and every instrumentation
off, and of the loggers with ours alone. PYTHON_ENABLE_OPENTELEMETRY tells the host that the worker sends its own log
lines, so that they do not arrive twice. What was found, where, and what it costs: docs/adr/0009-telemetry.md.

Refused: a fault here that would fail the app. Without telemetry the work goes on, and the alert on its absence fires.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from shared.errors import named
from shared.metrics import METRICS, Point, of_events

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

log = logging.getLogger("retention.telemetry")

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
BY_WORKER = "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"
FLUSH_SECONDS = 10
LOGGER = "retention"
"""The root of our own loggers: what SDKs log may hold URLs, and goes nowhere."""

_FORCED = {
    "OTEL_TRACES_EXPORTER": "none",
    "AZURE_TRACING_ENABLED": "false",
    "AZURE_SDK_TRACING_IMPLEMENTATION": "",
}
_ASIDE = {
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "azure_functions",  # the others ask the network
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",  # nor does anything go to endpoints of the vendor's own
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}


class Instruments:
    """The metrics of `shared.metrics`, on a meter.

    A gauge's value is sent once: not again and again for as long as the process lives, as the SDK's own would be. So
    when the timer that measures it stops, it is missing, and that can be alarmed.
    """

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("retention")
        self._lock = threading.Lock()
        self._gauges: dict[str, list[Point]] = {}
        self._added: dict[str, Any] = {}
        for each in METRICS:
            name, unit, meaning = each.name, each.unit, each.meaning
            match each.kind:
                case "counter":
                    self._added[name] = meter.create_counter(name, unit, meaning).add
                case "histogram":
                    self._added[name] = meter.create_histogram(name, unit, meaning).record
                case "gauge":
                    self._gauges[name] = []
                    meter.create_observable_gauge(name, [partial(self._take, name)], unit, meaning)

    def record(self, points: Iterable[Point]) -> None:
        """Take values, to be sent with the next export; a gauge's new ones stand in place of what was not sent."""
        fresh: dict[str, list[Point]] = {}
        for each in points:
            if each.metric in self._gauges:
                fresh.setdefault(each.metric, []).append(each)
            else:
                self._added[each.metric](each.value, dict(each.attributes))
        with self._lock:
            self._gauges.update(fresh)

    def _take(self, name: str, _: CallbackOptions) -> Sequence[Observation]:
        from opentelemetry.metrics import Observation  # noqa: PLC0415 - only where telemetry is on

        with self._lock:
            points, self._gauges[name] = self._gauges[name], []
        return [Observation(each.value, dict(each.attributes)) for each in points]


_instruments: Instruments | None = None


def configure(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set telemetry up for this process, where it is wanted. Never raises."""
    global _instruments  # noqa: PLW0603 - the SDK's own state is the process's too
    if _instruments is not None or not environment.get(CONNECTION):
        return
    if environment.get(BY_WORKER, "").strip().lower() in {"1", "true", "t", "yes", "y"}:
        log.error("ALARM setting %s must go: with it, traces would hold the names of people's records", BY_WORKER)
        return
    environment.update(_FORCED)
    for name, value in _ASIDE.items():
        environment.setdefault(name, value)
    try:
        _configure(environment)
        _instruments = _on_global_meter()
    except Exception as error:  # noqa: BLE001 - the work is more important, and its absence is alarmed
        log.error("ALARM telemetry is off: %s", named(error))  # noqa: TRY400 - a foreign error's text may quote anything


def _configure(environment: Mapping[str, str]) -> None:
    from azure.monitor.opentelemetry import configure_azure_monitor  # noqa: PLC0415 - takes half a second

    off = {"azure_sdk", *(each.name for each in entry_points(group="opentelemetry_instrumentor"))}
    more: dict[str, Any] = {}
    if client := environment.get("AZURE_CLIENT_ID"):
        from azure.identity import ManagedIdentityCredential  # noqa: PLC0415 - only where there is an identity

        more["credential"] = ManagedIdentityCredential(client_id=client)
    configure_azure_monitor(
        connection_string=environment[CONNECTION],
        logger_name=LOGGER,
        instrumentation_options={name: {"enabled": False} for name in off},
        enable_live_metrics=False,
        enable_performance_counters=False,
        **more,
    )
    logging.getLogger(LOGGER).setLevel(logging.INFO)


def _on_global_meter() -> Instruments:
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - as above

    return Instruments(get_meter_provider())


def is_on() -> bool:
    """Whether anything is sent: else nothing need be measured."""
    return _instruments is not None


def record(points: Iterable[Point]) -> None:
    """Send these values, where telemetry is on."""
    if _instruments is not None:
        _instruments.record(points)


def published(events: Sequence[Mapping[str, Any]]) -> None:
    """Count what became of records, as the log says it."""
    record(of_events(events))


@asynccontextmanager
async def flushed() -> AsyncIterator[None]:
    """Have what was recorded inside sent by the end, however it ends: an instance may be taken away right after."""
    try:
        yield
    finally:
        if is_on():
            await asyncio.to_thread(_flush)


def _flush() -> None:
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415 - only where telemetry is on
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415

    for provider in (get_meter_provider(), get_logger_provider()):
        try:
            provider.force_flush(FLUSH_SECONDS * 1_000)  # type: ignore[union-attr] # the SDK's, by now
        except Exception as error:  # noqa: BLE001 - the work is done; what was not sent is missing, and that is alarmed
            log.warning("telemetry was not sent: %s", named(error))
