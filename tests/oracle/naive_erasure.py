"""The oracle of erasures: what must be left of everybody's records when a request is done.

Like `naive` it shares no code with the product: the policy is plain data, and each rule is written down as the promises
say it, for the whole company at once. It knows no order, no journals and no crashes. Holds are not in it.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

import naive

Record = dict[str, Any]
Place = tuple[str, str]  # kind of store, container


@dataclass(kw_only=True)
class Company:
    """All records, by place; as `naive` has them, and a blob of lines with its `data`."""

    policy: Mapping[str, Any]
    now: datetime
    records: dict[Place, list[Record]] = field(default_factory=dict)

    def erased(self, subject: Mapping[str, Any], *, decided: bool = False, visit: Any = None) -> "Company | None":
        """The company afterwards; None where a person must decide first, and nothing at all is done."""
        meant = self._meant(subject, decided=decided)
        if meant is None:
            return None
        left = Company(policy=self.policy, now=self.now, records=deepcopy(self.records))
        kind, name = meant
        if kind == "person":
            addresses = self.addresses(name)
            emptied = left.leave_homes(name)
            for home in emptied:
                left.forget("home", home)
            for address in addresses:
                left.forget("address", address, whose=name)
        left.forget(kind, name)
        for each in [visit] if visit else []:
            left.forget("visit", each)
        return left

    # ------------------------------------------------------------ who is meant, and what is theirs

    def _meant(self, subject: Mapping[str, Any], *, decided: bool) -> tuple[str, Any] | None:
        [(said, value)] = subject.items()
        match said:
            case "user_id":
                known = self.named("person", value) or any(value in _members(each) for each in self.of("homes"))
                return ("person", value) if known else None
            case "email":
                users = {user for user, emails in self.users().items() if value.lower() in emails}
                if users:
                    return ("person", users.pop()) if len(users) == 1 else None
                return ("address", value.lower()) if self.named("address", value.lower()) else None
            case "home_id":
                homes = [each["item"] for each in self.of("homes") if each["item"]["homeId"] == value]
                return ("home", value) if homes and (decided or not any(h.get("members") for h in homes)) else None
        return {"session_id": "session", "visit": "visit"}[said], value

    def users(self) -> dict[str, set[str]]:
        """Each user's e-mail addresses, in small letters."""
        found: dict[str, set[str]] = {}
        for each in self.of("users"):
            email = each["item"].get("email")
            mine = {email.lower()} if isinstance(email, str) and email.strip() else set()
            found.setdefault(each["item"]["userId"], set()).update(mine)
        return found

    def addresses(self, person: str) -> set[str]:
        """The addresses that are this person's alone."""
        users = self.users()
        others = {email for user, emails in users.items() if user != person for email in emails}
        return users.get(person, set()) - others

    def open_questions(self, subject: Mapping[str, Any], after: "Company") -> bool:
        """Whether a person must decide about something that stayed when all was done."""
        kind, name = self._meant(subject, decided=True) or ("", "")
        undated = [r for c, r in after.named(kind, name) if c.get("law") and not _ends(c, r)]
        shared = self.users().get(name, set()) - self.addresses(name) if kind == "person" else set()
        nobodys = [r for each in shared for c, r in after.named("address", each) if _user(c, r) is None]
        return bool(undated) or bool(nobodys)

    # ------------------------------------------------------------ finding

    def categories(self) -> list[Mapping[str, Any]]:
        return [c for c in self.policy["categories"] if c["status"] == "enforced" and c["store"]["kind"] != "own"]

    def of(self, category_id: str) -> list[Record]:
        """The records of a category."""
        [category] = [each for each in self.categories() if each["id"] == category_id]
        return [each for each in self.records.get(place(category), []) if _of(category, each)]

    def named(self, kind: str, name: Any) -> list[tuple[Mapping[str, Any], Record]]:
        """Every record that belongs to, or names, somebody; but for those that they only share."""
        return [
            (category, each)
            for category in self.categories()
            if category.get("find", {}).get(kind, {}).get("by", "member") not in ("member", "line")
            for each in self.records.get(place(category), [])
            if _of(category, each) and _is(kind, _tells(category, category["find"][kind], each), name)
        ]

    # ------------------------------------------------------------ what goes

    def leave_homes(self, person: str) -> list[str]:
        """Take a person out of every list of members; the homes that are empty by that."""
        emptied = []
        for category in self.categories():
            finder = category.get("find", {}).get("person", {})
            for each in self.records.get(place(category), []) if finder.get("by") == "member" else []:
                members = each["item"].get(finder["field"])
                if isinstance(members, list) and person in members:
                    each["item"][finder["field"]] = [who for who in members if who != person]
                    if not each["item"][finder["field"]]:
                        emptied.append(_tells(category, category["find"]["home"], each))
        return emptied

    def forget(self, kind: str, name: Any, whose: str | None = None) -> None:
        """All that is somebody's goes, but for what a law keeps, and for what has their address and another's name."""
        for category, record in self.named(kind, name):
            others = kind == "address" and _user(category, record) not in (None, whose)
            if not others and not self.kept(category, record):
                self._remove(category, record)
        if kind == "visit":
            self._forget_lines(name)

    def kept(self, category: Mapping[str, Any], record: Record) -> bool:
        """Whether a law keeps the record: until its last rule's period is over, and for ever where none can be told."""
        if not category.get("law"):
            return False
        ends = _ends(category, record)
        return not ends or ends[-1] > self.now

    def _remove(self, category: Mapping[str, Any], record: Record) -> None:
        there = self.records[place(category)]
        self.records[place(category)] = [each for each in there if each is not record]

    def _forget_lines(self, visit: Mapping[str, Any]) -> None:
        for category in self.categories():
            finder = category.get("find", {}).get("visit")
            for each in self.records.get(place(category), []) if finder else []:
                if _end_of_name(category, each) <= self.now:
                    lines = each["data"].split(b"\n")
                    lines = [each + b"\n" for each in lines[:-1]] + lines[-1:]
                    each["data"] = b"".join(each for each in lines if not _is_of(each, finder, visit))


def place(category: Mapping[str, Any]) -> Place:
    return category["store"]["kind"], category["store"]["container"]


def _of(category: Mapping[str, Any], record: Record) -> bool:
    """In a container that categories share, each rule says which records it is about."""
    rules = category["rules"]
    return not all("where" in rule for rule in rules) or any(naive.selects(rule, record["item"]) for rule in rules)


def _tells(category: Mapping[str, Any], finder: Mapping[str, Any], record: Record) -> Any:
    """Whom a record is about, by a finder."""
    if finder["by"] == "name-part":
        return (naive.read_name(category["store"]["layout"], record["name"]) or {}).get(finder["field"])
    key = category["store"]["partition_key"].removeprefix("/")
    return record["item"].get(key if finder["by"] == "partition" else finder["field"])


def _members(home: Record) -> list[Any]:
    members = home["item"].get("members")
    return members if isinstance(members, list) else []


def _user(category: Mapping[str, Any], record: Record) -> str | None:
    """The user whom a record names, if any."""
    finder = category["find"].get("person")
    said = _tells(category, finder, record) if finder else None
    return said if isinstance(said, str) and said else None


def _is(kind: str, said: Any, name: Any) -> bool:
    """Whether a record says a name; the case of letters tells no addresses apart."""
    return isinstance(said, str) and (said.lower() == name.lower() if kind == "address" else said == name)


def _ends(category: Mapping[str, Any], record: Record) -> list[datetime]:
    """When each rule's period is over, the last of them last."""
    begun = [(naive.begin_item(rule["start"], record), rule["period"]) for rule in category["rules"]]
    return sorted(end for start, period in begun if start and (end := naive.over(start, period)))


def _end_of_name(category: Mapping[str, Any], record: Record) -> datetime:
    """When the hour of a log is over."""
    said = naive.read_name(category["store"]["layout"], record["name"])
    assert said
    return said[category["rules"][0]["start"]["field"]] + timedelta(hours=1)


def _is_of(line: bytes, finder: Mapping[str, Any], visit: Mapping[str, Any]) -> bool:
    """Whether a line is of a visit; one that cannot be read is nobody's."""
    try:
        entry = json.loads(line)
        at, ip = naive.read_time(entry[finder["at"]]), ip_address(entry[finder["ip"]])
    except (ValueError, KeyError, TypeError):
        return False
    since, until = naive.read_time(visit["since"]), naive.read_time(visit["until"])
    assert since
    assert until
    return at is not None and _plain(ip) == _plain(ip_address(visit["ip"])) and since <= at <= until


def _plain(ip: Any) -> Any:
    return getattr(ip, "ipv4_mapped", None) or ip
