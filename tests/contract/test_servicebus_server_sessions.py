"""Contract of the local Service Bus: sessions, as the product's asynchronous receivers use them, with the real SDK."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)
from servicebus_messages import text, unique

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusReceiver
    from servicebus_fixture import Bus

pytest_plugins = ["servicebus_fixture"]
pytestmark = pytest.mark.timeout(60)

QUEUE = "contract-sessions"


@pytest.fixture
async def client(connection: str) -> AsyncIterator[ServiceBusClient]:
    async with ServiceBusClient.from_connection_string(connection, retry_total=0) as client:
        yield client


def send(bus: Bus, session: str, *bodies: str) -> None:
    bus.send(QUEUE, *bodies, session_id=session)


async def receive(receiver: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    messages: list[Any] = []
    while len(messages) < count:
        more = await receiver.receive_messages(count - len(messages), max_wait_time=10)
        assert more, f"{len(messages)} of {count} messages"
        messages += more
    return messages


async def take_all(receiver: ServiceBusReceiver, count: int) -> list[str]:
    messages = await receive(receiver, count)
    for message in messages:
        await receiver.complete_message(message)
    return [text(message) for message in messages]


async def test_next_available_gives_every_receiver_another_session(bus: Bus, client: ServiceBusClient) -> None:
    sessions = {unique("s") for _ in range(3)}
    for session in sessions:
        send(bus, session, session)
    receivers = [
        client.get_queue_receiver(QUEUE, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=10) for _ in range(3)
    ]

    async def take(receiver: ServiceBusReceiver) -> str:
        async with receiver:
            (body,) = await take_all(receiver, 1)
            assert body == receiver.session.session_id
            return body

    assert set(await asyncio.gather(*map(take, receivers))) == sessions


async def test_receiver_waits_for_the_next_session_until_one_comes(bus: Bus, client: ServiceBusClient) -> None:
    session = unique()
    receiver = client.get_queue_receiver(QUEUE, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=20)
    waiting = asyncio.create_task(receiver.receive_messages(1))
    done, _ = await asyncio.wait({waiting}, timeout=1)
    assert not done
    await asyncio.to_thread(send, bus, session, "late")
    (message,) = await waiting
    assert (text(message), receiver.session.session_id) == ("late", session)
    await receiver.complete_message(message)
    await receiver.close()


async def test_receiver_without_a_session_in_time_is_told_so(client: ServiceBusClient) -> None:
    with pytest.raises(OperationTimeoutError):
        async with client.get_queue_receiver(QUEUE, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1):
            pass


async def test_session_that_another_receiver_holds_is_refused(client: ServiceBusClient) -> None:
    session = unique()
    async with client.get_queue_receiver(QUEUE, session_id=session):
        with pytest.raises(SessionCannotBeLockedError):
            async with client.get_queue_receiver(QUEUE, session_id=session):
                pass


async def test_closed_session_keeps_its_state_and_its_messages_in_order_and_uncounted(
    bus: Bus, client: ServiceBusClient
) -> None:
    session = unique()
    send(bus, session, "deferred", "1", "2", "done")
    async with client.get_queue_receiver(QUEUE, session_id=session) as receiver:
        deferred, _, _, done = await receive(receiver, 4)
        await receiver.defer_message(deferred)
        await receiver.complete_message(done)
        assert await receiver.session.get_state() is None
        await receiver.session.set_state(b"step 2")
    async with client.get_queue_receiver(QUEUE, session_id=session) as receiver:
        assert await receiver.session.get_state() == b"step 2"
        await receiver.session.set_state(None)
        assert await receiver.session.get_state() is None
        messages = await receive(receiver, 2)
        assert [(text(message), message.delivery_count) for message in messages] == [("1", 0), ("2", 0)]
        messages += await receiver.receive_deferred_messages(deferred.sequence_number)
        assert text(messages[2]) == "deferred"
        for message in messages:
            await receiver.complete_message(message)


async def test_session_lock_ends_unless_it_is_renewed(bus: Bus, client: ServiceBusClient) -> None:
    kept, lost = unique("kept"), unique("lost")
    send(bus, kept, "kept")
    send(bus, lost, "lost")
    async with (
        client.get_queue_receiver(QUEUE, session_id=kept) as keeper,
        client.get_queue_receiver(QUEUE, session_id=lost) as loser,
    ):
        (safe,), (gone,) = await receive(keeper, 1), await receive(loser, 1)
        before = keeper.session.locked_until_utc
        await asyncio.sleep(2)
        assert await keeper.session.renew_lock() > before
        async with client.get_queue_receiver(QUEUE, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=15) as next_one:
            assert next_one.session.session_id == lost
            (again,) = await receive(next_one, 1)
            assert (text(again), again.delivery_count) == ("lost", 1)
            with pytest.raises(SessionLockLostError):
                await loser.complete_message(gone)
            await keeper.complete_message(safe)
            await next_one.complete_message(again)


async def test_dead_letters_of_a_session_queue_need_no_session(bus: Bus, client: ServiceBusClient) -> None:
    session = unique()
    send(bus, session, "bad")
    async with client.get_queue_receiver(QUEUE, session_id=session) as receiver:
        await receiver.dead_letter_message((await receive(receiver, 1))[0], reason="why")
    async with client.get_queue_receiver(QUEUE, sub_queue="deadletter") as receiver:
        (dead,) = await receive(receiver, 1)
        assert (text(dead), dead.session_id, dead.dead_letter_reason) == ("bad", session, "why")
        await receiver.complete_message(dead)


async def test_receiver_that_does_not_fit_the_queue_is_refused(client: ServiceBusClient) -> None:
    for receiver in (client.get_queue_receiver(QUEUE), client.get_queue_receiver("contract-plain", session_id="x")):
        with pytest.raises(ServiceBusError, match="not-allowed"):
            async with receiver:
                pass


async def test_workers_drain_many_sessions_each_first_in_first_out_and_whole(
    bus: Bus, client: ServiceBusClient
) -> None:
    sessions = {unique("home"): [f"{number}" for number in range(4)] for _ in range(6)}
    messages = [ServiceBusMessage(body, session_id=session) for session, bodies in sessions.items() for body in bodies]
    await asyncio.to_thread(bus.sender(QUEUE).send_messages, messages)
    got: dict[str, list[str]] = {}

    async def work() -> None:
        while sum(map(len, got.values())) < len(messages):
            try:
                receiver = client.get_queue_receiver(QUEUE, session_id=NEXT_AVAILABLE_SESSION, max_wait_time=1)
                async with receiver:
                    got.setdefault(receiver.session.session_id, []).extend(await take_all(receiver, 4))
            except OperationTimeoutError:
                return

    await asyncio.gather(*[work() for _ in range(3)])
    assert got == sessions
