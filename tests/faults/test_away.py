"""A store or the broker is away for a while: the runner lives on, everything resumes alone, and nothing is lost.

Away is a connection that breaks and is refused, or one that is accepted and says nothing. RETENTION_FAULTS=long takes
each service away by itself for a minute, and then forgets the connections that were silent.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from effort import LONG, effort
from running import send
from wired_stage import Stage, finished, ids, kinds, left, logged, put, stage

from local.prepare import prepare
from shared import messages
from shared.model import utc_text
from shared.requests.documents import State
from shared.wiring import Product

AWAY = effort(3, 60)
PATIENCE = 600  # what a broker handed to a connection that is gone comes back after four minutes of silence
SERVICES = ("blob", "cosmos", "bus")
CASES = [
    *(((each,), how) for each in SERVICES for how in ("cut", "forgotten") if LONG),
    *((SERVICES, how) for how in ("cut", "silence")),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("away")) as made:
        asyncio.run(prepare(made.config))
        made.runner.start()
        made.runner.wait_ready()
        made.tick()
        yield made


async def until(true: Callable[[], Awaitable[bool]], stage: Stage) -> None:
    end = time.monotonic() + PATIENCE
    while not await true():
        assert time.monotonic() < end, stage.runner.log_tail()
        await asyncio.sleep(0.3)


async def seed(product: Product, who: str) -> tuple[str, str]:
    """Somebody with a home, pictures and rows, some of them due; returns the names of a picture that is due, and not."""
    now = datetime.now(UTC).replace(microsecond=0)
    pictures = product.blobs("BLOB_DATA").get_container_client("camera-snapshots")
    names = []
    for days in (8, 1):
        at = now - timedelta(days=days)
        names.append(f"{at:%Y-%m-%d}/{at:%H}/{who}-neighbour/hall/{at:%H%M%S}-1.jpg")
        await pictures.upload_blob(names[-1], b"picture", overwrite=True)
    await put(
        product, "users", {"id": who, "userId": who, "email": f"{who}@example.test", "lastActiveAt": utc_text(now)}
    )
    await put(product, "homes", {"id": f"{who}-home", "homeId": f"{who}-home", "members": [who]})
    await put(
        product,
        "operation-log",
        *(
            {"id": f"{who}-{days}", "homeId": f"{who}-home", "userId": who, "at": utc_text(now - timedelta(days=days))}
            for days in (2, 45, 46)
        ),
    )
    return names[0], names[1]


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("services", "how"), CASES, ids=["-".join((*s, how)) for s, how in CASES])
async def test_what_was_away_is_back_and_everything_resumes_alone(
    world: Stage, services: tuple[str, ...], how: str
) -> None:
    pid = world.runner.pid
    who = f"ingrid{uuid4().hex[:6]}"
    async with Product(world.config) as product:
        before = kinds(await logged(product))
        due, young = await seed(product, who)
        began, request = datetime.now(UTC), uuid4()
        erase = messages.erase(
            request=request,
            subject={"user_id": who},
            requested_by="the customer",
            identity_verified_by="the office",
            received_at=began,
        )
        sweep = messages.run(request=uuid4(), categories=("camera-snapshots", "operation-log"))
        send(world.stack.settings["ServiceBus"], erase, sweep)
        await asyncio.sleep(0.5)  # in the middle of it
        for service in services:
            getattr(world.wires[service], "cut" if how == "cut" else "silence")()
        await asyncio.sleep(AWAY)
        for service in services:
            world.wires[service].mend(forgotten=how == "forgotten")

        async def done() -> bool:
            held = await product.requests.load(str(request))
            waiting = [each async for each in product.own("journals").list()]
            return (
                held is not None
                and held.value.state is State.DONE
                and not waiting
                and await finished(product, "camera-snapshots", began)
                and await finished(product, "operation-log", began)
            )

        await until(done, world)
        names = await left(product, "BLOB_DATA", "camera-snapshots")
        assert young in names
        assert due not in names
        assert who not in await ids(product, "users")
        assert f"{who}-home" not in await ids(product, "homes")
        assert not [each for each in await ids(product, "operation-log") if each.startswith(who)]

        async def told() -> bool:
            new = kinds(await logged(product)) - before
            gone = ("retention.record.erased", "retention.record.already_gone")
            return (
                sum(new[kind, "operation-log"] for kind in gone) == 3
                and sum(new[kind, "camera-snapshots"] for kind in gone) == 1
                and sum(new[kind, "users"] for kind in gone) == 1
                and new["retention.request.completed", ""] == 1
            )

        await until(told, world)
    assert world.runner.pid == pid, "the runner lived on"
