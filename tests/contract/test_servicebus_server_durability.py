"""The local Service Bus alone: what it acknowledged survives kill -9, and what it has not it refuses by name."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import ServiceBusError
from servicebus_messages import ENTITIES, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servicebus_fixture import Bus, Server

    Start = Callable[..., Server]
    Connect = Callable[[Server], Bus]

pytest_plugins = ["servicebus_fixture"]
pytestmark = pytest.mark.timeout(60)

PLAIN, UNIQUE, SESSIONS = "contract-plain", "contract-unique", "contract-sessions"


def test_everything_acknowledged_survives_kill_9(start_bus: Start, connect: Connect) -> None:
    server = start_bus()
    bus = connect(server)
    bus.send(PLAIN, "completed", "locked", "abandoned", "deferred", "dead", "waiting", message_id="m")
    messages = bus.receive(PLAIN, 5)
    receiver = bus.receiver(PLAIN)
    receiver.complete_message(messages[0])
    receiver.abandon_message(messages[2])
    receiver.defer_message(messages[3])
    receiver.dead_letter_message(messages[4], reason="why")
    due = datetime.now(UTC) + timedelta(seconds=1)
    bus.sender(PLAIN).schedule_messages(ServiceBusMessage("scheduled"), due)
    bus.send(UNIQUE, "once", message_id="the id")
    bus.receiver(UNIQUE).complete_message(bus.receive(UNIQUE)[0])
    bus.send(SESSIONS, "in session", session_id="s")
    with bus.receiver(SESSIONS, session_id="s") as session:
        session.session.set_state(b"step 2")
    server.kill()
    server.start()
    bus = connect(server)
    back = bus.receive(PLAIN, 4)
    assert [(text(message), message.delivery_count) for message in back[:3]] == [
        ("locked", 0),
        ("abandoned", 1),
        ("waiting", 0),
    ]
    assert text(back[3]) == "scheduled"
    assert back[3].sequence_number > max(message.sequence_number for message in back[:3])
    (deferred,) = bus.receiver(PLAIN).receive_deferred_messages(messages[3].sequence_number)
    assert text(deferred) == "deferred"
    (dead,) = bus.receive(PLAIN, dead=True)
    assert (text(dead), dead.dead_letter_reason) == ("dead", "why")
    bus.send(UNIQUE, "twice", message_id="the id")
    assert bus.is_empty(UNIQUE)
    with bus.receiver(SESSIONS, session_id="s") as session:
        assert session.session.get_state() == b"step 2"
        (message,) = session.receive_messages(1, max_wait_time=10)
        assert text(message) == "in session"


def test_no_acknowledged_send_is_lost_when_the_kill_comes_amid_sending(start_bus: Start, connect: Connect) -> None:
    server = start_bus()
    acknowledged: list[str] = []
    enough = threading.Event()

    def send() -> None:
        with ServiceBusClient.from_connection_string(server.connection, retry_total=0) as client:
            sender = client.get_queue_sender(PLAIN)
            try:
                for number in range(1_000_000):
                    sender.send_messages(ServiceBusMessage(str(number)), timeout=5)
                    acknowledged.append(str(number))
                    if number == 200:
                        enough.set()
            except ServiceBusError:
                return  # killed

    thread = threading.Thread(target=send)
    thread.start()
    assert enough.wait(20)
    server.kill()
    thread.join(30)
    server.start()
    bus = connect(server)
    kept = [text(message) for message in bus.receive(PLAIN, len(acknowledged))]
    assert kept == acknowledged  # at most one more is there: sent, kept, and killed before it was acknowledged
    assert len(bus.receiver(PLAIN).peek_messages(5)) <= 1


def test_sigterm_ends_it_cleanly_and_its_data_is_served_again(start_bus: Start, connect: Connect) -> None:
    server = start_bus()
    bus = connect(server)
    bus.send(PLAIN, "kept")
    assert server.end(signal.SIGTERM) == (0, "")
    server.start()
    bus = connect(server)
    assert text(bus.receive(PLAIN)[0]) == "kept"


def test_second_server_on_the_same_data_is_refused(start_bus: Start, tmp_path: Path) -> None:
    start_bus()
    with pytest.raises(RuntimeError, match="locked"):
        start_bus()


def test_messages_of_an_entity_that_is_configured_no_more_are_not_dropped(start_bus: Start, tmp_path: Path) -> None:
    server = start_bus()
    server.kill()
    with closing(sqlite3.connect(tmp_path / "data" / "servicebus.db")) as database, database:
        database.execute("INSERT INTO last_sequence VALUES ('gone', 1)")
    with pytest.raises(RuntimeError, match="gone, which is not configured"):
        server.start()


def test_unknown_property_in_the_entities_file_is_named(start_bus: Start, tmp_path: Path) -> None:
    document = json.loads(ENTITIES.read_text())
    document["UserConfig"]["Namespaces"][0]["Queues"][0]["Properties"]["EnablePartitioning"] = True
    entities = tmp_path / "entities.json"
    entities.write_text(json.dumps(document))
    with pytest.raises(RuntimeError, match="queue contract-plain, Properties: unknown EnablePartitioning"):
        start_bus(entities=entities)


def test_what_is_not_modelled_is_refused_by_name(start_bus: Start, connect: Connect) -> None:
    server = start_bus()
    bus = connect(server)
    with pytest.raises(ServiceBusError, match="get-message-sessions is not modelled"):
        list(bus.client.list_queue_sessions(SESSIONS))
    with pytest.raises(ServiceBusError, match="scheduling to a topic is not modelled"):
        bus.send("contract-topic", "later", scheduled_enqueue_time_utc=datetime.now(UTC) + timedelta(hours=1))
    with (
        pytest.raises(ServiceBusError, match="not-allowed"),
        bus.client.get_queue_sender("contract-plain/$DeadLetterQueue"),
    ):
        pass


def test_other_protocols_and_broken_frames_only_end_their_own_connection(start_bus: Start, connect: Connect) -> None:
    header = b"AMQP\x00\x01\x00\x00"
    server = start_bus()
    bus = connect(server)
    bus.send(PLAIN, "a")
    for sent, answer in (
        (b"AMQP\x02\x01\x00\x00", header),  # TLS
        (b"GET /$servicebus/websocket HTTP/1.1\r\n\r\n", b""),
        (header + bytes.fromhex("0000000d02000000005313c0ff"), header),  # a flow that ends amid its list
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(sent)
            got = b""
            while part := client.recv(4096):
                got += part
            assert got == answer
    bus.send(PLAIN, "b")
    assert [text(message) for message in bus.receive(PLAIN, 2)] == ["a", "b"]
