"""Each write of a request's way fails: intake, worker, parking, register. Redelivery, or the watch alone, ends it once.

The writes are counted in an undisturbed run, so that a write added to the code is tested without anybody adding it.
"""

from uuid import uuid4

import pytest
from disturbances import Broken, Scene, die
from promises import assert_whole
from world import World

from shared import messages
from shared.requests.documents import State


async def alone() -> World:
    """A person who lives alone: all of the home goes too."""
    world = World(sweeping=False)
    world.user("anna")
    world.home("birkeveien", "anna", rows=1)
    world.request = await world.ask(user_id="anna")
    return world


async def shared_home() -> World:
    """One of two, meant by e-mail, with a record that a hold keeps."""
    world = World(sweeping=False)
    world.user("bob")
    world.user("cleo")
    world.home("skogveien", "bob", "cleo")
    await world.hold("hold-1", "category", "operation-log")
    world.request = await world.ask(email="bob@bob.example")
    return world


async def home() -> World:
    """A home without users, by its id."""
    world = World(sweeping=False)
    world.home("tomtveien")
    world.request = await world.ask(home_id="tomtveien")
    return world


async def nobody() -> World:
    """An e-mail address that nobody has."""
    world = World(sweeping=False)
    world.request = await world.ask(email="dora@dora.example")
    return world


async def nonsense() -> World:
    """Messages that can never succeed, on both queues."""
    world = World(sweeping=False)
    await world.queues["requests"].send(b'{"retention": {"version": 1, "type": "era', message_id="m1")
    await world.queues["work"].send(b'{"retention": {"version": 7, "user": "anna"}}', message_id="m2")
    return world


async def in_hops() -> World:
    """A worker whose time is over after every unit."""
    world = await alone()
    world.hurry = lambda: True
    return world


async def left_received() -> World:
    """Intake died when the request was written down, before its event was posted."""
    return await left(await alone(), State.RECEIVED)


async def left_done() -> World:
    """A worker died when the request was done, before its last event was posted."""
    return await left(await alone(), State.DONE)


async def left(world: World, state: State) -> World:
    """The world in which whoever brought the request to this state died before its event was posted."""

    async def dies_then(name: str) -> None:
        stored = await world.own["requests"].read(f"{world.request}.json")
        if name == "before create" and stored and stored.metadata["state"] == state and "outbox" in stored.metadata:
            world.steps.turn = None
            await die()

    world.steps.turn = dies_then
    while world.steps.turn:
        await world.deliver("requests", "work")
    return world


async def everything() -> World:
    """Who lives alone, with a newsletter by address, and an invoice that a law keeps."""
    world = await alone()
    world.put("newsletter", {"id": "s1", "subscriberId": "s1", "email": "anna@anna.example"})
    world.put("invoices", {"id": "i1", "userId": "anna", "issuedAt": "2026-01-31"})
    return world


async def taken_up() -> World:
    """A request that a hold stopped, the hold released, and the order to take it up again."""
    world = await alone()
    await world.hold("hold-1", "category", "operation-log")
    await world.rest()
    await world.release("hold-1")
    await order(world, "retry", request=world.request, by="the office")
    return world


async def rejected() -> World:
    """A request that means nobody, and the order to close it."""
    world = await nobody()
    await world.rest()
    await order(world, "resolve", request=world.request, by="the office", reason="no customer")
    return world


async def restricted() -> World:
    """A restriction, by e-mail."""
    world = World(sweeping=False)
    world.user("anna")
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    world.request = await order(world, "restrict", subject={"email": "anna@anna.example"}, **who)
    return world


async def replayed() -> World:
    """Somebody erased whom a restore brought back, and the order to erase again."""
    world = await alone()
    await world.rest()
    world.user("anna")
    world.home("birkeveien", "anna", rows=1)
    await order(world, "replay", by="the office", backup_began="2026-01-01T00:00:00Z")
    return world


async def order(world: World, kind: str, **fields) -> str:
    """Put a message on queue `requests`; its id."""
    number = str(uuid4())
    await world.queues["requests"].send(messages.compose(kind, id=number, **fields), message_id=number)
    return number


async def work(world: World) -> None:
    for _ in range(12):
        await world.deliver("requests", "work")


BUILDS = (
    alone, shared_home, home, nobody, nonsense, in_hops, everything, taken_up, rejected, restricted, replayed,
    left_received, left_done,
)  # fmt: skip
SCENES = {f.__name__: Scene(build=f, work=work) for f in BUILDS}
CASES = [
    (name, broken)
    for name, scene in SCENES.items()
    for broken in scene.all_broken()
    if (name not in ("in_hops", "shared_home") or (broken.how == "applied" and broken.where in ("requests", "work")))
    or (name == "in_hops" and broken.where == "work")
    if name != "left_received" or (broken.where, broken.nth) == ("requests", 1)
]


def test_every_kind_of_write_is_among_those_that_fail():
    made = {(scene, each.where, each.kind) for scene, each in CASES}
    assert made >= {
        ("alone", "requests", "create"),
        ("alone", "requests", "replace"),
        ("alone", "work", "send"),
        ("alone", "journals", "create"),
        ("alone", "journals", "replace"),
        ("alone", "keys", "create"),
        ("alone", "register", "create"),
        ("taken_up", "register", "replace"),
        ("restricted", "holds", "create"),
        ("alone", "ledger", "send"),
        ("nonsense", "parking", "create"),
        ("nonsense", "journals", "create"),
    }


async def ended(world: World, scene: str) -> None:
    await world.rest()
    events = await assert_whole(world)
    left = world.everything()
    match scene:
        case "alone" | "in_hops" | "home" | "left_received" | "left_done":
            assert left == {}
            assert (await world.document(world.request)).state is State.DONE
        case "shared_home":
            assert left["users"] == ["cleo"]
            assert left["operation-log"] == ["skogveien-bob-0", "skogveien-cleo-0"]
            document = await world.document(world.request)
            assert document.state is State.NEEDS_ATTENTION
            assert document.reason == "some records had to stay: 1 held"
        case "nobody":
            assert (await world.document(world.request)).state is State.NEEDS_ATTENTION
        case "everything":
            assert left == {"invoices": ["i1"]}
            assert (await world.document(world.request)).state is State.DONE
        case "taken_up" | "replayed":
            assert left == {}
            assert {each.state for each in await world.documents()} == {State.DONE}
        case "rejected":
            assert (await world.document(world.request)).state is State.REJECTED
        case "restricted":
            assert (await world.document(world.request)).state is State.DONE
            assert [hold.target for hold in await world.gate.holds.read()] == ["anna"]
        case "nonsense":
            assert [each["type"] for each in events] == ["retention.message.parked"] * 2
    if scene not in ("nobody", "nonsense", "rejected", "restricted"):
        names = [each.name async for each in world.own["register"].list()]
        assert len([name for name in names if world.request in name]) == 1


@pytest.mark.parametrize(("scene", "broken"), CASES, ids=str)
async def test_after_a_failed_write_redelivery_ends_the_request_once(scene: str, broken: Broken):
    world = await SCENES[scene].broken_world(broken)
    await ended(world, scene)


@pytest.mark.parametrize(
    ("scene", "broken"), [(s, b) for s, b in CASES if s in ("alone", "nobody") and b.how != "repeated"], ids=str
)
async def test_without_redelivery_of_its_work_the_watch_ends_the_request_once(scene: str, broken: Broken):
    """The message is dead-lettered at its first failure; one that intake did not take in is sent again by hand."""
    world = await SCENES[scene].build()
    SCENES[scene].arm(world, broken)
    await world.deliver("requests")
    taken_in = bool(await world.documents())
    if taken_in:
        world.queues["requests"].messages.clear()
    await world.deliver("requests", "work")
    world.queues["work"].messages.clear()
    await ended(world, scene)
