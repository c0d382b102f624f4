"""Each write of the gate fails: not done, done without an answer, or repeated by the vendor's client. The watch mends it.

The writes are counted in an undisturbed run, so that a write added to the code is tested without anybody adding it.
"""

from collections import Counter
from contextlib import suppress

import pytest
from disturbances import Broken, Scene
from promises import assert_whole
from world import World, found, home_of, outcomes, person

from shared.deletion import ATTEMPTS
from shared.errors import RetentionError, TransientError
from shared.model import RequestCause

CAUSE = RequestCause(request="7b0ecf63-3a62-4c7d-9d65-6f9e8f0f1c11", scope=person("anna"))
ALL = {"erased": 3, "left": 1, "already_gone": 1, "held": 1, "blocked": 1, "renewed": 1}


async def build() -> World:
    """Log rows (one held, one leased, one that was changed, one that is gone), a home to leave, a picture."""
    world = World(sweeping=False)
    rows = world.policy.category("operation-log")
    world.home("birkeveien", "anna", "bob", rows=3)
    world.todo = await found(world, "operation-log", home_of("birkeveien"))
    world.todo += await found(world, "homes", person("anna"))
    world.todo += await found(world, "camera-snapshots", home_of("birkeveien"))
    held, leased, changed, gone = (record.locator.key for record in world.todo[:4])
    await world.hold("hold-1", "record", world.todo[0].locator.text())
    world.records.block(rows, leased, partition="birkeveien")
    world.put("operation-log", {"id": changed, "homeId": "birkeveien", "at": "2026-02-28T00:00:00Z"})
    world.remove("operation-log", gone, "birkeveien")
    assert held != gone
    return world


async def work(world: World) -> None:
    with suppress(RetentionError):
        await world.gate.delete(world.todo, CAUSE)


SCENE = Scene(build=build, work=work)
CASES = SCENE.all_broken()


def test_the_gate_writes_what_its_docstring_says_and_the_keys_it_needs():
    made = [(each.where, each.kind, each.name) for each in CASES if each.how == "applied"]
    assert sorted(made) == [
        ("journals", "create", "…"),
        ("journals", "replace", "…"),
        ("keys", "create", "person/…"),
        ("ledger", "send", ""),
    ]


async def test_an_undisturbed_run_says_what_became_of_each_record():
    world = await build()
    await work(world)
    await world.rest()
    assert outcomes(await assert_whole(world)) == ALL


@pytest.mark.parametrize("broken", CASES, ids=str)
async def test_after_a_failed_write_every_record_that_is_gone_has_its_event(broken: Broken):
    world = await SCENE.broken_world(broken)
    await world.rest()
    said = outcomes(await assert_whole(world))
    if (broken.where, broken.how) == ("journals", "unapplied") and broken.kind == "create":
        assert not said
        assert not world.records.done
    else:
        assert said.total() == len(world.todo)
        assert (said["held"], said["blocked"], said["renewed"] + said["replaced"]) == (1, 1, 1)


@pytest.mark.parametrize("broken", [each for each in CASES if each.how == "repeated"], ids=str)
async def test_a_write_that_the_vendors_client_repeated_by_itself_is_no_failure(broken: Broken):
    world = await build()
    SCENE.arm(world, broken)
    assert len(await world.gate.delete(world.todo, CAUSE)) == len(world.todo)
    await world.rest()
    assert outcomes(await assert_whole(world)) == ALL


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
@pytest.mark.parametrize("nth", range(2, 8))  # the first is leased: see the unit tests
async def test_a_record_without_an_answer_is_asked_for_again(nth, applied):
    world = await build()
    world.records.fail(nth=nth, applied=applied)
    await world.gate.delete(world.todo, CAUSE)
    assert len(world.slept) == 1
    await world.rest()
    said = outcomes(await assert_whole(world))
    assert said.total() == len(world.todo)
    if not applied:
        changed = {"renewed": 0, "replaced": 1} if nth == 2 else {}  # it may have been deleted without an answer
        assert said == Counter(ALL | changed)


@pytest.mark.parametrize("applied", [False, True], ids=["unapplied", "applied"])
@pytest.mark.parametrize("nth", range(1, 8))
async def test_a_record_that_never_answers_leaves_its_journal_to_the_watch(nth, applied):
    world = await build()
    asked = len(world.todo) - 1  # the held one is not asked for
    world.records.fail(nth=nth, applied=applied)
    for more in range(1, ATTEMPTS):
        world.records.fail(nth=asked + more, applied=applied)
    with pytest.raises(TransientError, match="1 records had no final answer"):
        await world.gate.delete(world.todo, CAUSE)
    await world.append()
    assert not await world.events(), "nothing is concluded from silence"
    await world.rest()
    assert outcomes(await assert_whole(world)).total() == len(world.todo)
