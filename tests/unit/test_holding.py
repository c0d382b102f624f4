"""Holds by message: what is written, what is refused, and when a hold says that it is in force."""

import asyncio
import json
from datetime import timedelta
from uuid import UUID

import pytest
from world import START, World, found, home_of, locator, person

from shared import audit, messages
from shared.errors import TransientError
from shared.holding import Holding
from shared.holds import ENDS, NOTE, Hold, HoldKind, InForce
from shared.keys import name_of
from shared.messages import MessageError
from shared.model import RequestCause, Scope, ScopeKind, SweepCause, utc_text
from shared.stores.interface import NoAnswer

ID = "5d6b6cf5-3b4d-4f60-9c0a-2a3c2f4d9e01"
OTHER = "5d6b6cf5-3b4d-4f60-9c0a-2a3c2f4d9e02"
LATER = START + timedelta(days=30)
SWEEP = SweepCause(run="a-run", slice=0)


@pytest.fixture
def world() -> World:
    world = World(sweeping=False)
    world.home("birkeveien", "anna", rows=1, old_rows=2)
    return world


def hold(number: str = ID, **fields) -> messages.Hold:
    told = {"by": "ops", "owner": "Legal Larsen", "reason": "the case of Berg", **fields}
    told |= {"until": utc_text(told["until"])} if "until" in told else {}
    return messages.parse(messages.compose("hold", id=number, **told), now=START)


def release(number: str = ID) -> messages.Release:
    return messages.Release(version=1, type="release", id=UUID(OTHER), hold=number, by="ops", reason="the case is over")


async def written(world: World, number: str = ID) -> Hold:
    stored = await world.own["holds"].read(f"{number}.json")
    return Hold.model_validate_json(stored.data)


async def metadata(world: World, number: str = ID) -> dict:
    return dict((await world.own["holds"].read(f"{number}.json")).metadata)


async def told(world: World) -> list[dict]:
    """The events of holds: added, in force, released."""
    await world.rest()
    events = [each for each in await world.events() if each["type"].startswith("retention.hold.")]
    return sorted(events, key=lambda each: each["type"])


# ---------------------------------------------------------------- adding


async def test_a_hold_is_written_with_all_that_was_said_and_is_in_force_where_nothing_is_being_deleted(world: World):
    await world.holding.add(hold(category="operation-log"))
    made = await written(world)
    assert (made.id, made.kind, made.target, made.category) == (ID, HoldKind.CATEGORY, "operation-log", "operation-log")
    assert (made.owner, made.reason, made.by, made.since) == ("Legal Larsen", "the case of Berg", "ops", START)
    assert (made.in_force, made.too_late, made.journals, made.outbox) == (InForce.YES, 0, (), ())
    assert await metadata(world) == {"in_force": "yes"}


async def test_the_gate_keeps_what_a_hold_covers_until_it_is_released(world: World):
    await world.holding.add(hold(category="operation-log"))
    due = await found(world, "operation-log")
    outcomes = await world.gate.delete(due, SWEEP)
    assert {audit.outcome_name(each) for each in outcomes} == {"held"}
    await world.holding.release(release())
    assert {audit.outcome_name(each) for each in await world.gate.delete(due, SWEEP)} == {"erased"}


async def test_the_events_name_nobody_and_nothing_that_was_written_by_hand(world: World):
    await world.holding.add(hold(user_id="anna", until=LATER))
    await world.holding.release(release())
    added, in_force, released = await told(world)
    key = (await world.own["keys"].read(name_of(person("anna")))).data
    assert added["subject"] == audit.subject_pseudonym(key, person("anna"))
    policy = world.policy.digest
    assert added["data"] == {"hold": ID, "kind": "person", "until": utc_text(LATER), "policy": policy}
    assert in_force["data"] == {"hold": ID, "journals": 0, "too_late": 0, "policy": policy}
    assert released["data"] == {"hold": ID, "policy": policy}
    text = json.dumps([added, in_force, released])
    assert not [word for word in ("anna", "Larsen", "Berg", "ops", "case") if word in text]


@pytest.mark.parametrize(
    ("fields", "kind", "target"),
    [({"user_id": "anna"}, "person", "anna"), ({"home_id": "birkeveien"}, "home", "birkeveien")],
)
async def test_a_hold_of_a_person_or_home_has_their_id_as_its_target(world: World, fields, kind, target):
    await world.holding.add(hold(**fields))
    made = await written(world)
    assert (made.kind, made.target, made.category) == (HoldKind(kind), target, "")


async def test_a_hold_of_one_record_covers_that_record_and_its_event_has_the_records_own_pseudonym(world: World):
    first, second = await found(world, "operation-log")
    key, partition = first.locator.key, first.locator.partition
    record = {"category": "operation-log", "key": key, "partition": partition}
    await world.holding.add(hold(record=record))
    outcomes = await world.gate.delete([first, second], SWEEP)
    assert [audit.outcome_name(each) for each in outcomes] == ["held", "erased"]
    added, _ = await told(world)
    assert added["data"]["record"] == await world.name_in_log(first)
    assert added["data"]["category"] == (await written(world)).category == "operation-log"
    assert "subject" not in added


async def test_a_held_blob_is_known_by_its_name_and_belongs_to_the_home_in_it(world: World):
    name = world.picture("birkeveien", days=9, number=7)
    await world.holding.add(hold(record={"category": "camera-snapshots", "key": name}))
    assert (await written(world)).target == locator(world.policy.category("camera-snapshots"), name).text()
    added, _ = await told(world)
    key = (await world.own["keys"].read(name_of(home_of("birkeveien")))).data
    assert added["data"]["record"] == audit.pseudonym(key, "record", (await written(world)).target)


async def test_the_same_message_again_is_the_same_hold_and_says_nothing_twice(world: World):
    for by in ("ops", "somebody else"):
        await world.holding.add(hold(category="homes", by=by))
    assert (await written(world)).by == "ops"
    assert len(await told(world)) == 2


async def test_the_same_message_at_the_same_moment_is_the_same_hold(world: World):
    world.steps.turn = lambda _: asyncio.sleep(0)
    await asyncio.gather(*(world.holding.add(hold(category="homes")) for _ in range(3)))
    world.steps.turn = None
    assert len(await told(world)) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"category": "users"},
        {"user_id": "homes"},
        {"category": "homes", "reason": "another"},
        {"category": "homes", "owner": "another"},
        {"category": "homes", "until": LATER},
    ],
)
async def test_another_hold_of_the_same_id_is_refused(world: World, fields):
    await world.holding.add(hold(category="homes"))
    with pytest.raises(MessageError, match=r"^retention\.id: "):
        await world.holding.add(hold(**fields))


@pytest.mark.parametrize("until", [START, START - timedelta(days=1)])
async def test_an_end_that_is_past_is_refused_by_the_clock_of_the_store(world: World, until):
    world.now = START - timedelta(days=9)  # the machine's clock is late
    with pytest.raises(MessageError, match=r"^retention\.until: "):
        await world.holding.add(hold(category="homes", until=until))
    assert not world.own["holds"].writes


async def test_a_message_that_comes_again_after_its_hold_ended_is_still_that_hold(world: World):
    message = hold(category="homes", until=LATER)
    await world.holding.add(message)
    world.later(days=31)
    await world.holding.add(message)
    assert (await written(world)).in_force is InForce.YES


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({"category": "nothing"}, "retention.category"),
        ({"category": "audit-log"}, "retention.category"),
        ({"record": {"category": "nothing", "key": "k"}}, "retention.record.category"),
        ({"record": {"category": "journals", "key": "k"}}, "retention.record.category"),
        ({"record": {"category": "users", "key": "k"}}, "retention.record.partition"),
        ({"record": {"category": "camera-snapshots", "key": "k", "partition": "p"}}, "retention.record.partition"),
    ],
)
async def test_a_target_that_no_hold_can_reach_is_refused_by_the_name_of_its_field(world: World, target, field):
    with pytest.raises(MessageError) as caught:
        await world.holding.add(hold(**target))
    assert str(caught.value).startswith(f"{field}: ")
    assert not world.own["holds"].writes


async def test_a_category_that_is_only_planned_can_be_held(world: World):
    await world.holding.add(hold(category="exports"))
    assert (await written(world)).in_force is InForce.YES


async def test_a_hold_that_was_refused_is_a_parked_message(world: World):
    body = messages.compose("hold", id=ID, by="o", owner="o", reason="r", category="nothing")
    await world.queues["requests"].send(body, message_id=ID)
    await world.deliver("requests")
    assert len([each async for each in world.own["parking"].list()]) == 1
    assert not world.own["holds"].writes


# ---------------------------------------------------------------- in force


async def open_journal(world: World) -> None:
    """Two log rows at the gate, whose store does not answer; nothing is deleted."""
    due = await found(world, "operation-log")
    for nth in range(1, 9):
        world.records.fail(nth=nth, applied=False)
    with pytest.raises(TransientError):
        await world.gate.delete(due, SWEEP)


async def test_a_hold_waits_for_an_open_journal_and_then_leaves_it_to_the_watch(world: World):
    await open_journal(world)
    await world.holding.add(hold(category="operation-log"))
    made = await written(world)
    assert (made.in_force, len(made.journals)) == (InForce.PENDING, 1)
    assert world.slept[-3:] == [1.0] * 3, "as long as its patience goes"
    assert (await metadata(world))["in_force"] == "pending"
    assert [NOTE in entry.metadata async for entry in world.own["holds"].list()] == [False, True]
    await world.rest()
    assert ((await written(world)).in_force, (await written(world)).too_late) == (InForce.YES, 0)
    assert len([each async for each in world.own["holds"].list()]) == 1


async def test_a_hold_is_in_force_as_soon_as_the_journal_is_settled_while_its_message_waits(world: World):
    await open_journal(world)

    async def minutes(_: float) -> None:
        world.later(minutes=11)
        await world.watch.journals()

    await Holding(gate=world.gate, patience=9, sleep=minutes).add(hold(category="operation-log"))
    assert (await written(world)).in_force is InForce.YES
    assert len(world.keys("operation-log")) == 3


async def test_an_open_journal_that_names_nothing_of_the_hold_is_not_waited_for(world: World):
    await open_journal(world)
    await world.holding.add(hold(category="users"))
    assert (await written(world)).in_force is InForce.YES
    await world.holding.add(hold(OTHER, user_id="bob"))
    assert (await written(world, OTHER)).in_force is InForce.YES


async def test_a_store_that_does_not_say_whether_a_record_is_there_leaves_the_hold_pending(world: World):
    await open_journal(world)
    await world.holding.add(hold(category="operation-log"))
    world.later(minutes=11)
    await world.watch.journals()
    there = world.records.there

    async def silent(records, **_):
        return [NoAnswer() for _ in records]

    world.records.there = silent
    await world.holding.watch()
    assert (await written(world)).in_force is InForce.PENDING
    world.records.there = there
    await world.holding.watch()
    assert (await written(world)).in_force is InForce.YES


async def test_a_record_that_a_hold_came_too_late_for_is_counted_and_alarmed(world: World, caplog):
    await open_journal(world)
    await world.holding.add(hold(home_id="birkeveien"))
    gone = (await found(world, "operation-log"))[0].locator
    world.remove("operation-log", gone.key, gone.partition)
    await world.rest()
    made = await written(world)
    assert (made.in_force, made.too_late) == (InForce.YES, 1)
    assert f"ALARM hold {ID} came too late for 1 records" in caplog.text
    assert (await told(world))[-1]["data"]["too_late"] == 1


async def test_one_hold_that_cannot_be_settled_stops_no_other(world: World):
    await open_journal(world)
    for number in (ID, OTHER):
        await world.holding.add(hold(number, category="operation-log"))
    world.later(minutes=11)
    await world.watch.journals()
    broken = world.own["holds"]
    stored = await broken.read(f"{ID}.json")
    await broken.replace(f"{ID}.json", b"{", etag=stored.etag, metadata=stored.metadata)
    with pytest.raises(Exception, match="cannot be read"):
        await world.holding.watch()
    assert (await written(world, OTHER)).in_force is InForce.YES


# ---------------------------------------------------------------- ending


async def test_releasing_ends_a_hold_says_so_once_and_keeps_why_beside_it(world: World):
    await world.holding.add(hold(category="homes"))
    world.later(days=1)
    for _ in range(2):
        await world.holding.release(release())
        world.later(days=1)
    made = await written(world)
    assert made.ended_at == START + timedelta(days=1)
    assert (made.ended_by, made.ended_because) == ("ops", "the case is over")
    assert (await metadata(world))[ENDS] == utc_text(made.ended_at)
    assert [each["type"] for each in await told(world)].count("retention.hold.released") == 1


async def test_a_hold_with_an_end_has_it_in_its_metadata_from_the_start(world: World):
    await world.holding.add(hold(category="homes", until=LATER))
    assert (await metadata(world))[ENDS] == utc_text(LATER)
    world.later(days=30)
    assert not await world.gate.holds.read()
    await world.holding.release(release())
    assert (await written(world)).ended_at is None, "it had ended by itself"


async def test_releasing_a_hold_that_nobody_made_is_refused(world: World):
    with pytest.raises(MessageError, match=r"^retention\.hold: "):
        await world.holding.release(release())


@pytest.mark.parametrize("how", ["released", "over by itself"])
async def test_a_hold_that_ends_before_it_was_in_force_never_says_that_it_was(world: World, how):
    await open_journal(world)
    await world.holding.add(hold(category="operation-log", until=START + timedelta(minutes=5)))
    if how == "released":
        await world.holding.release(release())
    await world.rest()
    made = await written(world)
    assert (made.in_force, made.too_late) == (InForce.UNKNOWN, 0)
    assert "retention.hold.in_force" not in [each["type"] for each in await told(world)]
    assert len([each async for each in world.own["holds"].list()]) == 1, "no note is left"


# ---------------------------------------------------------------- afterwards


async def test_a_day_after_its_end_a_hold_forgets_whom_it_was_about_and_what_was_written_of_them(world: World):
    await world.holding.add(hold(user_id="anna"))
    await world.holding.release(release())
    world.later(hours=23)
    await world.holding.watch()
    assert (await written(world)).target == "anna"
    world.later(hours=1)
    ended = await metadata(world)
    await world.holding.watch()
    made = await written(world)
    assert (made.target, made.reason, made.ended_because, made.forgotten) == ("", "", "", True)
    assert (made.id, made.kind, made.owner, made.by) == (ID, HoldKind.PERSON, "Legal Larsen", "ops")
    assert (made.since, made.ended_at, made.ended_by, made.in_force) == (START, START, "ops", InForce.YES)
    assert await metadata(world) == {**ended, "forgotten": "yes"}
    assert not [word for word in ("anna", "Berg", "case") if word in made.model_dump_json()]
    writes = len(world.own["holds"].writes)
    await world.holding.watch()
    assert len(world.own["holds"].writes) == writes, "once"


async def test_a_hold_that_ended_by_itself_forgets_too_and_keeps_what_names_nobody(world: World):
    await world.holding.restrict(OTHER, person("anna"), LATER)
    await world.holding.add(hold(category="homes", until=LATER))
    world.later(days=30)
    await world.holding.watch()
    assert (await written(world, OTHER)).target == "anna"
    world.later(days=1)
    await world.holding.watch()
    restriction, category = await written(world, OTHER), await written(world)
    assert (restriction.target, restriction.reason) == ("", f"GDPR Art. 18, request {OTHER}")
    assert (category.target, category.reason) == ("homes", "")


async def test_a_hold_without_an_end_or_with_one_that_lies_ahead_forgets_nothing(world: World):
    await world.holding.add(hold(user_id="anna"))
    await world.holding.add(hold(OTHER, user_id="anna", until=LATER))
    world.later(days=29)
    await world.holding.watch()
    assert {(await written(world, each)).target for each in (ID, OTHER)} == {"anna"}


async def test_a_hold_that_nobody_could_settle_before_its_end_forgets_once_it_is_settled(world: World):
    await open_journal(world)
    await world.holding.add(hold(category="operation-log", until=START + timedelta(minutes=5)))
    world.later(days=2)
    await world.holding.watch()
    await world.holding.watch()
    assert ((await written(world)).in_force, (await written(world)).reason) == (InForce.UNKNOWN, "")
    assert len([each async for each in world.own["holds"].list()]) == 1, "no note is left"


async def test_the_message_of_a_forgotten_hold_is_another_and_the_restriction_of_a_request_is_still_the_same(
    world: World,
):
    message = hold(user_id="anna", until=LATER)
    await world.holding.add(message)
    await world.holding.restrict(OTHER, person("anna"), LATER)
    world.later(days=31)
    await world.holding.watch()
    with pytest.raises(MessageError, match=r"^retention\.id: "):
        await world.holding.add(message)
    await world.holding.restrict(OTHER, person("anna"), LATER)
    assert (await written(world, OTHER)).target == ""


async def test_an_end_that_is_no_time_stops_no_other_hold_from_forgetting(world: World):
    await world.own["holds"].create("odd.json", b"{", metadata={ENDS: "yesterday"})
    await world.holding.restrict(OTHER, person("anna"), LATER)
    world.later(days=31)
    await world.holding.watch()
    assert (await written(world, OTHER)).forgotten


# ---------------------------------------------------------------- too late after all


async def late(world: World, *events: str, correction: str = "c" * 32) -> None:
    await world.gate.holds.tell_late(ID, correction, events)


async def test_records_that_went_after_all_are_counted_once_and_told(world: World, caplog):
    await world.holding.add(hold(category="homes"))
    for _ in range(2):
        await late(world, "a/0", "a/1")
        await world.holding.watch()
    made = await written(world)
    assert (made.in_force, made.too_late, made.late) == (InForce.YES, 2, ("a/0", "a/1"))
    assert f"ALARM hold {ID} came too late for 2 records" in caplog.text
    assert len([each async for each in world.own["holds"].list()]) == 1, "no note is left"
    events = [each["data"]["too_late"] for each in await told(world) if each["type"] == "retention.hold.in_force"]
    assert sorted(events) == [0, 2]


async def test_a_late_record_that_was_counted_already_is_not_counted_again(world: World):
    await open_journal(world)
    await world.holding.add(hold(home_id="birkeveien"))
    gone = (await found(world, "operation-log"))[0].locator
    world.remove("operation-log", gone.key, gone.partition)
    await world.rest()
    [event] = (await written(world)).late
    await late(world, event, "another/7")
    await world.holding.watch()
    assert (await written(world)).too_late == 2


async def test_a_late_record_waits_while_the_hold_is_pending_and_is_dropped_when_the_hold_is_gone(world: World):
    await open_journal(world)
    await world.holding.add(hold(category="operation-log"))
    await late(world, "a/0")
    await world.holding.watch()
    assert ((await written(world)).in_force, (await written(world)).too_late) == (InForce.PENDING, 0)
    await world.rest()
    assert ((await written(world)).in_force, (await written(world)).too_late) == (InForce.YES, 1)
    await world.gate.holds.tell_late("nobody", "c" * 32, ["a/0"])
    await world.holding.watch()
    assert len([each async for each in world.own["holds"].list()]) == 1


# ---------------------------------------------------------------- restriction


@pytest.mark.parametrize("kind", [each for each in ScopeKind if each is not ScopeKind.VISIT])
async def test_a_restriction_is_a_hold_with_the_requests_id(world: World, kind):
    scope = Scope(kind=kind, id="somebody")
    for _ in range(2):
        await world.holding.restrict(ID, scope, LATER)
    made = await written(world)
    assert (made.id, made.kind.value, made.target, made.until) == (ID, kind.value, "somebody", LATER)
    assert made.in_force is InForce.YES
    assert len(await told(world)) == 2


async def test_a_visit_cannot_be_restricted(world: World):
    with pytest.raises(MessageError, match=r"^retention\.subject: "):
        await world.holding.restrict(ID, Scope(kind=ScopeKind.VISIT, id="{}"), None)


async def test_a_restriction_whose_end_is_past_is_over_and_holds_nothing(world: World):
    await world.holding.restrict(ID, person("anna"), START)
    assert not await world.gate.holds.read()
    assert (await written(world)).in_force is InForce.UNKNOWN


async def test_a_persons_restriction_keeps_a_log_row_that_names_them_from_the_sweep(world: World):
    await world.holding.restrict(ID, person("anna"), None)
    due = await found(world, "operation-log")
    if not due[0].names:  # which scopes a record names is the adapter's to tell
        pytest.fail("the listing does not say whom a row names")
    assert {audit.outcome_name(each) for each in await world.gate.delete(due, SWEEP)} == {"held"}


async def test_a_sessions_restriction_keeps_its_cart_when_the_cart_has_become_a_users(world: World):
    await world.holding.restrict(ID, Scope(kind=ScopeKind.SESSION, id="s1"), None)
    world.put("cart-user", {"id": "c", "sessionId": "s1", "userId": "anna", "items": []}, age=timedelta(hours=1))
    due = await found(world, "cart-user")
    assert [audit.outcome_name(each) for each in await world.gate.delete(due, SWEEP)] == ["held"]
    theirs = await found(world, "cart-user", person("anna"))
    outcomes = await world.gate.delete(theirs, RequestCause(request=OTHER, scope=person("anna")))
    assert [audit.outcome_name(each) for each in outcomes] == ["held"]


async def test_a_homes_restriction_keeps_the_homes_records_from_a_members_erasure(world: World):
    await world.holding.restrict(ID, home_of("birkeveien"), None)
    rows = await found(world, "operation-log", person("anna"))
    outcomes = await world.gate.delete(rows, RequestCause(request=OTHER, scope=person("anna")))
    assert {audit.outcome_name(each) for each in outcomes} == {"held"}
