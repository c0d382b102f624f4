"""The daily look at posture: kept where everybody reads it, alarmed where a promise is broken, told by status."""

import logging
import re
from collections.abc import Mapping
from datetime import timedelta

import pytest
from ledger_world import START
from office import POLICY, Office

from shared.errors import TransientError
from shared.posture.settings import Account, BlobAccount, StorageSettings
from shared.posture.watch import EVERY, Broken, PostureLook, PostureWatch, last_posture, said
from shared.posture.worst_case import judge
from shared.standing import SHOWN

SOFT = StorageSettings(
    versioning=False, permanent_delete=False, restore=None, change_feed=None, container_soft_delete=None, lifecycle=(),
    soft_delete=7,
)  # fmt: skip


def watch(office: Office, accounts: Mapping[str, Account] | Exception) -> PostureWatch:
    async def stores() -> Mapping[str, Account]:
        if isinstance(accounts, Exception):
            raise accounts
        return accounts

    return PostureWatch(policy=POLICY, stores=stores, heartbeats=office.heartbeats.objects)


@pytest.fixture
def office() -> Office:
    return Office()


async def test_what_was_found_is_kept_and_the_next_look_stands_in_its_place(office: Office) -> None:
    assert await last_posture(office.heartbeats.objects) is None
    soft = {"BLOB_DATA": BlobAccount(name="BLOB_DATA", settings=SOFT, containers={})}
    first = await watch(office, soft).watch(START)
    assert first.broken[0].rule == "camera-snapshots-7-days"
    assert "soft delete 7 d" in first.broken[0].why
    assert await last_posture(office.heartbeats.objects) == first
    second = await watch(office, {}).watch(START + timedelta(days=1))
    assert second.broken == ()
    assert await last_posture(office.heartbeats.objects) == second


async def test_while_all_is_well_one_look_a_day_is_enough_and_what_was_wrong_is_looked_at_each_time(
    office: Office,
) -> None:
    soft = {"BLOB_DATA": BlobAccount(name="BLOB_DATA", settings=SOFT, containers={})}
    assert (await watch(office, soft).watch(START)).broken
    soon = START + timedelta(minutes=15)
    assert (await watch(office, {}).watch(soon)).at == soon
    well = PostureLook(at=soon)
    held = await office.heartbeats.objects.read("posture.json")
    await office.heartbeats.objects.replace("posture.json", well.model_dump_json().encode(), etag=held.etag)
    unasked = watch(office, TransientError("nobody must be asked"))
    assert await unasked.watch(soon + EVERY - timedelta(seconds=1)) == well
    with pytest.raises(TransientError):
        await unasked.watch(soon + EVERY)


async def test_what_counts_as_unknown_are_the_findings_that_the_command_shows(office: Office) -> None:
    posture = judge(POLICY, {}, now=START)
    found = await watch(office, {}).watch(START)
    assert found.unknown == sum(each.kind == "unknown" for each in posture.findings) > 0


async def test_a_broken_promise_is_alarmed_by_its_rule(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    soft = {"BLOB_DATA": BlobAccount(name="BLOB_DATA", settings=SOFT, containers={})}
    with caplog.at_level(logging.WARNING):
        found = await watch(office, soft).watch(START)
    alarms = [each.message for each in caplog.records if each.message.startswith("ALARM")]
    assert alarms == [f"ALARM posture: {said(each)}" for each in found.broken]
    assert re.match(r"ALARM posture: rule \S+ promises P7D, and it is really 14 d", alarms[0])


async def test_a_store_without_an_answer_fails_the_timer_and_keeps_the_last_look(office: Office) -> None:
    kept = await watch(office, {}).watch(START)
    with pytest.raises(TransientError):
        await watch(office, TransientError("away")).watch(START + timedelta(days=1))
    assert await last_posture(office.heartbeats.objects) == kept


async def keep(office: Office, look: PostureLook) -> None:
    await office.heartbeats.objects.create("posture.json", look.model_dump_json().encode())


async def test_status_asks_for_a_person_by_rule_and_for_what_is_unknown_once(office: Office) -> None:
    broken = [Broken(rule=f"r{n}", promised="P7D", really="14 d", why=("soft delete 7 d",)) for n in range(SHOWN + 2)]
    await keep(office, PostureLook(at=START, broken=tuple(broken), unknown=4))
    found = (await office.gather()).attention
    assert {each.see for each in found} == {"posture"}
    texts = [each.text for each in found]
    assert texts[0] == "rule r0 promises P7D, and it is really 14 d: soft delete 7 d"
    assert texts[SHOWN:] == [
        "more rules whose promise the stores' settings break: 2 (`retention posture`)",
        "settings of the stores are unknown (4 findings): `retention posture` names them",
    ]


async def test_a_look_that_found_every_promise_kept_needs_nobody(office: Office) -> None:
    await keep(office, PostureLook(at=START))
    assert await office.said() == []
