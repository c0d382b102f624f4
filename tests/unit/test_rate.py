"""Requests per hour: so many different ones and no more, whoever counts at the same moment."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.errors import TransientError
from shared.requests.rate import ATTEMPTS, Rate
from shared.stores.memory import Fault, MemoryObjects

NOW = datetime(2026, 3, 1, 12, 59, tzinfo=UTC)


@pytest.fixture
def rate() -> Rate:
    return Rate(objects=MemoryObjects(clock=NOW), most=2)


async def test_so_many_requests_are_admitted_in_an_hour_and_no_more(rate: Rate) -> None:
    assert [await rate.admit(each, NOW) for each in ("a", "b", "c")] == [True, True, False]


async def test_a_request_that_is_admitted_stays_so_within_the_hour_and_counts_once(rate: Rate) -> None:
    assert [await rate.admit(each, NOW) for each in ("a", "a", "b", "c", "a", "b")] == [
        True,
        True,
        True,
        False,
        True,
        True,
    ]


async def test_the_next_hour_begins_anew_in_whatever_zone_it_is_told(rate: Rate) -> None:
    assert [await rate.admit(each, NOW) for each in ("a", "b", "c")] == [True, True, False]
    later = (NOW + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert await rate.admit("c", later)
    assert not await rate.admit("d", NOW)
    names = {entry.name: entry.metadata async for entry in rate.objects.list()}
    assert names == {
        "requests/rate/2026-03-01T12Z": {"ended_at": "2026-03-01T13:00:00Z"},
        "requests/rate/2026-03-01T13Z": {"ended_at": "2026-03-01T14:00:00Z"},
    }


class _Slow(MemoryObjects):
    """Lets others run between a read and what follows it."""

    async def read(self, name: str):
        found = await super().read(name)
        await asyncio.sleep(0)
        return found


async def test_of_many_at_the_same_moment_exactly_the_bound_is_admitted() -> None:
    rate = Rate(objects=_Slow(clock=NOW), most=7)
    admitted = await asyncio.gather(*(rate.admit(f"{number}", NOW) for number in range(15)))
    assert sum(admitted) == 7


@pytest.mark.parametrize("write", ["create", "replace"])
async def test_an_answer_that_is_lost_admits_the_same_request_once(rate: Rate, write: str) -> None:
    if write == "replace":
        assert await rate.admit("first", NOW)
    for applied in (False, True):
        rate.objects.arm(Fault(write=write, applied=applied))
        with pytest.raises(TransientError):
            await rate.admit("a", NOW)
    assert await rate.admit("a", NOW)
    assert await rate.admit("b", NOW) is (write == "create")
    assert not await rate.admit("c", NOW)


async def test_who_is_never_fast_enough_is_told_to_come_again() -> None:
    class Busy(MemoryObjects):
        async def read(self, name: str):
            found = await super().read(name)
            if found is not None:
                await self.replace(name, found.data, etag=found.etag)
            return found

    objects = Busy(clock=NOW)
    await objects.create("requests/rate/2026-03-01T12Z", b"{}")
    with pytest.raises(TransientError, match="changed too often"):
        await Rate(objects=objects, most=2).admit("a", NOW)
    assert len(objects.writes) == 1 + 2 * ATTEMPTS
