"""The demo's invented company: the same every time, and with all that the story needs."""

import io
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from local.demo.pictures import draw
from local.demo.seed import NIGHTS, Blob, Item, make_seed

NOW = datetime(2026, 5, 20, 9, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def seed():
    return make_seed(NOW)


def items(seed, container):
    return [item.body for item in seed.items if item.container == container]


def test_the_same_number_and_time_give_the_same_company():
    assert make_seed(NOW, number=3) == make_seed(NOW, number=3)


def test_another_number_gives_another_company(seed):
    assert seed != make_seed(NOW, number=2)


def test_no_two_records_share_a_name(seed):
    names = [(r.container, r.name if isinstance(r, Blob) else (r.partition, r.body["id"])) for r in seed.records]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_size_multiplies_the_homes(seed):
    assert len(items(make_seed(NOW, size=3), "homes")) == 3 * len(items(seed, "homes"))


@pytest.mark.parametrize("number", range(1, 9))
def test_the_cast_lives_as_the_story_says(number):
    seed = make_seed(NOW, number=number)
    homes = {home["homeId"]: home["members"] for home in items(seed, "homes")}
    of = {member: members for members in homes.values() for member in members}
    cast = seed.cast
    assert of[cast.alone] == [cast.alone]
    assert len(of[cast.leaver]) == 2
    assert of[cast.pair[0]] == list(cast.pair)
    assert of[cast.contract_ended] == [cast.contract_ended]
    assert len(of[cast.inactive]) == 2
    assert homes[cast.empty_home] == []
    assert set(of) == {user["userId"] for user in items(seed, "users")}
    assert len({cast.alone, cast.leaver, *cast.pair, cast.contract_ended, cast.inactive}) == 6


def test_logged_in_carts_belong_to_people_who_stay(seed):
    cast = seed.cast
    leaving = {cast.alone, cast.leaver, *cast.pair, cast.contract_ended, cast.inactive}
    owners = {cart["userId"] for cart in items(seed, "cart-sessions") if cart.get("userId")}
    assert len(owners) == 5
    assert not owners & leaving


@pytest.mark.parametrize("hour", range(24))
def test_no_record_turns_due_within_half_an_hour(hour):
    seed = make_seed(NOW.replace(hour=hour))
    near = timedelta(minutes=30)
    for blob in seed.blobs:
        period = {"camera-snapshots": 7, "web-access-log": 14}.get(blob.container, 30) * DAY
        assert blob.taken is None or abs(seed.now - blob.taken - period) > near
    for row in items(seed, "operation-log"):
        assert abs(seed.now - datetime.fromisoformat(row["at"]) - 30 * DAY) > near


@pytest.mark.parametrize("hour", range(24))
def test_no_login_course_or_letter_turns_due_within_half_an_hour(hour):
    seed = make_seed(NOW.replace(hour=hour))
    for container, name, days in (
        ("camera-credentials", "lastUsedAt", 7),
        ("course-registrations", "courseEndedAt", 90),
        ("newsletter", "unsubscribedAt", 0),
    ):
        times = [datetime.fromisoformat(body[name]) for body in items(seed, container) if name in body]
        assert times
        assert min(abs(seed.now - each - days * DAY) for each in times) > timedelta(minutes=30)


def test_who_was_erased_may_still_have_an_invoice(seed):
    cast = seed.cast
    asked = {cast.alone, cast.leaver, *cast.pair}
    assert asked & {invoice["userId"] for invoice in items(seed, "invoices")}


def test_the_web_log_has_lines_of_json_that_tell_address_and_time(seed):
    logs = [blob for blob in seed.blobs if blob.container == "web-access-log"]
    lines = [json.loads(line) for log in logs for line in log.text.splitlines()]
    assert len(lines) > 100
    assert all(line["ip"].startswith("198.51.100.") for line in lines)


def test_nothing_but_one_picture_is_dated_in_the_future(seed):
    ahead = [blob for blob in seed.blobs if blob.taken and blob.taken > seed.now]
    named_ahead = [blob for blob in seed.blobs if blob.name[:10] > f"{NOW:%Y-%m-%d}" and blob.name[:2] == "20"]
    assert len(ahead) == 1
    assert named_ahead == ahead


def test_log_rows_are_older_and_younger_than_their_period_and_spell_fractions_differently(seed):
    times = [row["at"] for row in items(seed, "operation-log")]
    ages = [seed.now - datetime.fromisoformat(text) for text in times]
    assert min(ages) < 1 * DAY
    assert max(ages) > 41 * DAY
    assert {len(text) for text in times} >= {20, 22, 23, 24, 27}


def test_there_is_a_backup_for_each_night(seed):
    nights = {blob.name.partition("/")[0] for blob in seed.blobs if blob.container == "backups" and blob.taken}
    assert len(nights) == NIGHTS


def test_one_due_picture_is_leased(seed):
    (leased,) = [blob for blob in seed.blobs if blob.leased]
    assert seed.now - leased.taken > 7 * DAY


def test_guests_left_some_carts_and_still_fill_others(seed):
    guests = [i.untouched for i in seed.items if i.container == "cart-sessions" and not i.body.get("userId")]
    assert {age > timedelta(minutes=1) for age in guests} == {True, False}


def test_no_address_or_number_is_anybodys(seed):
    for user in items(seed, "users"):
        assert user["email"].endswith("@example.com")
        assert user["phone"].startswith("+47 000 ")
    assert all(re.match(r"203\.0\.113\.", home["gatewayIp"]) for home in items(seed, "homes"))


def test_a_picture_is_a_jpeg_that_shows_when_and_where_it_was_taken():
    picture = Image.open(io.BytesIO(draw("hall", NOW)))
    assert (picture.format, picture.size) == ("JPEG", (320, 240))
    assert draw("hall", NOW) == draw("hall", NOW)
    caption = (0, 216, 320, 240)

    def shown(camera, taken):
        return Image.open(io.BytesIO(draw(camera, taken))).crop(caption).tobytes()

    assert shown("hall", NOW) != shown("hall", NOW + timedelta(seconds=1))
    assert shown("hall", NOW) != shown("garden", NOW)


def test_item_ages_default_to_just_written():
    assert Item(container="users", partition="u", body={}).untouched == timedelta()
