"""How one request stands: by its document and the parked messages that carry its id; what is said names nobody."""

import json
from datetime import timedelta

import pytest
from ledger_world import START
from office import WHO, Office

from cli.request_look import _value
from shared.requests.documents import State, Unit


@pytest.fixture
def office() -> Office:
    return Office()


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
        (State.CLOSED, False, True),
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


async def test_a_dismissed_message_has_lost_the_id_and_needs_nobody_any_more(office: Office) -> None:
    await office.park("mine", request=None, dismissed=True)
    found = await office.ask()
    assert (found.state, found.needs_a_person, found.settled) == ("unknown", False, False)
    await office.park("again")
    found = await office.ask()
    assert (found.state, found.needs_a_person, found.settled) == ("parked", True, True)


async def test_what_is_said_of_a_request_names_nobody(office: Office) -> None:
    work = (Unit(intent="0", category="users", outcomes={"erased": 1}), Unit(intent="1", category="homes"))
    await office.put(State.DONE, work=work, in_backups_until=START + timedelta(days=30))
    value = _value((await office.ask()).document)
    assert WHO not in json.dumps(value, default=str)
    assert value["outcomes"] == {"users": {"erased": 1}}
    assert value["in_backups_until"] == START + timedelta(days=30)
