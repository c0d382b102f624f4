"""What truly happens in a world, judged by a simple model while it happens: whether a record may go, now, for a cause.

It sees every journal that is ever opened, every key that is ever made, and every deletion. What it objects to is
collected in `wrong`, because the product may catch what is raised inside a store.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from household import PEOPLE, Fact, Household
from world import START, SWEPT, World

from shared import audit
from shared.journal import Intent, decode
from shared.keys import name_of, name_of_category
from shared.model import Record, RequestCause, Scope, ScopeKind, parse_utc
from shared.runs import ERASURES
from shared.stores.memory import MemoryObjects

BY_REQUEST = ("users", "homes", "devices")
"""Records that no sweep deletes: they go with their person or home."""


@dataclass(kw_only=True)
class Asked:
    """One erasure that was asked for: the subjects that were named, and what else the message said."""

    subjects: list[dict]
    visitors: set[str] = field(default_factory=set)
    decided: bool = False

    def may_mean(self, about: Scope) -> bool:
        """Whether somebody named this person, home, address, session or visit."""
        return any(about.id in _ids(subject) for subject in self.subjects)


class Truth:
    """Watches a world from its first moment."""

    def __init__(self, world: World, household: Household) -> None:
        self.world = world
        self.household = household
        self.wrong: list[str] = []
        self.members: list[str] | None = None  # of the record's home, before it went
        self.asked: dict[str, Asked] = {}  # by request id
        self.intents: dict[str, list[Intent]] = defaultdict(list)  # by record
        self.keys: dict[str, list[bytes]] = defaultdict(list)  # every key that a scope ever had
        self.own_deletes: Counter[str] = Counter()
        self.by_run: dict[str, set[str]] = defaultdict(set)
        self.erased: dict[Scope, datetime] = {}  # scopes of requests that deleted something
        self.last_gone: dict[str, datetime] = {}  # when something of a person went last
        self.given_up: set[Scope] = set()  # scopes of requests that somebody rejected when they had begun
        self._observe(world.own["journals"], "create", self._opened)
        self._observe(world.own["keys"], "create", lambda name, data, *_: self.keys[name].append(data))
        for category, short in SWEPT.items():
            self._observe_own(category, world.own[short])
        apply = world.records._apply

        def judged(record: Record, leaver: Scope | None):
            lived_there = self._lived_in(record)
            answer = apply(record, leaver)
            self.members = lived_there
            if answer in ("deleted", "left"):
                self._judge(record, leaver, answer)
            return answer

        world.records._apply = judged

    def _lived_in(self, record: Record) -> list[str] | None:
        """Who lives in the home that a record is of; None where it is of none, or that is not there."""
        fact = self.household.facts.get(record.locator.text())
        return self.household.members(fact.home) if fact and fact.home else None

    @staticmethod
    def _observe(store: MemoryObjects, method: str, then: Callable[..., object]) -> None:
        """Call `then` with the arguments of each call that did something, its answer lost or not."""
        inner = getattr(store, method)

        async def observed(name: str, *args, **options):
            before = store._objects.get(name)
            try:
                return await inner(name, *args, **options)
            finally:
                if store._objects.get(name) is not before:
                    then(name, *args)

        setattr(store, method, observed)

    def _observe_own(self, category: str, store: MemoryObjects) -> None:
        inner = store.delete

        async def observed(name: str, *, etag: str | None = None) -> None:
            there = name in store._objects
            try:
                await inner(name, etag=etag)
            finally:
                self.own_deletes[category] += there and name not in store._objects and etag is not None

        store.delete = observed

    def _opened(self, _: str, data: bytes, *__: object) -> None:
        if json.loads(data)["state"] == "open":
            intent = decode(data)
            for record in intent.records:
                self.intents[record.locator.text()].append(intent)

    # ------------------------------------------------------------ may it go?

    def _judge(self, record: Record, leaver: Scope | None, answer: str) -> None:
        place = record.locator.text()
        fact = self.household.facts.get(place)
        if fact is None:
            self.wrong.append(f"a record of {record.category} that the model does not know went")
            return
        intents = [
            i
            for i in self.intents[place]
            if any(r.etag == record.etag for r in i.records if r.locator == record.locator)
        ]
        objections = [self._against(fact, intent, leaver, answer) for intent in intents] or ["no journal names it"]
        if all(objections):
            self.wrong.append(f"{answer} a record of {fact.category}, {fact.key}, at {self.world.now}: {objections}")
        if answer == "deleted":
            del self.household.facts[place]
            self.last_gone |= dict.fromkeys(fact.persons, self.world.now)

    def _against(self, fact: Fact, intent: Intent, leaver: Scope | None, answer: str) -> str:
        """Why the record may not go for this intent's sake; "" when it may."""
        cause = intent.cause
        if hold := self._hold_on(fact, cause.scopes if isinstance(cause, RequestCause) else ()):
            return f"hold {hold['id']} on a {hold['kind']} was in force"
        if isinstance(cause, RequestCause):
            return self._against_request(fact, intent, cause, leaver, answer)
        if answer != "deleted" or fact.category in BY_REQUEST:
            return "no sweep does that"
        if fact.due is None or fact.due > self.world.now:
            return f"it is due at {fact.due}"
        if self._was_paused(fact.category, intent):
            return "the category was paused"
        return self._against_run(fact, cause.run)

    def _against_run(self, fact: Fact, run: str) -> str:
        stored = self.world.own["runs"]._objects.get(f"{fact.category}/current")
        current = json.loads(stored.data) if stored else {}
        if current.get("run") != run:
            return ""  # a worker of an earlier run that was slow
        if current["approval"] == "waiting":
            return "the run waits for approval"
        if current["approval"] is None:
            self.by_run[run].add(fact.id)
            began = parse_utc(current["started"])
            since = [f for f in self.household.ever if f.category == fact.category and f.put_at >= began]
            if len(self.by_run[run]) > self.world.planner.caps.absolute + len(since):
                return "the run went beyond its cap without approval"
        return ""

    def _against_request(
        self, fact: Fact, intent: Intent, cause: RequestCause, leaver: Scope | None, answer: str
    ) -> str:
        about = cause.asker or cause.scope
        document = json.loads(self.world.own["requests"]._objects[f"{cause.request}.json"].data)
        asked = self.asked.get(cause.request)
        if asked is None and document["requested_by"] == "the retention policy":
            if why := self._against_policy_request(about):
                return why
        elif asked is None and not (document["requested_by"].startswith("the replay") and self._was_asked_for(about)):
            return "nobody asked"
        elif asked is not None and not asked.may_mean(about):
            return f"somebody else was meant than a {about.kind}"
        if self._was_paused(ERASURES, intent):
            return "erasures were paused"
        if fact.category == "invoices" and (fact.due is None or fact.due > self.world.now):
            return "a law keeps it"
        self.erased.setdefault(about, self.world.now)
        return self._not_covered(fact, cause.scope, about, asked, answer)

    def _not_covered(self, fact: Fact, scope: Scope, about: Scope, asked: Asked | None, answer: str) -> str:
        """Why an erasure of `scope`, for the sake of whom it is about, does not take this record; "" when it does."""
        decided = asked is not None and asked.decided and scope.kind is ScopeKind.HOME and about == scope
        match scope.kind:
            case ScopeKind.PERSON:
                if answer == "left":
                    return "" if fact.category == "homes" else "no record to leave"
                return "" if scope.id in fact.persons else "it does not name the person"
            case ScopeKind.HOME:
                if fact.home != scope.id:
                    return "another home's"
                return "the home has users" if self.members and not decided else ""
            case ScopeKind.ADDRESS:
                if fact.address != scope.id:
                    return "another address"
                others = self.household.addresses().get(scope.id, set()) - {about.id}
                return "another user has the address" if others and asked else ""
            case ScopeKind.SESSION:
                return "" if fact.session == scope.id else "another session"
            case ScopeKind.VISIT:
                return "" if answer == "left" and fact.category == "web-access-log" else "no lines of a visit"

    def _against_policy_request(self, about: Scope) -> str:
        if about.kind is ScopeKind.HOME:
            return "the home has users" if self.members else ""
        # asked when the time was over: who is back since then is erased all the same
        users = [f for f in self.household.ever if f.category == "users" and f.key == about.id]
        return "" if any(f.due and f.due <= self.world.now for f in users) else "the user was never due"

    def _was_asked_for(self, about: Scope) -> bool:
        return about in self.erased or any(asked.may_mean(about) for asked in self.asked.values())

    def _was_paused(self, name: str, intent: Intent) -> bool:
        stored = self.world.own["runs"]._objects.get(f"{name}/paused")
        pause = json.loads(stored.data) if stored else {"paused": False}
        return pause["paused"] and intent.created > parse_utc(pause["since"])

    # ------------------------------------------------------------ holds

    def ever_held(self) -> Iterator[dict]:
        """Every hold, as it stands."""
        for name, stored in self.world.own["holds"]._objects.items():
            if "/" not in name:
                yield json.loads(stored.data)

    def holds(self) -> Iterator[dict]:
        """The holds that are not over."""
        for hold in self.ever_held():
            ends = hold["ended_at"] or hold["until"]
            if ends is None or parse_utc(ends) > self.world.now:
                yield hold

    def _hold_on(self, fact: Fact, scopes: Sequence[Scope] = ()) -> dict | None:
        """A hold that says that it is in force, and covers the record, or somebody for whose sake it would go."""
        return next(
            (h for h in self.holds() if h["in_force"] == "yes" and (covers(h, fact) or _names(h, scopes))), None
        )

    def is_held(self, fact: Fact) -> bool:
        return any(covers(hold, fact) for hold in self.holds())

    # ------------------------------------------------------------ the account of it

    async def assert_accounted(self, _: World, events: list[dict]) -> None:
        """Every deletion has its event under one of the names that the record ever had, and no event is untrue."""
        said: dict[str, Counter[str]] = defaultdict(Counter)
        own: dict[str, Counter[str]] = defaultdict(Counter)
        for event in events:
            if event["type"].startswith("retention.record."):
                kind = event["type"].removeprefix("retention.record.")
                if event["data"]["category"] in SWEPT:
                    own[event["data"]["category"]][kind] += 1
                else:
                    said[event["data"]["record"]][kind] += 1
        for category, deleted in self.own_deletes.items():
            kinds = own[category]
            assert kinds["erased"] <= deleted <= kinds["erased"] + kinds["already_gone"], (
                category,
                deleted,
                dict(kinds),
            )
        truth: dict[str, tuple[set[str], Counter[str]]] = {}
        for record, answer in self.world.records.done:
            names, did = truth.setdefault(record.locator.text(), (set(), Counter()))
            names |= self._names(record)
            did[answer] += 1
        known = set().union(*(names for names, _ in truth.values())) if truth else set()
        assert {name for name, kinds in said.items() if kinds["erased"] or kinds["left"]} <= known, (
            "an invented erasure"
        )
        for place, (names, did) in truth.items():
            kinds = sum((said[name] for name in names), Counter())
            what = (json.loads(place)[2], dict(did), dict(kinds))
            assert kinds["erased"] <= did["deleted"], f"an erasure that did not happen: {what}"
            assert kinds["left"] <= did["left"], f"a leaving that did not happen: {what}"
            gone = did["deleted"] + did["left"]
            told = kinds["erased"] + kinds["left"] + kinds["already_gone"] + kinds["replaced"]  # gone, and there anew
            assert told >= gone, f"gone without an event: {what}"

    def _names(self, record: Record) -> set[str]:
        """Every pseudonym that the record may ever have had: under its own key, or that of whoever asked."""
        causes = [intent.cause for intent in self.intents[record.locator.text()]]
        scopes = {cause.asker or cause.scope for cause in causes if isinstance(cause, RequestCause)}
        scopes |= {record.scope} if record.scope else set()
        names = [name_of(scope) for scope in scopes]
        names += [name_of_category(record.category, year) for year in (START.year, self.world.now.year)]
        keys = [key for name in names for key in self.keys[name]]
        return {audit.pseudonym(key, "record", record.locator.text()) for key in keys}


def covers(hold: dict, fact: Fact) -> bool:
    """Whether a hold is about a record, by what the record is."""
    target = hold["target"]
    match hold["kind"]:
        case "category":
            return fact.category == target
        case "record":
            return fact.id == target
        case "person":
            return target in fact.persons
        case "home":
            return fact.home == target
        case "address":
            return fact.address == target
        case _:
            return fact.session == target


def _names(hold: dict, scopes: Sequence[Scope]) -> bool:
    return any(hold["kind"] == scope.kind.value and hold["target"] == scope.id for scope in scopes)


def _ids(subject: dict) -> set[str]:
    """The ids of all that a subject may mean."""
    if "email" in subject:
        address = subject["email"].lower()
        return {address} | {who for who, email in PEOPLE.items() if email.lower() == address}
    if "visit" in subject:
        return {json.dumps(subject["visit"], sort_keys=True, separators=(",", ":"))}
    return set(subject.values())
