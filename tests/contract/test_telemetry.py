"""Telemetry with the vendor's own SDK: what is sent and what is not, to a local stand-in of the ingestion service.

Most of it runs in a process of its own: the SDK's state is the process's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ingestion import TOKEN, Ingestion, ingestion
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from functions.telemetry import BY_WORKER, Instruments
from local.processes import Process
from local.servers import Ports
from local.servers import settings as local_settings
from shared.metrics import METRICS, Point

ROOT = Path(__file__).parents[2]
QUIET = {
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "azure_functions",  # as the worker has it
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
}
"""What keeps the distro, configured as the worker would, from asking the network."""

NAME = "home-of-kari/door/secret-name.jpg"
CLIENT = "22222222-2222-4222-8222-222222222222"
SEND = """
import asyncio, logging
from functions import telemetry
from shared.metrics import Point
telemetry.configure()
async def main():
    async with telemetry.flushed():
        logging.getLogger("retention.somewhere").error("ALARM something")
        logging.getLogger("azure.storage").error("https://account/" + "secret-name")
        logging.getLogger().error("secret-name")
        telemetry.record([Point(metric="retention.parked", value=2.0)])
        telemetry.published([{"type": "retention.record.erased", "time": "2026-03-01T12:00:00Z",
                              "data": {"category": "users", "due": "2026-03-01T11:59:00Z"}}])
    async with telemetry.flushed():
        pass
asyncio.run(main())
"""
WORK = """
import asyncio, os, sys, urllib.request, requests
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
name, container = sys.argv[1:3]
spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
if sys.argv[3] == "ours":
    from functions import telemetry
    telemetry.configure()
    assert telemetry.is_on()
else:  # as the worker does it with PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY
    from azure.monitor.opentelemetry import configure_azure_monitor
    # every trace, where by default a few in a second are chosen; live metrics would ask a service that is not modelled
    configure_azure_monitor(sampling_ratio=1.0, enable_live_metrics=False)
    trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
from azure.storage.blob.aio import BlobServiceClient
async def main():
    async with BlobServiceClient.from_connection_string(os.environ["BLOB_DATA"]) as service:
        made = await service.create_container(container)
        await made.upload_blob(name, b"x")
        assert [each.name async for each in made.list_blobs()] == [name]
        await made.delete_blob(name)
        url = made.url
    for get in (lambda: requests.get(url + "/" + name), lambda: urllib.request.urlopen(url + "/" + name)):
        try:
            get()
        except OSError:
            pass
asyncio.run(main())
found = spans.get_finished_spans()
print(len(found), any("secret-name" in str(each.attributes) for each in found), flush=True)
os._exit(0)  # nothing is sent at the end: the spans are looked at here
"""


@pytest.fixture
def there() -> Iterator[Ingestion]:
    with ingestion() as started:
        yield started
        assert started.strange == []


def child(code: str, *arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the code as a process, with nothing of telemetry in its environment but what is given."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("APPLICATIONINSIGHTS", "OTEL", "AZURE_"))}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, env={**inherited, "TMPDIR": str(home), "APP_ROLE": "all", **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


# ---------------------------------------------------------------- the instruments


def exported(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], float]]]:
    found = reader.get_metrics_data()
    metrics = [m for r in found.resource_metrics for s in r.scope_metrics for m in s.metrics] if found else []
    return {
        each.name: [
            (dict(p.attributes or {}), getattr(p, "value", getattr(p, "sum", 0.0))) for p in each.data.data_points
        ]
        for each in metrics
        if each.data.data_points
    }


@pytest.fixture
def sdk() -> Iterator[tuple[Instruments, InMemoryMetricReader]]:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    yield Instruments(provider), reader
    provider.shutdown()


def test_every_metric_reaches_the_sdk_with_its_unit_its_meaning_and_its_kind(
    sdk: tuple[Instruments, InMemoryMetricReader],
) -> None:
    instruments, reader = sdk
    instruments.record(
        [Point(metric=each.name, value=1.0, attributes=dict.fromkeys(each.attributes, "x")) for each in METRICS]
    )
    found = reader.get_metrics_data()
    assert found is not None
    metrics = [m for r in found.resource_metrics for s in r.scope_metrics for m in s.metrics]
    kinds = {"Gauge": "gauge", "Sum": "counter", "Histogram": "histogram"}
    told = {(m.name, m.unit, m.description, kinds[type(m.data).__name__]) for m in metrics}
    assert told == {(m.name, m.unit, m.meaning, m.kind) for m in METRICS}


def test_a_gauge_is_sent_once_so_that_its_absence_shows_and_a_counter_adds_up(
    sdk: tuple[Instruments, InMemoryMetricReader],
) -> None:
    instruments, reader = sdk
    gauge = Point(metric="retention.overdue", value=3.0, attributes={"category": "users"})
    count = Point(metric="retention.records", value=2.0, attributes={"category": "users", "outcome": "erased"})
    instruments.record([gauge, count])
    assert exported(reader)["retention.overdue"] == [({"category": "users"}, 3.0)]
    instruments.record([count])
    again = exported(reader)
    assert "retention.overdue" not in again
    assert again["retention.records"] == [({"category": "users", "outcome": "erased"}, 4.0)]


def test_of_a_gauge_that_was_not_sent_yet_the_newest_values_are_and_another_s_stay(
    sdk: tuple[Instruments, InMemoryMetricReader],
) -> None:
    instruments, reader = sdk
    old = [Point(metric="retention.overdue", value=1.0, attributes={"category": each}) for each in ("users", "homes")]
    instruments.record([*old, Point(metric="retention.parked", value=5.0)])
    instruments.record([Point(metric="retention.overdue", value=2.0, attributes={"category": "users"})])
    found = exported(reader)
    assert found["retention.overdue"] == [({"category": "users"}, 2.0)]
    assert found["retention.parked"] == [({}, 5.0)]


# ---------------------------------------------------------------- what is sent


def test_without_a_connection_string_nothing_of_telemetry_is_imported(tmp_path: Path) -> None:
    code = SEND + (
        "import sys, function_app\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'azure.monitor'))], telemetry.is_on())"
    )
    done = child(code, home=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[] False\n"), done.stderr


def test_values_and_our_log_lines_have_arrived_when_the_function_ends_and_others_lines_are_not_sent(
    there: Ingestion, tmp_path: Path
) -> None:
    # It ends as an instance that is taken away does: without any goodbye.
    done = child(f"{SEND}import os; os._exit(0)", home=tmp_path, WEBSITE_SITE_NAME="an-app", **there.settings)
    assert done.returncode == 0, done.stderr
    assert there.kinds == {"MetricData", "MessageData"}
    assert there.messages == ["ALARM something"]
    assert there.values("retention.parked") == [({}, 2.0)]
    assert there.values("retention.records") == [({"category": "users", "outcome": "erased"}, 1.0)]
    assert there.values("retention.lateness") == [({"category": "users"}, 60.0)]
    names = {p["name"] for e in there.envelopes for p in e["data"]["baseData"].get("metrics", ())}
    assert names <= {each.name for each in METRICS}, "somebody adds metrics of theirs"
    assert "secret-name" not in json.dumps(there.envelopes)


@pytest.mark.parametrize(("how", "spans"), [("ours", "0 False\n"), ("worker", None)])
def test_no_request_of_an_sdk_becomes_a_span_as_it_would_when_the_worker_configured_it(
    how: str, spans: str | None, there: Ingestion, azurite: Process, tmp_path: Path
) -> None:
    data = local_settings(Ports(blob=azurite.program.port))["BLOB_DATA"]
    done = child(WORK, NAME, f"telemetry-{how}", how, home=tmp_path, BLOB_DATA=data, **QUIET, **there.settings)
    assert done.returncode == 0, done.stderr
    if spans is not None:
        assert done.stdout == spans
    else:  # the proof that this test can fail
        number, named = done.stdout.split()
        assert int(number) > 0
        assert named == "True"


def test_the_worker_s_own_configuration_is_refused_with_an_alarm_and_nothing_is_sent(
    there: Ingestion, tmp_path: Path
) -> None:
    done = child(SEND, home=tmp_path, **{**there.settings, BY_WORKER: "true"})
    assert done.returncode == 0, done.stderr
    assert f"ALARM setting {BY_WORKER} must go" in done.stderr
    assert there.envelopes == []


def test_a_connection_string_that_is_none_fails_nothing_and_is_alarmed(tmp_path: Path) -> None:
    done = child(f"{SEND}import function_app", home=tmp_path, APPLICATIONINSIGHTS_CONNECTION_STRING="nonsense")
    assert done.returncode == 0, done.stderr
    assert "ALARM telemetry is off: " in done.stderr
    assert "nonsense" not in done.stderr


# ---------------------------------------------------------------- by identity


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return str(file)


def test_with_an_identity_it_is_sent_under_a_token_of_that_identity(tmp_path: Path, certificate: str) -> None:
    with ingestion() as platform, ingestion(certificate=certificate) as secure:
        identity = {"IDENTITY_ENDPOINT": f"{platform.url}/msi/token", "IDENTITY_HEADER": "x", "AZURE_CLIENT_ID": CLIENT}
        done = child(SEND, home=tmp_path, REQUESTS_CA_BUNDLE=certificate, **identity, **secure.settings)
        assert done.returncode == 0, done.stderr
        assert set(secure.authorization) == {f"Bearer {TOKEN}"}
        assert secure.values("retention.parked") == [({}, 2.0)]
        assert {query["client_id"][0] for query in platform.tokens} == {CLIENT}
        assert {query["resource"][0] for query in platform.tokens} == {"https://monitor.azure.com/"}
