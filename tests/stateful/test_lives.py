"""Lives at random end as a simple model says, whatever goes wrong in them; a failure is told with its steps.

RETENTION_LIVES=N lives N of them (default 32); RETENTION_LIFE=SEED only that one, and leaves out of it what it can.
"""

import asyncio
import json
import os
import random
import secrets
from collections.abc import Callable
from datetime import timedelta

import pytest
from household import PEOPLE, SLACK, Fact
from life import Life, shortest
from promises import assert_whole
from truth import covers
from world import World

from shared.keys import name_of
from shared.model import Scope, ScopeKind
from shared.requests.documents import RequestDocument, State

STEPS = 150
LIVES = int(os.environ.get("RETENTION_LIVES", "32"))
SEEDS = [int(os.environ["RETENTION_LIFE"])] if "RETENTION_LIFE" in os.environ else range(LIVES)
ENDED = (State.DONE, State.CLOSED)
MAY_WAIT = ("the home has users", "another user has the same", "no such", "the e-mail address matches")


async def assert_as_the_model_says(life: Life) -> None:
    """What must be gone is gone, and what must be there is there, as of now."""
    world, truth = life.world, life.truth
    await assert_whole(world, accounted=truth.assert_accounted)
    facts = truth.household.facts
    for fact in facts.values():
        item = world.records._tables[tuple(json.loads(fact.id)[:3])].get((fact.partition, fact.key))
        assert item is not None, f"gone behind everybody's back: {fact}"
    overdue = [f for f in facts.values() if _overdue(f, life)]
    assert not overdue, f"overdue: {overdue}"
    for document in await world.documents():
        left = [f for f in facts.values() if _asked_for(f, document, life) and not _stays(f, life)]
        assert document.state not in ENDED or not left, f"left of request {document.id}: {left}"


def _overdue(fact: Fact, life: Life) -> bool:
    if fact.due is None or fact.due >= life.world.now - SLACK or life.truth.is_held(fact):
        return False
    return fact.category != "users" or not _waits_for_somebody(life, fact)


def _waits_for_somebody(life: Life, fact: Fact) -> bool:
    """Whether the user's own erasure waits for a person, because something else of theirs had to stay."""
    return any(
        json.loads(stored.data)["state"] == "needs_attention"
        and json.loads(stored.data)["scope"] in (None, ["person", fact.key])
        for stored in life.world.own["requests"]._objects.values()
    )


def _asked_for(fact: Fact, document: RequestDocument, life: Life) -> bool:
    """Whether a request took, or must have taken, this record."""
    asked = life.truth.asked.get(document.id)
    if asked is None or fact.late or fact.put_at >= (document.finished_at or life.world.now):
        return False
    for subject in asked.subjects if len(asked.subjects) == 1 else ():  # of several, nobody here knows which was taken
        address = subject.get("email", "").lower()
        owners = [who for who, email in PEOPLE.items() if email.lower() == address]
        people = {subject.get("user_id"), *(owners if len(owners) == 1 else ())} & set(PEOPLE)
        if fact.persons & people or (fact.address == address and not owners):
            return True
        if fact.home and fact.home == subject.get("home_id"):
            return True
        if fact.session and fact.session == subject.get("session_id"):
            return True
    return False


def _stays(fact: Fact, life: Life) -> bool:
    law = fact.category == "invoices" and fact.due is not None and fact.due > life.world.now
    return law or any(covers(hold, fact) for hold in life.truth.holds())


async def the_end(life: Life) -> None:
    """Everything that waited is settled; then the backups go, requests close, and keys are destroyed."""
    world = life.world
    await life.calms_down()
    await life._close()
    await assert_as_the_model_says(life)
    for _ in range(4):  # a restriction that is taken up again is another hold
        for hold in sorted(each["id"] for each in life.truth.holds()):
            await life._send("release", by="ops", hold=hold, reason="the end")
        await life.calms_down()
        for document in await life._waiting():
            await life._send("retry", by="ops", request=document.id)
        await life.calms_down()
    await life._close()
    await assert_as_the_model_says(life)
    waiting = [d.reason for d in await life._waiting() if not d.reason.startswith(MAY_WAIT)]
    assert not waiting, f"these wait for nothing: {waiting}"
    again = [f for f in life.restored if f in life.household.facts.values()]
    assert not again, f"a restore brought back, and nothing took again: {again}"
    world.later(days=31)
    await life.calms_down()
    await life._close()
    documents = await world.documents()
    late = [d for d in documents if d.state is State.DONE and d.in_backups_until <= world.now - timedelta(hours=2)]
    assert not late, "a request did not close"
    await life.calms_down()
    await life._close()
    await assert_as_the_model_says(life)
    await assert_nothing_leads_to_the_closed(life, documents)


async def assert_nothing_leads_to_the_closed(life: Life, documents: list[RequestDocument]) -> None:
    """No key, no entry in the register of anybody whose request is closed, and who has nothing left."""
    keys = life.world.own["keys"]._objects
    before = life.world.now - timedelta(hours=2)
    closed = {d.id: d.closed_at for d in documents if d.state is State.CLOSED and d.closed_at < before}
    register = {e.request async for e in life.world.register.entries()}
    assert not register & set(closed), "the register still knows a closed request"
    in_use = {scope for d in await life.world.documents() for scope in d.scopes()}
    for request in set(closed) & set(life.truth.asked):
        for who in {s.get("user_id") for s in life.truth.asked[request].subjects} & set(PEOPLE):
            scope = Scope(kind=ScopeKind.PERSON, id=who)
            left = [f for f in life.truth.household.facts.values() if who in f.persons]
            since = (
                life.truth.last_gone.get(who, closed[request]) > closed[request]
            )  # a sweep's: it has a key of its own
            held = [h for h in life.truth.ever_held() if h["target"] == who]  # what is said of a hold has a key as well
            if not (left or since or held or scope in in_use | life.truth.given_up):
                assert name_of(scope) not in keys, f"the key of a closed person is there: request {request}"


def lived(seed: int, steps: list[int], world: Callable[..., World] = World) -> Life:
    """One whole life. What the product draws at random is drawn from the seed too."""
    drawn = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_hex", lambda n=32: drawn.randbytes(n).hex())
        patch.setattr(secrets, "token_bytes", lambda n=32: drawn.randbytes(n))
        life = Life(seed, world)

        async def whole() -> None:
            await life.live(steps)
            await the_end(life)

        asyncio.run(whole())
    return life


@pytest.mark.parametrize("seed", SEEDS)
def test_a_life_at_random_ends_as_the_model_says(seed: int):
    steps = [*range(STEPS)]
    try:
        lived(seed, steps)
    except AssertionError as error:
        if "RETENTION_LIFE" in os.environ:  # that takes minutes
            steps = shortest(lambda fewer: _fails(seed, fewer), steps)
        told = [f"{number} {Life(seed).way(number).__name__}" for number in steps]
        raise AssertionError(f"seed {seed}, steps {told}: {error}") from error


def _fails(seed: int, steps: list[int]) -> bool:
    try:
        lived(seed, steps)
    except AssertionError:
        return True
    return False
