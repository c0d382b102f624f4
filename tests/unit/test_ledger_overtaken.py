"""An appender or a sealer that others overtake every time: it gives up for now, and says so."""

import pytest
from ledger_world import YEAR, World, assert_whole

from shared.errors import TransientError
from shared.ledger.log import append
from shared.ledger.seal import seal
from shared.stores.memory import Fault


def overtaken(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Somebody writes this object anew whenever it was read."""
    state = world.stores["state"]
    read = state.read

    async def written_anew(asked):
        stored = await read(asked)
        if asked == name:
            await state.replace(name, stored.data, etag=stored.etag)
        return stored

    monkeypatch.setattr(state, "read", written_anew)


async def test_an_appender_whose_head_changes_every_time_gives_up_for_now(monkeypatch: pytest.MonkeyPatch):
    world = World()
    await world.settle("x", 3)
    world.stores["journals"].arm(Fault(write="delete", applied=False))
    with pytest.raises(TransientError):
        await append(world.ledger, YEAR)
    overtaken(world, monkeypatch, f"{YEAR}/head")
    with pytest.raises(TransientError, match="changed every time"):
        await append(world.ledger, YEAR)
    monkeypatch.undo()
    await world.work()
    await assert_whole(world)


async def test_a_sealer_that_is_always_overtaken_does_not_say_that_there_was_nothing_to_sign(
    monkeypatch: pytest.MonkeyPatch,
):
    world = World()
    await world.settle("x", 3)
    await world.work()
    await world.settle("y", 1)
    await append(world.ledger, YEAR)
    overtaken(world, monkeypatch, f"{YEAR}/checkpoint")
    with pytest.raises(TransientError, match="faster every time"):
        await seal(world.ledger, YEAR, world.signer())
    monkeypatch.undo()
    await world.work()
    await assert_whole(world)


async def test_an_appender_that_others_beat_to_the_head_every_time_gives_up_for_now(monkeypatch: pytest.MonkeyPatch):
    world = World()
    await world.settle("x", 3)
    await world.work()
    await world.settle("y", 1)
    state = world.stores["state"]
    create = state.create

    async def beaten(name, data, **more):
        etag = await create(name, data, **more)
        head = await state.read(f"{YEAR}/head")
        await state.replace(head.name, head.data, etag=head.etag)
        return etag

    monkeypatch.setattr(state, "create", beaten)
    with pytest.raises(TransientError, match="faster every time"):
        await append(world.ledger, YEAR)
    monkeypatch.undo()
    staging, named = await world.staging()
    assert staging == named, "each time it took back what it had written"
    await world.work()
    await assert_whole(world)
