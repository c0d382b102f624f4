"""`retention hold`: the messages it makes, and what a list shows of whom."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from cli import hold as command
from cli import sending, settings
from shared import messages
from shared.holds import Hold, HoldKind, InForce

Retention = Callable[..., tuple[int, str, str]]
ID = "5d6b6cf5-3b4d-4f60-9c0a-2a3c2f4d9e01"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WHY = ("--owner", "legal", "--reason", "a case", "--by", "ops")
LATER = "2999-01-01T01:00:00+01:00"


@pytest.mark.parametrize(
    ("arguments", "target"),
    [
        (("--user-id", "anna"), {"user_id": "anna"}),
        (("--home-id", "h1"), {"home_id": "h1"}),
        (("--category", "homes"), {"category": "homes"}),
        (
            ("--category", "camera-snapshots", "--key", "k"),
            {"record": {"category": "camera-snapshots", "key": "k", "partition": ""}},
        ),
        (
            ("--category", "homes", "--key", "k", "--partition", "p"),
            {"record": {"category": "homes", "key": "k", "partition": "p"}},
        ),
        (("--user-id", "anna", "--until", LATER), {"user_id": "anna", "until": "2999-01-01T00:00:00Z"}),
    ],
)
def test_add_prints_the_message_that_intake_takes(retention: Retention, arguments, target) -> None:
    code, out, _ = retention("hold", "add", *arguments, *WHY, "--id", ID, "--print")
    assert code == 0
    assert isinstance(messages.parse(out.encode(), now=NOW), messages.Hold)
    fixed = {"version": 1, "type": "hold", "id": ID, "owner": "legal", "reason": "a case", "by": "ops"}
    assert json.loads(out)["retention"] == fixed | target


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give exactly one"),
        (("--user-id", "a", "--category", "homes"), "give exactly one"),
        (("--user-id", "a", "--key", "k"), "goes with --category"),
        (("--category", "homes", "--partition", "p"), "goes with --key"),
        (("--user-id", "a", "--until", "tomorrow"), "give RFC 3339"),
        (("--user-id", "a", "--until", "2026-01-01T00:00:00"), "give RFC 3339"),
        (("--user-id", "a", "--until", "2026-01-01T00:00:00Z"), "give a time in the future"),
        (("--user-id", ""), "give the user's internal id"),
        (("--category", "home"), "no such category"),
        (("--category", "homes", "--key", "k"), "give the item's partition key value"),
    ],
)
def test_add_refuses_what_intake_would_park(retention: Retention, arguments, said: str) -> None:
    code, out, err = retention("hold", "add", *arguments, *WHY)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


def test_add_and_release_send_their_messages_under_their_ids(
    retention: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(sending, "send", lambda body, message_id: sent.append((json.loads(body), message_id)))
    code, out, err = retention("hold", "add", "--category", "homes", *WHY, "--id", ID)
    assert (code, out.strip()) == (0, ID)
    assert "retention hold list" in err
    code, out, _ = retention("hold", "release", ID, "--by", "ops", "--reason", "over", "--json")
    assert code == 0
    assert [body["retention"]["type"] for body, _ in sent] == ["hold", "release"]
    assert sent[1][0]["retention"]["hold"] == ID
    assert sent[0][1] == ID
    assert sent[1][1] == json.loads(out)["id"] != ID


# ---------------------------------------------------------------- list


def made(number: int, kind: HoldKind, target: str, **more) -> Hold:
    since = NOW - timedelta(days=number)
    return Hold(id=f"hold-{number}", kind=kind, target=target, owner="legal", reason="a case", since=since, **more)


HOLDS = [
    made(1, HoldKind.PERSON, "anna", in_force=InForce.PENDING, journals=("f" * 32,)),
    made(2, HoldKind.CATEGORY, "homes", category="homes", in_force=InForce.YES, too_late=3),
    made(3, HoldKind.RECORD, '["cosmos","main","users","anna","u1"]', category="users", in_force=InForce.YES),
    made(4, HoldKind.HOME, "birkeveien", until=NOW, in_force=InForce.YES),
]


@pytest.fixture
def listing(retention: Retention, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """`hold list` over these holds and, where asked for, an object that cannot be read."""

    def run(*arguments: str, unreadable: tuple[str, ...] = ()) -> tuple[int, str, str]:
        monkeypatch.setattr(settings, "with_product", lambda work: (HOLDS, unreadable, NOW))
        return retention("hold", "list", *arguments)

    return run


def test_list_shows_what_is_in_force_and_names_nobody(listing) -> None:
    code, out, _ = listing()
    assert code == 0
    rows = out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["hold-3", "hold-2", "hold-1"]
    assert "record of users" in rows[0]
    assert "category homes" in rows[1]
    assert "person" in rows[2]
    assert "pending" in rows[2]
    assert "yes" in rows[1]
    assert " 3 " in rows[1]
    assert not [word for word in ("anna", "birkeveien", "u1") if word in out]


def test_list_names_people_when_it_is_asked_to_and_the_ended_when_it_is_asked_to(listing) -> None:
    _, out, _ = listing("--show-targets", "--all")
    assert "person: anna" in out
    assert "home: birkeveien" in out
    _, out, _ = listing("--all")
    assert "2026-03-01 12:00:00Z  2026-03-01 12:00:00Z" in out, "its end, and that it has ended"
    assert "birkeveien" not in out


def test_an_ended_hold_that_was_forgotten_says_so_in_place_of_its_reason(listing, monkeypatch) -> None:
    forgotten = made(5, HoldKind.PERSON, "", until=NOW, forgotten=True).model_copy(update={"reason": ""})
    monkeypatch.setattr("test_cli_hold.HOLDS", [forgotten])
    [row] = listing("--all", "--show-targets")[1].splitlines()[1:]
    assert row.split("  ")[1].strip() == "person"
    assert row.rstrip().endswith("forgotten")
    assert json.loads(listing("--all", "--json")[1])["holds"][0]["forgotten"] is True


def test_list_as_json_says_the_same_and_a_target_only_when_it_is_asked_to(listing) -> None:
    found = json.loads(listing("--json")[1])
    assert [each["id"] for each in found["holds"]] == ["hold-3", "hold-2", "hold-1"]
    assert (
        found["holds"][1] | {"owner": "legal", "too_late": 3, "category": "homes", "ended": None} == found["holds"][1]
    )
    assert not [word for word in ("anna", "u1") if word in json.dumps(found)]
    assert json.loads(listing("--json", "--show-targets")[1])["holds"][2]["target"] == "anna"


def test_a_hold_that_cannot_be_read_is_named_and_ends_with_1(listing) -> None:
    code, out, err = listing("--json", unreadable=("odd.json",))
    assert code == 1
    assert json.loads(out)["unreadable"] == ["odd.json"]
    assert "nothing is deleted until it is mended or removed: odd.json" in err


async def test_list_reads_the_container_of_holds() -> None:
    from shared.stores.memory import MemoryObjects

    objects = MemoryObjects(clock=NOW)
    await objects.create("hold-1.json", HOLDS[0].model_dump_json().encode())

    class Product:
        def own(self, name: str) -> MemoryObjects:
            assert name == "holds"
            return objects

    assert await command._read(Product()) == ([HOLDS[0]], [], NOW)
