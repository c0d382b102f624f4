"""What the vendor's SDKs really send: recorded once, by a tee between them and a local server, to be spoilt afterwards."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from azure.cosmos import CosmosClient, PartitionKey
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue

from local.processes import HOST
from local.servers import Ports, settings


@dataclass(kw_only=True)
class Tee:
    """Passes bytes on, both ways, and keeps what each client sent."""

    port: int
    taken: list[bytearray] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.listens_on: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Hang up on both sides and wait until all is still."""
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((HOST, self.port))
                kept = bytearray()
                self.taken.append(kept)
                self._sockets += [client, server]
                for source, target, copy in ((client, server, kept), (server, client, bytearray())):
                    thread = threading.Thread(target=_pump, args=(source, target, copy), daemon=True)
                    self._threads.append(thread)
                    thread.start()


def _pump(source: socket.socket, target: socket.socket, copy: bytearray) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            copy += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def tee(port: int) -> Iterator[Tee]:
    """A tee before the server at `port`."""
    made = Tee(port=port)
    try:
        yield made
    finally:
        made.close()


def bus_client(port: int, **options: int) -> ServiceBusClient:
    """A client of the Service Bus at a port."""
    return ServiceBusClient.from_connection_string(settings(Ports(bus=port))["ServiceBus"], **options)


def bus_traffic(port: int) -> list[bytes]:
    """What the SDK sends to do all that the product asks of it, a stream for each connection; entities: the product's."""
    with tee(port) as made, bus_client(made.listens_on) as client:
        with client.get_queue_sender("requests") as sender:
            sender.send_messages(ServiceBusMessage(b"one", message_id="1", content_type="application/json"))
            more = {"application_properties": {"a": 1, "b": "c"}}
            sender.send_messages([ServiceBusMessage(b"x" * 70_000, message_id=name, **more) for name in ("2", "3")])
            (number,) = sender.schedule_messages(ServiceBusMessage("later"), datetime.now(UTC) + timedelta(hours=1))
            sender.cancel_scheduled_messages(number)
        with client.get_queue_receiver("requests") as receiver:
            one, two, three = [receiver.receive_messages(1, max_wait_time=10)[0] for _ in range(3)]
            receiver.renew_message_lock(one)
            receiver.complete_message(one)
            receiver.abandon_message(two)
            receiver.dead_letter_message(three, reason="why", error_description="what for")
            (again,) = receiver.receive_messages(1, max_wait_time=10)
            receiver.defer_message(again)
            receiver.complete_message(receiver.receive_deferred_messages(again.sequence_number)[0])
        with client.get_queue_receiver("requests", sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
            receiver.peek_messages(10)
        with client.get_queue_sender("requests-work") as sender:
            sender.send_messages(ServiceBusMessage("in a session", session_id="s"))
        with client.get_queue_receiver("requests-work", session_id=NEXT_AVAILABLE_SESSION) as receiver:
            receiver.session.set_state(b"state")
            receiver.session.get_state()
            receiver.session.renew_lock()
            receiver.complete_message(receiver.receive_messages(1, max_wait_time=10)[0])
    return [bytes(each) for each in made.taken]


def cosmos_traffic(port: int, key: str) -> list[bytes]:
    """What the SDK sends to do all that the product asks of it, a stream for each connection; a new server is best."""
    with tee(port) as made:
        url = f"http://{HOST}:{made.listens_on}/"
        with CosmosClient(url, credential=key, enable_endpoint_discovery=False) as client:
            database = client.create_database("d")
            container = database.create_container("c", PartitionKey("/h"))
            container.read()
            made_ones = [container.create_item({"id": f"i{n}", "h": "h", "v": n, "list": ["a"]}) for n in range(4)]
            container.upsert_item({"id": "i0", "h": "h", "v": "text"})
            container.read_item("i0", "h")
            where = "SELECT c.id, c._etag FROM c WHERE c.v >= @low AND c.v <= @high AND IS_DEFINED(c.v) ORDER BY c.v"
            values = [{"name": "@low", "value": 0}, {"name": "@high", "value": 9}]
            for each in container.read_feed_ranges():
                list(container.query_items(where, parameters=values, feed_range=each, max_item_count=1))
                list(container.query_items("SELECT VALUE COUNT(1) FROM c", feed_range=each))
            text = "SELECT * FROM c WHERE STRINGEQUALS(c.v, @v, true) OR ARRAY_CONTAINS(c.list, 'a')"
            list(container.query_items(text, parameters=[{"name": "@v", "value": "TEXT"}], partition_key="h"))
            list(container.query_items("SELECT * FROM c", enable_cross_partition_query=True))
            container.execute_item_batch(
                [("delete", ("i3",), {"if_match_etag": made_ones[3]["_etag"]}), ("create", ({"id": "b", "h": "h"},))],
                partition_key="h",
            )
            changes = [{"op": "set", "path": "/list", "value": []}]
            container.execute_item_batch([("patch", ("i2", changes))], partition_key="h")
            container.patch_item(
                "i1", "h", [{"op": "incr", "path": "/v", "value": 1}], filter_predicate="from c where c.v = 1"
            )
            container.replace_item("i1", {"id": "i1", "h": "h"})
            container.delete_item("i1", "h")
            list(container.read_all_items())
    return [bytes(each) for each in made.taken]
