"""A receipt against the log: what `retention audit receipt` proves, and what it refuses to call proven."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from world import World

from shared import audit
from shared.ledger.prove import misfits, prove, told
from shared.ledger.reader import Live, download
from shared.model import Scope, ScopeKind
from shared.receipt import Receipt

YEAR = "2026"


async def closed() -> tuple[World, Receipt]:
    """A world in which anna was erased, her request is closed, and her receipt is there."""
    world = World(sweeping=False)
    world.neighbourhood()
    request = await world.ask(user_id="anna")
    await world.rest()
    world.later(days=31)
    await world.closer.close_due()
    await world.rest()
    stored = await world.own["receipts"].read(f"{request}.json")
    return world, Receipt.model_validate_json(stored.data)


def changed(receipt: Receipt, **fields: Any) -> Receipt:
    return receipt.model_copy(update=fields)


def with_event(receipt: Receipt, at: int, **fields: Any) -> Receipt:
    events = list(receipt.events)
    events[at] = events[at].model_copy(update=fields)
    return changed(receipt, events=tuple(events))


async def wrong(world: World, receipt: Receipt, *, keys: Any = None) -> list[str]:
    verifiers = keys or world.signer(YEAR).verifiers
    found = await prove(receipt, Live(ledger=world.ledger, year=YEAR), *verifiers)
    return [*misfits(receipt), *found.wrong]


async def test_each_event_of_a_receipt_is_proven_and_tells_what_became_of_the_records() -> None:
    world, receipt = await closed()
    proof = await prove(receipt, Live(ledger=world.ledger, year=YEAR), *world.signer(YEAR).verifiers)
    assert (proof.proven, proof.wrong, misfits(receipt)) == (receipt.events, (), [])
    assert told(proof.proven) == receipt.outcomes


async def test_an_event_that_was_changed_moved_or_made_up_is_not_proven() -> None:
    world, receipt = await closed()
    one = receipt.events[2]
    other = with_event(receipt, 2, event={**one.event, "time": "2026-03-01T00:00:00Z"})
    assert [each.partition(": ")[0] for each in await wrong(world, other)] == [f"entry {one.index} of {YEAR}"]
    assert any("not proven" in each for each in await wrong(world, with_event(receipt, 2, index=one.index + 1)))
    assert any("sealed up to" in each for each in await wrong(world, with_event(receipt, 2, index=10_000)))
    assert any("sealed up to" in each for each in await wrong(world, with_event(receipt, 2, index=-1)))
    assert any("twice" in each for each in await wrong(world, changed(receipt, events=(*receipt.events, one))))


async def test_somebody_else_s_events_are_told_from_the_person_s() -> None:
    world, receipt = await closed()
    [subject] = receipt.subjects
    key = secrets.token_bytes(32)
    name = audit.subject_pseudonym(key, Scope(kind=ScopeKind.PERSON, id="bob"))
    bob = subject.model_copy(update={"id": "bob", "key": key.hex(), "pseudonym": name})
    assert any("does not name the person" in each for each in await wrong(world, changed(receipt, subjects=(bob,))))
    for fields in ({"id": "bob"}, {"key": key.hex()}, {"key": "no hex"}, {"id": ""}):
        liar = changed(receipt, subjects=(subject.model_copy(update=fields),))
        assert "subject 0: the key does not make its name" in await wrong(world, liar)
    assert any("another request" in each for each in await wrong(world, changed(receipt, request="7b0ecf63")))


async def test_nothing_is_proven_by_a_checkpoint_that_another_key_signed() -> None:
    world, receipt = await closed()
    await world.own["state"].replace(
        f"{YEAR}/checkpoint", b"no note", etag=(await world.own["state"].read(f"{YEAR}/checkpoint")).etag
    )
    assert [each.partition(":")[0] for each in await wrong(world, receipt)] == ["checkpoint"]


async def test_a_receipt_without_the_person_s_events_proves_nothing_of_them() -> None:
    world, receipt = await closed()
    nameless = tuple(each for each in receipt.events if "subject" not in each.event)
    assert nameless
    bob = receipt.subjects[0].model_copy(update={"id": "bob", "key": "00" * 32})
    key = bytes.fromhex(bob.key)
    bob = bob.model_copy(update={"pseudonym": audit.subject_pseudonym(key, Scope(kind=ScopeKind.PERSON, id="bob"))})
    assert "subject 0: no event names it" in await wrong(world, changed(receipt, events=nameless, subjects=(bob,)))
    assert "subject 1: no event names it" in await wrong(world, changed(receipt, subjects=(*receipt.subjects, bob)))
    assert any("it has no key" in each for each in await wrong(world, changed(receipt, subjects=())))


async def test_what_a_receipt_leaves_out_or_counts_otherwise_is_found() -> None:
    world, receipt = await closed()
    ends = [each.event["type"].removeprefix("retention.") for each in receipt.events]
    for left_out, says in (
        ("record.erased", "fewer events say erased"),
        ("request.completed", "how the request ended"),
    ):
        events = list(receipt.events)
        del events[ends.index(left_out)]
        assert any(says in each for each in await wrong(world, changed(receipt, events=tuple(events))))
    lying = changed(receipt, outcomes={"homes": {"erased": 999}})
    assert "the request's last count of outcomes is another one" in await wrong(world, lying)
    assert any("ended otherwise" in each for each in await wrong(world, changed(receipt, state="rejected")))


@pytest.mark.parametrize(
    "event", [{"data": "x"}, {"data": None}, {"data": [1]}, {"data": {}, "subject": [1]}, {}, {"data": {}, "id": 1e400}]
)
async def test_what_is_no_event_is_called_so(event: dict[str, Any]) -> None:
    world, receipt = await closed()
    assert any(": is no event" in each for each in await wrong(world, with_event(receipt, 1, event=event)))


async def test_an_event_that_the_log_has_twice_counts_once_and_of_a_record_its_last_outcome() -> None:
    _, receipt = await closed()
    at = next(n for n, each in enumerate(receipt.events) if each.event["type"] == "retention.record.erased")
    erased = receipt.events[at]
    data = {**erased.event["data"], "outcome": {"name": "held", "hold": "h"}}
    held = erased.model_copy(update={"event": {**erased.event, "id": "f" * 32 + "/0", "data": data}})
    assert told((held, *receipt.events, erased)) == told(receipt.events) == receipt.outcomes


# ---------------------------------------------------------------- the command


@pytest.fixture
def held(tmp_path: Path) -> tuple[Receipt, str]:
    """A receipt in receipt.json, a copy of its log in log/; returned with the log's key."""

    async def write() -> tuple[Receipt, str]:
        world, receipt = await closed()
        await download(Live(ledger=world.ledger, year=YEAR), tmp_path / "log", verifiers=world.signer(YEAR).verifiers)
        (tmp_path / "receipt.json").write_text(receipt.model_dump_json())
        return receipt, world.signer(YEAR).verifier.vkey

    return asyncio.run(write())


def test_the_command_proves_a_receipt_from_two_files_alone(held: tuple[Receipt, str], retention: Any) -> None:
    receipt, vkey = held
    code, out, err = retention("audit", "receipt", "receipt.json", "log", "--key", vkey)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("proven")
    assert "anna" not in out
    code, out, _ = retention("audit", "receipt", "receipt.json", "log", "--key", vkey, "--json")
    found = json.loads(out)
    assert (code, found["wrong"], found["proven"]) == (0, [], found["events"])
    assert found["outcomes"] == receipt.outcomes


def test_the_command_ends_with_1_where_an_event_is_not_proven_or_was_not_looked_for(
    held: tuple[Receipt, str], retention: Any
) -> None:
    receipt, vkey = held
    lying = with_event(receipt, 0, index=receipt.events[0].index + 1)
    Path("lying.json").write_text(lying.model_dump_json())
    code, out, _ = retention("audit", "receipt", "lying.json", "log", "--key", vkey)
    assert (code, out.splitlines()[-1]) == (1, "NOT PROVEN")
    Path("later.json").write_text(with_event(receipt, 0, log="2027").model_dump_json())
    code, out, _ = retention("audit", "receipt", "later.json", "log", "--key", vkey)
    assert code == 1
    assert f"{receipt.origin}/2027: has entries of it too, and was not read" in out
    assert retention("audit", "receipt", "receipt.json", "log", "log", "--key", vkey)[0] == 0
    Path("empty.json").write_text(changed(receipt, events=()).model_dump_json())
    assert retention("audit", "receipt", "empty.json", "log", "--key", vkey)[0] == 1


def test_what_a_stranger_wrote_makes_no_line_of_its_own(held: tuple[Receipt, str], retention: Any) -> None:
    receipt, vkey = held
    Path("lines.json").write_text(changed(receipt, request="x\nproven: each event").model_dump_json())
    code, out, _ = retention("audit", "receipt", "lines.json", "log", "--key", vkey)
    assert code == 1
    assert not [line for line in out.splitlines() if line.startswith("proven")]


def test_an_error_names_no_field_that_a_stranger_named(held: tuple[Receipt, str], retention: Any) -> None:
    strange = json.loads(held[0].model_dump_json()) | {"anna@example.test": 1, "retained": {"anna@example.test": "x"}}
    Path("strange.json").write_text(json.dumps(strange))
    code, _, err = retention("audit", "receipt", "strange.json", "log", "--key", held[1])
    assert code == 2
    assert "anna" not in err
    assert "wrong or missing: retained; a field that no receipt has" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("{", "is no receipt"),
        ('{"v": 1, "request": 7}', "wrong or missing: backups_gone_at; events; "),
    ],
)
def test_a_file_that_is_no_receipt_is_refused_without_its_content(
    held: tuple[Receipt, str], retention: Any, text: str | None, says: str
) -> None:
    if text is not None:
        Path("bad.json").write_text(text)
    code, out, err = retention("audit", "receipt", "bad.json", "log", "--key", held[1])
    assert (code, out) == (2, "")
    assert says in err
