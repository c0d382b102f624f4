"""Scope keys: made once, the same for all who ask, apart for all scopes, and gone when they are destroyed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import TransientError
from shared.keys import ScopeKeys, is_scope_key, name_of, name_of_category
from shared.model import Locator, Scope, ScopeKind
from shared.stores.interface import Stored
from shared.stores.memory import Fault, MemoryObjects

SCOPES = st.builds(Scope, kind=st.sampled_from(ScopeKind), id=st.text(min_size=1))


class SlowObjects(MemoryObjects):
    """Lets others run between a read and the write that follows it."""

    async def read(self, name: str) -> Stored | None:
        held = await super().read(name)
        await asyncio.sleep(0)
        return held


@given(SCOPES, SCOPES)
def test_two_scopes_have_two_keys_and_none_has_a_categorys(one: Scope, other: Scope) -> None:
    assert (name_of(one) == name_of(other)) == (one == other)
    assert name_of(one).count("/") == 1
    assert name_of(one) != name_of_category("category", 2026)


def test_a_categorys_keys_are_apart_by_year() -> None:
    assert name_of_category("web-access-log", 2026) == "category/web-access-log/2026"


async def test_every_key_says_the_year_by_which_it_goes() -> None:
    objects = MemoryObjects(clock=datetime(2028, 5, 1, tzinfo=UTC))
    await ScopeKeys(objects=objects).get([name_of_category("cart-guest", 2026), "person/2026"])
    said = {entry.name: entry.metadata async for entry in objects.list()}
    assert said == {"category/cart-guest/2026": {"year": "2026"}, "person/2026": {"year": "2028"}}


def test_only_the_key_of_a_scope_is_told_apart_from_other_records() -> None:
    def where(container: str, key: str, store: str = "own") -> Locator:
        return Locator(store=store, account="", container=container, key=key)

    assert is_scope_key(where("scope-keys", name_of(Scope(kind=ScopeKind.HOME, id="h1"))))
    assert not is_scope_key(where("scope-keys", name_of_category("cart-guest", 2026)))
    assert not is_scope_key(where("requests", "person/1"))
    assert not is_scope_key(where("scope-keys", "person/1", "blob"))


async def test_a_key_is_32_random_bytes_made_at_first_use_and_kept() -> None:
    keys = ScopeKeys(objects=MemoryObjects())
    first = await keys.get(["person/kari", "home/h1", "person/kari"])
    assert set(first) == {"person/kari", "home/h1"}
    assert {len(key) for key in first.values()} == {32}
    assert first["person/kari"] != first["home/h1"]
    assert await keys.get(["home/h1"]) == {"home/h1": first["home/h1"]}
    assert await keys.get([]) == {}


async def test_all_who_ask_at_the_same_moment_get_the_same_key() -> None:
    objects = SlowObjects()
    asked = await asyncio.gather(*(ScopeKeys(objects=objects).get(["home/h1"]) for _ in range(5)))
    assert len({keys["home/h1"] for keys in asked}) == 1
    assert [entry.name async for entry in objects.list()] == ["home/h1"]


async def test_a_destroyed_key_is_gone_at_once_and_never_comes_back() -> None:
    objects = MemoryObjects()
    keys = ScopeKeys(objects=objects)
    first = await keys.get(["person/kari"])
    await objects.delete("person/kari")
    assert await keys.get(["person/kari"]) != first


@pytest.mark.parametrize("applied", [False, True])
async def test_a_key_whose_writing_had_no_answer_is_asked_for_again(applied: bool) -> None:
    objects = MemoryObjects()
    objects.arm(Fault(write="create", applied=applied))
    keys = ScopeKeys(objects=objects)
    with pytest.raises(TransientError):
        await keys.get(["person/kari"])
    first = await keys.get(["person/kari"])
    assert await keys.get(["person/kari"]) == first


async def test_a_key_destroyed_while_it_is_read_is_asked_for_again() -> None:
    class Destroying(SlowObjects):
        async def create(self, name: str, data: bytes, **options: object) -> str:
            await super().create(name, b"a rival's key")
            try:
                return await super().create(name, data)
            finally:
                await self.delete(name)

    with pytest.raises(TransientError, match="destroyed"):
        await ScopeKeys(objects=Destroying()).get(["person/kari"])
