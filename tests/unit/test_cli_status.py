"""What status gathers: the latest runs, waiting journals, requests, parked messages, logs, and what needs attention."""

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from ledger_world import START, YEAR, World

from cli import output, settings
from cli.request import _value
from cli.status import status as status_command
from shared.policy_file import load
from shared.requests.documents import Outgoing, ParkedMessage, RequestDocument, State, Unit
from shared.runs import Current, PlannedSlice, RunDocument, Runs, SliceProgress
from shared.status import SHOWN, Gathering, Parked, RequestStatus, Status, request_status
from shared.stores.memory import MemoryObjects

POLICY = load(Path(__file__).parents[2] / "policy.yaml")
AFTER = timedelta(minutes=10)
ID = "11111111-1111-4111-8111-111111111111"
WHO = "kari.nordmann"


class Office:
    """Everything that status reads, in memory."""

    def __init__(self) -> None:
        self.world = World()
        self.runs, self.requests, self.parking = (MemoryObjects(clock=START) for _ in range(3))

    async def gather(self) -> Status:
        gathering = Gathering(
            policy=POLICY,
            runs=Runs(objects=self.runs),
            journals=self.world.stores["journals"],
            requests=self.requests,
            parking=self.parking,
            ledger=self.world.ledger,
            after=AFTER,
        )
        return await gathering.gather()

    async def ask(self, request: str = ID) -> RequestStatus:
        return await request_status(request, requests=self.requests, parking=self.parking)

    async def put(self, state: State, *, request: str = ID, **more: Any) -> None:
        document = RequestDocument(
            id=request,
            type="erase",
            state=state,
            digest="0",
            received_at=START,
            accepted_at=START,
            due_at=START + timedelta(days=31),
            requested_by=f"{WHO} by letter",
            identity_verified_by=f"passport of {WHO}",
            subject={"email": f"{WHO}@example.test"},
            homes=(f"home-of-{WHO}",),
            **more,
        )
        metadata = {"state": document.state.value}
        await self.requests.create(f"{request}.json", document.model_dump_json().encode(), metadata=metadata)

    async def park(self, name: str = "a", *, request: str | None = ID) -> None:
        entry = ParkedMessage(
            queue="requests",
            message_id="1",
            parked_at=START,
            reason=f"reason {name}",
            request=request,
            body=WHO,
            event=Outgoing(intent="0", log=YEAR, event="{}"),
        )
        metadata = {"request": request} if request else {}
        await self.parking.create(f"requests/{name}.json", entry.model_dump_json().encode(), metadata=metadata)


@pytest.fixture
def office() -> Office:
    return Office()


# ---------------------------------------------------------------- one request


async def test_a_request_that_nobody_made_is_unknown(office: Office) -> None:
    found = await office.ask()
    assert (found.state, found.needs_a_person, found.settled) == ("unknown", False, False)


@pytest.mark.parametrize(
    ("state", "person", "settled"),
    [
        (State.ACCEPTED, False, False),
        (State.WORKING, False, False),
        (State.NEEDS_ATTENTION, True, True),
        (State.REJECTED, True, True),
        (State.DONE, False, True),
    ],
)
async def test_a_request_s_state_says_whether_to_wait_and_whether_a_person_must_look(
    office: Office, state: State, person: bool, settled: bool
) -> None:
    await office.put(state)
    found = await office.ask()
    assert (found.state, found.needs_a_person, found.settled) == (state.value, person, settled)


async def test_a_message_parked_under_the_id_is_found_beside_the_document_or_without_one(office: Office) -> None:
    await office.park("other", request=None)
    await office.park("mine")
    found = await office.ask()
    assert (found.state, [each.reason for each in found.parked]) == ("parked", ["reason mine"])
    await office.put(State.DONE)
    found = await office.ask()
    assert (found.state, found.needs_a_person) == ("done", True)


async def test_what_is_said_of_a_request_names_nobody(office: Office) -> None:
    work = (Unit(intent="0", category="users", outcomes={"erased": 1}), Unit(intent="1", category="homes"))
    await office.put(State.DONE, work=work, in_backups_until=START + timedelta(days=30))
    await office.park()
    value = _value(await office.ask())
    assert WHO not in json.dumps(value, default=str)
    assert value["outcomes"] == {"users": {"erased": 1}, "homes": {}}
    assert value["in_backups_until"] == START + timedelta(days=30)


# ---------------------------------------------------------------- everything


async def test_nothing_yet_needs_no_attention(office: Office) -> None:
    found = await office.gather()
    assert found.attention == []
    assert [each.category for each in found.categories] == [each.id for each in POLICY.enforced()]
    assert {each.run for each in found.categories} == {None}
    assert {each.category: each.follows for each in found.categories}["devices"] == ["homes"]
    assert "web-access-log" in found.planned


async def test_an_unfinished_run_is_counted_from_its_slices_and_a_finished_one_from_its_totals(office: Office) -> None:
    runs = Runs(objects=office.runs)
    parts = tuple(PlannedSlice(rule="r", now=START, bounds=str(n)) for n in range(3))
    await runs.add(RunDocument(run="r1", category="users", policy="p", started=START, slices=parts))
    await runs.set_current("users", Current(run="r1", started=START, slices=3, queued=START), None)
    done = SliceProgress(done=True, expired=2, outcomes={"erased": 2}, strange={"odd": 1})
    await runs.set_progress("users", "r1", 1, done, None)
    totals = SliceProgress(done=True, expired=9, forwarded=4, outcomes={"erased": 5})
    await runs.set_current("homes", Current(run="r2", started=START, slices=1, finished=START, totals=totals), None)
    found = {each.category: each for each in (await office.gather()).categories}
    users, homes = found["users"], found["homes"]
    assert (users.slices, users.open_slices, users.expired, users.finished) == (3, 2, 2, None)
    assert (users.outcomes, users.strange) == ({"erased": 2}, {"odd": 1})
    assert (homes.open_slices, homes.expired, homes.forwarded, homes.outcomes) == (0, 9, 4, {"erased": 5})


@pytest.mark.parametrize(("state", "word"), [("open", "does the watch run"), ("settled", "does role ledger run")])
async def test_a_journal_needs_attention_once_it_is_older_than_recovery_takes(
    office: Office, state: str, word: str
) -> None:
    journals = office.world.stores["journals"]
    await journals.create("a.json", b"{}", metadata={"state": state, "log": YEAR})
    journals.clock += AFTER - timedelta(seconds=1)
    await journals.create("b.json", b"{}", metadata={"state": state, "log": YEAR})
    found = await office.gather()
    waiting = {"open": found.open, "settled": found.settled}
    assert found.attention == []
    assert (waiting[state].count, waiting[state].since) == (2, START)
    journals.clock += timedelta(seconds=1)
    found = await office.gather()
    assert len(found.attention) == 1
    assert word in found.attention[0]


async def test_requests_are_counted_by_state_and_those_that_need_a_person_are_named_up_to_a_number(
    office: Office,
) -> None:
    await office.put(State.DONE)
    ids = [f"22222222-2222-4222-8222-{number:012d}" for number in range(SHOWN + 2)]
    for each in ids:
        await office.put(State.NEEDS_ATTENTION, request=each)
    found = await office.gather()
    assert found.requests == {"done": 1, "needs_attention": SHOWN + 2}
    assert len(found.attention) == SHOWN + 1
    assert all(each in text for each, text in zip(ids[:SHOWN], found.attention, strict=False))
    assert found.attention[-1] == "more requests that need a person: 2"


async def test_parked_messages_are_counted_and_the_latest_told_with_their_reasons(office: Office) -> None:
    for number in range(SHOWN + 1):
        office.parking.clock = START + timedelta(minutes=number)
        await office.park(f"{9 - number}", request=None)
    found = await office.gather()
    assert found.parked == SHOWN + 1
    assert [each.reason for each in found.latest_parked] == [f"reason {9 - n}" for n in range(1, SHOWN + 1)]
    assert found.attention[-1] == "more messages that are parked: 1"
    assert found.latest_parked[0] == Parked(queue="requests", at=START, reason="reason 8", request=None)


async def test_a_log_is_told_in_entries_committed_sealed_and_published(office: Office) -> None:
    await office.world.settle("one", 3)
    await office.world.work()
    await office.world.settle("two", 2, year="2027")
    (log,) = (await office.gather()).logs
    assert (log.year, log.size, log.sealed, log.published, log.wrong) == (YEAR, 3, 3, 3, "")


async def test_a_log_whose_head_cannot_be_read_needs_attention_and_hides_nothing_else(office: Office) -> None:
    await office.world.settle("one", 3)
    await office.world.work()
    await office.park()
    state = office.world.stores["state"]
    held = await state.read(f"{YEAR}/head")
    await state.replace(f"{YEAR}/head", b"{}", etag=held.etag)
    found = await office.gather()
    assert found.logs[0].wrong == "the head cannot be read: its form is not ours"
    assert [text.startswith(("a message", f"log {YEAR}: ")) for text in found.attention] == [True, True]


# ---------------------------------------------------------------- the screen


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Show a Status: (exit code, stdout)."""

    def show(found: Status, *, as_json: bool = False) -> tuple[int, str]:
        monkeypatch.setattr(settings, "with_product", lambda *_, **__: found)
        try:
            status_command(as_json=as_json)
        except typer.Exit as ended:
            return ended.exit_code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return show


async def test_the_screen_and_the_document_say_the_same_and_the_exit_code_is_for_monitoring(
    office: Office, shown: Callable[..., tuple[int, str]]
) -> None:
    code, screen = shown(await office.gather())
    assert code == output.Code.FINE
    assert screen.splitlines()[-1] == "fine: nothing needs attention"
    await office.park()
    await office.put(State.NEEDS_ATTENTION)
    await Runs(objects=office.runs).set_current(
        "users", Current(run="r", started=datetime.now(UTC), slices=4, queued=START), None
    )
    found = await office.gather()
    code, screen = shown(found)
    assert code == output.Code.ATTENTION
    assert next(line for line in screen.splitlines() if line.startswith("users")).endswith("4 of 4 slices")
    assert f"ATTENTION request {ID} needs a person" in screen
    assert "requests  1 needs attention\nparked    1 message\n" in screen
    code, text = shown(found, as_json=True)
    document = json.loads(text)
    assert code == output.Code.ATTENTION
    assert set(document) == {field.name for field in dataclasses.fields(Status)}
    assert (document["requests"], document["attention"]) == ({"needs_attention": 1}, list(found.attention))
    assert WHO not in screen + text
