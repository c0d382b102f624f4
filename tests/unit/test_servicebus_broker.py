"""The broker core of the local Service Bus, without network: locks, counts, order, sessions and time, by a hand-set clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from local.servicebus import faults
from local.servicebus.broker import MAX_MESSAGE_SIZE, Broker, UnknownEntityError
from local.servicebus.encoding import encode
from local.servicebus.entities import EntitiesError, Namespace, QueueSpec, TopicSpec, parse_entities
from local.servicebus.envelope import BATCH_FORMAT
from local.servicebus.faults import RefusedError
from local.servicebus.records import LastSequence, Stored
from local.servicebus.store import Store, StoreError
from local.servicebus.values import Described, Symbol, Timestamp, UInt, ULong

if TYPE_CHECKING:
    from pathlib import Path

    from local.servicebus.locks import Delivery
    from local.servicebus.message_queue import MessageQueue

LOCK = 60_000
NAMESPACE = Namespace(
    queues=(
        QueueSpec(name="plain", lock_ms=LOCK, max_delivery_count=3),
        QueueSpec(name="unique", duplicate_window_ms=20_000),
        QueueSpec(name="expiring", dead_letter_expired=True, default_ttl_ms=5_000),
        QueueSpec(name="Sessions", lock_ms=LOCK, requires_session=True, max_delivery_count=3),
    ),
    topics=(
        TopicSpec(
            name="topic", duplicate_window_ms=20_000, subscriptions=(QueueSpec(name="one"), QueueSpec(name="two"))
        ),
    ),
)


def message(
    body: str, *, id_: str | None = None, session: str | None = None, ttl: int | None = None, at: int | None = None
) -> bytes:
    properties: list[object] = [id_, *[None] * 9, session]
    sections: list[tuple[int, object]] = [(0x73, properties), (0x75, body.encode())]
    if at is not None:
        sections.insert(0, (0x72, {Symbol("x-opt-scheduled-enqueue-time"): Timestamp(at)}))
    if ttl is not None:
        sections.insert(0, (0x70, [None, None, UInt(ttl)]))
    return b"".join(encode(Described(ULong(code), value)) for code, value in sections)


def body(delivery: Delivery | None) -> str:
    assert delivery is not None
    return delivery.message.envelope.body[5:].decode()


@dataclass(kw_only=True)
class World:
    """A broker with a clock that stands until it is moved; receivers are plain strings."""

    now: int = 1_000_000
    namespace: Namespace = NAMESPACE
    broker: Broker = field(init=False)

    def __post_init__(self) -> None:
        self.broker = Broker(self.namespace, lambda: self.now)

    def send(self, path: str, *raws: bytes) -> None:
        for raw in raws:
            self.broker.send(self.broker.target(path), raw, 0)

    def queue(self, path: str) -> MessageQueue:
        return self.broker.source(path)

    def take(self, path: str, owner: object = "me", **options: Any) -> Delivery | None:
        return self.queue(path).take(owner, self.now, **{"delete": False, **options})

    def token(self, path: str, owner: object = "me", **options: Any) -> UUID:
        delivery = self.take(path, owner, **options)
        assert delivery is not None
        assert delivery.token is not None
        return delivery.token

    def restarted(self) -> World:
        """Another broker that knows what this one recorded, as a store would give it back."""
        kept: dict[tuple[str, int], Stored] = {}
        others: list[Any] = []
        for change in self.broker.take_changes():
            match type(change).__name__:
                case "Stored":
                    kept[change.path, change.message.sequence] = change
                    others.append(LastSequence(path=change.path, sequence=change.message.sequence))
                case "Removed":
                    del kept[change.path, change.sequence]
                case _:
                    others.append(change)
        world = World(now=self.now, namespace=self.namespace)
        world.broker.restore([*others, *sorted(kept.values(), key=lambda stored: stored.message.sequence)])
        return world


@pytest.fixture
def world() -> World:
    return World()


def test_messages_come_in_the_order_in_which_they_were_sent(world: World) -> None:
    world.send("plain", message("a"), message("b"))
    assert [body(world.take("plain")), body(world.take("plain")), world.take("plain")] == ["a", "b", None]


def test_locked_message_is_nobody_else_s_until_its_lock_ends(world: World) -> None:
    world.send("plain", message("a"))
    token = world.token("plain")
    world.now += LOCK - 1
    assert world.take("plain", "other") is None
    world.now += 1
    again = world.take("plain", "other")
    assert (body(again), again and again.message.delivery_count) == ("a", 1)
    with pytest.raises(RefusedError) as refused:
        world.queue("plain").complete(token, world.now)
    assert refused.value.condition == faults.MESSAGE_LOCK_LOST


def test_renewed_lock_lasts_its_full_time_again_and_the_others_do_not(world: World) -> None:
    world.send("plain", message("a"), message("b"))
    first, _ = world.token("plain"), world.token("plain")
    world.now += LOCK - 1
    assert world.queue("plain").renew(first, world.now) == world.now + LOCK
    world.now += 1
    assert body(world.take("plain")) == "b"
    world.queue("plain").complete(first, world.now)
    with pytest.raises(RefusedError):
        world.queue("plain").renew(first, world.now)


@pytest.mark.parametrize("how", ["abandon", "lock ends", "receiver gone"])
def test_failed_deliveries_count_and_the_last_allowed_one_dead_letters(world: World, how: str) -> None:
    world.send("plain", message("poison"), message("next"))
    for count in range(3):
        delivery = world.take("plain", "worker")
        assert (body(delivery), delivery and delivery.message.delivery_count) == ("poison", count)
        assert delivery is not None
        if how == "abandon":
            world.queue("plain").abandon(delivery.token or uuid4(), world.now)
        elif how == "lock ends":
            world.now += LOCK
        else:
            world.queue("plain").drop_owner("worker", world.now)
    assert body(world.take("plain")) == "next"
    dead = world.take("plain/$deadletterqueue")
    assert body(dead) == "poison"
    assert dead is not None
    assert dead.message.dead_letter is not None
    assert (dead.message.dead_letter.reason, dead.message.dead_letter.source) == ("MaxDeliveryCountExceeded", "plain")


def test_released_message_is_as_if_never_delivered(world: World) -> None:
    world.send("plain", message("a"))
    for _ in range(5):
        world.queue("plain").release(world.token("plain"), world.now)
    again = world.take("plain")
    assert again is not None
    assert again.message.delivery_count == 0


def test_dead_letter_queue_has_no_dead_letter_queue(world: World) -> None:
    world.send("plain", message("a"))
    world.queue("plain").dead_letter(world.token("plain"), "why", None, world.now)
    dead = world.queue("plain/$deadletterqueue")
    token = world.token("plain/$deadletterqueue")
    with pytest.raises(RefusedError):
        dead.dead_letter(token, "again", None, world.now)
    for _ in range(20):
        dead.abandon(token, world.now)
        token = world.token("plain/$deadletterqueue")
    dead.complete(token, world.now)


def test_deferred_message_is_had_by_number_only_and_stays_deferred_when_abandoned(world: World) -> None:
    world.send("plain", message("a"))
    queue = world.queue("plain")
    queue.defer(world.token("plain"), world.now)
    assert world.take("plain") is None
    for sequences in ([2], [1, 2], [1, 1]):
        with pytest.raises(RefusedError) as refused:
            queue.take_deferred(sequences, "me", world.now, delete=False)
        assert refused.value.condition == faults.MESSAGE_NOT_FOUND
    (delivery,) = queue.take_deferred([1], "me", world.now, delete=False)
    queue.abandon(delivery.token or uuid4(), world.now)
    assert world.take("plain") is None
    (delivery,) = queue.take_deferred([1], "me", world.now, delete=False)
    assert delivery.message.delivery_count == 1
    queue.complete(delivery.token or uuid4(), world.now)
    assert queue.peek(1, 10, world.now) == []


def test_scheduled_message_becomes_active_when_due_with_a_new_number(world: World) -> None:
    target = world.broker.target("plain")
    (scheduled,) = world.broker.schedule(target, [message("later", at=world.now + 100)])
    world.send("plain", message("now"))
    assert body(world.take("plain")) == "now"
    assert world.take("plain") is None
    assert world.broker.next_due() == world.now + 100
    world.now += 100
    delivery = world.take("plain")
    assert body(delivery) == "later"
    assert delivery is not None
    assert (delivery.message.sequence, delivery.message.enqueued_ms) == (3, world.now)
    assert scheduled == 1


def test_cancelled_schedule_never_comes_and_cannot_be_cancelled_again(world: World) -> None:
    (number,) = world.broker.schedule(world.broker.target("plain"), [message("never", at=world.now + 100)])
    world.queue("plain").cancel_scheduled([number], world.now)
    world.now += 1_000
    assert world.take("plain") is None
    with pytest.raises(RefusedError):
        world.queue("plain").cancel_scheduled([number], world.now)


def test_duplicate_is_dropped_within_the_window_and_taken_after_it(world: World) -> None:
    world.send("unique", message("first", id_="x"), message("duplicate", id_="x"))
    world.queue("unique").complete(world.token("unique"), world.now)
    world.now += 19_999
    world.send("unique", message("duplicate", id_="x"), message("no id"), message("no id"))
    assert [body(world.take("unique")), body(world.take("unique")), world.take("unique")] == ["no id", "no id", None]
    world.now += 1
    world.send("unique", message("second", id_="x"))
    assert body(world.take("unique")) == "second"


def test_expired_message_goes_where_the_queue_says_once_nobody_holds_it(world: World) -> None:
    world.send("expiring", message("held"), message("short", ttl=1_000), message("long", ttl=60_000))
    token = world.token("expiring")
    world.now += 5_000
    assert world.take("expiring") is None
    dead = [world.take("expiring/$deadletterqueue") for _ in range(2)]
    assert [body(delivery) for delivery in dead] == ["short", "long"]
    world.queue("expiring").complete(token, world.now)
    world.send("plain", message("dropped", ttl=1_000))
    world.now += 1_000
    assert world.take("plain") is None
    assert world.take("plain/$deadletterqueue") is None


def test_message_that_expired_while_held_expires_when_it_comes_back(world: World) -> None:
    world.send("expiring", message("held"))
    token = world.token("expiring")
    world.now += 6_000
    world.queue("expiring").abandon(token, world.now)
    assert world.take("expiring") is None
    assert body(world.take("expiring/$deadletterqueue")) == "held"


def test_batch_is_taken_whole_or_not_at_all(world: World) -> None:
    def batch(*raws: bytes) -> bytes:
        return b"".join(encode(Described(ULong(0x75), raw)) for raw in raws)

    target = world.broker.target("sessions")
    with pytest.raises(RefusedError, match="no session id"):
        world.broker.send(target, batch(message("a", session="s"), message("b")), BATCH_FORMAT)
    assert world.broker.take_changes() == []
    world.broker.send(target, batch(message("a", session="s"), message("b", session="t")), BATCH_FORMAT)
    assert len(world.queue("sessions").peek(1, 10, world.now)) == 2


def test_topic_gives_each_subscription_a_copy_and_drops_duplicates(world: World) -> None:
    world.send("topic", message("a", id_="x"), message("again", id_="x"))
    for path in ("topic/subscriptions/one", "topic/subscriptions/two"):
        world.queue(path).complete(world.token(path), world.now)
        assert world.take(path) is None


@pytest.mark.parametrize(
    ("path", "condition"),
    [
        ("missing", faults.NOT_FOUND),
        ("plain/$deadletterqueue", faults.NOT_ALLOWED),
        ("topic/subscriptions/one", faults.NOT_ALLOWED),
    ],
)
def test_what_cannot_be_sent_to_is_refused(world: World, path: str, condition: str) -> None:
    with pytest.raises(RefusedError) as refused:
        world.broker.target(path)
    assert refused.value.condition == condition


def test_what_is_not_modelled_is_refused_and_changes_nothing(world: World) -> None:
    for send in (
        lambda: world.broker.send(world.broker.target("plain"), message("a"), 7),
        lambda: world.send("topic", message("a", at=world.now + 1)),
        lambda: world.broker.schedule(world.broker.target("plain"), [message("x" * MAX_MESSAGE_SIZE, at=world.now)]),
        lambda: world.broker.source("topic"),
        lambda: world.queue("plain").accept_session("s", "me", world.now),
        lambda: world.queue("sessions").renew(uuid4(), world.now),
    ):
        with pytest.raises(RefusedError):
            send()
    assert world.broker.take_changes() == []


def test_session_is_given_to_one_receiver_at_a_time(world: World) -> None:
    world.send("sessions", message("1", session="a"), message("2", session="a"), message("3", session="b"))
    queue = world.queue("sessions")
    first, second = queue.accept_session(None, "x", world.now), queue.accept_session(None, "y", world.now)
    assert [lock and lock.session_id for lock in (first, second)] == ["a", "b"]
    assert queue.accept_session(None, "z", world.now) is None
    with pytest.raises(RefusedError) as refused:
        queue.accept_session("a", "z", world.now)
    assert refused.value.condition == faults.SESSION_CANNOT_BE_LOCKED
    assert world.take("sessions", "z", session_id="a") is None
    assert [body(world.take("sessions", "x", session_id="a")) for _ in range(2)] == ["1", "2"]


def test_closed_session_gives_its_messages_back_uncounted_and_an_ended_one_counted(world: World) -> None:
    world.send("sessions", message("1", session="a"))
    queue = world.queue("sessions")
    queue.accept_session("a", "x", world.now)
    world.take("sessions", "x", session_id="a")
    queue.drop_owner("x", world.now)
    queue.accept_session(None, "y", world.now)
    token = world.token("sessions", "y", session_id="a")
    world.now += LOCK
    assert world.broker.tick() == ["y"]
    with pytest.raises(RefusedError) as refused:
        queue.complete(token, world.now)
    assert refused.value.condition == faults.SESSION_LOCK_LOST
    queue.accept_session(None, "z", world.now)
    again = world.take("sessions", "z", session_id="a")
    assert again is not None
    assert again.message.delivery_count == 1


def test_session_whose_messages_keep_coming_back_does_not_starve_the_others(world: World) -> None:
    world.send("sessions", message("bad", session="bad"), message("good", session="good"))
    queue = world.queue("sessions")
    order = []
    for _ in range(4):
        lock = queue.accept_session(None, "x", world.now)
        assert lock is not None
        order.append(lock.session_id)
        world.take("sessions", "x", session_id=lock.session_id)
        queue.drop_owner("x", world.now)
    assert order == ["bad", "good", "bad", "good"]


def test_session_state_is_its_holder_s_only(world: World) -> None:
    queue = world.queue("sessions")
    queue.accept_session("a", "x", world.now)
    queue.set_session_state("a", b"state", "x", world.now)
    assert queue.session_state("a", "x", world.now) == b"state"
    for owner, session in (("y", "a"), ("x", "b"), ("x", None)):
        with pytest.raises(RefusedError) as refused:
            queue.session_state(session, owner, world.now)
        assert refused.value.condition == faults.SESSION_LOCK_LOST
    assert queue.renew_session("a", "x", world.now) == world.now + LOCK


def test_queue_wakes_when_there_is_something_to_take(world: World) -> None:
    world.send("plain", message("a"))
    assert world.broker.take_awake() == [world.queue("plain")]
    token = world.token("plain")
    assert world.broker.take_awake() == []
    world.queue("plain").abandon(token, world.now)
    assert world.broker.take_awake() == [world.queue("plain")]


def test_restart_brings_back_all_but_locks_and_never_gives_a_number_twice(world: World) -> None:
    world.send("plain", message("gone"), message("locked"), message("deferred"), message("last"))
    world.send("unique", message("seen", id_="x"))
    queue = world.queue("plain")
    queue.complete(world.token("plain"), world.now)
    world.token("plain")
    queue.defer(world.token("plain"), world.now)
    queue.complete(world.token("plain"), world.now)
    again = world.restarted()
    assert [body(again.take("plain")), again.take("plain")] == ["locked", None]
    assert again.queue("plain").take_deferred([3], "me", again.now, delete=False)
    again.send("plain", message("new"))
    new = again.take("plain")
    assert new is not None
    assert new.message.sequence == 5
    again.send("unique", message("duplicate", id_="x"))
    assert len(again.queue("unique").peek(1, 10, again.now)) == 1


def test_data_of_an_unknown_entity_stops_the_start() -> None:
    with pytest.raises(UnknownEntityError, match="gone"):
        World().broker.restore([LastSequence(path="gone", sequence=1)])


def test_store_gives_back_what_was_committed(tmp_path: Path, world: World) -> None:
    world.send("plain", message("a"), message("b"))
    world.send("unique", message("c", id_="x"))
    world.queue("plain").dead_letter(world.token("plain"), "why", "text", world.now)
    queue = world.queue("sessions")
    queue.accept_session("s", "me", world.now)
    queue.set_session_state("s", b"state", "me", world.now)
    with Store(tmp_path) as store:
        store.commit(world.broker.take_changes())
        world.send("plain", message("never committed"))
        with pytest.raises(StoreError, match="locked"):
            Store(tmp_path)
    again = World(now=world.now)
    with Store(tmp_path) as store:
        again.broker.restore(store.load())
    assert [body(again.take("plain")), again.take("plain")] == ["b", None]
    dead = again.take("plain/$deadletterqueue")
    assert dead is not None
    assert dead.message.dead_letter is not None
    assert (dead.message.dead_letter.reason, dead.message.dead_letter.description) == ("why", "text")
    again.send("unique", message("duplicate", id_="x"))
    assert len(again.queue("unique").peek(1, 10, again.now)) == 1
    again.queue("sessions").accept_session("s", "me", again.now)
    assert again.queue("sessions").session_state("s", "me", again.now) == b"state"


@pytest.mark.parametrize(
    ("queue", "why"),
    [
        ({"Name": "q", "Properties": {"Partitioned": True}}, "unknown Partitioned"),
        ({"Name": "q", "Properties": {"LockDuration": "PT6M"}}, "LockDuration is from 5 to 300 seconds"),
        ({"Name": "q", "Properties": {"LockDuration": "5 minutes"}}, "a duration such as PT5M"),
        ({"Name": "q", "Properties": {"MaxDeliveryCount": 0}}, "MaxDeliveryCount"),
        ({"Name": "q", "Properties": {"ForwardTo": "other"}}, "ForwardTo is not modelled"),
        ({"Name": "q", "Properties": {"RequiresSession": "yes"}}, "true or false"),
        ({"Name": "q", "Properties": {"RequiresDuplicateDetection": True}}, "DuplicateDetectionHistoryTimeWindow"),
        ({"Name": "T"}, "more than one entity"),
        ({"Name": "$q"}, "Name is"),
        ({}, "Name is"),
        ([], "an object is expected"),
    ],
)
def test_entities_that_cannot_be_served_are_refused_with_their_place(queue: object, why: str) -> None:
    topic = {"Name": "t", "Subscriptions": [{"Name": "s"}]}
    with pytest.raises(EntitiesError, match=why):
        parse_entities({"UserConfig": {"Namespaces": [{"Name": "n", "Queues": [queue], "Topics": [topic]}]}})


def test_rules_on_a_subscription_are_refused() -> None:
    subscription = {"Name": "s", "Rules": [{"Name": "r", "Properties": {"FilterType": "Sql"}}]}
    topic = {"Name": "t", "Subscriptions": [subscription]}
    with pytest.raises(EntitiesError, match="topic t, subscription s: Rules are not modelled"):
        parse_entities({"UserConfig": {"Namespaces": [{"Name": "n", "Topics": [topic]}]}})


class Conservation(RuleBasedStateMachine):
    """However deliveries end and time goes on: no message is lost, doubled or out of order, restarts included."""

    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(namespace=Namespace(queues=(QueueSpec(name="q", lock_ms=1_000, max_delivery_count=4),)))
        self.sent = 0
        self.done: set[int] = set()
        self.locks: dict[UUID, tuple[int, int]] = {}

    @rule(count=st.integers(1, 3))
    def send(self, count: int) -> None:
        self.world.send("q", *[message(str(number)) for number in range(count)])
        self.sent += count

    @rule(target=held)
    def take(self) -> Any:
        delivery = self.world.take("q")
        if delivery is None or delivery.token is None:
            return multiple()
        now = self.world.now
        live = {number for number, until in self.locks.values() if until > now}
        assert delivery.message.sequence not in live | self.done
        self.locks[delivery.token] = (delivery.message.sequence, now + 1_000)
        return delivery.token

    @rule(token=consumes(held), how=st.sampled_from(["complete", "abandon", "release", "defer"]))
    def settle(self, token: UUID, how: str) -> None:
        number, until = self.locks.pop(token, (0, 0))
        if until <= self.world.now:
            with pytest.raises(RefusedError):
                getattr(self.world.queue("q"), how)(token, self.world.now)
            return
        getattr(self.world.queue("q"), how)(token, self.world.now)
        if how == "complete":
            self.done.add(number)

    @rule(step=st.integers(1, 1_500))
    def wait(self, step: int) -> None:
        self.world.now += step

    @rule()
    def lose_the_receiver(self) -> None:
        self.world.queue("q").drop_owner("me", self.world.now)
        self.locks.clear()

    @invariant()
    def every_message_is_somewhere_once(self) -> None:
        now = self.world.now
        alive = [kept.sequence for kept in self.world.queue("q").peek(1, 10_000, now)]
        dead = [kept.sequence for kept in self.world.queue("q/$deadletterqueue").peek(1, 10_000, now)]
        assert alive == sorted(alive)
        assert sorted([*alive, *dead, *self.done]) == list(range(1, self.sent + 1))

    def teardown(self) -> None:
        again = self.world.restarted()
        before = self.world.queue("q").peek(1, 10_000, self.world.now)
        assert again.queue("q").peek(1, 10_000, again.now) == before


TestConservation = Conservation.TestCase
TestConservation.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
