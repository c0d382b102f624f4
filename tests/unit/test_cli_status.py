"""What status gathers and says: runs, overdue data, timers, holds, journals, requests, parked messages, logs."""

import dataclasses
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from ledger_world import START, YEAR
from office import AFTER, ID, POLICY, WHO, Office

from cli import output, settings
from cli.status import status as status_command
from shared.errors import TransientError
from shared.holds import Hold, InForce
from shared.liveness import TIMERS
from shared.overdue import NAME, Look, Overdue
from shared.policy_terms import OwnStore
from shared.posture.watch import Broken, PostureLook
from shared.requests.documents import State
from shared.runs import Current, Pause, PlannedSlice, RunDocument, SliceProgress
from shared.standing import SHOWN, HoldStatus, Parked, PendingHold, Status

WIDTH = 100
"""Columns of a screen with nothing unusual on it."""


@pytest.fixture
def office() -> Office:
    return Office()


async def test_nothing_yet_needs_no_attention(office: Office) -> None:
    found = await office.gather()
    assert found.attention == []
    assert [each.category for each in found.categories] == [each.id for each in POLICY.enforced()]
    assert {each.run for each in found.categories} == {None}
    assert {each.category: each.follows for each in found.categories}["devices"] == ["homes"]
    assert "web-statistics" in found.planned


# ---------------------------------------------------------------- runs


async def test_an_unfinished_run_is_counted_from_its_slices_and_a_finished_one_from_its_totals(office: Office) -> None:
    runs = office.runs
    parts = tuple(PlannedSlice(rule="r", now=START, bounds=str(n)) for n in range(3))
    await runs.add(RunDocument(run="r1", category="users", policy="p", started=START, slices=parts))
    await runs.set_current("users", Current(run="r1", started=START, slices=3, queued=START), None)
    done = SliceProgress(done=True, expired=2, outcomes={"erased": 2}, strange={"odd": 1})
    await runs.set_progress("users", "r1", 1, done, None, at=START)
    totals = SliceProgress(done=True, expired=9, forwarded=4, outcomes={"erased": 5})
    await runs.set_current("homes", Current(run="r2", started=START, slices=1, finished=START, totals=totals), None)
    found = {each.category: each for each in (await office.gather()).categories}
    users, homes = found["users"], found["homes"]
    assert (users.slices, users.open_slices, users.expired, users.finished) == (3, 2, 2, None)
    assert (users.outcomes, users.strange) == ({"erased": 2}, {"odd": 1})
    assert (homes.open_slices, homes.expired, homes.forwarded, homes.outcomes) == (0, 9, 4, {"erased": 5})


async def test_a_run_that_waits_for_approval_says_how_to_give_it(office: Office) -> None:
    current = Current(run="users-1", started=START, slices=1, found=101, cap=100, approval="waiting")
    await office.runs.set_current("users", current, None)
    assert await office.said() == [
        "users: run users-1 found more than its cap of 100: look, then `retention approve users-1 --by WHO`"
    ]


@pytest.mark.parametrize("name", ["users", "requests"])
async def test_what_is_paused_needs_attention_until_it_is_resumed(office: Office, name: str) -> None:
    pause = Pause(paused=True, since=START, by="Ola", reason="a migration")
    etag = await office.runs.set_pause(name, pause, None)
    [text] = await office.said()
    assert f"paused since {START:%Y-%m-%d %H:%M}Z: `retention resume {name} --by WHO`" in text
    await office.runs.set_pause(name, pause.model_copy(update={"paused": False}), etag)
    assert await office.said() == []


async def test_a_category_whose_run_is_late_is_told_once_and_not_while_it_is_paused(office: Office) -> None:
    await office.beat()
    await office.heartbeats.category("users", START)
    cadence = POLICY.category("users").cadence.time
    current = Current(run="r", started=START, slices=0, queued=START, finished=START)
    await office.runs.set_current("users", current, None)
    office.later(3 * cadence + timedelta(minutes=3))
    late = [text for text in await office.said() if text.startswith("users")]
    assert late == ["users: the next run is overdue: does the planner run, do its slices end?"]
    await office.runs.set_pause("users", Pause(paused=True, since=START, by="Ola", reason="x"), None)
    [text] = [text for text in await office.said() if text.startswith("users")]
    assert "paused" in text


async def test_a_category_that_never_finished_a_run_is_late_by_its_heartbeat(office: Office) -> None:
    await office.beat()
    office.later(timedelta(days=4))
    texts = await office.said()
    assert "users: no run has finished for 4 d: do its slices end?" in texts
    assert not [text for text in texts if text.startswith("devices")], "they go with their homes"


# ---------------------------------------------------------------- overdue data, timers, holds


def look(**more: Any) -> Look:
    return Look(at=START, categories=(Overdue(category="users", **more), Overdue(category="homes")))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"count": 3, "oldest": START}, "users: 3 records are overdue"),
        ({"count": 1000, "more": True, "oldest": START}, "users: 1000+ records are overdue"),
        ({"error": "TransientError: 503"}, "users: not all could be looked at: TransientError: 503"),
    ],
)
async def test_what_the_last_look_found_overdue_needs_attention(office: Office, found: dict, text: str) -> None:
    await office.heartbeats.objects.create(NAME, look(**found).model_dump_json().encode())
    [said] = (await office.gather()).attention
    assert (said.text, said.see) == (text, "overdue")


async def test_a_look_taken_just_now_is_told_in_place_of_the_last(office: Office) -> None:
    await office.heartbeats.objects.create(NAME, look(count=3).model_dump_json().encode())
    assert await office.said(look=look()) == []


async def test_a_timer_that_is_late_or_never_fired_is_named(office: Office) -> None:
    await office.beat(but="ledger_seal")
    office.later(timedelta(minutes=5))
    assert await office.said() == []
    office.later(timedelta(seconds=1))
    late = [text for text in await office.said() if text.startswith("timer")]
    assert "timer planner has not succeeded for 5 min: does its app run, what does its log say?" in late
    assert "timer ledger_seal has not succeeded yet: does its app run, what does its log say?" in late
    assert len(late) == len([name for name, interval in TIMERS.items() if interval == timedelta(minutes=1)])


async def hold(office: Office, name: str, **more: Any) -> None:
    fields = {"kind": "category", "target": "users", "owner": "legal", "reason": WHO, **more}
    held = Hold(id=name, **fields)
    await office.holds.create(f"{name}.json", held.model_dump_json().encode())


async def test_holds_are_counted_and_one_that_cannot_be_read_needs_attention(office: Office) -> None:
    await hold(office, "a")
    await hold(office, "b", in_force=InForce.PENDING, since=START)
    await hold(office, "c", until=START)
    await hold(office, "d", in_force=InForce.YES, too_late=7)
    found = await office.gather()
    assert found.holds == HoldStatus(
        standing=3, pending=[PendingHold(hold="b", since=START)], unknown=1, too_late=1, astray=[], ended=1
    )
    assert found.attention == []
    await office.holds.create("e.json", b"{}")
    [text] = await office.said()
    assert "nothing is deleted" in text


async def test_a_hold_on_a_category_that_the_policy_does_not_have_is_named_while_it_stands(office: Office) -> None:
    await hold(office, "a", target="renamed")
    await hold(office, "b", target="renamed", until=START)
    await hold(office, "c", kind="person", target=WHO)
    [text] = await office.said()
    assert text.startswith("hold a is on a category that the policy does not have, and nothing is deleted")


async def test_a_hold_that_stays_pending_longer_than_recovery_takes_is_named_up_to_a_number(office: Office) -> None:
    for number in range(SHOWN + 1):
        await hold(office, f"h{number}", in_force=InForce.PENDING, since=START)
    office.later(2 * AFTER - timedelta(seconds=1))
    assert await office.said() == []
    office.later(timedelta(seconds=1))
    texts = await office.said()
    assert len(texts) == SHOWN + 1
    assert texts[0].startswith(f"hold h0 is pending since {START:%Y-%m-%d %H:%M}Z, and work from before it may still")
    assert texts[-1] == "more holds that are pending: 1 (`retention hold list`)"


# ---------------------------------------------------------------- journals, requests, parking, logs


@pytest.mark.parametrize(("state", "word"), [("open", "does the watch run"), ("settled", "does role ledger run")])
async def test_a_journal_needs_attention_once_it_is_older_than_recovery_takes(
    office: Office, state: str, word: str
) -> None:
    journals = office.world.stores["journals"]
    await journals.create("a.json", b"{}", metadata={"state": state, "log": YEAR})
    office.later(AFTER - timedelta(seconds=1))
    await journals.create("b.json", b"{}", metadata={"state": state, "log": YEAR})
    found = await office.gather()
    waiting = {"open": found.open, "settled": found.settled}
    assert found.attention == []
    assert (waiting[state].count, waiting[state].since) == (2, START)
    office.later(timedelta(seconds=1))
    [text] = await office.said()
    assert word in text


async def test_requests_are_counted_by_state_and_those_that_need_a_person_are_named_up_to_a_number(
    office: Office,
) -> None:
    await office.put(State.CLOSED)
    ids = [f"22222222-2222-4222-8222-{number:012d}" for number in range(SHOWN + 2)]
    for each in ids:
        await office.put(State.NEEDS_ATTENTION, request=each)
    found = await office.gather()
    assert found.requests.states == {"closed": 1, "needs_attention": SHOWN + 2}
    texts = [each.text for each in found.attention]
    assert len(texts) == SHOWN + 1
    assert all(each in text for each, text in zip(ids[:SHOWN], texts, strict=False))
    assert texts[-1] == "more requests that need a person: 2 (`retention request list`)"


@pytest.mark.parametrize(
    ("state", "days", "told"),
    [
        (State.WORKING, 7, f"request {ID} is due on {START + timedelta(days=7):%Y-%m-%d}, and is not finished"),
        (State.ACCEPTED, -1, f"request {ID} was due on {START - timedelta(days=1):%Y-%m-%d}, and is not finished"),
        (State.WORKING, 7.1, None),
        (State.DONE, -1, None),  # it is answered; whether it closes is another matter, below
        (State.REJECTED, -1, None),
    ],
)
async def test_an_unfinished_request_within_a_week_of_its_date_needs_attention(
    office: Office, state: State, days: float, told: str | None
) -> None:
    await office.put(state, due_at=START + timedelta(days=days))
    assert await office.said() == ([told] if told else [])


@pytest.mark.parametrize(
    ("days", "closes", "told"),
    [
        (0, 0.99, None),
        (0, -1, f"request {ID} should have closed on {START - timedelta(days=1):%Y-%m-%d}: is an older backup left"),
        (-90, 1, None),
        (-59.9, None, None),
        (-60, None, f"request {ID} is done and cannot close by itself: copies or backups of it have no end"),
    ],
)
async def test_a_request_that_is_done_and_late_to_close_needs_attention(
    office: Office, days: float, closes: float | None, told: str | None
) -> None:
    closes_at = None if closes is None else START + timedelta(days=closes)
    for state in (State.DONE, State.CLOSED, State.REJECTED):
        request = ID if state is State.DONE else f"22222222-2222-4222-8222-{len(state.value):012d}"
        await office.put(state, request=request, due_at=START + timedelta(days=days), closes_at=closes_at)
    found = (await office.gather()).attention
    assert [(each.text.startswith(told or "?"), each.see) for each in found] == [(True, "not-closed")] * bool(told)


async def test_those_that_are_late_to_close_are_named_up_to_a_number_the_oldest_first(office: Office) -> None:
    for number in range(SHOWN + 2):
        request = f"22222222-2222-4222-8222-{number:012d}"
        due = START - timedelta(days=number)
        await office.put(State.DONE, request=request, due_at=due, closes_at=START - timedelta(days=2))
    texts = await office.said()
    assert len(texts) == SHOWN + 1
    assert f"{SHOWN + 1:012d} should have closed" in texts[0]
    assert texts[-1] == "more requests that are done and not closed: 2"


async def test_the_oldest_date_of_an_unfinished_request_comes_first(office: Office) -> None:
    for number, days in enumerate((20, 9, 30)):
        request = f"22222222-2222-4222-8222-{number:012d}"
        await office.put(State.WORKING, request=request, due_at=START + timedelta(days=days))
    unfinished = (await office.gather()).requests.unfinished
    assert [each.due_at - START for each in unfinished] == [timedelta(days=days) for days in (9, 20, 30)]


async def test_parked_messages_are_counted_and_the_latest_told_with_their_reasons(office: Office) -> None:
    for number in range(SHOWN + 1):
        office.parking.clock = START + timedelta(minutes=number)
        await office.park(f"{9 - number}", request=None)
    found = await office.gather()
    assert found.parked == SHOWN + 1
    assert [each.reason for each in found.latest_parked] == [f"reason {9 - n}" for n in range(1, SHOWN + 1)]
    assert found.attention[-1].text == "more messages that are parked: 1 (`retention parking list`)"
    assert found.latest_parked[0] == Parked(
        id="8.json", queue="requests", at=START + timedelta(minutes=1), reason="reason 8", request=None
    )


async def test_dismissed_messages_are_counted_and_need_nobody(office: Office) -> None:
    await office.park("a", dismissed=True)
    found = await office.gather()
    assert (found.parked, found.dismissed, found.latest_parked, found.attention) == (0, 1, [], [])


async def test_dead_letters_that_were_counted_need_attention_and_so_do_those_that_could_not_be(office: Office) -> None:
    texts = await office.said(dead={"sweeps": 2, "requests": 0, "ledger": None})
    assert texts == [
        "queue sweeps has 2 dead letters: does the function for them run?",
        "the dead letters of queue ledger are not known: no answer",
    ]


async def test_who_may_not_receive_is_told_so_and_asked_for_nothing(
    office: Office, shown: Callable[..., tuple[int, str]]
) -> None:
    found = await office.gather(dead=dict.fromkeys(("requests", "sweeps"), "no right to receive"))
    code, screen = shown(found)
    assert code == output.Code.FINE
    assert "dead letters not looked at: no right to receive; the platform's alert watches them\n" in screen
    assert json.loads(shown(found, as_json=True)[1])["dead"]["sweeps"] == "no right to receive"


async def test_the_last_look_at_posture_is_on_the_screen_and_in_the_document(
    office: Office, shown: Callable[..., tuple[int, str]]
) -> None:
    _, screen = shown(await office.gather())
    assert "posture      never looked at by the timer: `retention posture` does it now\n" in screen
    broken = Broken(rule="r", promised="P7D", really="14 d")
    look = PostureLook(at=START - timedelta(hours=3), broken=(broken,), unknown=2)
    await office.heartbeats.objects.create("posture.json", look.model_dump_json().encode())
    code, screen = shown(await office.gather())
    assert code == output.Code.ATTENTION
    assert "posture      3 h ago: 1 promise broken, 2 findings of unknown settings\n" in screen
    document = json.loads(shown(await office.gather(), as_json=True)[1])
    assert document["posture"]["broken"][0]["rule"] == "r"


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
    assert [each.text.startswith(("message", f"log {YEAR}: ")) for each in found.attention] == [True, True]


async def test_a_store_that_is_away_is_an_error_and_no_half_answer(office: Office) -> None:
    async def away(prefix: str = ""):
        raise TransientError("Blob storage retentionstate/parking: 503")
        yield prefix

    office.parking.list = away
    with pytest.raises(TransientError, match="parking"):
        await office.gather()


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


def rows(screen: str) -> dict[str, str]:
    """The table's lines by category."""
    return {line.split(" ")[0]: line for line in screen.split("\n\n", maxsplit=1)[0].splitlines()}


async def test_the_screen_and_the_document_say_the_same_and_the_exit_code_is_for_monitoring(
    office: Office, shown: Callable[..., tuple[int, str]]
) -> None:
    code, screen = shown(await office.gather())
    assert code == output.Code.FINE
    assert screen.splitlines()[-1] == "fine: nothing needs attention"
    await office.park()
    await office.put(State.NEEDS_ATTENTION)
    current = Current(run="r", started=datetime.now(UTC), slices=4, queued=START)
    await office.runs.set_current("users", current, None)
    found = await office.gather(look=look(count=3, oldest=START - timedelta(days=2)), dead={"sweeps": 0})
    code, screen = shown(found)
    assert code == output.Code.ATTENTION
    [row] = [line for line in screen.splitlines() if line.startswith("users ")]
    assert re.search(r"  3, 2 d  +4 of 4 slices left$", row)
    assert f"ATTENTION request {ID} needs a person" in screen
    assert "ATTENTION users: 3 records are overdue (#overdue)" in screen
    assert "requests     1 needs attention; the oldest unfinished is due on" in screen
    assert "parked       1 message\n" in screen
    assert "dead letters none\n" in screen
    code, text = shown(found, as_json=True)
    document = json.loads(text)
    assert code == output.Code.ATTENTION
    assert set(document) == {field.name for field in dataclasses.fields(Status)}
    assert document["requests"]["states"] == {"needs_attention": 1}
    assert document["attention"] == [
        {"text": each.text, "see": each.see, "category": each.category} for each in found.attention
    ]
    assert document["look"]["categories"][0]["count"] == 3
    assert WHO not in screen + text


async def test_the_pipeline_s_own_containers_are_one_line_but_for_those_that_need_attention(
    office: Office, shown: Callable[..., tuple[int, str]]
) -> None:
    own = {each.id for each in POLICY.enforced() if isinstance(each.store, OwnStore)}
    totals = SliceProgress(done=True, expired=9, outcomes={"erased": 5})
    for category in ("parking", "runs", "holds"):
        current = Current(run="r", started=START, slices=1, queued=START, finished=START, totals=totals)
        await office.runs.set_current(category, current, None)
    code, screen = shown(await office.gather())
    assert code == output.Code.FINE
    assert own & set(rows(screen)) == set()
    assert f"our own      {len(own)} containers of the pipeline's own, fine; their last runs: 15 erased\n" in screen
    assert max(len(line) for line in screen.splitlines()) <= WIDTH
    await office.runs.set_pause("parking", Pause(paused=True, since=START, by="Ola", reason="x"), None)
    strange = totals.model_copy(update={"strange": {"starting point is no time": 2}})
    current = Current(run="r", started=START, slices=1, queued=START, finished=START, totals=strange)
    await office.runs.set_current("requests", current, None)
    found = await office.gather(look=Look(at=START, categories=(Overdue(category="register", count=1, oldest=START),)))
    _, screen = shown(found)
    [said] = [line for line in screen.splitlines() if line.startswith("our own")]
    assert f"{len(own) - 3} containers" in said
    assert own & set(rows(screen)) == {"parking", "requests", "register"}
    assert "PAUSED" in rows(screen)["parking"]
    assert "strange: 2" in rows(screen)["requests"]


async def test_a_timer_s_heartbeat_is_in_the_document_with_its_age_in_seconds(
    office: Office, shown: Callable[..., tuple[int, str]]
) -> None:
    await office.beat()
    office.later(timedelta(minutes=4))
    code, text = shown(await office.gather(), as_json=True)
    timers = {each["name"]: each for each in json.loads(text)["timers"]}
    assert code == output.Code.FINE
    assert (timers["planner"]["age_seconds"], timers["planner"]["interval_seconds"], timers["planner"]["late"]) == (
        240.0,
        60.0,
        False,
    )
