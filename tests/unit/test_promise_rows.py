"""The promises, row by row: kept to the second before they are due, gone at the latest when the promise says so.

Each test proves one row of the policy; docs/promises.md names them. Time is the stores' clock; the planner's timer fires
every minute, as on the platform.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from promises import assert_whole
from world import START, World, person

from shared import messages
from shared.model import utc_text
from shared.parking import entries as parked_entries
from shared.requests.documents import State

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def world() -> World:
    return World(unit=100)


def at(moment: datetime) -> str:
    """A time as the company's records have it."""
    return utc_text(moment)


async def minute(world: World) -> None:
    """One minute of the timers, and what they set going."""
    await world.timers()
    await world.drain()


async def assert_kept_then_gone(world: World, category: str, *, due: datetime, latest: datetime) -> None:
    """The one record there is is kept until a second before `due`, and gone one tick after `latest`, with its event."""
    world.now = due - 30 * SECOND
    world.later(seconds=29)
    await world.planner.tick(forced=True)
    await world.drain()
    assert len(world.keys(category)) == 1, "gone before it is due"
    world.now = latest - SECOND
    world.later(seconds=1)
    for _ in range(2):
        await minute(world)
        world.later(minutes=1)
    assert world.keys(category) == [], "still there at the latest time"
    await world.rest()
    erased = [e for e in await assert_whole(world) if e["type"] == "retention.record.erased"]
    assert category in {e["data"]["category"] for e in erased}


def put(world: World, category: str, fields: dict[str, Any]) -> None:
    world.put(category, {"id": "one", **fields})


async def ask(world: World, kind: str, **fields: Any) -> str:
    """Send a message of any type and let everything come to rest."""
    number = str(uuid4())
    await world.queues["requests"].send(messages.compose(kind, id=number, **fields), message_id=number)
    await world.rest()
    return number


async def erasure(world: World, subject: dict[str, Any], **more: Any) -> State:
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    return (await world.document(await ask(world, "erase", subject=subject, **who, **more))).state


# ---------------------------------------------------------------- smart home


@pytest.mark.promise(1)
async def test_a_picture_is_kept_seven_days_from_capture_and_gone_ten_minutes_later(world: World) -> None:
    world.picture("birkeveien", days=0)
    due = START + timedelta(days=7)
    await assert_kept_then_gone(world, "camera-snapshots", due=due, latest=due + timedelta(minutes=10))


@pytest.mark.promise(1)
async def test_a_picture_that_arrives_late_counts_from_its_capture(world: World) -> None:
    captured = START - timedelta(days=5)
    name = f"{captured:%Y-%m-%d/%H}/birkeveien/cam/{captured:%H%M%S}-front.jpg"
    world.put("camera-snapshots", name)
    due = captured + timedelta(days=7)
    await assert_kept_then_gone(world, "camera-snapshots", due=due, latest=due + timedelta(minutes=10))


@pytest.mark.promise(2)
async def test_a_cameras_login_is_kept_seven_days_from_its_last_use(world: World) -> None:
    put(world, "camera-credentials", {"homeId": "birkeveien", "lastUsedAt": at(START)})
    due = START + timedelta(days=7)
    await assert_kept_then_gone(world, "camera-credentials", due=due, latest=due + HOUR)


@pytest.mark.promise(2)
async def test_a_login_that_was_never_used_goes_seven_days_after_it_was_written(world: World) -> None:
    put(world, "camera-credentials", {"homeId": "birkeveien"})
    due = START + timedelta(days=7)
    await assert_kept_then_gone(world, "camera-credentials", due=due, latest=due + HOUR)


@pytest.mark.promise(3)
async def test_a_user_goes_with_all_of_theirs_within_an_hour_of_the_contracts_end(world: World) -> None:
    ended = START + timedelta(days=1)
    world.user("anna", contractEndedAt=at(ended))
    world.home("birkeveien", "anna", pictures=0)
    await assert_kept_then_gone(world, "users", due=ended, latest=ended + HOUR)
    assert [world.keys(each) for each in ("homes", "devices", "operation-log")] == [[], [], []]


@pytest.mark.promise(3)
async def test_a_user_who_is_inactive_for_two_years_goes_to_the_day(world: World) -> None:
    last = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    put(world, "users", {"id": "anna", "userId": "anna", "email": "anna@anna.example", "lastActiveAt": at(last)})
    due = datetime(2028, 2, 28, 23, 30, tzinfo=UTC)
    await assert_kept_then_gone(world, "users", due=due, latest=due + HOUR)


@pytest.mark.promise(4)
async def test_a_home_goes_with_its_devices_when_nobody_is_left_in_it(world: World) -> None:
    put(world, "devices", {"homeId": "birkeveien", "kind": "gateway", "ip": "203.0.113.9"})
    world.put("homes", {"id": "birkeveien", "homeId": "birkeveien", "members": []})
    world.later(minutes=15)
    for _ in range(3):
        await minute(world)
    assert (world.keys("homes"), world.keys("devices")) == ([], [])
    await world.rest()
    await assert_whole(world)


@pytest.mark.promise(4)
async def test_a_home_stays_as_long_as_one_member_does(world: World) -> None:
    world.sweeping = False
    for who in ("bob", "cleo"):
        world.user(who)
    world.home("skogveien", "bob", "cleo")
    assert await erasure(world, {"user_id": "bob"}) is State.DONE
    assert (world.keys("homes"), world.keys("devices")) == (["skogveien"], ["skogveien-hub"])
    assert await erasure(world, {"user_id": "cleo"}) is State.DONE
    assert (world.keys("homes"), world.keys("devices")) == ([], [])
    await assert_whole(world)


@pytest.mark.promise(5)
async def test_a_row_of_the_operation_log_is_kept_thirty_days(world: World) -> None:
    put(world, "operation-log", {"homeId": "birkeveien", "at": at(START)})
    due = START + timedelta(days=30)
    await assert_kept_then_gone(world, "operation-log", due=due, latest=due + HOUR)


@pytest.mark.promise(5)
async def test_rows_that_name_the_person_go_on_request_though_the_home_stays(world: World) -> None:
    for who in ("bob", "cleo"):
        world.user(who)
    world.home("skogveien", "bob", "cleo")
    assert await erasure(world, {"user_id": "bob"}) is State.DONE
    assert world.keys("operation-log") == ["skogveien-cleo-0"]


# ---------------------------------------------------------------- web site and sales


@pytest.mark.promise(6)
async def test_an_hour_of_the_web_log_is_kept_fourteen_days(world: World) -> None:
    world.put("web-access-log", f"{START:%Y-%m-%d}/{START:%H}.jsonl")
    due = START + timedelta(days=14)
    await assert_kept_then_gone(world, "web-access-log", due=due, latest=due + HOUR)


@pytest.mark.promise(6)
async def test_without_an_address_and_times_the_answer_says_why_the_web_log_was_not_searched(world: World) -> None:
    world.user("anna")
    number = await ask(
        world, "erase", subject={"user_id": "anna"}, requested_by="the person", identity_verified_by="the office"
    )
    assert "GDPR Art. 11(2)" in (await world.document(number)).not_reached["web-access-log"]


@pytest.mark.promise(7)
async def test_a_guests_cart_is_gone_two_minutes_after_it_was_touched(world: World) -> None:
    put(world, "cart-guest", {"sessionId": "s1", "items": []})
    due = START + timedelta(seconds=60)
    await assert_kept_then_gone(world, "cart-guest", due=due, latest=due + timedelta(seconds=60))


@pytest.mark.promise(7)
async def test_a_guests_cart_is_erased_by_its_session(world: World) -> None:
    put(world, "cart-guest", {"sessionId": "s1", "items": []})
    world.sweeping = False
    assert await erasure(world, {"session_id": "s1"}) is State.DONE
    assert world.keys("cart-guest") == []


@pytest.mark.promise(8)
async def test_a_users_cart_is_kept_ten_minutes(world: World) -> None:
    put(world, "cart-user", {"sessionId": "s1", "userId": "anna", "items": []})
    due = START + timedelta(minutes=10)
    await assert_kept_then_gone(world, "cart-user", due=due, latest=due + timedelta(minutes=1))


@pytest.mark.promise(9)
async def test_a_course_registration_is_kept_ninety_days_from_the_courses_end(world: World) -> None:
    ended = START + timedelta(days=3)
    put(world, "course-registrations", {"courseId": "c1", "email": "a@b.example", "courseEndedAt": at(ended)})
    due = ended + timedelta(days=90)
    await assert_kept_then_gone(world, "course-registrations", due=due, latest=due + HOUR)


@pytest.mark.promise(10)
async def test_a_subscription_goes_when_it_is_unsubscribed_and_the_answer_names_the_supplier(world: World) -> None:
    left = START + timedelta(days=3)
    put(world, "newsletter", {"subscriberId": "s1", "email": "anna@anna.example", "unsubscribedAt": at(left)})
    await assert_kept_then_gone(world, "newsletter", due=left, latest=left + timedelta(minutes=15))
    world.user("anna")
    world.sweeping = False
    number = await ask(
        world, "erase", subject={"user_id": "anna"}, requested_by="the person", identity_verified_by="the office"
    )
    assert "newsletter at Mailchimp" in (await world.document(number)).not_reached


@pytest.mark.promise(12)
async def test_an_invoice_is_kept_five_years_from_the_end_of_its_year_in_oslo(world: World) -> None:
    put(world, "invoices", {"userId": "anna", "issuedAt": "2026-12-31T23:30:00+01:00"})
    due = datetime(2031, 12, 31, 23, tzinfo=UTC)  # the first moment of 2032 in Oslo
    await assert_kept_then_gone(world, "invoices", due=due, latest=due + timedelta(days=1))


@pytest.mark.promise(12)
async def test_on_request_an_invoice_is_retained_by_the_law_until_its_date(world: World) -> None:
    world.user("anna")
    put(world, "invoices", {"userId": "anna", "issuedAt": "2026-01-15"})
    assert await erasure(world, {"user_id": "anna"}) is State.DONE
    assert world.keys("invoices") == ["one"]
    [kept] = [e for e in await assert_whole(world) if e["type"] == "retention.record.retained"]
    assert kept["data"]["outcome"] == {
        "law": "Norwegian Bookkeeping Act, section 13",
        "name": "retained",
        "until": "2031-12-31T23:00:00Z",
    }


# ---------------------------------------------------------------- backups


@pytest.mark.promise(13)
async def test_a_backup_is_kept_thirty_days_from_when_it_began(world: World) -> None:
    world.put("backups", f"{START:%Y-%m-%dT%H%M%SZ}/all.bak")
    due = START + timedelta(days=30)
    await assert_kept_then_gone(world, "backups", due=due, latest=due + HOUR)


@pytest.mark.promise(14)
async def test_an_erasure_is_complete_only_when_no_older_backup_is_left_and_the_receipt_has_both_dates(
    world: World,
) -> None:
    world.put("backups", f"{START - HOUR:%Y-%m-%dT%H%M%SZ}/all.bak", age=HOUR)
    world.user("anna")
    number = await world.ask(user_id="anna")
    await world.rest()
    world.sweeping = False  # the backup's sweep is late
    world.later(days=31)
    await world.closer.close_due()
    assert (await world.document(number)).state is State.DONE
    world.sweeping = True
    await world.rest()
    await world.closer.close_due()
    assert (await world.document(number)).state is State.CLOSED
    receipt = (await world.own["receipts"].read(f"{number}.json")).data.decode()
    assert f'"finished_at": "{at(START)}"' in receipt
    assert f'"backups_gone_at": "{at(world.now)}"' in receipt


@pytest.mark.promise(14)
async def test_what_a_restore_brings_back_is_erased_again(world: World) -> None:
    world.user("anna")
    assert await erasure(world, {"user_id": "anna"}) is State.DONE
    world.user("anna")
    await ask(world, "replay", by="the office", backup_began=at(START - HOUR))
    assert world.keys("users") == []
    await assert_whole(world)


# ---------------------------------------------------------------- rights


@pytest.mark.promise(17)
async def test_everything_about_a_person_goes_everywhere(world: World) -> None:
    world.neighbourhood()
    world.sweeping = False
    put(world, "camera-credentials", {"homeId": "birkeveien", "lastUsedAt": at(START)})
    put(world, "cart-user", {"sessionId": "s1", "userId": "anna", "items": []})
    put(world, "course-registrations", {"courseId": "c1", "email": "Anna@Anna.example"})
    put(world, "newsletter", {"subscriberId": "s1", "email": "anna@anna.example"})
    assert await erasure(world, {"email": "anna@anna.example"}) is State.DONE
    left = world.everything()
    for category in ("camera-credentials", "cart-user", "course-registrations", "newsletter"):
        assert category not in left
    assert "anna" not in str(left)
    assert "birkeveien" not in str(left)
    assert {"bob", "cleo"} <= set(left["users"])
    await assert_whole(world)


@pytest.mark.promise(19)
async def test_a_hold_stops_sweeps_and_erasures_until_it_is_released(world: World) -> None:
    world.neighbourhood()
    hold = await ask(world, "hold", user_id="anna", owner="legal", reason="a dispute", by="the office")
    number = await world.ask(user_id="anna")
    world.later(days=800)  # inactive for more than two years
    await world.rest()
    assert "anna" in world.keys("users")
    assert (await world.document(number)).state is State.NEEDS_ATTENTION
    await ask(world, "release", hold=hold, reason="settled", by="the office")
    await ask(world, "retry", request=number, by="the office")
    assert "anna" not in world.keys("users")
    await assert_whole(world)


@pytest.mark.promise(19)
async def test_a_restriction_by_the_person_is_a_hold_that_ends_by_itself(world: World) -> None:
    world.user("anna", contractEndedAt=at(START + HOUR))
    who = {"requested_by": "the person", "identity_verified_by": "the office"}
    await ask(world, "restrict", subject={"user_id": "anna"}, until=at(START + timedelta(days=10)), **who)
    world.later(days=9)
    await world.rest()
    assert world.keys("users") == ["anna"]


# ---------------------------------------------------------------- the pipeline itself


@pytest.mark.promise(23, "requests", "receipts")
async def test_a_closed_request_is_kept_a_year_and_its_receipt_thirty_days(world: World) -> None:
    world.user("anna")
    number = await world.ask(user_id="anna")
    await world.rest()
    world.later(days=31)
    await world.closer.close_due()
    await world.rest()
    assert await world.own["receipts"].read(f"{number}.json")
    world.later(days=32)
    await world.rest()
    assert await world.own["receipts"].read(f"{number}.json") is None
    world.later(days=330)
    await world.rest()
    assert await world.requests.load(number)
    world.later(days=5)
    await world.rest()
    assert await world.requests.load(number) is None


@pytest.mark.promise(23, "scope-keys", "register")
async def test_the_key_of_a_person_goes_when_the_request_closes(world: World) -> None:
    world.user("anna")
    await world.ask(user_id="anna")
    await world.rest()
    assert await world.gate.keys.find(person("anna"))
    world.later(days=31)
    await world.closer.close_due()
    await world.rest()
    assert await world.gate.keys.find(person("anna")) is None
    assert [each async for each in world.register.entries()] == []


@pytest.mark.promise(23, "parking")
async def test_a_parked_message_stays_until_it_is_dismissed_and_ninety_days_longer_without_its_content(
    world: World,
) -> None:
    await world.queues["requests"].send(b"nonsense", message_id="m1")
    await world.rest()
    world.later(days=400)
    await world.rest()
    [entry] = [each async for each in parked_entries(world.own["parking"])]
    await ask(world, "dismiss", parked=entry.id, by="operations", reason="it was nonsense")
    assert json.loads((await world.own["parking"].read(entry.name)).data)["body"] is None
    world.later(days=89)
    await world.rest()
    assert [each.name async for each in world.own["parking"].list()]
    world.later(days=2)
    await world.rest()
    assert [each.name async for each in world.own["parking"].list()] == []


@pytest.mark.promise(23, "heartbeats")
async def test_the_heartbeat_of_a_timer_that_runs_no_more_goes_after_ninety_days(world: World) -> None:
    await world.own["heartbeats"].create("timer/retired", b"")
    for days, there in ((89, True), (2, False)):
        world.later(days=days)
        await world.rest()
        assert ("timer/retired" in [each.name async for each in world.own["heartbeats"].list()]) is there
