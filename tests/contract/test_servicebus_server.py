"""Contract of the local Service Bus: messages in queues and topics, with the real SDK."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusMessageState, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient as AioServiceBusClient
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusError,
)
from servicebus_messages import text, unique

if TYPE_CHECKING:
    from servicebus_fixture import Bus

pytest_plugins = ["servicebus_fixture"]
pytestmark = pytest.mark.timeout(60)

PLAIN, LOCKS, UNIQUE, EXPIRING = "contract-plain", "contract-locks", "contract-unique", "contract-expiring"


def test_message_arrives_with_all_that_was_sent(bus: Bus) -> None:
    sent = ServiceBusMessage(
        b"\x00\xffbody",
        message_id="the id",
        subject="subject",
        content_type="application/json",
        correlation_id="correlation",
        to="to",
        reply_to="reply",
        session_id="a session",
        time_to_live=timedelta(hours=1),
        application_properties={"number": 7, "text": "ÅÆØ", "flag": True, "none": None},
    )
    before = datetime.now(UTC) - timedelta(seconds=5)
    bus.sender(PLAIN).send_messages(sent)
    (message,) = bus.receive(PLAIN)
    assert b"".join(message.body) == b"\x00\xffbody"
    assert (message.message_id, message.subject, message.content_type) == ("the id", "subject", "application/json")
    assert (message.correlation_id, message.to, message.reply_to) == ("correlation", "to", "reply")
    assert (message.session_id, message.time_to_live) == ("a session", timedelta(hours=1))
    assert message.application_properties == {b"number": 7, b"text": "ÅÆØ".encode(), b"flag": True, b"none": None}
    assert message.delivery_count == 0
    assert message.sequence_number
    assert message.enqueued_time_utc is not None
    assert before <= message.enqueued_time_utc <= message.locked_until_utc
    bus.receiver(PLAIN).complete_message(message)


def test_list_of_messages_arrives_whole_and_in_order(bus: Bus) -> None:
    bodies = [str(number) for number in range(120)]
    bus.send(PLAIN, *bodies)
    messages = bus.receive(PLAIN, 120)
    assert [text(message) for message in messages] == bodies
    assert len({message.sequence_number for message in messages}) == 120
    for message in messages:
        bus.receiver(PLAIN).complete_message(message)


def test_message_of_many_frames_arrives_whole(bus: Bus) -> None:
    body = "0123456789" * 25_000
    bus.send(PLAIN, body)
    (message,) = bus.receive(PLAIN)
    assert text(message) == body
    bus.receiver(PLAIN).complete_message(message)


def test_message_over_256_kb_is_refused_and_the_sender_goes_on(bus: Bus) -> None:
    with pytest.raises(MessageSizeExceededError):
        bus.send(PLAIN, "x" * (256 * 1024))
    bus.send(PLAIN, "small")
    (message,) = bus.receive(PLAIN)
    assert text(message) == "small"
    bus.receiver(PLAIN).complete_message(message)


def test_completed_message_is_gone(bus: Bus) -> None:
    bus.send(PLAIN, "once")
    bus.receiver(PLAIN).complete_message(bus.receive(PLAIN)[0])
    assert bus.is_empty(PLAIN)


def test_abandoned_message_comes_back_before_later_ones_and_counts(bus: Bus) -> None:
    bus.send(PLAIN, "first", "second")
    receiver = bus.receiver(PLAIN)
    (first,) = bus.receive(PLAIN)
    receiver.abandon_message(first)
    again, second = bus.receive(PLAIN, 2)
    assert [(text(again), again.delivery_count), (text(second), second.delivery_count)] == [("first", 1), ("second", 0)]
    assert again.sequence_number == first.sequence_number
    receiver.complete_message(again)
    receiver.complete_message(second)


def test_message_abandoned_as_often_as_allowed_is_dead_lettered(bus: Bus) -> None:
    bus.send(PLAIN, "poison", message_id="poison")
    for _ in range(3):
        bus.receiver(PLAIN).abandon_message(bus.receive(PLAIN)[0])
    assert bus.is_empty(PLAIN)
    (dead,) = bus.receive(PLAIN, dead=True)
    assert (text(dead), dead.message_id, dead.dead_letter_reason) == ("poison", "poison", "MaxDeliveryCountExceeded")
    bus.receiver(PLAIN, dead=True).complete_message(dead)


def test_dead_lettered_message_says_why_and_from_where(bus: Bus) -> None:
    bus.send(PLAIN, "bad", application_properties={"kept": 1})
    bus.receiver(PLAIN).dead_letter_message(bus.receive(PLAIN)[0], reason="broken", error_description="not JSON")
    (dead,) = bus.receive(PLAIN, dead=True)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("broken", "not JSON")
    assert dead.dead_letter_source == PLAIN
    assert dead.application_properties is not None
    assert dead.application_properties[b"kept"] == 1
    bus.receiver(PLAIN, dead=True).complete_message(dead)
    assert bus.is_empty(PLAIN, dead=True)


def test_deferred_message_is_had_by_its_number_only(bus: Bus) -> None:
    bus.send(PLAIN, "deferred", "other")
    receiver = bus.receiver(PLAIN)
    deferred, other = bus.receive(PLAIN, 2)
    receiver.defer_message(deferred)
    receiver.abandon_message(other)
    (again,) = bus.receive(PLAIN)
    assert text(again) == "other"
    receiver.complete_message(again)
    (peeked,) = receiver.peek_messages(1, sequence_number=1)
    assert peeked.state is ServiceBusMessageState.DEFERRED
    (message,) = receiver.receive_deferred_messages(deferred.sequence_number)
    assert text(message) == "deferred"
    receiver.renew_message_lock(message)
    receiver.complete_message(message)
    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages(deferred.sequence_number)


def test_scheduled_message_arrives_when_due_and_a_cancelled_one_never(bus: Bus) -> None:
    sender = bus.sender(PLAIN)
    due = datetime.now(UTC) + timedelta(seconds=1)
    wanted, cancelled = sender.schedule_messages([ServiceBusMessage("wanted"), ServiceBusMessage("cancelled")], due)
    sender.cancel_scheduled_messages(cancelled)
    (peeked,) = bus.receiver(PLAIN).peek_messages(5, sequence_number=1)
    assert (peeked.state, peeked.sequence_number) == (ServiceBusMessageState.SCHEDULED, wanted)
    (message,) = bus.receive(PLAIN)
    assert text(message) == "wanted"
    assert datetime.now(UTC) >= due
    bus.receiver(PLAIN).complete_message(message)
    assert bus.is_empty(PLAIN)
    with pytest.raises(MessageNotFoundError):
        sender.cancel_scheduled_messages(cancelled)


def test_message_sent_with_a_time_waits_for_it(bus: Bus) -> None:
    due = datetime.now(UTC) + timedelta(seconds=1)
    bus.send(PLAIN, "later", scheduled_enqueue_time_utc=due)
    (message,) = bus.receive(PLAIN)
    assert datetime.now(UTC) >= due
    bus.receiver(PLAIN).complete_message(message)


def test_peek_shows_every_message_and_locks_none(bus: Bus) -> None:
    bus.send(PLAIN, "a", "b", "c")
    receiver = bus.receiver(PLAIN)
    (held,) = bus.receive(PLAIN)
    peeked = receiver.peek_messages(10, sequence_number=1)
    assert [text(message) for message in peeked] == ["a", "b", "c"]
    assert [text(message) for message in receiver.peek_messages(1, sequence_number=peeked[1].sequence_number)] == ["b"]
    for message in (held, *bus.receive(PLAIN, 2)):
        receiver.complete_message(message)


def test_lock_ends_unless_it_is_renewed(bus: Bus) -> None:
    bus.send(LOCKS, "left", "renewed")
    receiver = bus.receiver(LOCKS)
    left, renewed = bus.receive(LOCKS, 2)
    threading.Event().wait(2.5)
    until = receiver.renew_message_lock(renewed)
    assert until > left.locked_until_utc
    (again,) = bus.receive(LOCKS)  # waits until the lock of "left" ends
    assert (text(again), again.delivery_count) == ("left", 1)
    assert datetime.now(UTC) >= left.locked_until_utc - timedelta(seconds=1)
    for late in (receiver.complete_message, receiver.abandon_message, receiver.renew_message_lock):
        with pytest.raises(MessageLockLostError):
            late(left)  # another delivery has it now
    receiver.complete_message(renewed)
    receiver.complete_message(again)
    assert bus.is_empty(LOCKS)


def test_message_comes_back_after_its_receiver_is_gone(bus: Bus, connection: str) -> None:
    bus.send(LOCKS, "orphan")
    with (
        ServiceBusClient.from_connection_string(connection) as other,
        other.get_queue_receiver(LOCKS) as receiver,
    ):
        (message,) = receiver.receive_messages(1, max_wait_time=10)
    (again,) = bus.receive(LOCKS)  # here at once, on Azure when the lock ends
    assert (again.sequence_number, again.delivery_count) == (message.sequence_number, 1)
    bus.receiver(LOCKS).complete_message(again)


def test_competing_receivers_get_different_messages(bus: Bus) -> None:
    bus.send(PLAIN, *[str(number) for number in range(20)])
    with bus.receiver(PLAIN, prefetch_count=0) as other:
        mine, theirs = bus.receive(PLAIN, 8), other.receive_messages(12, max_wait_time=10)
        assert len({text(message) for message in (*mine, *theirs)}) == 20
        for message in theirs:
            other.complete_message(message)
    for message in mine:
        bus.receiver(PLAIN).complete_message(message)
    assert bus.is_empty(PLAIN)


def test_receive_and_delete_leaves_nothing_to_settle(bus: Bus) -> None:
    bus.send(PLAIN, "a", "b")
    with bus.receiver(PLAIN, receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE) as receiver:
        assert [text(message) for message in receiver.receive_messages(2, max_wait_time=10)] == ["a", "b"]
        assert bus.is_empty(PLAIN)


def test_prefetching_iterator_gets_every_message_once(bus: Bus) -> None:
    bodies = [str(number) for number in range(60)]
    bus.send(PLAIN, *bodies)
    got = []
    with bus.receiver(PLAIN, prefetch_count=25, max_wait_time=10) as receiver:
        for message in receiver:
            receiver.complete_message(message)
            got.append(text(message))
            if len(got) == 60:
                break
    assert got == bodies
    assert bus.is_empty(PLAIN)


def test_second_message_with_an_id_is_dropped_even_after_the_first_is_done(bus: Bus) -> None:
    first, second = unique(), unique()
    bus.send(UNIQUE, "kept", message_id=first)
    bus.receiver(UNIQUE).complete_message(bus.receive(UNIQUE)[0])
    bus.send(UNIQUE, "dropped", message_id=first)
    bus.send(UNIQUE, "a", "b", message_id=second)
    (message,) = bus.receive(UNIQUE)
    assert text(message) == "a"
    bus.receiver(UNIQUE).complete_message(message)
    assert bus.is_empty(UNIQUE)


def test_expired_message_is_dead_lettered_where_the_queue_says_so(bus: Bus) -> None:
    bus.send(EXPIRING, "old", time_to_live=timedelta(seconds=1))
    (dead,) = bus.receive(EXPIRING, dead=True, seconds=30)
    assert (text(dead), dead.dead_letter_reason) == ("old", "TTLExpiredException")
    bus.receiver(EXPIRING, dead=True).complete_message(dead)


def test_each_subscription_gets_its_own_copy(bus: Bus) -> None:
    bus.send("contract-topic", "news", "more")
    for subscription in ("contract-topic/one", "contract-topic/two"):
        messages = bus.receive(subscription, 2)
        assert [text(message) for message in messages] == ["news", "more"]
        for message in messages:
            bus.receiver(subscription).complete_message(message)
        assert bus.is_empty(subscription)


@pytest.mark.parametrize(
    ("kind", "names", "options"),
    [
        ("queue_sender", ["contract-missing"], {}),
        ("queue_receiver", ["contract-missing"], {}),
        ("queue_receiver", ["contract-missing"], {"sub_queue": "deadletter"}),
        ("queue_receiver", ["contract-missing"], {"session_id": "s"}),
        ("topic_sender", ["contract-missing"], {}),
        ("subscription_receiver", ["contract-topic", "missing"], {}),
        ("subscription_receiver", ["contract-missing", "one"], {}),
    ],
)
def test_entity_that_does_not_exist_is_reported_as_such(
    bus: Bus, kind: str, names: list[str], options: dict[str, Any]
) -> None:
    handler: Any = getattr(bus.client, f"get_{kind}")(*names, **options)
    with pytest.raises(MessagingEntityNotFoundError), handler:
        pass


def test_list_of_messages_over_256_kb_together_is_refused_whole(bus: Bus) -> None:
    with pytest.raises((MessageSizeExceededError, ValueError)):
        bus.send(PLAIN, *["x" * 100_000] * 3)
    assert bus.is_empty(PLAIN)


def test_dead_letter_cannot_be_dead_lettered_again_and_stays(bus: Bus) -> None:
    bus.send(PLAIN, "bad")
    bus.receiver(PLAIN).dead_letter_message(bus.receive(PLAIN)[0], reason="broken")
    letters = bus.receiver(PLAIN, dead=True)
    (dead,) = bus.receive(PLAIN, dead=True)
    letters.abandon_message(dead)
    (again,) = bus.receive(PLAIN, dead=True)
    assert (text(again), again.delivery_count, again.dead_letter_reason) == ("bad", dead.delivery_count + 1, "broken")
    letters.complete_message(again)


async def test_async_client_counts_dead_letters_by_peeking_and_takes_none(bus: Bus, connection: str) -> None:
    bus.send(PLAIN, "a", "b", "c")
    for message in bus.receive(PLAIN, 3):
        bus.receiver(PLAIN).dead_letter_message(message, reason="broken")
    async with (
        AioServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_receiver(PLAIN, sub_queue="deadletter") as letters,
    ):
        assert len(await letters.peek_messages(max_message_count=2)) == 2
        assert len(await letters.peek_messages(max_message_count=100, sequence_number=1)) == 3
    for message in bus.receive(PLAIN, 3, dead=True):
        assert message.delivery_count == 0
        bus.receiver(PLAIN, dead=True).complete_message(message)


def test_message_for_a_session_queue_needs_a_session(bus: Bus) -> None:
    with pytest.raises(ServiceBusError, match="not-allowed"):
        bus.send("contract-sessions", "no session")


async def test_async_client_sends_receives_and_settles(connection: str) -> None:
    async with (
        AioServiceBusClient.from_connection_string(connection) as client,
        client.get_queue_sender(LOCKS) as sender,
        client.get_queue_receiver(LOCKS) as receiver,
    ):
        await sender.send_messages([ServiceBusMessage(str(number)) for number in range(4)])
        messages = []
        while len(messages) < 4:
            messages += await receiver.receive_messages(4 - len(messages), max_wait_time=10)
        complete, abandon, defer, dead = messages
        await receiver.complete_message(complete)
        await receiver.abandon_message(abandon)
        await receiver.defer_message(defer)
        await receiver.dead_letter_message(dead, reason="why")
        (again,) = await receiver.receive_messages(1, max_wait_time=10)
        assert (text(again), again.delivery_count) == ("1", 1)
        assert await receiver.renew_message_lock(again)
        await receiver.complete_message(again)
        (deferred,) = await receiver.receive_deferred_messages(defer.sequence_number)
        await receiver.complete_message(deferred)
        assert await receiver.peek_messages(1, sequence_number=1) == []
        async with client.get_queue_receiver(LOCKS, sub_queue="deadletter") as letters:
            (letter,) = await letters.receive_messages(1, max_wait_time=10)
            assert (text(letter), letter.dead_letter_reason) == ("3", "why")
            await letters.complete_message(letter)
