"""What each role must not do is refused at its door, by the same rights with which the app does all its work.

So the model of rights is not empty: tests/e2e/test_least_privilege.py says what they suffice for.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from azure.core.exceptions import AzureError
from azure.cosmos import ContainerProxy, CosmosClient
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusAuthorizationError
from azure.storage.blob import BlobClient, BlobServiceClient
from rights.doors import Doors, behind
from rights.model import BLOBS, ROLES, Assignment, Need, Rights, Seen

from local.prepare import prepare
from local.servers import Stack
from shared.config import Config

Probe = Callable[[Mapping[str, str]], Any]


@pytest.fixture(scope="module")
def world(stack: Stack) -> Stack:
    """The servers, with the containers that the SDKs ask for before they do anything."""
    asyncio.run(prepare(Config(values=stack.settings)))
    return stack


def upload(where: str, container: str, *, overwrite: bool = True) -> Probe:
    return lambda values: blob(values, where, container).upload_blob(b"x", overwrite=overwrite)


def delete(where: str, container: str) -> Probe:
    return lambda values: blob(values, where, container).delete_blob()


def read(where: str, container: str) -> Probe:
    return lambda values: blob(values, where, container).download_blob()


def blob(values: Mapping[str, str], where: str, container: str) -> BlobClient:
    return BlobClient.from_connection_string(values[where], container, "2026/x", retry_total=0)


def no_container(values: Mapping[str, str]) -> None:
    account = BlobServiceClient.from_connection_string(values["BLOB_STATE"], retry_total=0)
    account.delete_container("requests")


def item(work: Callable[[ContainerProxy], Any], container: str = "users") -> Probe:
    def probe(values: Mapping[str, str]) -> None:
        with CosmosClient.from_connection_string(values["COSMOS_MAIN"], enable_endpoint_discovery=False) as client:
            work(client.get_database_client(values["COSMOS_MAIN_DATABASE"]).get_container_client(container))

    return probe


def send(*, queue: str = "", topic: str = "") -> Probe:
    def probe(values: Mapping[str, str]) -> None:
        with (
            ServiceBusClient.from_connection_string(values["ServiceBus"], retry_total=0) as client,
            client.get_queue_sender(queue) if queue else client.get_topic_sender(topic) as sender,
        ):
            sender.send_messages(ServiceBusMessage(b"{}"))

    return probe


def receive(queue: str) -> Probe:
    def probe(values: Mapping[str, str]) -> None:
        with (
            ServiceBusClient.from_connection_string(values["ServiceBus"], retry_total=0) as client,
            client.get_queue_receiver(queue, max_wait_time=1) as receiver,
        ):
            receiver.receive_messages()

    return probe


ANNA = {"id": "anna", "userId": "anna"}
FORBIDDEN: list[tuple[str, str, Probe]] = [
    ("pipeline", "writes a tile", upload("BLOB_LEDGER", "audit-log", overwrite=False)),
    ("pipeline", "deletes a tile", delete("BLOB_LEDGER", "audit-log")),
    ("pipeline", "moves the head", upload("BLOB_LEDGER", "audit-state")),
    ("pipeline", "deletes a journal", delete("BLOB_STATE", "journals")),
    ("pipeline", "deletes a container", no_container),
    ("pipeline", "creates a user", item(lambda users: users.create_item(ANNA))),
    ("pipeline", "changes a user", item(lambda users: users.replace_item("anna", ANNA))),
    (
        "pipeline",
        "reads what no rule is about",
        item(lambda items: [*items.query_items("SELECT * FROM c", partition_key="x")], "web-statistics"),
    ),
    ("pipeline", "publishes an event", send(topic="audit")),
    ("pipeline", "takes a doorbell", receive("ledger")),
    ("ledger", "writes over a tile", upload("BLOB_LEDGER", "audit-log")),
    ("ledger", "writes over a journal", upload("BLOB_STATE", "journals")),
    ("ledger", "deletes a request's document", delete("BLOB_STATE", "requests")),
    ("ledger", "reads a key", read("BLOB_STATE", "scope-keys")),
    ("ledger", "reads a picture", read("BLOB_DATA", "camera-snapshots")),
    ("ledger", "reads a user", item(lambda users: users.read_item("anna", "anna"))),
    ("ledger", "asks for an erasure", send(queue="requests")),
    ("operators", "delete a picture", delete("BLOB_DATA", "camera-snapshots")),
    ("operators", "read a key", read("BLOB_STATE", "scope-keys")),
    ("operators", "dismiss by hand", upload("BLOB_STATE", "parking")),
    ("operators", "read a user", item(lambda users: users.read_item("anna", "anna"))),
    ("operators", "send a slice", send(queue="sweeps")),
    ("operators", "take a request away", receive("requests")),
    ("auditors", "read a request", read("BLOB_STATE", "requests")),
    ("portal", "writes anything", upload("BLOB_LEDGER", "audit-log", overwrite=False)),
    ("smoke", "deletes the picture", delete("BLOB_DATA", "camera-snapshots")),
    ("smoke", "deletes a user", item(lambda users: users.delete_item("anna", "anna"))),
]


@pytest.mark.parametrize(("who", "what", "probe"), FORBIDDEN, ids=[f"{who}-{what}" for who, what, _ in FORBIDDEN])
def test_nobody_does_what_they_must_not(world: Stack, who: str, what: str, probe: Probe) -> None:
    seen = Seen()
    with Doors(Rights(), seen).open() as doors, pytest.raises(AzureError) as refused:
        probe(behind(doors, world.ports, who))
    assert getattr(refused.value, "status_code", 403) == 403 or isinstance(refused.value, ServiceBusAuthorizationError)
    assert {need.who for need in seen.refused} == {who}
    assert not seen.unmapped


def test_a_request_that_nobody_has_mapped_is_refused_and_remembered(world: Stack) -> None:
    seen = Seen()
    with Doors(Rights(), seen).open() as doors, pytest.raises(AzureError, match="NotModelled"):
        blob(behind(doors, world.ports, "pipeline"), "BLOB_STATE", "requests").acquire_lease()
    assert seen.unmapped == ["pipeline: PUT of a blob with ['comp']"]


def test_a_right_that_nothing_needs_is_found_out() -> None:
    roles = json.loads(ROLES.read_text(encoding="utf-8"))
    roles["blob"] = [row for row in roles["blob"] if row["who"] == "auditors"]
    roles["definitions"]["blob-writer"]["dataActions"].append(f"{BLOBS}/delete")
    spare = {"who": "auditors", "role": "blob-writer", "account": "ledger", "container": "audit-log", "why": "spare"}
    roles["blob"].append(spare)
    places = [("blob", "ledger", name) for name in ("audit-log", "audit-state")]
    read = [Need(who="auditors", actions=(f"{BLOBS}/read",), place=place) for place in places]
    rights = Rights(roles)
    assert {each.role for each in rights.unused(read, ["auditors"])} == {"blob-reader", "blob-writer"}  # either will do
    write = Need(who="auditors", actions=(f"{BLOBS}/write",), place=places[0])
    unused = rights.unused([*read, write], ["auditors"])
    assert unused == {Assignment(who="auditors", role="blob-reader", place=places[0], kind="blob")}
    assert ("blob-writer", f"{BLOBS}/delete") in rights.unused_actions([*read, write], ["blob-writer"])
    assert ("blob-writer", f"{BLOBS}/write") not in rights.unused_actions([*read, write], ["blob-writer"])
