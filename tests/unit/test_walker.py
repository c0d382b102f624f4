"""The walker lists what may have expired and leaves the rest out: the number of calls does not grow with what stays."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from azure.core.exceptions import ServiceRequestError

from shared.layout import Layout
from shared.stores.blob_list import Listed, ListedPage
from shared.stores.walker import OUTSIDE, Walk

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CUTOFF = NOW - timedelta(days=7)
DATE_FIRST = "{captured:%Y-%m-%d}/{captured:%H}/{home_id}/{name}"
SUBJECT_FIRST = "{home_id}/{captured:%Y}/{captured:%m}/{captured:%d}/{name}"
NO_DATE = "{home_id}/{name}"


def _blob(name: str) -> Listed:
    return Listed(name, "0x1", NOW, NOW, 1, {}, None, False, None, False, None)


@dataclass
class FakeContainer:
    """Names in order, and what was listed; `page` names come in one answer."""

    names: list[str]
    page: int = 5000
    calls: list[str] = field(default_factory=list)
    broken: str | None = None

    def call(self, prefix: str) -> None:
        self.calls.append(prefix)
        if prefix == self.broken:
            raise ServiceRequestError("no answer")

    async def __call__(self, prefix: str, marker: str | None = None, *, delimiter: str = "") -> ListedPage:
        self.call(prefix)
        found: dict[str, bool] = {}
        for name in self.names:
            head, cut, _ = name[len(prefix) :].partition(delimiter or "\0")
            if name.startswith(prefix) and name > (marker or ""):
                found[prefix + head + cut] = bool(cut)
        listed = list(found)[: self.page]
        blobs, prefixes = ([n for n in listed if found[n] is folder] for folder in (False, True))
        following = listed[-1] + ("\U0010ffff" if found[listed[-1]] else "") if len(found) > len(listed) else None
        return ListedPage([_blob(name) for name in blobs], prefixes, following)


def container(names: Iterable[str], **options: object) -> FakeContainer:
    return FakeContainer(sorted(names), **options)


def names(layout: str, days: Iterable[float], homes: int = 3, each: int = 2) -> list[str]:
    times = [NOW - timedelta(days=day) for day in days]
    return [
        layout.format(captured=at, home_id=f"h{home}", name=f"{number}.jpg")
        for at in times
        for home in range(homes)
        for number in range(each)
    ]


def walk(fake: FakeContainer, layout: str, **options: object) -> Walk:
    dated = {"time": "captured", "cutoff": CUTOFF} if "captured" in layout else {}
    return Walk(listing=fake, layout=Layout.parse(layout), now=NOW, **{**dated, **options})


async def listed(made: Walk, after: str = "") -> list[str]:
    leaves, _ = await made.leaves()
    return [blob.name async for page in made.pages(leaves, after=after) for blob in page]


@pytest.mark.parametrize("layout", [DATE_FIRST, SUBJECT_FIRST])
async def test_everything_expired_is_listed_and_what_stays_is_not(layout: str) -> None:
    old, fresh = names(layout, (8, 9, 30, 400)), names(layout, (0, 1, 5, 6))
    assert await listed(walk(container(old + fresh), layout)) == sorted(old)


@pytest.mark.parametrize(("layout", "most"), [(DATE_FIRST, 1), (SUBJECT_FIRST, 1 + 3 + 3 * 2)])
async def test_calls_do_not_grow_with_what_has_not_expired(layout: str, most: int) -> None:
    days = [day / 8 for day in range(8 * 6)]
    few = container(names(layout, days[:8]))
    many = container(names(layout, days, each=40))
    for fake in (few, many):
        assert await listed(walk(fake, layout)) == []
        assert len(fake.calls) <= most


async def test_a_day_wholly_expired_is_listed_flat_in_one_call_and_the_days_before_the_cutoff_too() -> None:
    fake = container(names(DATE_FIRST, [8 + hour / 24 for hour in range(24)] + [1, 2, 3]))
    await listed(walk(fake, DATE_FIRST))
    assert sorted(fake.calls) == ["", "2026-02-20/", "2026-02-21/"]


async def test_only_the_day_of_the_cutoff_is_entered_by_its_hours() -> None:
    hours = [f"2026-02-22/{hour:02}/h1/a" for hour in range(24)]
    fake = container([*hours, "2026-02-23/00/h1/a"])
    assert await listed(walk(fake, DATE_FIRST)) == hours[:13]
    assert sorted(fake.calls) == ["", "2026-02-22/", *(f"2026-02-22/{hour:02}/" for hour in range(13))]


async def test_subjects_first_costs_two_calls_for_each_subject_and_year_and_what_expired() -> None:
    fake = container(names(SUBJECT_FIRST, [8, 1], homes=4))
    assert len(await listed(walk(fake, SUBJECT_FIRST))) == 8
    assert sorted(fake.calls) == sorted(
        ["", *(f"h{n}/{rest}" for n in range(4) for rest in ("", "2026/", "2026/02/", "2026/02/21/"))]
    )


async def test_a_prefix_dated_in_the_future_is_entered() -> None:
    future = names(DATE_FIRST, [-1, -400])
    assert await listed(walk(container(future), DATE_FIRST)) == sorted(future)


async def test_without_a_date_everything_is_listed_in_one_call() -> None:
    all_names = names(NO_DATE, [0], homes=5)
    fake = container(all_names)
    assert await listed(walk(fake, NO_DATE)) == sorted(all_names)
    assert fake.calls == [""]


async def test_a_known_value_at_the_front_is_gone_to_directly() -> None:
    mine = names(SUBJECT_FIRST, [1, 8, 400], homes=1)
    fake = container(mine + [name.replace("h0", "h9") for name in mine])
    found = await listed(walk(fake, SUBJECT_FIRST, time=None, cutoff=None, known={"home_id": "h0"}))
    assert found == sorted(mine)
    assert fake.calls == ["h0/"]


async def test_a_known_value_behind_a_date_is_looked_for_under_each_date_and_nothing_else_is_listed() -> None:
    everyone = names(DATE_FIRST, [1, 2], homes=50)
    fake = container(everyone)
    found = await listed(walk(fake, DATE_FIRST, time=None, cutoff=None, known={"home_id": "h7"}))
    assert found == sorted(name for name in everyone if "/h7/" in name)
    assert len(fake.calls) == 1 + 2 + 2


async def test_what_is_outside_the_layout_is_counted_where_it_is_met() -> None:
    due = names(DATE_FIRST, [8])
    fake = container([*due, "stray.jpg", "lost+found/a", "2026-02-30/07/h1/a", "2026-02-22/25/h1/a", "2026-02-22/x"])
    leaves, strange = await walk(fake, DATE_FIRST).leaves()
    assert leaves == ["2026-02-21/"]
    assert strange == {OUTSIDE: 5}


async def test_leaves_come_in_the_order_of_names_and_their_pages_too() -> None:
    all_names = names(DATE_FIRST, [7.1, 7.3, 8, 30, 400, -3], each=5)
    made = walk(container(all_names, page=2), DATE_FIRST, ahead=2)
    leaves, _ = await made.leaves()
    assert leaves == sorted(leaves)
    assert await listed(made) == sorted(all_names)


async def test_a_listing_goes_on_after_any_name() -> None:
    all_names = sorted(names(SUBJECT_FIRST, [8, 9, 400], each=3))
    for number, name in enumerate(all_names):
        made = walk(container(all_names, page=2), SUBJECT_FIRST)
        assert await listed(made, after=name) == all_names[number + 1 :]


async def test_prefixes_before_the_cursor_are_not_listed_again() -> None:
    fake = container(names(DATE_FIRST, [8, 9, 10], homes=1, each=1))
    made = walk(fake, DATE_FIRST)
    leaves, _ = await made.leaves()
    fake.calls.clear()
    assert len([page async for page in made.pages(leaves, after="2026-02-20/12/h0/0.jpg")]) == 2
    assert fake.calls == ["2026-02-20/", "2026-02-21/"]


async def test_a_listing_that_is_not_read_to_its_end_leaves_nothing_running() -> None:
    fake = container(names(DATE_FIRST, range(8, 40)))
    made = walk(fake, DATE_FIRST, ahead=4)
    leaves, _ = await made.leaves()
    pages = made.pages(leaves)
    await anext(pages)
    await pages.aclose()
    assert len(fake.calls) <= 1 + 5


async def test_a_listing_that_fails_is_raised_where_it_is_met() -> None:
    made = walk(container(names(DATE_FIRST, [8, 9, 10]), broken="2026-02-20/"), DATE_FIRST)
    leaves, _ = await made.leaves()
    pages = made.pages(leaves)
    assert {blob.name[:10] for blob in await anext(pages)} == {"2026-02-19"}
    with pytest.raises(ServiceRequestError):
        await anext(pages)
    with pytest.raises(ServiceRequestError):
        await walk(container(["a"], broken=""), DATE_FIRST).leaves()


class Kept(list):
    """A page's blobs, of which a test can see whether anybody keeps them."""


async def test_pages_are_kept_no_longer_than_they_are_worked_on() -> None:
    fake = container(names(DATE_FIRST, [*range(8, 40)], homes=2, each=3), page=2)
    alive: list[weakref.ref[Kept]] = []

    async def listing(prefix: str, marker: str | None = None, *, delimiter: str = "") -> ListedPage:
        found = await fake(prefix, marker, delimiter=delimiter)
        blobs = Kept(found.blobs)
        alive.append(weakref.ref(blobs))
        return found._replace(blobs=blobs)

    walked = Walk(listing=listing, layout=Layout.parse(DATE_FIRST), now=NOW, time="captured", cutoff=CUTOFF, ahead=3)
    leaves, _ = await walked.leaves()
    alive.clear()
    most = 0
    async for _ in walked.pages(leaves):
        await asyncio.sleep(0)
        gc.collect()
        most = max(most, sum(each() is not None for each in alive))
    assert len(alive) > 50
    assert most <= 3 + 2, "three fetched ahead, the one at hand and the next one"


async def test_the_next_page_of_a_prefix_is_on_its_way_while_one_is_worked_on() -> None:
    fake = container(names(DATE_FIRST, [8], homes=1, each=5), page=2)
    walked = walk(fake, DATE_FIRST)
    leaves, _ = await walked.leaves()
    fake.calls.clear()
    pages = walked.pages(leaves)
    await anext(pages)
    await asyncio.sleep(0)
    assert fake.calls == leaves * 2
    await pages.aclose()
